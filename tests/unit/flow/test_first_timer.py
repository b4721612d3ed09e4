"""The earliest timer is known without asking, for as long as commits do not take it away."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamer.flow.first_timer import FirstTimer

commits = st.lists(st.dictionaries(st.sampled_from("abcdef"), st.none() | st.integers(0, 9), max_size=4), max_size=20)


@given(commits)
def test_what_is_known_is_what_the_store_has(written: list[dict[str, int | None]]) -> None:
    """A moment that is too late is a change that comes too late; one that is too early, a tick for nothing."""
    first, timers = FirstTimer(), dict[str, int]()
    first.found(None)
    for wakes in written:
        timers.update({customer: due_ms for customer, due_ms in wakes.items() if due_ms is not None})
        for customer in [customer for customer, due_ms in wakes.items() if due_ms is None]:
            timers.pop(customer, None)
        first.committed(wakes)
        earliest = min(((due_ms, customer) for customer, due_ms in timers.items()), default=None)
        if not first.is_known:
            first.found(earliest)
        assert first.due_ms == (None if earliest is None else earliest[0])


def test_nothing_is_known_before_the_store_was_asked() -> None:
    """A commit tells what it wrote, not what was there."""
    first = FirstTimer()
    first.committed({"ada": 5})
    assert (first.is_known, first.due_ms) == (False, None)


def test_timers_behind_the_first_leave_it_known() -> None:
    """Else a shard with many customers would ask at each of their events."""
    first = FirstTimer()
    first.found((5, "ada"))
    first.committed({"bo": 7, "cy": None})
    assert (first.is_known, first.due_ms) == (True, 5)
    first.committed({"ada": 6})
    assert not first.is_known
