"""A lane takes plain events without detours, and comes to what the step comes to: states, timers and checkpoint to the byte."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from streamer.flow.amendments import Amendments
from streamer.flow.driver import RecordSpan
from streamer.flow.lane.lane import LaneSettings, SideLane
from streamer.flow.lane.lane_plan import LanePlan, plan_lane
from streamer.flow.lane.plain_events import PlainEvents
from streamer.flow.machine import Limits
from streamer.flow.record_reader import Item
from streamer.flow.rules import Rules
from streamer.language.definitions import parse_definitions
from streamer.segments.plan.plan import Plan
from streamer.stores.memory import MemoryStore
from streamer.wire import LogRecord
from tests.property.driving import Case, Shown, log_of, look, never, with_purposes
from tests.property.effort import effort
from tests.property.logs import cases
from tests.property.test_laws import NARROW

EMPTY = "segments: {}"


def test_a_lane_that_takes_plain_events_by_themselves_comes_to_the_same() -> None:
    """They are most of a log, and what is done for them is written a second time: it must not differ by a bit of what is remembered."""
    met: Counter[str] = Counter()
    apply = PlainEvents.apply

    def counted(self: PlainEvents, items: Sequence[Item], at: int, span: RecordSpan, limits: Limits) -> int:
        after = apply(self, items, at, span, limits)
        met["plain"] += after - at
        met["left to the step"] += after == at
        return after

    @given(case=cases(records_max=40, switches=False), limits=st.sampled_from([NARROW, Limits()]))
    @effort(1.5)
    def holds(case: Case, limits: Limits) -> None:
        lane = lane_of(case)
        if lane is None:
            return
        log = log_of(case)[1:]
        with patch.object(PlainEvents, "apply", lambda _self, _items, at, _span, _limits: at):
            expected = folded(log, case.rules, lane, limits)
        with patch.object(PlainEvents, "apply", counted):
            assert folded(log, case.rules, lane, limits) == expected
        met["timers"] += len(expected.wakes)

    holds()
    assert {"plain", "left to the step", "timers"} == set(+met), met
    assert met["plain"] > met["left to the step"] / 4, met


def lane_of(case: Case) -> LanePlan | None:
    """What is to be folded where the definitions of a case are the first; None where that is nothing."""
    before = Plan(parse_definitions(EMPTY), lateness_ms=case.lateness_ms)
    after = Plan(parse_definitions(with_purposes(case.definitions)), lateness_ms=case.lateness_ms)
    return plan_lane(before, after, lateness_ms=case.lateness_ms)


def folded(log: Sequence[LogRecord], rules: Rules, plan: LanePlan, limits: Limits) -> Shown:
    """All that a lane has after a log."""

    async def run() -> Shown:
        store = MemoryStore()
        lane = await SideLane.open(LaneSettings(0, store, rules, Amendments(), never, limits=limits), plan, 2)
        await lane.fold(log)
        return await look(store.lane(plan.name(2)))

    return asyncio.run(run())
