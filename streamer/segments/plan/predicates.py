"""From an atom of a condition to functions: does it hold, when could time alone change that, what is its value.

All three take ``(data, now, state)``: the data of the one memory the predicate reads (None: nothing remembered), the moment in UTC
milliseconds, and the whole state for the few predicates that read more than one memory. ``due`` answers the first moment after ``now`` at
which the truth may change if nothing happens, never later than it does; ``NO_TIMER`` if it cannot.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import islice
from typing import Any, Literal, NamedTuple, assert_never
from zoneinfo import ZoneInfo

from streamer import values
from streamer.customers import memories
from streamer.customers.memories import MIN_TIME, Data
from streamer.customers.state import NO_TIMER, State
from streamer.language import calendar, tree
from streamer.language.durations import format_duration
from streamer.language.tree import NumberName, Window
from streamer.values import SCALE, Json, one_of, time_text

from .single_pass import LOOK_AHEAD, SIGNS, Due, SinglePass, Truth, entry_starts, labels_in, never_due, sequence_pass, top_pass
from .where import value_of

ValueOf = Callable[[Data, int, State], Json]


class TruthBit(NamedTuple):
    """Where a state keeps whether a predicate holds: ``bit`` of ``State.truth_bits[key]``; without that key ``default_bits`` hold."""

    key: int
    bit: int
    default_bits: int


def exact(_data: Data, _now: int, _state: State) -> Json:
    """Nothing: for predicates whose answers are never approximate."""
    return None


@dataclass(frozen=True, slots=True)
class AgeLimit:
    """A predicate over newest times in short: it holds while the ``rank``-th newest is younger than ``flip_ms`` (``NO_TIMER``: at any age).

    ``young`` False: while it is not. Where nothing is remembered, the predicate's ``truth`` decides.
    """

    rank: int
    flip_ms: int
    young: bool


@dataclass(slots=True)
class Predicate:
    """One atom of a condition, compiled: whether it holds, when time alone may change that, and its value, of one customer.

    The functions take ``(data, now, state)``, where ``data`` is that of the one memory in ``slots``; None if there are several or none.
    """

    text: str
    truth: Truth
    due: Due = never_due
    value: ValueOf = lambda data, now, state: None  # as a change shows it
    approximate: ValueOf = exact  # how many events the answer may be off; None: it is exact
    slots: tuple[int, ...] = ()  # numbers of the memories it reads
    sees: tuple[int, ...] = ()  # numbers of the segments it refers to
    clock: bool = False  # it can change for customers of whom nothing is remembered
    zoned: bool = False  # it depends on the customer's time zone
    span_ms: int | None = None  # how far back it looks; 0: for ever, None: not at all
    segments: set[int] = field(default_factory=set[int])  # numbers of those in whose conditions it stands
    exits: set[int] = field(default_factory=set[int])  # numbers of those in whose ``exit`` it stands
    age: AgeLimit | None = None  # the same as ``truth`` and ``due``, where an age says it all
    single_pass: SinglePass | None = None  # ``truth`` and ``due`` together, where one pass is quicker than two
    expiry_ms: int = 0  # time changes it only when an event becomes so old; 0: at other moments too
    tends: int = 0  # time alone can only make it true (1) or false (-1); 0: either
    truth_bit: TruthBit | None = None  # set by the index over its memory

    @property
    def plain(self) -> bool:
        """Whether one memory alone decides it."""
        return len(self.slots) == 1 and not self.zoned and not self.sees

    @property
    def joint(self) -> bool:
        """Whether several memories decide it, and nothing else does, not even time."""
        return len(self.slots) > 1 and not self.zoned and not self.sees and self.due is never_due

    def data(self, state: State) -> Data:
        """What is handed to the functions."""
        return state.slots.get(self.slots[0]) if len(self.slots) == 1 else None

    def holds(self, state: State, now: int) -> bool:
        """Whether the atom is true at ``now``."""
        return self.truth(self.data(state), now, state)


def never(_data: Data, _now: int, _state: State) -> bool:
    """False: for predicates that hold of nobody, or whose truth is given later."""
    return False


def with_single_pass(predicate: Predicate, evaluate: SinglePass) -> Predicate:
    """The predicate, with truth and due out of one pass."""
    predicate.single_pass = evaluate
    predicate.truth = lambda data, now, state: evaluate(data, now, state)[0]
    predicate.due = lambda data, now, state: evaluate(data, now, state)[1]
    return predicate


@dataclass(frozen=True, slots=True)
class ValueExpression:
    """A number, value, moment or duration read from a memory; the raw material of predicates."""

    read: ValueOf
    slots: tuple[int, ...] = ()
    changes: Callable[[Data, int, State], Iterator[int]] | None = None  # moments after now at which the expression itself may change
    approximate: ValueOf = exact
    sees: tuple[int, ...] = ()
    zoned: bool = False
    span_ms: int | None = None
    partial: bool = False  # ``changes`` tells the first moments only
    show: Callable[[Json], Json] = lambda value: value


ZoneOf = Callable[[State], ZoneInfo]


# counts of newest times -----------------------------------------------------------------------------------------------


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
        return after(data, calendar.current_period(now, zone_of(state), period)[0] - 1)

    def ends(data: Data, now: int, state: State) -> Iterator[int]:
        if data is not None and read(data, now, state):
            yield calendar.current_period(now, zone_of(state), period)[1]

    return ValueExpression(read, changes=ends, zoned=True, span_ms=calendar.PERIOD_MS_MAX[period], show=up_to(keep))


# windows over pairs ---------------------------------------------------------------------------------------------------


def bounds(window: Window, zone_of: ZoneOf) -> Callable[[int, State], tuple[int, int]]:
    """``(after, until]`` of a window at a moment."""
    if window.this is not None:
        period = window.this
        return lambda now, state: (calendar.current_period(now, zone_of(state), period)[0] - 1, now)
    within_ms, before_ms = window.within_ms, window.before_ms
    return lambda now, _state: (now - within_ms, now - before_ms)


def entry_changes(window: Window, zone_of: ZoneOf, width: int) -> Callable[[Data, int, State], Iterator[int]]:
    """Moments at which entries of a memory enter or leave the window."""
    if window.this is not None:
        period = window.this

        def ends(data: Data, now: int, state: State) -> Iterator[int]:
            start, end = calendar.current_period(now, zone_of(state), period)
            if data is not None and len(data) > 1 and data[-width] >= start:
                yield end

        return ends

    within_ms, before_ms = window.within_ms, window.before_ms

    def moves(data: Data, now: int, _state: State) -> Iterator[int]:
        for at in entry_starts(data, width):
            for moment in (data[at] + before_ms, data[at] + within_ms):
                if moment > now:
                    yield moment

    return moves


def folded_error(window: Window, zone_of: ZoneOf) -> ValueOf:
    """How many events the stretches at the ends of a folded window may count wrongly; None when nothing was folded there.

    A stretch that leaves (or, where the window ends before now, enters) at this very moment counts as at the end: it moved as one, and
    some of its events should have moved earlier.
    """
    edges = bounds(window, zone_of)

    def approximate(data: Data, now: int, state: State) -> Json:
        after, until = edges(now, state)
        off = _folded_at(data, after) + (_folded_at(data, until) if window.before_ms else 0)
        return off or None

    return approximate


def _folded_at(data: Data, edge_ms: int) -> int:
    """How many events beside one stand for the first moment at or after an end of a window."""
    return next((data[at + 2] - 1 for at in entry_starts(data, 3) if data[at] >= edge_ms), 0)


def labels_error(window: Window, zone_of: ZoneOf) -> ValueOf:
    """How many events of one value may be counted wrongly, or missing: the largest stretch in the window, or 1 where some were dropped."""
    edges, lost = bounds(window, zone_of), lost_error(window, zone_of)

    def approximate(data: Data, now: int, state: State) -> Json:
        after, _ = edges(now, state)
        folded = max((data[at + 2] - 1 for at in entry_starts(data, 3) if data[at] >= after), default=0)
        return folded or lost(data, now, state)

    return approximate


def held_error(data: Data, _now: int, _state: State) -> Json:
    """1 when a sum is larger than can be held."""
    return 1 if data is not None and abs(data[0]) == memories.SUM_MAX else None


def lost_error(window: Window, zone_of: ZoneOf) -> ValueOf:
    """1 when something in the window was dropped over a cap."""
    edges = bounds(window, zone_of)
    return lambda data, now, state: 1 if data is not None and data[0] and data[0] >= edges(now, state)[0] else None


def pairs_expression(name: Literal["count"] | NumberName, window: Window, zone_of: ZoneOf) -> ValueExpression:
    """``count``, ``sum``, ``avg``, ``min``, ``max`` over a ``Pairs`` memory."""
    edges = bounds(window, zone_of)

    def read(data: Data, now: int, state: State) -> Json:
        after, until = edges(now, state)
        total = number = 0
        extremes: list[int] = []
        for at in entry_starts(data, 3):
            if after < data[at] <= until:
                total += data[at + 1]
                number += data[at + 2]
                extremes.append(data[at + 1] if data[at + 2] == 1 else data[at + 1] // data[at + 2])
        match name:
            case "count":
                return number
            case "sum":
                return total
            case "avg":
                return (total, number) if number else None
            case "min":
                return min(extremes, default=None)
            case "max":
                return max(extremes, default=None)
        assert_never(name)

    return ValueExpression(
        read,
        changes=entry_changes(window, zone_of, 3),
        approximate=folded_error(window, zone_of),
        zoned=window.this is not None,
        span_ms=span_of(window),
        show=_show_count if name == "count" else show_scaled,
    )


def span_of(window: Window) -> int:
    """How far back a window can reach, in milliseconds; 0 for ever."""
    return calendar.PERIOD_MS_MAX[window.this] if window.this is not None else window.within_ms


def _show_count(value: Json) -> Json:
    return value


def show_scaled(value: Json) -> Json:
    """Ten-thousandths as a number again; an average from its sum and number."""
    if isinstance(value, tuple):
        total, number = value
        return round(total / number / SCALE, 4)
    if value is None:
        return None
    return value // SCALE if value % SCALE == 0 else value / SCALE


def ladder_expression(window: Window, zone_of: ZoneOf) -> ValueExpression:
    """The most extreme value in the window of a ``Ladder``."""
    edges = bounds(window, zone_of)

    def read(data: Data, now: int, state: State) -> Json:
        after, _ = edges(now, state)
        for at in entry_starts(data, 2):
            if data[at] > after:
                return data[at + 1]
        return None

    return ValueExpression(
        read,
        changes=entry_changes(window, zone_of, 2),
        approximate=lost_error(window, zone_of),
        zoned=window.this is not None,
        span_ms=span_of(window),
        show=show_scaled,
    )


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
                yield calendar.current_period(now, zone_of(state), window.this)[1]
            return
        for t in data.values() if data is not None else ():
            if t + window.within_ms > now:
                yield t + window.within_ms

    return ValueExpression(read, changes=changes, zoned=window.this is not None, span_ms=span_of(window), show=up_to(keep))


def first_of(found: dict[str, tuple[int, int]]) -> Json:
    """Most events, then newest, then smallest text; as the value itself."""
    if not found:
        return None
    most = max(found.values())
    return values.value_of_key(min(text for text, entry in found.items() if entry == most))


def labels_expression(name: str, window: Window, zone_of: ZoneOf) -> ValueExpression:
    """``top`` or ``distinct`` over a ``Labels`` memory."""
    edges = bounds(window, zone_of)

    def read(data: Data, now: int, state: State) -> Json:
        found = labels_in(data, *edges(now, state))
        return first_of(found) if name == "top" else len(found)

    return ValueExpression(
        read,
        changes=entry_changes(window, zone_of, 3),
        approximate=labels_error(window, zone_of),
        zoned=window.this is not None,
        span_ms=span_of(window),
    )


def top_predicate(text: str, expression: ValueExpression, window: Window, holds: Callable[[Json], bool]) -> Predicate:
    """A condition on the top value of a window that ends now."""
    predicate = with_single_pass(value_predicate(text, expression, holds), top_pass(window.within_ms, holds, first_of))
    predicate.expiry_ms = window.within_ms
    return predicate


def frequencies_expression() -> ValueExpression:
    """``top`` over all time."""

    def read(data: Data, _now: int, _state: State) -> Json:
        return first_of({text: (entry[0], entry[1]) for text, entry in data[1].items()}) if data is not None else None

    return ValueExpression(read, approximate=lambda data, now, state: data[0] or None if data is not None else None, span_ms=0)


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
        return min(folded, periods) or None

    return ValueExpression(read, changes=changes, approximate=approximate, span_ms=each_ms * periods, partial=True)


# known values ---------------------------------------------------------------------------------------------------------


def known(kind: object, node: Any) -> ValueExpression:
    """A trait, context value, or property of the newest or oldest event; with number() and lower() around it."""
    turn = value_of(node)
    if isinstance(kind, memories.Runs):
        return ValueExpression(lambda data, now, state: turn(data[-1]) if data is not None else None, span_ms=0)
    return ValueExpression(lambda data, now, state: turn(data[1]) if data is not None else None, span_ms=0)


# predicates from readings -------------------------------------------------------------------------------------------------


def first_change(expression: ValueExpression) -> Due:
    """The first moment at which a expression may change."""
    changes = expression.changes
    if changes is None:
        return never_due
    return lambda data, now, state: min(changes(data, now, state), default=NO_TIMER)


def flipping(expression: ValueExpression, truth: Truth) -> Due:
    """The first moment at which the truth over a expression really changes, among those at which the expression may.

    Waking a customer for nothing costs more than looking through a few moments here.
    """
    changes = expression.changes
    if changes is None:
        return never_due

    def due(data: Data, now: int, state: State) -> int:
        moments = nsmallest(LOOK_AHEAD + 1, set(changes(data, now, state)))
        if not moments:
            return NO_TIMER
        before = truth(data, now, state)
        for moment in moments[:LOOK_AHEAD]:
            if truth(data, moment, state) != before:
                return moment
        return moments[-1] if len(moments) > LOOK_AHEAD or expression.partial else NO_TIMER

    return due


def compare_predicate(text: str, expression: ValueExpression, op: str, right: Json) -> Predicate:
    """A general value against a constant, by the rules of JSON values."""
    compare = values.COMPARE[op]
    return _predicate(text, expression, lambda data, now, state: compare(expression.read(data, now, state), right))


def count_predicate(text: str, expression: ValueExpression, op: str, right: int) -> Predicate:
    """A count, which is never missing, against a constant."""
    sign = SIGNS[op]
    return _predicate(text, expression, lambda data, now, state: sign(expression.read(data, now, state), right))


def scaled_predicate(text: str, expression: ValueExpression, op: str, right: float) -> Predicate:
    """A sum, average or extreme in ten-thousandths against a constant; missing is false, and so true for ``!=``."""
    sign, limit, missing = SIGNS[op], round(right * SCALE), op == "!="

    def truth(data: Data, now: int, state: State) -> bool:
        found = expression.read(data, now, state)
        if isinstance(found, tuple):
            return sign(found[0], limit * found[1])
        return missing if found is None else sign(found, limit)

    return _predicate(text, expression, truth)


def scaled_one_of_predicate(text: str, expression: ValueExpression, items: tuple[float, ...]) -> Predicate:
    """A sum, average or extreme in a list: the same as being equal to any of it."""
    limits = [round(item * SCALE) for item in items]

    def truth(data: Data, now: int, state: State) -> bool:
        found = expression.read(data, now, state)
        total, number = found if isinstance(found, tuple) else (found, 1)
        return found is not None and any(total == limit * number for limit in limits)

    return _predicate(text, expression, truth)


def one_of_predicate(text: str, expression: ValueExpression, items: tuple[tree.Scalar, ...]) -> Predicate:
    """A value in a list."""
    return _predicate(text, expression, lambda data, now, state: one_of(expression.read(data, now, state), items))


def value_predicate(text: str, expression: ValueExpression, holds: Callable[[Json], bool]) -> Predicate:
    """Any condition on a value."""
    return _predicate(text, expression, lambda data, now, state: holds(expression.read(data, now, state)))


def _predicate(text: str, expression: ValueExpression, truth: Truth) -> Predicate:
    return Predicate(
        text,
        truth,
        flipping(expression, truth),
        lambda data, now, state: expression.show(expression.read(data, now, state)),
        expression.approximate,
        expression.slots,
        expression.sees,
        zoned=expression.zoned,
        span_ms=expression.span_ms,
    )


# moments and durations ------------------------------------------------------------------------------------------------


def _over_moment(text: str, moment: ValueExpression, truth: Truth, due: Due, value: ValueOf) -> Predicate:
    """Of a time that the definition names itself nothing is remembered: only the clock turns it, for everybody."""
    named = not moment.slots and not moment.sees
    slots, sees = moment.slots, moment.sees
    return Predicate(text, truth, due, value, moment.approximate, slots, sees, clock=named, zoned=moment.zoned, span_ms=moment.span_ms)


def since_predicate(text: str, moment: ValueExpression, op: str, limit_ms: int) -> Predicate:
    """``now - t`` against a length."""
    sign, read = SIGNS[op], moment.read
    flip_ms = limit_ms if op in (">=", "<") else limit_ms + 1

    def truth(data: Data, now: int, state: State) -> bool:
        t = read(data, now, state)
        return t is not None and t <= now and sign(now - t, limit_ms)

    def due(data: Data, now: int, state: State) -> int:
        t = read(data, now, state)
        if t is None:
            return NO_TIMER
        if t > now:
            return t
        return t + flip_ms if t + flip_ms > now else NO_TIMER

    def value(data: Data, now: int, state: State) -> Json:
        t = read(data, now, state)
        return None if t is None or t > now else format_duration(now - t)

    return _over_moment(text, moment, truth, due, value)


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
            return first is not None and sign(first, right)
        second = read(right, now, state)
        if first is None and second is None:
            return False
        return sign(MIN_TIME if first is None else first, MIN_TIME if second is None else second)

    def value(_data: Data, now: int, state: State) -> Json:
        first = read(left, now, state)
        return None if first is None else time_text(first)

    sees = left.sees if isinstance(right, int) else (*left.sees, *right.sees)
    return Predicate(text, truth, never_due, value, slots=slots, sees=sees, span_ms=0)


# sequences ------------------------------------------------------------------------------------------------------------


def sequence_predicate(text: str, slot: int, wait_ms: int, over_ms: int, span_ms: int) -> Predicate:
    """A completed match, and nothing that forbids it; data as ``memories.Steps`` keeps it."""
    evaluate = sequence_pass(wait_ms, over_ms)

    def newest(data: Data, now: int) -> int:
        best = data[1] if data is not None else MIN_TIME
        for completion in data[2] if data is not None else ():
            if completion + wait_ms <= now and completion > best:
                best = completion
        return best

    def value(data: Data, now: int, _state: State) -> Json:
        best = newest(data, now)
        return None if best == MIN_TIME else time_text(best)

    def approximate(data: Data, _now: int, _state: State) -> Json:
        return 1 if data is not None and data[0] else None

    return with_single_pass(Predicate(text, never, value=value, approximate=approximate, slots=(slot,), span_ms=span_ms), evaluate)


# calendar -------------------------------------------------------------------------------------------------------------


Stretch = tuple[int, int, bool]  # from, until (not with it), and whether it holds in between
STRETCHES = 3  # kept per zone: a timer looks at the moments before, at and after a flip


def clock_predicate(text: str, unit: tree.ClockUnit, holds: Callable[[Json], bool], zone_of: ZoneOf) -> Predicate:
    """A expression of the calendar; remembered per zone until it next changes, since all customers of a zone share it."""
    known: dict[str, list[Stretch]] = {}

    def at(now: int, state: State) -> Stretch:
        zone = zone_of(state)
        stretches = known.setdefault(zone.key or "", [])
        for stretch in stretches:
            if stretch[0] <= now < stretch[1]:
                return stretch
        end = calendar.next_flip(now, zone, unit, holds)
        found = (now, NO_TIMER if end is None else end, holds(calendar.clock_value(now, zone, unit)))
        stretches.insert(0, found)
        del stretches[STRETCHES:]
        return found

    return Predicate(
        text,
        lambda data, now, state: at(now, state)[2],
        lambda data, now, state: at(now, state)[1],
        lambda data, now, state: calendar.clock_value(now, zone_of(state), unit),
        clock=True,
        zoned=True,
    )


def age_expression(of: ValueExpression, zone_of: ZoneOf) -> ValueExpression:
    """Whole years since a date."""

    def born(data: Data, now: int, state: State) -> Any:
        return calendar.calendar_date(of.read(data, now, state), zone_of(state))

    def read(data: Data, now: int, state: State) -> Json:
        date = born(data, now, state)
        return None if date is None else calendar.age_years(date, now, zone_of(state))

    def changes(data: Data, now: int, state: State) -> Iterator[int]:
        date = born(data, now, state)
        if date is not None:
            yield calendar.next_birthday_ms(date, now, zone_of(state))

    return ValueExpression(read, of.slots, changes, zoned=True, span_ms=0)


def age_predicate(text: str, expression: ValueExpression, op: str, right: Json) -> Predicate:
    """An age against a number. Wakes at each birthday: once a year is not worth a cleverer answer."""
    compare = values.COMPARE[op]

    def truth(data: Data, now: int, state: State) -> bool:
        return compare(expression.read(data, now, state), right)

    return Predicate(text, truth, first_change(expression), expression.read, slots=expression.slots, zoned=True, span_ms=0)


def birthday_predicate(text: str, of: ValueExpression, zone_of: ZoneOf) -> Predicate:
    """Today is the day."""

    def truth(data: Data, now: int, state: State) -> bool:
        date = calendar.calendar_date(of.read(data, now, state), zone_of(state))
        return date is not None and calendar.is_birthday(date, now, zone_of(state))

    def due(data: Data, now: int, state: State) -> int:
        zone = zone_of(state)
        date = calendar.calendar_date(of.read(data, now, state), zone)
        if date is None:
            return NO_TIMER
        if truth(data, now, state):
            return calendar.current_period(now, zone, "day")[1]
        return calendar.next_anniversary_ms(date, now, zone)

    return Predicate(text, truth, due, of.read, slots=of.slots, zoned=True, span_ms=0)
