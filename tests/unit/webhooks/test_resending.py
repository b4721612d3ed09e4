"""A stretch of the changes sent once more: in order, under the same ids, and no further behind what is refused."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final

import msgspec
import pytest
from aiokafka.structs import ConsumerRecord

from streamer.settings import load_settings
from streamer.telemetry.webhook_metrics import WebhookMetrics
from streamer.webhooks import resending
from streamer.webhooks.records import DeliveryLine
from streamer.webhooks.resending import ResendCount, Resender, ResendStretch, ResendTools
from streamer.webhooks.schedule import verdict_of
from streamer.webhooks.sending import WebhookAttempt, WebhookRequest, WebhookSender
from streamer.webhooks.signatures import Signatory, new_secret
from streamer.webhooks.subscription import Filter, Start, Subscription
from tests.unit.webhooks.test_killed_anywhere import CHANGES, World

SUBSCRIPTION: Final = Subscription(name="shop", id="0a1b2c3d", url="https://shop.example/", secrets=("env:S",), start=Start())


class Endpoint(WebhookSender):
    """Answers by the customer, 204 where nothing else is said; what a customer is answered runs out."""

    def __init__(self, **answers: list[int]) -> None:
        self.answers = answers
        self.ids: list[str] = []

    async def post(self, request: WebhookRequest, signatory: Signatory) -> WebhookAttempt:
        self.ids.append(request.webhook_id)
        customer = next((one for one in self.answers if f'"{one.replace("_", "-")}"'.encode() in request.body), "")
        status = self.answers[customer].pop(0) if self.answers.get(customer) else 204
        return WebhookAttempt(verdict_of(status), status, "", 1, later_ms=90_000 if status == 429 else None)


class Desk:
    """A topic in memory with all its changes, and what was done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = World()
        for _ in range(CHANGES):
            self.world.grow()
        self.pauses: list[float] = []
        self.lines: list[DeliveryLine] = []
        monkeypatch.setattr(resending, "read_partition", self._read)

    @property
    def whole(self) -> ResendStretch:
        return ResendStretch({shard: (0, len(records)) for shard, records in enumerate(self.world.shards)})

    def ids(self, customer: str = "c-") -> list[str]:
        """The ids of the changes, each once, shard by shard."""
        found = [record.value or b"" for records in self.world.shards for record in records]
        wanted = [raw.partition(b'"id": "')[2].partition(b'"')[0].decode() for raw in found if f'"subject": "{customer}'.encode() in raw]
        return [SUBSCRIPTION.webhook_id(one) for one in dict.fromkeys(wanted)]

    async def resend(self, endpoint: Endpoint, stretch: ResendStretch, subscription: Subscription = SUBSCRIPTION) -> ResendCount:
        tools = ResendTools(endpoint, Signatory([new_secret()]), self.lines.append, lambda: 1_000, WebhookMetrics(), self._pause)
        return await Resender(load_settings(shards=2), subscription, tools).resend(stretch)

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def _read(
        self, _settings: object, _topic: str, shard: int, *, begin: int, max_records: int
    ) -> AsyncGenerator[Sequence[ConsumerRecord[bytes, bytes]]]:
        records = self.world.shards[shard]
        for first in range(begin, len(records), 4):
            yield records[first : first + 4]


async def test_a_stretch_goes_out_once_under_the_ids_that_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in the topic twice is one change; what lies outside is not sent."""
    desk, endpoint = Desk(monkeypatch), Endpoint()
    assert await desk.resend(endpoint, desk.whole) == ResendCount(CHANGES, 0, 0)
    assert sorted(endpoint.ids) == sorted(desk.ids())
    assert len(desk.lines) == CHANGES
    again = Endpoint()
    some = await desk.resend(again, ResendStretch({0: (0, 6), 1: (3, 3)}))
    assert some == ResendCount(len(again.ids), 0, 0)
    assert set(again.ids) == set(desk.ids("c-0-")[: len(again.ids)])
    assert 0 < len(again.ids) < 6


async def test_of_one_customer_only_what_is_wanted_goes_out_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Support sends one customer's past again; the filter of the subscription holds as ever."""
    desk, endpoint = Desk(monkeypatch), Endpoint()
    await desk.resend(endpoint, desk.whole._replace(customer="c-1-2"))
    assert endpoint.ids == desk.ids("c-1-2")
    nothing = msgspec.structs.replace(SUBSCRIPTION, wants=Filter(("loyal",)))
    assert await desk.resend(Endpoint(), desk.whole, nothing) == ResendCount(0, 0, 0)


async def test_behind_a_change_that_is_refused_nothing_of_its_customer_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its receiver would get the later one first; others have no part in it, and who succeeds at the second attempt is delivered."""
    desk, endpoint = Desk(monkeypatch), Endpoint(c_0_1=[204, 500, 500, 500], c_1_0=[503], c_1_1=[429])
    count = await desk.resend(endpoint, desk.whole)
    of_refused = desk.ids("c-0-1")
    assert count == ResendCount(CHANGES - len(of_refused) + 1, 1, len(of_refused) - 2)
    assert [one for one in endpoint.ids if one in of_refused] == [of_refused[0], *[of_refused[1]] * 3]
    assert sorted(desk.pauses) == [1.0, 1.0, 5.0, 60.0], "the endpoint that says later is waited for a minute at most"


async def test_an_endpoint_that_is_gone_gets_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """410 is no matter of one customer."""
    desk, endpoint = Desk(monkeypatch), Endpoint(c_0_0=[410])
    count = await desk.resend(endpoint, desk.whole)
    assert (count.refused, count.delivered + count.held) == (1, CHANGES - 1)
    assert len(endpoint.ids) <= 3, "those that were under way"
