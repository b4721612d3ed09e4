"""A lane that asks models takes plain events without detours too: it scores and says nothing, and comes to what the step comes to."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from streamer.customers.state import decode_state
from streamer.customers.tombstone import is_tombstone
from streamer.flow.lane.lane_plan import LanePlan, plan_lane
from streamer.flow.machine import Limits
from streamer.language.definitions import parse_definitions
from streamer.segments.plan.plan import Plan
from tests.property.born_old import from_the_beginning
from tests.property.driving import Case, log_of, with_purposes
from tests.property.effort import effort
from tests.property.scored import scored_cases, scrambled
from tests.property.test_laws import NARROW
from tests.property.test_plain_events import same_both_ways


def test_what_a_lane_that_asks_models_makes_of_plain_events_is_what_the_step_makes() -> None:
    """States with their scores, timers and checkpoint, to the byte."""
    met: Counter[str] = Counter()

    @given(case=scored_cases(), limits=st.sampled_from([NARROW, Limits()]))
    @effort(0.15)
    def holds(case: Case, limits: Limits) -> None:
        lane = lane_of(case)
        if lane is None or lane.tells or not lane.scores:
            return
        log = log_of(case)[1:]
        expected = same_both_ways(log, (), case.rules, lane, limits, met)
        scores = {slot for slot, memory in enumerate(lane.plan.memories) if memory.key.startswith("score ")}
        states = [decode_state(blob) for blob in expected.states.values() if not is_tombstone(blob)]
        met["scored"] += any(not scores.isdisjoint(state.slots) for state in states)

    with scrambled():
        holds()
    assert {"plain", "scored"} <= set(+met), met


def lane_of(case: Case) -> LanePlan | None:
    """What is to be folded between the first definitions of a case and the last; None where that is nothing."""
    last = from_the_beginning(case).definitions
    before, after = (Plan(parse_definitions(with_purposes(one)), lateness_ms=case.lateness_ms) for one in (case.definitions, last))
    return plan_lane(before, after, lateness_ms=case.lateness_ms)
