"""Windows over memories that keep entries in the order of time: their ends, when entries cross them, and how far an answer may be off."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from streamer.customers.memories import MIN_TIME, Data
from streamer.customers.state import State
from streamer.language import calendar
from streamer.language.tree import Period, Window
from streamer.segments.plan.single_pass import (
    entry_starts,
)
from streamer.values import Json

from .predicate import ValueOf, ZoneOf


def current_period(now: int, state: State, zone_of: ZoneOf, period: Period) -> tuple[int, int]:
    """Begin and end of the calendar period that ``now`` lies in, in the customer's zone; all by the customer's own clock."""
    start, end = calendar.current_period(now + state.origin_ms, zone_of(state), period)
    return start - state.origin_ms, end - state.origin_ms


def bounds(window: Window, zone_of: ZoneOf) -> Callable[[int, State], tuple[int, int]]:
    """``(after, until]`` of a window at a moment."""
    if window.this is not None:
        period = window.this
        return lambda now, state: (current_period(now, state, zone_of, period)[0] - 1, now)
    within_ms, before_ms = window.within_ms, window.before_ms
    return lambda now, _state: (now - within_ms, now - before_ms)


TimesOf = Callable[[Data], Iterable[int]]  # when the entries of a memory were


def entry_times(width: int) -> TimesOf:
    """Of a memory with a head, and behind it the entries, each of ``width`` parts with its time first."""
    return lambda data: data[1::width] if data is not None else ()


def label_times(data: Data) -> Iterable[int]:
    """Of a ``Labels`` memory."""
    return [t for entries in _labelled(data) for t in entries[::2]]


def _labelled(data: Data) -> Iterable[list[int]]:
    return data[1].values() if data is not None else ()


def entry_changes(window: Window, zone_of: ZoneOf, times_of: TimesOf) -> Callable[[Data, int, State], Iterator[int]]:
    """Moments at which entries of a memory enter or leave the window."""
    if window.this is not None:
        period = window.this

        def ends(data: Data, now: int, state: State) -> Iterator[int]:
            start, end = current_period(now, state, zone_of, period)
            if max(times_of(data), default=MIN_TIME) >= start:
                yield end

        return ends

    within_ms, before_ms = window.within_ms, window.before_ms

    def moves(data: Data, now: int, _state: State) -> Iterator[int]:
        for t in times_of(data):
            for moment in (t + before_ms, t + within_ms):
                if moment > now:
                    yield moment

    return moves


def span_of(window: Window) -> int:
    """How far back a window can reach, in milliseconds; 0 for ever."""
    return calendar.PERIOD_MS_MAX[window.this] if window.this is not None else window.within_ms


def folded_error(window: Window, zone_of: ZoneOf) -> ValueOf:
    """How many events the stretches at the ends of a folded window may count wrongly, or 1 where some may be missing; None when nothing
    was folded there.

    A stretch that leaves (or, where the window ends before now, enters) at this very moment counts as at the end: it moved as one, and
    some of its events should have moved earlier.
    """
    edges, lost = bounds(window, zone_of), lost_error(window, zone_of)

    def approximate(data: Data, now: int, state: State) -> Json:
        after, until = edges(now, state)
        off = _folded_at(data, after) + (_folded_at(data, until) if window.before_ms else 0)
        return off or lost(data, now, state)

    return approximate


def _folded_at(data: Data, edge_ms: int) -> int:
    """How many events beside one stand for the first moment at or after an end of a window."""
    return next((data[at + 2] - 1 for at in entry_starts(data, 3) if data[at] >= edge_ms), 0)


def labels_error(window: Window, zone_of: ZoneOf) -> ValueOf:
    """How many events of one value may be counted wrongly, or missing: the largest stretch in the window, or 1 where some were dropped."""
    edges, lost = bounds(window, zone_of), lost_error(window, zone_of)

    def approximate(data: Data, now: int, state: State) -> Json:
        after, _ = edges(now, state)
        parts = ((t, number) for entries in _labelled(data) for t, number in zip(entries[::2], entries[1::2], strict=True))
        folded = max((number - 1 for t, number in parts if t >= after), default=0)
        return folded or lost(data, now, state)

    return approximate


def lost_error(window: Window, zone_of: ZoneOf) -> ValueOf:
    """1 when something in the window was dropped over a cap."""
    edges = bounds(window, zone_of)
    return lambda data, now, state: 1 if data is not None and data[0] is not None and data[0] >= edges(now, state)[0] else None
