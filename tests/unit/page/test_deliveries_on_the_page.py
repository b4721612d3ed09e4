"""Deliveries on the page: what the topics of webhooks say, and nothing of what customers and receivers would not want shown."""

from __future__ import annotations

import pytest

from streamer.language.definitions import parse_definitions
from streamer.transports.kafka.topic_tail import TailRecord
from streamer.webhooks.records import DeadDelivery, DeliveryLine, encode_dead, encode_line
from streamer.webhooks.subscription import Filter, Start, Status, Subscription
from streamer.webhooks.watch import DeliveryLag
from streamer.wire import WEBHOOK_DEAD, WEBHOOK_LOG

from .desk import PageDesk, looking
from .test_hostile_texts import HOSTILE, check_harmless

RULES = parse_definitions("segments:\n  left: {for: Left something., when: 'did(\"A\")'}\n")
START_MS = 1_790_000_000_000


def subscription(
    name: str, status: Status = "active", why: str = "", url: str = "https://hooks.shop.example/in/s3cret?k=s3cret"
) -> Subscription:
    """One that wants all it can."""
    wants = Filter(segments=("left",), sample=2_500)
    return Subscription(name=name, id="0a0b0c0d", url=url, secrets=("env:SECRET",), start=Start(), wants=wants, status=status, why=why)


def line(number: int, name: str, status: int | None = None, problem: str = "") -> DeliveryLine:
    """The ``number``-th attempt of all."""
    verdict = "delivered" if status == 200 else "failed"
    return DeliveryLine(
        subscription=name,
        webhook_id=f"1-0-{number}-0-abc",
        at_ms=START_MS + number,
        attempt=number % 3,
        verdict=verdict,
        status=status,
        problem=problem,
        milliseconds=12,
        answer="a customer's data",
    )


def deliver(desk: PageDesk, lines: list[DeliveryLine], dead: list[DeadDelivery]) -> None:
    """Both topics."""
    for offset, one in enumerate(lines):
        desk.page.sources.deliveries.take(TailRecord(WEBHOOK_LOG, 0, offset, encode_line(one)))
    for offset, one in enumerate(dead):
        desk.page.sources.deliveries.take(TailRecord(WEBHOOK_DEAD, 0, offset, encode_dead(one)))


async def test_deliveries_are_shown_as_the_topics_have_them() -> None:
    """State, lag, what failed last and what was given up, of each subscription."""
    async with looking(RULES) as desk:
        await desk.settle()
        watch = desk.page.sources.subscriptions
        watch.take({"shop": subscription("shop"), "crm": subscription("crm", "disabled", "five days of failures")})
        watch.lags["shop"] = DeliveryLag({0: 1_200, 1: 34}, START_MS)
        watch.lags["crm"] = DeliveryLag({0: 7, 1: None}, START_MS)
        failed = line(4, "crm", 503)
        deliver(
            desk,
            [line(1, "crm", None, "no connection"), line(2, "shop", 200), failed],
            [DeadDelivery(last=failed, shard=1, offset=77, raw="c2VjcmV0")],
        )
        page = await desk.look("/deliveries")
        assert page.status == 200
        crm, shop = page.text.index("crm disabled five days of failures"), page.text.index("shop active")
        assert "≥ 7 " in page.text[crm:shop]
        assert " 1 failed 503 " in page.text[crm:shop], "one was given up, and the newest failure is shown"
        assert "1,234 " in page.text[shop:]
        assert "25.0% of the customers" in page.text[shop:]
        assert "shard 1 offset 77" in page.text
        attempts = page.html.partition("Newest attempts")[2].partition("Given up")[0]
        assert [attempts.count(text) for text in ("<li>", "no connection", "a probe")] == [3, 1, 0]
        assert attempts.index("503") < attempts.index("no connection"), "the newest first"
        for hidden in ("s3cret", "SECRET", "customer's data", "c2VjcmV0"):
            assert hidden not in page.html


async def test_one_subscription_can_be_looked_at_alone() -> None:
    """Among many the attempts of one are what somebody looks for."""
    async with looking(RULES) as desk:
        await desk.settle()
        desk.page.sources.subscriptions.take({"shop": subscription("shop"), "crm": subscription("crm")})
        deliver(desk, [line(1, "crm", None, "no connection"), line(2, "shop", None, "too slow")], [])
        attempts = (await desk.look("/deliveries?subscription=shop")).text.partition("Newest attempts")[2]
        assert "too slow" in attempts
        assert "no connection" not in attempts


async def test_without_subscriptions_the_page_says_how_one_is_made() -> None:
    """And before the topic has been read it does not say that there is none."""
    async with looking(RULES) as desk:
        await desk.settle()
        assert "There is no subscription" not in (await desk.look("/deliveries")).text
        desk.page.sources.subscriptions.take({})
        assert "There is no subscription: streamer webhooks add makes one." in (await desk.look("/deliveries")).text


@pytest.mark.parametrize("language", ["en", "ar"])
@pytest.mark.parametrize("text", HOSTILE)
async def test_deliveries_obey_no_text_from_outside(text: str, language: str) -> None:
    """Whoever writes to the topics, or answers, may write anything; a subscription need not have been made by us."""
    async with looking(RULES) as desk:
        await desk.settle()
        desk.page.sources.subscriptions.take({text: subscription(text, "disabled", text, f"https://[{text}/")})
        broken = line(1, text, None, text)
        deliver(desk, [broken], [DeadDelivery(last=broken, shard=0, offset=1, raw="")])
        found = await desk.look(f"/deliveries?lang={language}")
        assert found.status == 200
        assert found.html.count("bdi>") > 10, "it is not shown at all"
        check_harmless(found.html)
