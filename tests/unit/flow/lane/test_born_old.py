"""A segment that is defined today is right today: what it asks of the past is folded from the log before it holds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamer.customers.state import decode_state
from streamer.errors import HaltError
from streamer.flow.amendments import Amendments, MemoryJournal
from streamer.flow.catalog import Plans
from streamer.flow.lane.kept_lanes import drop_lanes
from streamer.flow.lane.lane import LaneSettings, SideLane
from streamer.flow.lane.lane_plan import LanePlan, plan_lane
from streamer.flow.lane.lanes import OnTheSpot, Wanted
from streamer.flow.rules import Rules
from streamer.flow.same_log import View
from streamer.flow.shard import Shard
from streamer.language.definitions import parse_definitions
from streamer.messages.decision import decode_decision
from streamer.segments.plan.plan import Plan
from streamer.stores.memory import MemoryStore
from streamer.wire import CHANGES, MESSAGES, LogRecord, decode_control, unpack
from tests.oracle.story import Record
from tests.property.born_old import Switched, told
from tests.property.driving import ListLog, log_record, never

DAY_MS = 86_400_000
BEGIN_MS = 1_772_625_600_000


def event(name: str, number: int, customer: str = "ada", **more: Any) -> dict[str, Any]:
    return {"type": "track", "event": name, "messageId": f"m{number}", "userId": customer, **more}


def defined(version: int, **segments: Any) -> dict[str, Any]:
    found = {name: given if isinstance(given, dict) else {"when": given} for name, given in segments.items()}
    return {"control": "definitions", "version": version, "definitions": {"segments": found}}


def log(*bodies: dict[str, Any], step_ms: int = DAY_MS) -> list[Record]:
    """Records that arrive one step after another, as they happen."""
    times = [BEGIN_MS + offset * step_ms for offset in range(len(bodies))]
    return [
        Record(offset, at_ms, {**body, "timestamp": at_ms} if "control" not in body else body)
        for offset, (at_ms, body) in enumerate(zip(times, bodies, strict=True))
    ]


def changes(switched: Switched) -> list[tuple[str, str, bool, int, str]]:
    found: list[tuple[str, str, bool, int, str]] = []
    for output in switched.shown.outputs:
        if output.topic == CHANGES:
            said = json.loads(output.value)
            data = said["data"]
            found.append((said["subject"], data["segment"], "entered" in said["type"], data["sequence"], data["cause"]["kind"]))
    return found


def test_nobody_who_has_bought_enters_a_segment_of_those_who_never_have() -> None:
    """The case on which peers fail, and on which we failed: bought first, defined later."""
    switched = told(log(defined(1, seen='did("Seen")'), event("Order Completed", 1), defined(2, new='never("Order Completed")')))
    assert changes(switched) == []
    assert switched.shard.body.since_ms == {}, "nothing is warming"


def test_who_did_it_before_it_was_defined_is_inside() -> None:
    """Memories and traits of the past are there at once, and the change says that the definitions brought it about."""
    switched = told(
        log(
            defined(1, seen='did("Seen")'),
            event("Order Completed", 1),
            event("", 2, type="identify", traits={"plan": "gold"}),
            defined(2, seen='did("Seen")', bought='did("Order Completed")', golden='trait("plan") == "gold"'),
        )
    )
    assert changes(switched) == [("ada", "bought", True, 1, "definitions"), ("ada", "golden", True, 1, "definitions")]
    assert switched.shard.sizes == {"bought": 1, "golden": 1, "seen": 0}


def test_a_membership_has_the_number_and_the_moment_that_it_would_have_had() -> None:
    """In, out and in again before anybody had defined it: the third change, since the day of the second purchase."""
    buys = [event("Buy", number) for number in (1, 2)]
    switched = told(
        log(defined(1, seen='did("Seen")'), *buys, {"control": "tick"}, defined(2, late='did("Buy", within="5d")'), step_ms=10 * DAY_MS)
    )
    assert changes(switched) == []
    again = told(log(defined(1, seen='did("Seen")'), *buys, defined(2, late='did("Buy", within="15d")'), step_ms=10 * DAY_MS))
    assert changes(again) == [("ada", "late", True, 1, "definitions")]
    [state] = [decode_state(blob) for blob in again.shown.states.values()]
    assert state.members[again.shard.plan.numbers["late"]].at_ms + state.origin_ms == BEGIN_MS + 10 * DAY_MS


def test_a_changed_segment_goes_on_with_its_numbers() -> None:
    """Readers drop what is not above the number that they saw."""
    switched = told(
        log(
            defined(1, keen='count("Buy") >= 1'),
            event("Buy", 1),
            defined(2, keen='count("Buy") >= 2'),
            event("Buy", 2),
        )
    )
    assert changes(switched) == [
        ("ada", "keen", True, 1, "event"),
        ("ada", "keen", False, 2, "definitions"),
        ("ada", "keen", True, 3, "event"),
    ]


def test_a_message_waits_for_what_left_a_segment_that_they_would_never_have_entered() -> None:
    """Of that membership nothing is known any more but its number, by which the message sees that nothing has happened since."""
    message = {"for": "a test", "on": 'left("keen")', "also": "definitions", "channel": "console", "kind": "transactional", "delay": "1h"}
    first, second = defined(1, keen='did("A")'), defined(2, keen='did("B")')
    for body in (first, second):
        body["definitions"]["messages"] = {"gone": message}
    switched = told(log(first, event("A", 1), second, {"control": "tick"}))
    assert changes(switched) == [("ada", "keen", True, 1, "event"), ("ada", "keen", False, 2, "definitions")]
    assert [decode_decision(one.value).outcome for one in switched.shown.outputs if one.topic == MESSAGES] == ["send"]
    assert switched.shard.body.aside == 0


MODEL = {"models": {"buyer": {"kind": "purchase", "horizon": "7d"}}}


@pytest.mark.parametrize(
    ("segments", "folds"),
    [
        pytest.param({"seen": 'did("Seen")'}, 0, id="a segment goes"),
        pytest.param({"seen": 'did("Seen")', "buyer": 'score("buyer") >= 0.5'}, 1, id="what a model said in the past the log tells"),
        pytest.param({"seen": 'did("Seen")', "new": 'not did("Buy")'}, 1, id="a new segment over memories that are there"),
    ],
)
def test_a_lane_is_folded_only_where_something_is_new_that_the_log_decides(segments: dict[str, str], folds: int) -> None:
    """It costs a pass over the log."""
    first, second = defined(1, seen='did("Seen")', gone='did("Buy")'), defined(2, **segments)
    for body in (first, second):
        body["definitions"] |= MODEL
    assert told(log(first, event("Buy", 1), second)).folds == folds
    assert told(log(first, {"control": "tick"}, second)).folds == 0, "nobody has been seen yet"


def bought_twice() -> tuple[list[LogRecord], LanePlan]:
    """A log in which definitions lie between two purchases, at offset 2, and the plan of their lane."""
    bodies = defined(1, seen='did("Seen")'), event("Buy", 1), defined(2, new='did("Buy")'), event("Buy", 2)
    records = [log_record(record) for record in log(*bodies)]
    before, after = (Plan(parse_definitions(unpack(decode_control(records[at].value))), lateness_ms=DAY_MS) for at in (0, 2))
    plan = plan_lane(before, after, lateness_ms=DAY_MS)
    assert plan is not None
    return records, plan


async def test_a_lane_folds_nothing_behind_the_definitions_for_which_it_folds() -> None:
    """Whoever drives it may be ahead of the shard, which joins what holds at the definitions."""
    store, rules, records, plan = MemoryStore(), Rules(shards=1), *bought_twice()
    for _ in range(2):  # also when it is opened anew
        lane = await SideLane.open(LaneSettings(0, store, rules, Amendments(), never), plan, 2)
        await lane.fold(records)
        assert (lane.is_done, lane.position, lane.counts["accepted"]) == (True, 3, 1)


async def test_a_lane_that_has_gone_too_far_is_folded_anew() -> None:
    """What it remembers then is not what holds where it is to be joined."""
    store, rules, records, plan = MemoryStore(), Rules(shards=1), *bought_twice()
    ahead = await SideLane.open(LaneSettings(0, store, rules, Amendments(), never), plan, 2)
    await ahead.fold([records[0], records[1], records[3]])
    assert ahead.position == 4
    lane = await OnTheSpot(store, ListLog(records), rules, pause=never).at(Wanted(0, plan, 2, 2, Amendments()))
    assert (lane.position, lane.counts["accepted"]) == (3, 1)


def test_a_log_that_retention_has_cut_is_folded_from_where_it_begins() -> None:
    """And it is said since when. Else nothing that is published to a shop of some age would ever hold."""
    records = log(
        defined(1, seen='did("Seen")'), event("Buy", 1), event("Buy", 2), defined(2, seen='did("Seen")', twice='count("Buy") >= 2')
    )
    assert told(records).shard.sizes == {"seen": 0, "twice": 1}
    cut = told(records, begin=2)
    assert (cut.folds, cut.shard.sizes) == (1, {"seen": 0, "twice": 0})
    assert set(cut.shard.body.since_ms.values()) == {BEGIN_MS + 2 * DAY_MS}


async def test_a_lane_behind_which_the_log_was_cut_is_folded_anew() -> None:
    """It would go on behind a gap, and nobody would know. One that stands at the beginning has all."""
    store, rules, records, plan = MemoryStore(), Rules(shards=1), *bought_twice()
    settings = LaneSettings(0, store, rules, Amendments(), never)
    lane = await SideLane.open(settings, plan, 2)
    await lane.fold(records[:2])
    for begin in (0, 2):
        lane = await SideLane.open(settings, plan, 2, begin=begin)
        assert (lane.position, lane.counts, lane.since_ms) == (2, {"accepted": 1}, {})
    lane = await SideLane.open(settings, plan, 2, begin=3)
    assert (lane.position, lane.counts) == (3, {})
    await lane.fold(records[3:])
    assert (lane.position, lane.counts) == (4, {"accepted": 1})
    assert set(lane.since_ms.values()) == {BEGIN_MS + 3 * DAY_MS}


async def come_half_way() -> tuple[MemoryStore, list[LogRecord]]:
    """A log with definitions at offset 4, and a shard that stands at 6 before any of three customers has come under them."""
    buys = [event("Buy", number, customer) for number, customer in enumerate(("ada", "bea", "cleo"), 1)]
    bodies = defined(1, seen='did("Seen")'), *buys, defined(2, seen='did("Seen")', bought='did("Buy")'), *[{"control": "tick"}] * 2
    store, rules, records = MemoryStore(), Rules(shards=1), [log_record(record) for record in log(*bodies)]
    lanes = OnTheSpot(store, ListLog(records), rules, pause=never)
    shard = await Shard.acquire(0, store, Plans(store, rules), rules, lanes=lanes, pause=never)
    shard.walk_customers = lambda: 0
    await shard.process(records[:6])
    assert (shard.position.offset, shard.is_switching, shard.sizes["bought"]) == (6, True, 0)
    return store, records


async def test_a_lane_that_is_done_is_joined_also_where_the_log_no_longer_has_its_definitions() -> None:
    """Customers may come under definitions for longer than the log keeps them; whoever takes the shard over then has all of their past."""
    (store, records), rules = await come_half_way(), Rules(shards=1)
    lanes = OnTheSpot(store, ListLog(records[6:], begin=6), rules, pause=never)
    shard = await Shard.acquire(0, store, Plans(store, rules), rules, lanes=lanes, pause=never)
    await shard.process(records[6:])
    assert (shard.is_switching, shard.sizes, shard.body.since_ms) == (False, {"seen": 0, "bought": 3}, {})


async def test_a_past_that_neither_log_nor_store_has_is_not_joined_as_if_it_were_empty() -> None:
    """Nobody would ever know: it has no beginning that could be said, since its customers were told that it has all."""
    (store, records), rules = await come_half_way(), Rules(shards=1)
    await drop_lanes(store, 0, lambda _: False)
    lanes = OnTheSpot(store, ListLog(records[6:], begin=6), rules, pause=never)
    with pytest.raises(HaltError, match="at offset 4 can no longer be folded: the log begins at offset 6"):
        await Shard.acquire(0, store, Plans(store, rules), rules, lanes=lanes, pause=never)


class AwayLog(ListLog):
    """A broker that does not answer the first few times."""

    times = 3

    async def look(self, shard: int, offset: int) -> View:
        self.times -= 1
        if self.times >= 0:
            raise RuntimeError("as the errors of aiokafka are")
        return await super().look(shard, offset)


async def test_a_broker_that_is_away_is_no_fault_of_the_definitions() -> None:
    """What fails twice at a record is passed over, for good: definitions that nobody would obey any more because Kafka was restarted."""
    store, rules, (records, _) = MemoryStore(), Rules(shards=1), bought_twice()
    lanes, journal = OnTheSpot(store, AwayLog(records), rules, pause=never), MemoryJournal()
    shard = await Shard.acquire(0, store, Plans(store, rules), rules, lanes=lanes, journal=journal, pause=never)
    for _ in range(3):
        with pytest.raises(ConnectionError, match="as the errors"):
            await shard.process([record for record in records if record.offset >= shard.position.offset])
        shard = await Shard.acquire(0, store, Plans(store, rules), rules, lanes=lanes, journal=journal, pause=never)
    await shard.process([record for record in records if record.offset >= shard.position.offset])
    assert (shard.body.version, shard.sizes, journal.kept) == (2, {"new": 1}, [])
