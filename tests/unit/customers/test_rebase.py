"""A customer's own clock: another origin is another way to write the same moments."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.customers import memories
from streamer.customers.memories import Data, RuleSpec
from streamer.customers.rebase import AFTER_ORIGIN_MAX_MS, BEFORE_ORIGIN_MS, rebase, shifted
from streamer.customers.state import NO_TIMER, Membership, State, encode_state
from streamer.units import HOUR_MS

pytestmark = pytest.mark.fast

ORIGIN_MS: Final = 1_767_225_600_000
TEXTS: Final = st.lists(st.sampled_from(['"a"', '"b"', '"c"']), min_size=1, max_size=2)
NUMBERS: Final = st.integers(-3, 3)

# each kind with the values that it takes
KINDS: Final[dict[RuleSpec, st.SearchStrategy[Any]]] = {
    memories.Newest(1): st.none(),
    memories.Newest(3): st.none(),
    memories.Oldest(): st.none(),
    memories.EventCount(): st.none(),
    memories.Totals(): NUMBERS,
    memories.Bests(1): NUMBERS,
    memories.Pairs(5 * HOUR_MS): NUMBERS,
    memories.Ladder(5 * HOUR_MS, -1): NUMBERS,
    memories.Distinct(2): TEXTS,
    memories.Labels(5 * HOUR_MS): TEXTS,
    memories.Frequencies(): TEXTS,
    memories.KnownValue(): NUMBERS,
    memories.Runs(2 * HOUR_MS): NUMBERS,
    memories.Zone(): st.tuples(st.just(0), st.sampled_from(["Europe/Berlin", "UTC"])),
    memories.Steps(2, 3 * HOUR_MS, HOUR_MS, HOUR_MS): st.integers(1, 7),
}


def data_of(spec: RuleSpec, events: list[tuple[int, int, Any]], by_ms: int) -> Data:
    """What a memory holds after events of (age, time since the one before, value), by a clock that began ``by_ms`` earlier."""
    update, data, now = spec.update(), None, 0
    for age, passed, value in events:
        now += passed
        data = update(data, deepcopy(value), now - age + by_ms, now + by_ms, ORIGIN_MS - by_ms)
    return data


def test_every_kind_of_memory_is_here() -> None:
    """A kind that nobody can shift would be judged at wrong times seven weeks after a customer's first event."""
    assert {type(spec) for spec in KINDS} == set(get_args(RuleSpec))


@given(st.data(), st.integers(-(1 << 40), 1 << 40))
@pytest.mark.parametrize("spec", KINDS, ids=lambda spec: f"{spec}")
def test_a_memory_with_another_origin_is_what_the_same_events_would_have_made(spec: RuleSpec, data: st.DataObject, by_ms: int) -> None:
    """So it answers the same from then on, whatever happens next."""
    hours = st.integers(0, 2).map(lambda hours: hours * HOUR_MS)
    events = data.draw(st.lists(st.tuples(hours, hours, KINDS[spec]), min_size=1, max_size=8))
    found = data_of(spec, events, 0)
    assert shifted(spec, found, by_ms) == data_of(spec, events, by_ms)


@pytest.mark.parametrize("spec", KINDS, ids=lambda spec: f"{spec}")
def test_a_memory_that_holds_nothing_has_no_times(spec: RuleSpec) -> None:
    """The step keeps what an event left, and one that was too old for a memory may have left nothing."""
    assert data_of(memories.Pairs(5 * HOUR_MS), [(6 * HOUR_MS, 0, 1)], 0) is None
    assert shifted(spec, None, HOUR_MS) is None


@given(st.data(), st.integers(-(1 << 40), 1 << 40))
@pytest.mark.parametrize("spec", [memories.Pairs(5 * HOUR_MS), memories.Labels(5 * HOUR_MS)], ids=lambda spec: f"{spec}")
def test_what_is_folded_over_a_cap_does_not_depend_on_the_origin(spec: RuleSpec, data: st.DataObject, by_ms: int) -> None:
    """Stretches of the customer's own clock would be other ones after each move of the origin, and so would the answers."""
    parts = st.integers(0, 2).map(lambda part: part * HOUR_MS // 100)  # a stretch is a 51st of an hour
    events = data.draw(st.lists(st.tuples(parts, parts, KINDS[spec]), min_size=8, max_size=16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memories, "PAIRS_MAX", 4)
        assert shifted(spec, data_of(spec, events, 0), by_ms) == data_of(spec, events, by_ms)


def test_what_was_lost_over_a_cap_is_shifted_too() -> None:
    """It is a moment that answers are measured against: of none there is None, and 0 is a moment like any other."""
    assert shifted(memories.Ladder(10, 1), [0, 5, 7], 3) == [3, 8, 7]
    assert shifted(memories.Ladder(10, 1), [None, 5, 7], 3) == [None, 8, 7]
    assert shifted(memories.Steps(1, 0, 0, 0), [0, None, memories.MIN_TIME, [], 5, 1], 3) == [3, None, memories.MIN_TIME, [], 8, 1]
    assert shifted(memories.Runs(0), [0, None, 5, "a"], 3) == [3, None, 8, "a"]


def test_the_moments_of_a_state_stay_what_they_are() -> None:
    """The store's index of timers has them in UTC, and so do changes that were said."""
    origin_ms = ORIGIN_MS
    state = State(1, origin_ms, timer_ms=9 * HOUR_MS, slots={0: 5}, members={3: Membership(2, 70)}, floor_ms=-HOUR_MS)
    due_ms, forgotten_ms = state.due_ms, state.forgotten_ms
    now = origin_ms + AFTER_ORIGIN_MAX_MS + 1
    rebase(state, [memories.Newest(1)], now)
    assert state.origin_ms == now - BEFORE_ORIGIN_MS
    assert (state.due_ms, state.forgotten_ms) == (due_ms, forgotten_ms)
    assert state.origin_ms + state.slots[0] == origin_ms + 5
    assert state.members == {3: Membership(2, origin_ms + 70 - state.origin_ms)}
    state.timer_ms, state.floor_ms = NO_TIMER, None
    rebase(state, [memories.Newest(1)], now + HOUR_MS)
    assert (state.due_ms, state.timer_ms, state.forgotten_ms) == (NO_TIMER, NO_TIMER, -1)


def test_a_time_takes_one_to_five_bytes() -> None:
    """That is what the clock is for: in UTC it takes nine."""

    def size(t: int) -> int:
        return len(encode_state(State(1, slots={0: t}))) - len(encode_state(State(1, slots={0: 0}))) + 1

    assert [size(t) for t in (0, 60_000, AFTER_ORIGIN_MAX_MS, -BEFORE_ORIGIN_MS, 1_767_225_600_000)] == [1, 3, 5, 5, 9]
