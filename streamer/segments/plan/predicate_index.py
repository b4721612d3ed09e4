"""Index of the predicates over one memory: which hold, when time alone may first change one, and which segments that concerns.

An event updates a handful of memories, and predicates of many segments read each. Evaluating them one by one was half of an event's cost;
most need no call of their own. Predicates over a single time differ only in the age at which they change, so one binary search answers
them all. Predicates over a known value change only with it, so their answers are remembered by value.

What holds is kept in the state, a bit for each predicate (``State.truth_bits``, by the number of the memory). It is right at every moment
at which the customer is evaluated: an event evaluates anew what reads the memories it updates, and before anything is evaluated time is
let pass over the others.

Not every predicate that time changes is worth a timer. A segment is closed to a customer while a part of its ``and`` is false that only an
event can make true: nobody with an empty cart needs a timer half an hour after each event. And a customer inside a segment with
an exit of its own waits for the exit alone. Timers are for predicates of segments that are open.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from streamer.customers import memories
from streamer.customers.memories import Data, Update
from streamer.customers.specs import Spec
from streamer.customers.state import NO_TIMER, State
from streamer.values import Json

from .predicates.predicate import ANY_AGE, Predicate, TruthBit
from .single_pass import Due, SinglePass, Truth, never_due, oldest_entry, oldest_label

# (data, now, state, best) -> (bits of what holds, the first moment after now at which time can change a membership, or best if sooner)
EvaluateAll = Callable[[Data, int, State, int], tuple[int, int]]
CanChange = Callable[[int, State], bool]  # whether time turning the predicates with these bits can matter to this customer
BitPredicates = Sequence[tuple[int, Predicate]]  # predicates with their bits
ApplyEvent = Callable[[State, Json, int, int, set[int]], None]  # (state, value, event time, now, segments to evaluate)

REMEMBERED_MAX: Final = 4_096  # answers remembered by value, and sets of segments by what turned: values are producers' texts


class Gate(NamedTuple):
    """A part of a segment's ``and`` that only an event can make as ``wanted``; the segment is closed while it is not."""

    key: int
    bit: int
    default_bits: int
    wanted: bool


