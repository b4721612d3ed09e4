"""A published definition is as if it had always held: members, memories and moments, at once and from then on."""

from __future__ import annotations

from collections import Counter

from hypothesis import given

from tests.property.born_old import from_the_beginning, known, last_switch, switched_cases, told_case, told_each_at_last
from tests.property.driving import Case, without_positions
from tests.property.effort import effort


def test_what_is_known_is_what_a_full_replay_would_know() -> None:
    """Where the definitions begin to hold: memories to the byte, who is inside and since when, and when time will turn what."""
    met: Counter[str] = Counter()

    @given(case=switched_cases())
    @effort()
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
