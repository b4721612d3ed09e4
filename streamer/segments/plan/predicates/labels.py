"""Which values of a property there were: the most frequent one, and how many different ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Literal

from streamer import values
from streamer.customers import memories
from streamer.customers.memories import MIN_TIME, Data
from streamer.customers.specs import Spec
from streamer.customers.state import NO_TIMER, State
from streamer.language.tree import Window
from streamer.segments.plan.single_pass import (
    Due,
    Truth,
    labels_in,
    top_pass,
)
from streamer.values import Json

from .counts import up_to
from .predicate import Predicate, ValueExpression, ZoneOf, value_predicate
from .windows import bounds, current_period, entry_changes, label_times, labels_error, span_of


def distinct_at_least(n: int, within_ms: int) -> tuple[Truth, Due]:
    """``distinct >= n`` in a window that ends now: true until the n-th newest value is ``within_ms`` old."""

    def nth(data: Data) -> int:
        if data is None or len(data) < n:
            return MIN_TIME
        return next(islice(reversed(data.values()), n - 1, None))

    def due(data: Data, now: int, _state: State) -> int:
        moment = nth(data) + within_ms
        return moment if moment > now else NO_TIMER

    return (lambda data, now, state: nth(data) > now - within_ms), due


def distinct_expression(window: Window, zone_of: ZoneOf, keep: int) -> ValueExpression:
    """How many values of a ``Distinct`` memory of the ``keep`` newest are inside the window."""
    if window.ever:
        return ValueExpression(lambda data, now, state: len(data) if data is not None else 0, span_ms=0, show=up_to(keep))
    edges = bounds(window, zone_of)

    def read(data: Data, now: int, state: State) -> Json:
        after, _ = edges(now, state)
        return sum(1 for t in data.values() if t > after) if data is not None else 0

    def changes(data: Data, now: int, state: State) -> Iterator[int]:
        if window.this is not None:
            if read(data, now, state):
                yield current_period(now, state, zone_of, window.this)[1]
            return
        for t in data.values() if data is not None else ():
            if t + window.within_ms > now:
                yield t + window.within_ms

    return ValueExpression(read, changes=changes, zoned=window.this is not None, span_ms=span_of(window), show=up_to(keep))


def distinct_of(spec: Spec, window: Window, zone_of: ZoneOf) -> ValueExpression:
    """How many different values, from the memory that keeps them."""
    if isinstance(spec, memories.Distinct):
        return distinct_expression(window, zone_of, spec.keep)
    return labels_expression("distinct", window, zone_of)


def first_of(found: dict[str, tuple[int, int]]) -> Json:
    """Most events, then newest, then smallest text; as the value itself."""
    if not found:
        return None
    most = max(found.values())
    return values.value_of_key(min(text for text, entry in found.items() if entry == most))


def labels_expression(name: Literal["top", "distinct"], window: Window, zone_of: ZoneOf) -> ValueExpression:
    """``top`` or ``distinct`` over a ``Labels`` memory."""
    edges = bounds(window, zone_of)

    def read(data: Data, now: int, state: State) -> Json:
        found = labels_in(data, *edges(now, state))
        return first_of(found) if name == "top" else len(found)

    return ValueExpression(
        read,
        changes=entry_changes(window, zone_of, label_times),
        approximate=labels_error(window, zone_of),
        zoned=window.this is not None,
        span_ms=span_of(window),
    )


def top_predicate(text: str, expression: ValueExpression, window: Window, holds: Callable[[Json], bool]) -> Predicate:
    """A condition on the top value of a window that ends now."""
    predicate = value_predicate(text, expression, holds)
    predicate.single_pass = evaluate = top_pass(window.within_ms, holds, first_of)
    predicate.due = lambda data, now, state: evaluate(data, now, state)[1]
    predicate.expiry_ms = window.within_ms
    return predicate


def frequencies_expression() -> ValueExpression:
    """``top`` over all time."""

    def read(data: Data, _now: int, _state: State) -> Json:
        return first_of({text: (entry[0], entry[1]) for text, entry in data[1].items()}) if data is not None else None

    return ValueExpression(read, approximate=lambda data, now, state: data[0] or None if data is not None else None, span_ms=0)
