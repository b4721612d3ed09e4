"""A compiled predicate over one customer's memories, and the value expressions that predicates are made of.

Their functions take ``(data, now, state)``: the data of the one memory that is read (None: nothing remembered), the moment in
milliseconds by the customer's own clock (``State.origin_ms``), and the whole state for the few that read more than one memory. ``due``
answers the first moment after ``now`` at which the truth may change if nothing happens, never later than it does; ``NO_TIMER`` if it
cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Flag, auto
from heapq import nsmallest
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from streamer.customers.memories import Data
from streamer.customers.state import NO_TIMER, State
from streamer.segments.plan.single_pass import (
    LOOK_AHEAD,
    Due,
    SinglePass,
    Truth,
    never_due,
)
from streamer.values import Json

ValueOf = Callable[[Data, int, State], Json]


ZoneOf = Callable[[State], ZoneInfo]


class TruthBit(NamedTuple):
    """Where a state keeps whether a predicate holds: ``bit`` of ``State.truth_bits[key]``; without that key ``default_bits`` hold."""

    key: int
    bit: int
    default_bits: int


class Way(Flag):
    """Which way a customer may go through a segment's door."""

    NONE = 0
    IN = auto()
    OUT = auto()


def exact(_data: Data, _now: int, _state: State) -> Json:
    """Nothing: for predicates whose answers are never approximate."""
    return None


ANY_AGE: Final = 2 * NO_TIMER  # added to any time, also one before a customer's origin, it is no timer


@dataclass(frozen=True, slots=True)
class AgeLimit:
    """A predicate over newest times in short: it holds while the ``rank``-th newest is younger than ``flip_ms`` (``ANY_AGE``: at any age).

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
    on_true: dict[int, Way] = field(default_factory=dict[int, Way])  # by segment: which way its becoming true can let a customer go
    on_false: dict[int, Way] = field(default_factory=dict[int, Way])  # the same of becoming false
    age: AgeLimit | None = None  # the same as ``truth`` and ``due``, where an age says it all
    single_pass: SinglePass | None = None  # ``truth`` and ``due`` together, where one pass is quicker than two
    expiry_ms: int = 0  # time changes it only when an event becomes so old; 0: at other moments too
    tends: int = 0  # time alone can only make it true (1) or false (-1); 0: either
    settles: bool | None = None  # time alone never turns it again once it has made it so; None: see ``tends``
    truth_bit: TruthBit | None = None  # set by the plan

    def is_last(self, *, becomes: bool) -> bool:
        """Whether time alone cannot turn it back once it has become so."""
        return self.settles is becomes or self.tends == (1 if becomes else -1)

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

    def of(self, state: State, now: int) -> Json:
        """The value for a customer at ``now``."""
        return self.read(state.slots.get(self.slots[0]) if self.slots else None, now, state)

    def shown(self, state: State, now: int) -> Json:
        """The same as a reader sees it."""
        return self.show(self.of(state, now))


def first_flip(expression: ValueExpression, truth: Truth) -> Due:
    """The first moment at which the truth over an expression really changes, among those at which the expression may.

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


def predicate_over(text: str, expression: ValueExpression, truth: Truth) -> Predicate:
    """A predicate whose truth is decided by an expression."""
    return Predicate(
        text,
        truth,
        first_flip(expression, truth),
        lambda data, now, state: expression.show(expression.read(data, now, state)),
        expression.approximate,
        expression.slots,
        expression.sees,
        zoned=expression.zoned,
        span_ms=expression.span_ms,
    )


def value_predicate(text: str, expression: ValueExpression, holds: Callable[[Json], bool]) -> Predicate:
    """Any condition on a value."""
    return predicate_over(text, expression, lambda data, now, state: holds(expression.read(data, now, state)))