class Gates:
    """Which segments are closed to a customer."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[tuple[Gate, ...], bool]] = {}

    def __bool__(self) -> bool:
        return bool(self._of)

    def __contains__(self, number: int) -> bool:
        return number in self._of

    def add(self, number: int, gates: tuple[Gate, ...], *, has_exit: bool) -> None:
        """The gates of a segment. With an ``exit`` of its own they are for those outside."""
        self._of[number] = (gates, has_exit)

    def is_open(self, number: int, in_exit: bool, state: State) -> bool:
        """Whether a predicate that time turns could let the customer into the segment or out of it; ``in_exit``: it stands in the exit."""
        gates, has_exit = self._of[number]
        if has_exit:
            entry = state.members.get(number)
            if entry is not None and entry.inside:
                return in_exit
        truth_bits = state.truth_bits
        for key, bit, default_bits, wanted in gates:  # noqa: SIM110 - asked several times an event, and a loop takes half of the time of all()
            if (truth_bits.get(key, default_bits) & bit != 0) != wanted:
                return False
        return True


class PredicateIndex:
    """The predicates over the memory numbered ``slot``.

    ``plain`` ones are decided by it alone and have bits here; ``joint`` ones are decided by several memories and have a key of their own;
    all ``others`` (of calendar, zone and segments) are asked before and after.
    """

    def __init__(self, slot: int, spec: Spec, predicates: Sequence[Predicate], gates: Gates) -> None:
        self.slot = slot
        self._gates = gates
        self._gated: dict[int, tuple[tuple[int, bool], ...]] = {}
        self.predicates = tuple(predicates)
        self.plain = [predicate for predicate in predicates if predicate.plain]
        self.joint = [predicate for predicate in predicates if predicate.joint]
        self.others = tuple(predicate for predicate in predicates if not predicate.plain and not predicate.joint)
        placed = [(1 << bit, predicate) for bit, predicate in enumerate(self.plain)]
        timed = [(bit, predicate) for bit, predicate in placed if predicate.due is not never_due]
        self.default_bits = default_bits_of(placed)
        self.evaluate = evaluator_of(spec, placed, self.can_change)
        self.timed = evaluator_of(spec, timed, self.can_change) if timed else None
        self.timed_bits = sum(bit for bit, _ in timed)
        expiries = {predicate.expiry_ms for _, predicate in timed}
        self.expiry_ms = min(expiries) if expiries and 0 not in expiries else 0
        self.oldest = oldest_label if isinstance(spec, memories.Labels) else oldest_entry
        self._spec, self._placed = spec, placed
        self._turned: dict[int, frozenset[int]] = {}
        for bit, predicate in placed:
            predicate.truth_bit = TruthBit(slot, bit, self.default_bits)

    def turned(self, bits: int) -> frozenset[int]:
        """The segments in which any of the predicates with these bits stands."""
        found = self._turned.get(bits)
        if found is None:
            found = frozenset(number for bit, predicate in self._placed if bit & bits for number in predicate.segments)
            if len(self._turned) < REMEMBERED_MAX:
                self._turned[bits] = found
        return found

    def can_change(self, bits: int, state: State) -> bool:
        """Whether time turning the predicates with these bits can matter to this customer."""
        gated = self._gated.get(bits)
        if gated is None:
            numbers = self.turned(bits)
            exits = {number for bit, predicate in self._placed if bit & bits for number in predicate.exits}
            gated = (
                tuple((number, number in exits) for number in sorted(numbers)) if all(number in self._gates for number in numbers) else ()
            )
            if len(self._gated) < REMEMBERED_MAX:
                self._gated[bits] = gated
        if not gated:
            return True
        for number, in_exit in gated:  # noqa: SIM110 - as above
            if self._gates.is_open(number, in_exit, state):
                return True
        return False

    def pass_time(self, data: Data, now: int, state: State, best: int, dirty: set[int]) -> int:
        """Note what time has turned up to ``now``; return ``best``, or the next moment here if that is sooner."""
        assert self.timed is not None
        mask, best = self.timed(data, now, state, best)
        was = state.truth_bits.get(self.slot, self.default_bits)
        turned = (was ^ mask) & self.timed_bits
        if turned:
            keep(state.truth_bits, self.slot, was ^ turned, self.default_bits)
            dirty |= self.turned(turned)
        return best

    def event_handler(self, update: Update) -> ApplyEvent:
        """ApplyEvent the memory, bring the wake-up forward where needed, and note the segments over predicates that turned."""
        spec, aged = self._spec, all(predicate.age is not None for predicate in self.plain)
        if self.plain and aged and _holds_one_time(spec):
            apply = self._time_handler()
        elif isinstance(spec, memories.KnownValue) and spec.newest and self.timed is None:
            apply = self._value_handler()
        else:
            apply = self._any_handler(update)
        if self.joint:
            apply = _then_joint(apply, self.joint)
        return _around_others(apply, self.others) if self.others else apply

    def _any_handler(self, update: Update) -> ApplyEvent:
        slot, evaluate, default_bits, turned = self.slot, self.evaluate, self.default_bits, self.turned

        def apply(state: State, value: Json, t: int, now: int, dirty: set[int]) -> None:
            slots, truth_bits = state.slots, state.truth_bits
            new = slots[slot] = update(slots.get(slot), value, t, now)
            mask, state.timer_ms = evaluate(new, now, state, state.timer_ms)
            was = truth_bits.get(slot, default_bits)
            if mask != was:
                keep(truth_bits, slot, mask, default_bits)
                dirty |= turned(mask ^ was)

        return apply

    def _time_handler(self) -> ApplyEvent:
        """The most frequent of all: one time, and predicates that turn at an age. An event that does not move the time changes nothing."""
        slot, default_bits, turned, can_change = self.slot, self.default_bits, self.turned, self.can_change
        flips, masks = _age_table(self._placed)
        is_newest = isinstance(self._spec, memories.Newest)

        def apply(state: State, _value: Json, t: int, now: int, dirty: set[int]) -> None:
            slots, truth_bits = state.slots, state.truth_bits
            old = slots.get(slot)
            if old is not None and (old >= t if is_newest else old <= t):
                return
            slots[slot] = t
            at = bisect_right(flips, now - t)
            mask = masks[at]
            if t + flips[at] < state.timer_ms:
                state.timer_ms = _first_change(t, flips, masks, at, state, state.timer_ms, can_change)
            was = truth_bits.get(slot, default_bits)
            if mask != was:
                keep(truth_bits, slot, mask, default_bits)
                dirty |= turned(mask ^ was)

        return apply

    def _value_handler(self) -> ApplyEvent:
        """The newest value, nearly always the same as before, and then nothing else changes."""
        slot, evaluate, default_bits, turned = self.slot, self.evaluate, self.default_bits, self.turned

        def apply(state: State, value: Json, t: int, now: int, dirty: set[int]) -> None:
            slots = state.slots
            old = slots.get(slot)
            if old is not None:
                if t < old[0]:
                    return
                if type(value) is str and value == old[1]:
                    old[0] = t
                    return
            new = slots[slot] = [t, value]
            mask, _ = evaluate(new, now, state, NO_TIMER)
            was = state.truth_bits.get(slot, default_bits)
            if mask != was:
                keep(state.truth_bits, slot, mask, default_bits)
                dirty |= turned(mask ^ was)

        return apply


def keep(truth_bits: dict[int, int], key: int, mask: int, default_bits: int) -> None:
    """Note what holds; what holds of nobody in particular takes no room."""
    if mask == default_bits:
        truth_bits.pop(key, None)
    else:
        truth_bits[key] = mask


def _then_joint(apply: ApplyEvent, joint: Sequence[Predicate]) -> ApplyEvent:
    parts = [
        (predicate.truth_bit.key, predicate.truth, frozenset(predicate.segments)) for predicate in joint if predicate.truth_bit is not None
    ]

    def apply_joint(state: State, value: Json, t: int, now: int, dirty: set[int]) -> None:
        apply(state, value, t, now, dirty)
        truth_bits = state.truth_bits
        for key, truth, segments in parts:
            holds = truth(None, now, state)
            if holds != (key in truth_bits):
                keep(truth_bits, key, int(holds), 0)
                dirty |= segments

    return apply_joint


def _around_others(apply: ApplyEvent, others: Sequence[Predicate]) -> ApplyEvent:
    parts = [(predicate, frozenset(predicate.segments)) for predicate in others]

    def apply_others(state: State, value: Json, t: int, now: int, dirty: set[int]) -> None:
        before = [predicate.holds(state, now) for predicate, _ in parts]  # now: the update may change the old data in place
        apply(state, value, t, now, dirty)
        for (predicate, segments), was_so in zip(parts, before, strict=True):
            data = predicate.data(state)
            if predicate.truth(data, now, state) != was_so:
                dirty |= segments
            due_ms = predicate.due(data, now, state)
            if due_ms < state.timer_ms:
                state.timer_ms = due_ms

    return apply_others


# one question for many predicates -------------------------------------------------------------------------------------------


def default_bits_of(placed: BitPredicates) -> int:
    """What holds of a customer of whom nothing is remembered."""
    return sum(bit for bit, predicate in placed if predicate.truth(None, 0, State(generation=0)))


def evaluator_of(spec: Spec, placed: BitPredicates, can_change: CanChange) -> EvaluateAll:
    """The one question that stands for all of these predicates over a memory."""
    aged = [(bit, predicate) for bit, predicate in placed if predicate.age is not None]
    others = [(bit, predicate) for bit, predicate in placed if predicate.age is None]
    parts: list[EvaluateAll] = []
    if aged:
        parts.append(_by_age_of_one(aged, can_change) if _holds_one_time(spec) else _by_age(aged, can_change))
    if others and isinstance(spec, memories.KnownValue) and all(predicate.due is never_due for _, predicate in others):
        parts.append(_by_value(others))
    elif others:
        parts.append(_each(others, can_change))
    return parts[0] if len(parts) == 1 else _all_of(parts)


def _holds_one_time(spec: Spec) -> bool:
    return isinstance(spec, memories.Oldest) or (isinstance(spec, memories.Newest) and spec.keep == 1)


def _all_of(parts: Sequence[EvaluateAll]) -> EvaluateAll:
    def evaluate(data: Data, now: int, state: State, best: int) -> tuple[int, int]:
        mask = 0
        for ask in parts:
            bits, best = ask(data, now, state, best)
            mask |= bits
        return mask, best

    return evaluate


def _age_table(placed: BitPredicates) -> tuple[list[int], list[int]]:
    """Ages at which a predicate over one time turns, ascending, ``ANY_AGE`` last; and what holds up to each of them."""
    ages = [(bit, predicate.age) for bit, predicate in placed if predicate.age is not None]
    flips = sorted({age.flip_ms for _, age in ages} | {ANY_AGE})
    return flips, [sum(bit for bit, age in ages if (flip <= age.flip_ms) == age.young) for flip in flips]


def _first_change(t: int, flips: list[int], masks: list[int], at: int, state: State, best: int, can_change: CanChange) -> int:
    """The first moment from the flip numbered ``at`` on at which a predicate turns that can_change, or ``best`` if it is sooner."""
    while t + flips[at] < best:  # the last flip is never
        if can_change(masks[at] ^ masks[at + 1], state):
            return t + flips[at]
        at += 1
    return best


def _by_age_of_one(placed: BitPredicates, can_change: CanChange) -> EvaluateAll:
    default_bits = default_bits_of(placed)
    flips, masks = _age_table(placed)

    def evaluate(data: Data, now: int, state: State, best: int) -> tuple[int, int]:
        if data is None:
            return default_bits, best
        at = bisect_right(flips, now - data)
        return masks[at], _first_change(data, flips, masks, at, state, best, can_change) if data + flips[at] < best else best

    return evaluate


def _by_age(placed: BitPredicates, can_change: CanChange) -> EvaluateAll:
    """Over times ascending: each predicate has its rank among the newest."""
    default_bits = default_bits_of(placed)
    ages = [(bit, predicate.age) for bit, predicate in placed if predicate.age is not None]
    parts = [(age.rank, age.flip_ms, bit) for bit, age in ages]
    past = sum(bit for bit, age in ages if not age.young)

    def evaluate(data: Data, now: int, state: State, best: int) -> tuple[int, int]:
        if data is None:
            return default_bits, best
        mask, size = past, len(data)
        for rank, flip_ms, bit in parts:
            if rank <= size:
                end_ms = data[-rank] + flip_ms
                if end_ms > now:
                    mask ^= bit
                    if end_ms < best and can_change(bit, state):
                        best = end_ms
        return mask, best

    return evaluate


def _by_value(placed: BitPredicates) -> EvaluateAll:
    """Over the newest or oldest value, where time turns none of the predicates."""
    known: dict[str, int] = {}

    def ask(data: Data, now: int, state: State) -> int:
        return sum(bit for bit, predicate in placed if predicate.truth(data, now, state))

    def evaluate(data: Data, now: int, state: State, best: int) -> tuple[int, int]:
        value: Json = data[1] if data is not None else None
        if type(value) is not str:
            return ask(data, now, state), best
        mask = known.get(value)
        if mask is None:
            mask = ask(data, now, state)
            if len(known) < REMEMBERED_MAX:
                known[value] = mask
        return mask, best

    return evaluate


def _each(placed: BitPredicates, can_change: CanChange) -> EvaluateAll:
    parts = [(bit, predicate.single_pass or _pass_of(predicate.truth, predicate.due)) for bit, predicate in placed]

    def evaluate(data: Data, now: int, state: State, best: int) -> tuple[int, int]:
        mask = 0
        for bit, ask in parts:
            holds, end_ms = ask(data, now, state)
            if holds:
                mask |= bit
            if end_ms < best and can_change(bit, state):
                best = end_ms
        return mask, best

    return evaluate


def _pass_of(truth: Truth, due: Due) -> SinglePass:
    if due is never_due:
        return lambda data, now, state: (truth(data, now, state), NO_TIMER)
    return lambda data, now, state: (truth(data, now, state), due(data, now, state))
