"""When time turns predicates, and whether that can change a membership of this customer.

Not every moment at which time turns a predicate is worth a timer. What turns matters to a segment only in the direction that lets the
customer in (outside) or out (inside), where it cannot turn back by time alone. A segment is closed while a part of its ``and`` is not as
it must be that only an event can make so: nobody with an empty cart need be looked at half an hour after each event. And what turns
within a minimum stay or a cool-down waits for its end, which is a moment of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Final, NamedTuple, Protocol

from streamer.customers.memories import Data
from streamer.customers.state import State
from streamer.values import Json

from .predicates.predicate import Predicate, Way


class Gate(NamedTuple):
    """Parts of a segment's ``and`` with bits under one key, which only an event can make ``wanted``: the segment is closed while they are
    not."""

    key: int
    bits: int
    wanted: int
    default_bits: int


Gates = tuple[Gate, ...]


class Effect(NamedTuple):
    """What turning some predicates can do to one segment: let a customer in who is ``outside``, or out who is ``inside``, while the gates
    are as wanted (None: it cannot)."""

    number: int
    outside: Gates | None
    inside: Gates | None
    cooldown_ms: int
    stay_ms: int


Effects = tuple[Effect, ...]
EffectsOf = Callable[[Iterable[tuple[Predicate, bool | None]]], Effects]  # what it can do that predicates become so, or (None) either
TurnMoment = tuple[int, Effects]  # a moment at which time may turn predicates, and what that can do

ALWAYS: Final[Effects] = (Effect(-1, (), None, 0, 0),)  # of predicates that stand in no segment, and set timers for models
_moment: Final = itemgetter(0)


class SegmentEffects:
    """Makes effects, from the gates of the segments. Segments are added before anything is asked."""

    def __init__(self) -> None:
        self._segments: dict[int, Effect] = {}

    def add(self, number: int, gates: Gates, *, has_exit: bool, cooldown_ms: int, stay_ms: int) -> None:
        """A segment. With an ``exit`` of its own its gates are for those outside."""
        self._segments[number] = Effect(number, gates, () if has_exit else gates, cooldown_ms, stay_ms)

    def outside(self, number: int) -> Gates:
        """What must be so before time alone can let anybody into a segment."""
        return self._segments[number].outside or ()

    def of(self, turning: Iterable[tuple[Predicate, bool | None]]) -> Effects:
        """What it can do that these predicates become true, false, or (None) either; empty when nothing."""
        ways: dict[int, Way] = {}
        for predicate, becomes in turning:
            if not predicate.segments:
                return ALWAYS
            for by_number in _ways(predicate, becomes):
                for number, way in by_number.items():
                    ways[number] = ways.get(number, Way.NONE) | way
        return tuple(self._effect(number, way) for number, way in sorted(ways.items()) if way)

    def _effect(self, number: int, way: Way) -> Effect:
        whole = self._segments[number]
        return whole._replace(outside=whole.outside if Way.IN in way else None, inside=whole.inside if Way.OUT in way else None)


def _ways(predicate: Predicate, becomes: bool | None) -> list[Mapping[int, Way]]:
    """Where predicates may turn back by time alone, the moment after this one is not known, so that this one stands for both."""
    if becomes is not None and predicate.is_last(becomes=becomes):
        return [predicate.on_true if becomes else predicate.on_false]
    return [predicate.on_true, predicate.on_false]


def can_matter(effects: Effects, at_ms: int, state: State) -> bool:
    """Whether what turns at a moment can change a membership of the customer as they stand."""
    members, truth_bits = state.members, state.truth_bits
    for number, outside, inside, cooldown_ms, stay_ms in effects:
        entry = members.get(number)
        if entry is None:
            gates = outside
        elif entry.inside:
            gates = inside
            if at_ms < entry.at_ms + stay_ms:
                continue
        else:
            gates = outside
            if at_ms < entry.at_ms + cooldown_ms:
                continue
        if gates is not None and are_open(gates, truth_bits):
            return True
    return False


def are_open(gates: Gates, truth_bits: Mapping[int, int]) -> bool:
    """Whether the parts of an ``and`` that only events can turn are as they must be."""
    for key, bits, wanted, default_bits in gates:  # noqa: SIM110 - asked several times an event, and a loop takes half of the time of all()
        if truth_bits.get(key, default_bits) & bits != wanted:
            return False
    return True


def first_to_matter(flips: list[TurnMoment], state: State, best_ms: int) -> int:
    """The first of these moments that can change a membership, or ``best_ms`` if that is sooner. Puts the moments into order."""
    flips.sort(key=_moment)
    for at_ms, effects in flips:
        if at_ms >= best_ms:
            break
        if can_matter(effects, at_ms, state):
            return at_ms
    return best_ms


class RollingMemory(Protocol):
    """A memory whose predicates time turns only when an event becomes so old: asking when is dear, and mostly not needed."""

    def add_flips(self, data: Data, now: int, state: State, flips: list[TurnMoment]) -> None:
        """Add the moments after ``now`` at which time may turn its predicates."""
        ...

    def data(self, state: State) -> Data:
        """What the customer has of it."""
        ...


class Turns:
    """What one moment has turned for one customer, and what time may turn later.

    ``dirty``: the segments over predicates that turned. ``fed``: slots of memories that are up to date. ``flips`` are of those memories
    only; ``rolling`` are memories that have none before the moment beside them.
    """

    __slots__ = ("dirty", "fed", "flips", "rolling")

    def __init__(self) -> None:
        self.dirty: set[int] = set()
        self.fed: set[int] = set()
        self.flips: list[TurnMoment] = []
        self.rolling: list[tuple[int, RollingMemory]] = []

    def first_due(self, state: State, now: int, best_ms: int) -> int:
        """The first moment at which what is noted here can change a membership, or ``best_ms`` if that is sooner."""
        best_ms = first_to_matter(self.flips, state, best_ms)
        if self.rolling:
            self.rolling.sort(key=_moment)
            for soonest_ms, memory in self.rolling:
                if soonest_ms >= best_ms:
                    break
                flips: list[TurnMoment] = []
                memory.add_flips(memory.data(state), now, state, flips)
                best_ms = first_to_matter(flips, state, best_ms)
        return best_ms


ApplyEvent = Callable[[State, Json, int, int, Turns], None]  # feed a memory: (state, value, event time, now, what it turned)
