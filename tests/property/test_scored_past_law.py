"""A segment that asks a model which serves already is as if it had always held: by the scores of then, which the log tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.born_old import CrashingWithLanes, from_the_beginning, known, last_switch, told_case, told_with_crashes
from tests.property.driving import Case, changes_of
from tests.property.effort import effort
from tests.property.history import Brought, as_it_happened, history_of, known_in_utc, log_with, told
from tests.property.scored import ASKING, scored_brought, scored_cases, scrambled
from tests.property.test_born_old_law import both, unnumbered
from tests.property.test_laws import NARROW


@pytest.fixture(autouse=True)
def models() -> Iterator[None]:
    with scrambled():
        yield


def test_who_is_in_a_segment_that_asks_a_model_is_what_a_full_replay_would_say() -> None:
    """Hysteresis, minimum stays, cool-downs and since when: all hang on scores that nobody asked for when they were given."""
    met: Counter[str] = Counter()

    @given(case=scored_cases())
    @effort(0.3)
    def holds(case: Case) -> None:
        at = last_switch(case)
        found, expected = told_case(case, upto=at), told_case(from_the_beginning(case), upto=at)
        assert known(found.shard, found.shown) == known(expected.shard, expected.shown)
        assert (found.shard.sizes, found.shard.body.since_ms) == (expected.shard.sizes, {})
        met["folded"] += found.folds
        met.update(name for one in known(found.shard, found.shown).values() for name in one.inside if name in ASKING)

    holds()
    assert {"folded", "held", "likely", "strange"} <= set(+met), met


def test_what_is_said_of_them_from_then_on_is_what_a_full_replay_would_say() -> None:
    """A minimum stay that began before the definitions ends when it would have ended."""
    met: Counter[str] = Counter()

    @given(case=scored_cases())
    @effort(0.15)
    def holds(case: Case) -> None:
        at = last_switch(case)
        found, expected = ([each for each in changes_of(told_case(one).shown.outputs) if each.offset > at] for one in both(case))
        assert [unnumbered(each) for each in found] == [unnumbered(each) for each in expected]
        met["said"] += sum(each.segment in ASKING for each in found)

    holds()
    assert met["said"] > 0


def test_history_that_is_brought_in_later_is_scored_as_it_would_have_been() -> None:
    """Profiles, scores and awaited outcomes are those of a log in which it had arrived when it happened."""
    met: Counter[str] = Counter()

    @given(brought=scored_brought())
    @effort(0.2)
    def holds(brought: Brought) -> None:
        log, expected = log_with(brought), as_it_happened(brought)
        found = told(log[: brought.brings + 2], history_of(brought), brought.case)
        assert known_in_utc(found) == expected.known
        assert found.shard.sizes == expected.sizes
        met["accepted"] += expected.accepted
        met["scored"] += sum(found.shard.sizes[name] for name in ASKING if name in found.shard.sizes)

    holds()
    assert {"accepted", "scored"} == set(+met), met


def test_a_crash_of_a_lane_that_scores_changes_nothing() -> None:
    """The scorers that served where it stood are kept beside its states."""
    met: Counter[str] = Counter()

    @given(
        case=scored_cases(),
        crashes=st.dictionaries(st.integers(2, 16), st.sampled_from(["before", "after"]), min_size=1, max_size=4),
    )
    @effort(0.12)
    def holds(case: Case, crashes: dict[int, str]) -> None:
        expected, store = told_case(case), CrashingWithLanes(crashes)
        found = told_with_crashes(case, store, NARROW)
        assert (found.outputs, found.states, found.wakes) == (expected.shown.outputs, expected.shown.states, expected.shown.wakes)
        met["in lanes"] += store.in_lanes

    holds()
    assert met["in lanes"] > 0
