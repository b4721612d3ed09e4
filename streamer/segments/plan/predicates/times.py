"""Moments and durations: since, until, and which of two was first. Moments are by the customer's own clock, see ``customers.state``."""

from __future__ import annotations

from collections.abc import Callable

from streamer.customers.memories import MIN_TIME, Data
from streamer.customers.state import NO_TIMER, State
from streamer.language.durations import format_duration
from streamer.segments.plan.single_pass import (
    SIGNS,
    Due,
    Truth,
    never_due,
)
from streamer.values import Json, time_text

from .predicate import Predicate, ValueExpression, ValueOf, never, value_predicate, with_single_pass


def show_time(ms: int | None, state: State) -> Json:
    """A moment by the customer's own clock as text; None where there is none."""
    return None if ms is None else time_text(ms + state.origin_ms)


def in_own_clock(ms: int | None, state: State) -> int | None:
    """A moment in UTC by the customer's own clock; None where there is none."""
    return None if ms is None else ms - state.origin_ms


def exists_predicate(text: str, moment: ValueExpression) -> Predicate:
    """A moment that there is."""
    predicate = value_predicate(text, moment, lambda value: value is not None)
    predicate.value = lambda data, now, state: show_time(moment.read(data, now, state), state)
    return predicate


def moment_expression(read: Callable[[Data], int | None], slot: int) -> ValueExpression:
    """A moment kept in one memory."""
    return ValueExpression(lambda data, now, state: read(data), (slot,), span_ms=0)


def membership_time(number: int, *, inside: bool) -> ValueExpression:
    """When the customer entered the segment of this number (``inside``), or left it; missing while that is not how they stand."""

    def read(_data: Data, _now: int, state: State) -> Json:
        entry = state.members.get(number)
        return entry.at_ms if entry is not None and entry.inside is inside else None

    return ValueExpression(read, sees=(number,))


def _over_moment(text: str, moment: ValueExpression, truth: Truth, due: Due, value: ValueOf) -> Predicate:
    """Of a time that the definition names itself nothing is remembered: only the clock turns it, for everybody."""
    named = not moment.slots and not moment.sees
    slots, sees = moment.slots, moment.sees
    return Predicate(text, truth, due, value, moment.approximate, slots, sees, clock=named, zoned=moment.zoned, span_ms=moment.span_ms)


def since_predicate(text: str, moment: ValueExpression, op: str, limit_ms: int) -> Predicate:
    """``now - t`` against a length."""
    sign, read = SIGNS[op], moment.read
    flip_ms = limit_ms if op in (">=", "<") else limit_ms + 1

    def evaluate(data: Data, now: int, state: State) -> tuple[bool, int]:
        t = read(data, now, state)
        if t is None:
            return False, NO_TIMER
        if t > now:
            return False, t
        return sign(now - t, limit_ms), t + flip_ms if t + flip_ms > now else NO_TIMER

    def value(data: Data, now: int, state: State) -> Json:
        t = read(data, now, state)
        return None if t is None or t > now else format_duration(now - t)

    return with_single_pass(_over_moment(text, moment, never, never_due, value), evaluate)


def until_predicate(text: str, moment: ValueExpression, op: str, limit_ms: int) -> Predicate:
    """``t - now`` against a length."""
    sign, read = SIGNS[op], moment.read

    def truth(data: Data, now: int, state: State) -> bool:
        t = read(data, now, state)
        return t is not None and t > now and sign(t - now, limit_ms)

    def due(data: Data, now: int, state: State) -> int:
        t = read(data, now, state)
        if t is None or t <= now:
            return NO_TIMER
        return min(m for m in (t - limit_ms, t - limit_ms + 1, t) if m > now)

    def value(data: Data, now: int, state: State) -> Json:
        t = read(data, now, state)
        return None if t is None or t <= now else format_duration(t - now)

    return _over_moment(text, moment, truth, due, value)


def time_predicate(text: str, left: ValueExpression, op: str, right: ValueExpression | int) -> Predicate:
    """Two moments, or one and a constant; only events change the answer."""
    sign = SIGNS[op]
    slots = left.slots if isinstance(right, int) else tuple(dict.fromkeys((*left.slots, *right.slots)))

    def read(expression: ValueExpression, now: int, state: State) -> int | None:
        data = state.slots.get(expression.slots[0]) if expression.slots else None
        return expression.read(data, now, state)

    def truth(_data: Data, now: int, state: State) -> bool:
        first = read(left, now, state)
        if isinstance(right, int):
            return first is not None and sign(first + state.origin_ms, right)
        second = read(right, now, state)
        if first is None and second is None:
            return False
        return sign(MIN_TIME if first is None else first, MIN_TIME if second is None else second)

    def value(_data: Data, now: int, state: State) -> Json:
        return show_time(read(left, now, state), state)

    sees = left.sees if isinstance(right, int) else (*left.sees, *right.sees)
    return Predicate(text, truth, never_due, value, slots=slots, sees=sees, span_ms=0)
