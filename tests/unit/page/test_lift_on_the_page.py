"""What messages bring about, on the page: as the ledger and the log have it, and never more than is known."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from streamer.aside import done_aside
from streamer.events.codec import decode
from streamer.language.definitions import Definitions, parse_definitions
from streamer.lift.assignment import read_assignment
from streamer.lift.report import ArmResult, Lift, contrast, lifts
from streamer.lift.trial import Trial
from streamer.page import assembly, made_anew
from streamer.page.lift_history import LiftHistory, MeasuredLifts, measured_aside, work
from streamer.printable import printable
from streamer.settings import load_settings
from streamer.wire import CONTROL_HEADER, EVENTS, LEDGER
from tests.unit.flow.persons import HOUR_MS, MINUTE_MS

from .desk import SHARDS, PageDesk, looking
from .test_hostile_texts import HOSTILE, check_harmless

CUSTOMERS = 60


def rules(goal: str) -> Definitions:
    """A message that half of the customers are not sent."""
    return parse_definitions(
        {
            "segments": {"seen": {"for": "Saw it", "when": 'did("A")'}},
            "messages": {
                "word": {
                    "for": "A word.",
                    "on": 'entered("seen")',
                    "channel": "webhook",
                    "kind": "transactional",
                    "holdout": "50%",
                    "goal": {"event": goal, "within": "1h"},
                }
            },
        }
    )


def measured(desk: PageDesk) -> list[Lift]:
    """From ledger and log, as ``streamer messages lift`` reads them."""
    trial = Trial()
    for shard in range(SHARDS):
        for record in desk.shop.log.records(LEDGER, shard):
            if (assignment := read_assignment(record.value)) is not None:
                trial.decide(assignment)
    for shard in range(SHARDS):
        for record in desk.shop.log.records(EVENTS, shard):
            if any(name == CONTROL_HEADER for name, _ in record.headers):
                trial.pass_time(desk.shop.now_ms)
            else:
                trial.happen(decode(record.value), desk.shop.now_ms)
    return lifts(trial)


def answering(monkeypatch: pytest.MonkeyPatch, answer: list[MeasuredLifts | None]) -> list[int]:
    """In the place of the process that measures: the newest of ``answer``; for which moments it is asked."""
    asked: list[int] = []

    async def measure(_settings: object, now_ms: int) -> MeasuredLifts | None:
        asked.append(now_ms)
        return answer[-1]

    monkeypatch.setattr(assembly, "measured_aside", measure)
    return asked


async def shop_of(desk: PageDesk, goal: str) -> None:
    """Everybody saw it, every third bought within the hour, and the hour is over."""
    for number in range(CUSTOMERS):
        desk.shop.write("A", userId=f"c{number}")
    await desk.shop.settle()
    desk.shop.wait(10 * MINUTE_MS)
    for number in range(0, CUSTOMERS, 3):
        desk.shop.write(goal, userId=f"c{number}")
    await desk.shop.settle()
    desk.shop.wait(2 * HOUR_MS)
    await desk.settle()


async def test_what_a_message_brings_about_is_shown_as_ledger_and_log_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured a second time here; and too few have been looked at to say more than that it is not known yet."""
    answer: list[MeasuredLifts | None] = [None]
    asked = answering(monkeypatch, answer)
    async with looking(rules("Bought")) as desk:
        await shop_of(desk, "Bought")
        [lift] = measured(desk)
        sent, held_out = lift.contrasts[0].arm, lift.contrasts[0].against
        assert sent.customers + held_out.customers == CUSTOMERS
        assert min(sent.customers, held_out.customers) > 10
        assert sent.reached + held_out.reached == CUSTOMERS // 3
        answer.append(MeasuredLifts(desk.shop.now_ms, [lift]))
        found = (await desk.look("/messages")).text
        assert asked == [desk.shop.now_ms]
        for arm, name in ((sent, "sent"), (held_out, "held out")):
            assert f"{arm.reached / arm.customers:.1%} of {arm.customers} {name}" in found
        difference = 100 * (sent.reached / sent.customers - held_out.reached / held_out.customers)
        assert f"{difference:+.2f} percentage points, surely between {100 * lift.contrasts[0].low:+.2f}" in found
        assert "not known yet Measured 1 Jan 2026, 02:10:00 UTC" in found
        await desk.look("/messages")
        assert len(asked) == 1, "it is measured again for each who looks"


