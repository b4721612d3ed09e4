"""How many events, or on how many days: expressions and predicates over newest times and ``Pairs``."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator

from streamer.customers.memories import Data
from streamer.customers.state import NO_TIMER, State
from streamer.language import calendar, tree
from streamer.language.tree import CompareOp
from streamer.segments.plan.single_pass import (
    SIGNS,
    Due,
    Truth,
    entry_starts,
    never_due,
)
from streamer.values import Json

from .predicate import Predicate, ValueExpression, ZoneOf, predicate_over
from .windows import current_period


def nth_newest(keep: int, n: int) -> Callable[[Data], int | None]:
    """The n-th newest time of a ``Newest`` memory; None if there are fewer."""
    if keep == 1:
        return lambda data: data
    return lambda data: data[-n] if data is not None and len(data) >= n else None


def at_least(keep: int, n: int, within_ms: int) -> tuple[Truth, Due]:
    """``count >= n`` in a window that ends now (0: ever): true until the n-th newest time is ``within_ms`` old."""
    if keep == 1:
        if not within_ms:
            return (lambda data, now, state: data is not None), never_due
        return (
            lambda data, now, state: data is not None and data > now - within_ms,
            lambda data, now, state: data + within_ms if data is not None and data > now - within_ms else NO_TIMER,
        )
    if not within_ms:
        return (lambda data, now, state: data is not None and len(data) >= n), never_due
    return (
        lambda data, now, state: data is not None and len(data) >= n and data[-n] > now - within_ms,
        lambda data, now, state: data[-n] + within_ms if data is not None and len(data) >= n and data[-n] > now - within_ms else NO_TIMER,
    )


def newest_after(keep: int) -> Callable[[Data, int], int]:
    """How many of the kept times are after a moment."""
    if keep == 1:
        return lambda data, moment: 1 if data is not None and data > moment else 0
    return lambda data, moment: len(data) - bisect_right(data, moment) if data is not None else 0


def up_to(keep: int) -> Callable[[Json], Json]:
    """How a number is shown of which no more than ``keep`` was counted."""
    return lambda found: found if found < keep else f"{found} or more"


def tally_expression() -> ValueExpression:
    """How many events ever."""
    return ValueExpression(lambda data, now, state: data or 0, span_ms=0)


def count_in(keep: int, within_ms: int) -> ValueExpression:
    """How many times lie in the window, up to ``keep``."""
    after = newest_after(keep)

    def expiries(data: Data, now: int, _state: State) -> Iterator[int]:
        for t in (data,) if keep == 1 else data or ():
            if t is not None and t + within_ms > now:
                yield t + within_ms

    return ValueExpression(lambda data, now, state: after(data, now - within_ms), changes=expiries, span_ms=within_ms, show=up_to(keep))


def count_this(keep: int, period: tree.Period, zone_of: ZoneOf) -> ValueExpression:
    """How many times lie in the current calendar period, up to ``keep``."""
    after = newest_after(keep)

    def read(data: Data, now: int, state: State) -> Json:
        return after(data, current_period(now, state, zone_of, period)[0] - 1)

    def ends(data: Data, now: int, state: State) -> Iterator[int]:
        if data is not None and read(data, now, state):
            yield current_period(now, state, zone_of, period)[1]

    return ValueExpression(read, changes=ends, zoned=True, span_ms=calendar.PERIOD_MS_MAX[period], show=up_to(keep))


def count_predicate(text: str, expression: ValueExpression, op: CompareOp, right: float) -> Predicate:
    """A count, which is never missing, against a constant."""
    sign = SIGNS[op]
    return predicate_over(text, expression, lambda data, now, state: sign(expression.read(data, now, state), right))


def active_expression(each_ms: int, periods: int) -> ValueExpression:
    """In how many periods there is an event, over a ``Pairs`` memory."""

    def read(data: Data, now: int, _state: State) -> Json:
        found = {(now - data[at]) // each_ms for at in entry_starts(data, 3)}
        return sum(1 for period in found if 0 <= period < periods)

    def changes(data: Data, now: int, _state: State) -> Iterator[int]:
        for at in entry_starts(data, 3):
            passed = (now - data[at]) // each_ms + 1
            if passed <= periods:
                yield data[at] + passed * each_ms

    def approximate(data: Data, now: int, _state: State) -> Json:
        """A stretch may lie across the end of a period and be missing from one of the two."""
        folded = sum(1 for at in entry_starts(data, 3) if data[at + 2] > 1 and data[at] >= now - each_ms * periods)
        if data is not None and data[0] is not None and data[0] >= now - each_ms * periods:
            folded += 1  # of a past that was joined some may be missing
        return min(folded, periods) or None

    return ValueExpression(read, changes=changes, approximate=approximate, span_ms=each_ms * periods, partial=True)
