"""A published definition is as if it had always held: members, memories and moments, at once and from then on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.oracle.story import Change
from tests.property.born_old import (
    CrashingWithLanes,
    from_the_beginning,
    known,
    last_switch,
    switched_cases,
    told_case,
    told_each_at_last,
    told_with_crashes,
)
from tests.property.driving import Case, changes_of, without_positions
from tests.property.effort import effort
from tests.property.test_laws import NARROW


def test_what_is_known_is_what_a_full_replay_would_know() -> None:
    """Where the definitions begin to hold: memories to the byte, who is inside and since when, and when time will turn what."""
    met: Counter[str] = Counter()

    @given(case=switched_cases())
    @effort(0.7)
    def holds(case: Case) -> None:
        at = last_switch(case)
        found, expected = told_case(case, upto=at), told_case(from_the_beginning(case), upto=at)
        assert known(found.shard, found.shown) == known(expected.shard, expected.shown)
        assert found.shard.body.since_ms == {}
        assert found.shard.sizes == expected.shard.sizes
        met["folded"] += found.folds
        met["twice"] += found.folds > 1
        met["inside"] += sum(found.shard.sizes.values())

    holds()
    assert {"folded", "twice", "inside"} == set(+met), met


def test_when_somebody_has_their_turn_changes_only_the_position() -> None:
    """A lane stands at the definitions record, and so does whoever comes under them later."""
    met: Counter[str] = Counter()

    @given(case=switched_cases())
    @effort(0.6)
    def holds(case: Case) -> None:
        found, expected = told_each_at_last(case), told_case(case)
        assert found.shard.machine.migration is None
        assert without_positions(found.shown) == without_positions(expected.shown)
        met["folded"] += found.folds
        met["inside"] += sum(found.shard.sizes.values())

    holds()
    assert {"folded", "inside"} == set(+met), met


def test_a_crash_of_the_lane_or_of_the_shard_changes_nothing() -> None:
    """At any commit of either, and between the last customer and the end of the lane: the next owner goes on, and says the same."""
    met: Counter[str] = Counter()

    @given(
        case=switched_cases(switches_max=1),
        crashes=st.dictionaries(st.integers(2, 16), st.sampled_from(["before", "after"]), min_size=1, max_size=4),
        at_drop=st.booleans(),
    )
    @effort(0.5)
    def holds(case: Case, crashes: dict[int, str], at_drop: bool) -> None:
        expected = told_case(case)
        store = CrashingWithLanes(crashes, at_drop=at_drop)
        found = told_with_crashes(case, store, NARROW)
        assert (found.output_digest, found.outputs, found.states, found.wakes) == (
            expected.shown.output_digest,
            expected.shown.outputs,
            expected.shown.states,
            expected.shown.wakes,
        )
        met["in lanes"] += store.in_lanes
        met["in shards"] += store.happened - store.in_lanes
        met["at drops"] += store.drops > expected.folds

    holds()
    assert {"in lanes", "in shards", "at drops"} == set(+met), met


def test_what_is_said_from_then_on_is_what_a_full_replay_would_say() -> None:
    """Behind the definitions both say the same changes, at the same moments; of segments that are new with the same numbers."""
    met: Counter[str] = Counter()

    @given(case=switched_cases(switches_max=1))
    @effort(0.5)
    def holds(case: Case) -> None:
        at, names = last_switch(case), set(case.definitions["segments"])
        found, expected = ([each for each in changes_of(told_case(one).shown.outputs) if each.offset > at] for one in both(case))
        assert [unnumbered(each) for each in found] == [unnumbered(each) for each in expected]
        assert [each.sequence for each in found if each.segment not in names] == [
            each.sequence for each in expected if each.segment not in names
        ]
        met["said"] += len(found)

    holds()
    assert met["said"] > 0


def both(case: Case) -> tuple[Case, Case]:
    """As it was, and as it would have been."""
    return case, from_the_beginning(case)


def unnumbered(change: Change) -> Change:
    """Without the number of the change; and without its place among others, which are not in the same order."""
    return replace(change, sequence=0, ordinal=0)