async def test_what_is_known_is_said_in_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """More, fewer; an arm with nobody in it is compared with nothing."""
    for one, other, word in (
        (ArmResult("sent", 9_000, 630, 0.07, 0.0), ArmResult("held out", 1_000, 40, 0.04, 0.0), "more"),
        (ArmResult("sent", 1_000, 40, 0.04, 0.0), ArmResult("held out", 9_000, 630, 0.07, 0.0), "fewer"),
        (ArmResult("sent", 1_000, 40, 0.04, 0.0), ArmResult("held out", 0, 0, 0.0, 0.0), "not known yet"),
    ):
        answering(monkeypatch, [MeasuredLifts(0, [Lift("word", "Bought", 3_600_000, 10_000, 0, [contrast(one, other)])])])
        async with looking(rules("Bought")) as desk:
            await desk.settle()
            assert f"{word} Measured 1 Jan 1970, 00:00:00 UTC" in (await desk.look("/messages")).text


async def test_where_it_cannot_be_measured_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is no lift of nothing; nor is a log that is too long."""
    for answer, said in (
        (None, "not known yet"),
        (MeasuredLifts(0, []), "not known yet"),
        (MeasuredLifts(0, [], True), "more than 200,000 records"),
    ):
        asked = answering(monkeypatch, [answer])
        async with looking(rules("Bought")) as desk:
            await desk.settle()
            assert said in (await desk.look("/messages")).text
            assert asked


async def test_after_a_failure_it_is_measured_again_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka was away for a moment; what was measured stays for ten minutes, also while the next one fails."""
    times, found = [0.0], list[MeasuredLifts | None]([None, MeasuredLifts(1, []), None])
    monkeypatch.setattr(made_anew, "monotonic", lambda: times[-1])
    asked: list[int] = []

    async def measure(now_ms: int) -> MeasuredLifts | None:
        asked.append(now_ms)
        return found[len(asked) - 1]

    history = LiftHistory(measure, lambda: 7)
    for second, times_asked, is_there in ((0.0, 1, False), (29.0, 1, False), (31.0, 2, True), (600.0, 2, True), (632.0, 3, True)):
        times.append(second)
        answer = await history.get()
        await asyncio.sleep(0)
        assert (len(asked), answer is not None) == (times_asked, is_there), second


async def test_the_process_that_measures_says_nothing_where_kafka_does_not_answer() -> None:
    """It ends by itself, and quietly; the page goes on showing what was measured before."""
    settings = load_settings(kafka="127.0.0.1:1", shards=SHARDS)
    assert await done_aside(work, settings, msgspec.msgpack.encode(0), seconds_max=60) == msgspec.msgpack.encode(None), "it did not answer"
    assert await measured_aside(settings, 0) is None


async def test_without_a_goal_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would read the log for nobody."""
    asked = answering(monkeypatch, [None])
    definitions = parse_definitions(
        'segments: {seen: {for: x, when: did("A")}}\n'
        'messages: {word: {for: A word., on: entered("seen"), channel: webhook, kind: transactional}}'
    )
    async with looking(definitions) as desk:
        await desk.settle()
        found = (await desk.look("/messages")).text
        assert "A word. Begins with" in found
        assert "What it brings about" not in found
        assert asked == []


@pytest.mark.parametrize("language", ["en", "uk", "ar", "fa"])
@pytest.mark.parametrize("text", HOSTILE)
async def test_no_goal_and_no_variant_is_obeyed(text: str, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are texts of the ledger."""
    arm = ArmResult(text, 100, 40, 0.4, 0.0)
    answering(monkeypatch, [MeasuredLifts(0, [Lift("word", text, 3_600_000, 200, 0, [contrast(arm, arm), contrast(arm, arm)])])])
    async with looking(rules("Bought")) as desk:
        await desk.settle()
        found = await desk.look(f"/messages?lang={language}")
        check_harmless(found.html)
        assert found.text.count(printable(text)[:60]) >= 3
