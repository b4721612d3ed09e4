"""A lane takes plain events without detours, and comes to what the step comes to: states, timers and checkpoint to the byte."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from streamer.flow.amendments import Amendments
from streamer.flow.driver import RecordSpan
from streamer.flow.lane.lane import LaneSettings, SideLane
from streamer.flow.lane.lane_plan import NOTHING_BROUGHT, LanePlan, plan_lane
from streamer.flow.lane.plain_events import PlainEvents
from streamer.flow.machine import Limits
from streamer.flow.record_reader import Item
from streamer.flow.rules import Rules
from streamer.language.definitions import parse_definitions
from streamer.segments.plan.plan import Plan
from streamer.stores.memory import MemoryStore
from streamer.units import DAY_MS
from streamer.values import parse_time_ms, time_text
from streamer.wire import ARRIVED_HEADER, Headers, LogRecord, arrived_text
from tests.property.driving import Case, Shown, log_of, look, never, with_purposes
from tests.property.effort import effort
from tests.property.logs import cases
from tests.property.test_laws import NARROW

EMPTY = "segments: {}"
BROUGHT_BY = "00000000000000aa"
WRITTEN: Headers = (("write-key", b"shop"),)


def test_a_lane_that_takes_plain_events_by_themselves_comes_to_the_same() -> None:
    """They are most of a log, and what is done for them is written a second time: it must not differ by a bit of what is remembered."""
    met: Counter[str] = Counter()

    @given(case=cases(records_max=40, switches=False), headers=st.sampled_from([(), WRITTEN]), limits=st.sampled_from([NARROW, Limits()]))
    @effort(1)
    def holds(case: Case, headers: Headers, limits: Limits) -> None:
        lane = lane_of(case)
        if lane is None:
            return
        log = [record if record.control else record._replace(headers=headers) for record in log_of(case)[1:]]
        met["timers"] += len(same_both_ways(log, (), case.rules, lane, limits, met).wakes)

    holds()
    assert {"plain", "left to the step", "timers"} == set(+met), met
    assert met["plain"] > met["left to the step"] / 2, met


def test_so_does_a_lane_that_folds_history() -> None:
    """Of that nearly all has timers that are due before it, and lies far behind the last of its customer: their clock is set anew."""
    met: Counter[str] = Counter()

    @given(
        case=cases(records_max=20, switches=False), apart_ms=st.sampled_from([0, 40 * DAY_MS]), limits=st.sampled_from([NARROW, Limits()])
    )
    @effort(1)
    def holds(case: Case, apart_ms: int, limits: Limits) -> None:
        records = log_of(case)[1:]
        events = [record for record in records if not record.control]
        history = [as_history(at, moved(record, at * apart_ms)) for at, record in enumerate(events)]
        lane = lane_of(case, history=len(history))
        if lane is None or not history:
            return
        log = [moved(record, len(events) * apart_ms) for record in records]
        met["timers"] += len(same_both_ways(log, history, case.rules, lane, limits, met).wakes)

    holds()
    assert {"plain", "left to the step", "timers"} == set(+met), met
    assert met["plain"] > met["left to the step"] / 2, met


def same_both_ways(
    log: Sequence[LogRecord], history: Sequence[LogRecord], rules: Rules, lane: LanePlan, limits: Limits, met: Counter[str]
) -> Shown:
    """What a lane has after a log, which is the same without plain events; ``met`` counts how many were."""
    apply = PlainEvents.apply

    def counted(self: PlainEvents, items: Sequence[Item], at: int, span: RecordSpan, limits: Limits) -> int:
        after = apply(self, items, at, span, limits)
        met["plain"] += after - at
        met["left to the step"] += after == at
        return after

    with patch.object(PlainEvents, "apply", lambda _self, _items, at, _span, _limits: at):
        expected = folded(log, history, rules, lane, limits)
    with patch.object(PlainEvents, "apply", counted):
        assert folded(log, history, rules, lane, limits) == expected
    return expected


def lane_of(case: Case, history: int = 0) -> LanePlan | None:
    """What is to be folded where the definitions of a case are the first; None where that is nothing."""
    before = Plan(parse_definitions(EMPTY), lateness_ms=case.lateness_ms)
    after = Plan(parse_definitions(with_purposes(case.definitions)), lateness_ms=case.lateness_ms)
    return plan_lane(before, after, lateness_ms=case.lateness_ms, history=history, brought=0 if history else NOTHING_BROUGHT)


def moved(record: LogRecord, by_ms: int) -> LogRecord:
    """A record that came, and whose event happened, so much later."""
    later = record._replace(arrival_ms=record.arrival_ms + by_ms)
    if record.control:
        return later
    event = json.loads(record.value)
    timestamp_ms = parse_time_ms(event["timestamp"])
    assert timestamp_ms is not None, "these logs have times"
    return later._replace(value=json.dumps({**event, "timestamp": time_text(timestamp_ms + by_ms)}).encode())


def as_history(offset: int, record: LogRecord) -> LogRecord:
    """The same as an import writes it."""
    return record._replace(offset=offset, headers=((ARRIVED_HEADER, arrived_text(record.arrival_ms, BROUGHT_BY)),))


class ListHistory:
    """What was imported, in memory."""

    def __init__(self, records: Sequence[LogRecord]) -> None:
        self._records = records

    async def history(self, shard: int, begin: int, end: int, limit: int) -> Sequence[LogRecord]:
        return self._records[begin : min(end, begin + limit)]


def folded(log: Sequence[LogRecord], history: Sequence[LogRecord], rules: Rules, plan: LanePlan, limits: Limits) -> Shown:
    """All that a lane has after a log."""

    async def run() -> Shown:
        store = MemoryStore()
        settings = LaneSettings(0, store, rules, Amendments(), never, histories=ListHistory(history), limits=limits)
        lane = await SideLane.open(settings, plan, 2)
        await lane.fold(log)
        return await look(store.lane(plan.name(2)))

    return asyncio.run(run())
