"""Index of the predicates over one memory: which hold, when time alone may first change one, and which segments that concerns.

An event updates a handful of memories, and predicates of many segments read each. Evaluating them one by one was half of an event's cost;
most need no call of their own. Predicates over a single time differ only in the age at which they change, so one binary search answers
them all. Predicates over a known value change only with it, so their answers are remembered by value.

What holds is kept in the state, a bit for each predicate (``State.truth_bits``, by the number of the memory). It is right at every moment
at which the customer is evaluated: an event evaluates anew what reads the memories it updates, and before anything is evaluated time is
let pass over the others. ``turns`` decides which of the moments found here are worth a timer.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final

from streamer.customers import memories
from streamer.customers.memories import Data, Update
from streamer.customers.specs import Spec
from streamer.customers.state import NO_TIMER, State
from streamer.values import Json

from .predicates.predicate import ANY_AGE, Predicate, TruthBit
from .single_pass import SinglePass, never_due, oldest_entry, oldest_label
from .turns import ApplyEvent, Effects, EffectsOf, TurnMoment, Turns

# (data, now, state, flips) -> bits of what holds; adds the moments after now at which time may turn predicates
EvaluateAll = Callable[[Data, int, State, list[TurnMoment]], int]
BitPredicates = Sequence[tuple[int, Predicate]]  # predicates with their bits
Note = Callable[[Data, int, State, list[TurnMoment], set[int]], None]  # note what time has turned; add moments, and segments to evaluate

REMEMBERED_MAX: Final = 4_096  # answers remembered by value, and sets of segments by what turned: values are producers' texts


def place_bits(slot: int, predicates: Sequence[Predicate]) -> None:
    """Give each predicate that the memory alone decides its bit."""
    placed = _placed(predicates)
    default_bits = default_bits_of(placed)
    for bit, predicate in placed:
        predicate.truth_bit = TruthBit(slot, bit, default_bits)


def _placed(predicates: Sequence[Predicate]) -> list[tuple[int, Predicate]]:
    return [(1 << at, predicate) for at, predicate in enumerate(predicate for predicate in predicates if predicate.plain)]


class PredicateIndex:
    """The predicates over the memory numbered ``slot``.

    ``plain`` ones are decided by it alone and have bits here; ``joint`` ones are decided by several memories and have a key of their own;
    all ``others`` (of calendar, zone and segments) are asked before and after. ``expiry_ms``: time turns what is ``timed`` only when an
    event becomes so old; 0: at other moments too.
    """

    def __init__(self, slot: int, spec: Spec, predicates: Sequence[Predicate], effects_of: EffectsOf) -> None:
        self.slot = slot
        self.predicates = tuple(predicates)
        self.joint = [predicate for predicate in predicates if predicate.joint]
        self.others = tuple(predicate for predicate in predicates if not predicate.plain and not predicate.joint)
        self._spec, self._placed, self._effects_of = spec, _placed(predicates), effects_of
        timed = [(bit, predicate) for bit, predicate in self._placed if predicate.due is not never_due]
        self.timed = bool(timed)
        self.default_bits = default_bits_of(self._placed)
        self.evaluate = evaluator_of(spec, self._placed, effects_of)
        self._evaluate_timed = evaluator_of(spec, timed, effects_of)
        self._timed_bits = sum(bit for bit, _ in timed)
        expiries = {predicate.expiry_ms for _, predicate in timed}
        self.expiry_ms = min(expiries) if expiries and 0 not in expiries else 0
        self.oldest = oldest_label if isinstance(spec, memories.Labels) else oldest_entry
        self._turned: dict[int, frozenset[int]] = {}
        self.note: Note = self._noter_of_time() if timed and self._is_one_time() else self._noter()

    def data(self, state: State) -> Data:
        """What the customer has of the memory."""
        return state.slots.get(self.slot)

    def turned(self, bits: int) -> frozenset[int]:
        """The segments in which any of the predicates with these bits stands."""
        found = self._turned.get(bits)
        if found is None:
            found = frozenset(number for bit, predicate in self._placed if bit & bits for number in predicate.segments)
            if len(self._turned) < REMEMBERED_MAX:
                self._turned[bits] = found
        return found

    def add_flips(self, data: Data, now: int, state: State, flips: list[TurnMoment]) -> None:
        """Add the moments after ``now`` at which time may turn the predicates."""
        self._evaluate_timed(data, now, state, flips)

    def _is_one_time(self) -> bool:
        return _holds_one_time(self._spec) and all(predicate.age is not None for _, predicate in self._placed)

    # what time has turned

    def _noter(self) -> Note:
        slot, evaluate, default_bits, timed_bits, turned = self.slot, self._evaluate_timed, self.default_bits, self._timed_bits, self.turned

        def note(data: Data, now: int, state: State, flips: list[TurnMoment], dirty: set[int]) -> None:
            mask = evaluate(data, now, state, flips)
            was = state.truth_bits.get(slot, default_bits)
            differ = (was ^ mask) & timed_bits
            if differ:
                keep(state.truth_bits, slot, was ^ differ, default_bits)
                dirty.update(turned(differ))

        return note

    def _noter_of_time(self) -> Note:
        """The most frequent of all: one time, and predicates that turn at an age."""
        slot, default_bits, turned = self.slot, self.default_bits, self.turned
        ages, masks, ahead = _age_table(self._placed, self._effects_of)

        def note(data: Data, now: int, state: State, flips: list[TurnMoment], dirty: set[int]) -> None:
            at = bisect_right(ages, now - data)
            for age_ms, effects in ahead[at]:
                flips.append((data + age_ms, effects))
            mask, was = masks[at], state.truth_bits.get(slot, default_bits)
            if mask != was:
                keep(state.truth_bits, slot, mask, default_bits)
                dirty.update(turned(mask ^ was))

        return note

    # what an event has turned

    def event_handler(self, update: Update) -> ApplyEvent:
        """Update the memory by one event; note what that turned, and what time may turn later."""
        if self._placed and self._is_one_time():
            apply = self._time_handler()
        elif isinstance(self._spec, memories.KnownValue) and self._spec.newest and not self.timed:
            apply = self._value_handler(update)
        elif self.expiry_ms:
            apply = self._rolling_handler(update)
        else:
            apply = self._any_handler(update)
        if self.joint:
            apply = _then_joint(apply, self.joint)
        return _around_others(apply, self.others, self._effects_of) if self.others else apply

    def _any_handler(self, update: Update) -> ApplyEvent:
        slot, evaluate, default_bits, turned = self.slot, self.evaluate, self.default_bits, self.turned

        def apply(state: State, value: Json, t: int, now: int, turns: Turns) -> None:
            slots, truth_bits = state.slots, state.truth_bits
            new = slots[slot] = update(slots.get(slot), value, t, now, state.origin_ms)
            turns.fed.add(slot)
            mask = evaluate(new, now, state, turns.flips)
            was = truth_bits.get(slot, default_bits)
            if mask != was:
                keep(truth_bits, slot, mask, default_bits)
                turns.dirty |= turned(mask ^ was)

        return apply

    def _rolling_handler(self, update: Update) -> ApplyEvent:
        """What holds is asked at once; when time turns it only where that could be the first moment of all."""
        slot, default_bits, turned = self.slot, self.default_bits, self.turned
        expiry_ms, oldest, truths = self.expiry_ms, self.oldest, [(bit, predicate.truth) for bit, predicate in self._placed]

        def apply(state: State, value: Json, t: int, now: int, turns: Turns) -> None:
            slots, truth_bits = state.slots, state.truth_bits
            new = slots[slot] = update(slots.get(slot), value, t, now, state.origin_ms)
            turns.fed.add(slot)
            turns.rolling.append((oldest(new) + expiry_ms, self))
            mask = 0
            for bit, truth in truths:
                if truth(new, now, state):
                    mask |= bit
            was = truth_bits.get(slot, default_bits)
            if mask != was:
                keep(truth_bits, slot, mask, default_bits)
                turns.dirty |= turned(mask ^ was)

        return apply

    def _time_handler(self) -> ApplyEvent:
        """An event that does not move the time changes nothing."""
        slot, default_bits, turned = self.slot, self.default_bits, self.turned
        ages, masks, ahead = _age_table(self._placed, self._effects_of)
        is_newest = isinstance(self._spec, memories.Newest)

        def apply(state: State, _value: Json, t: int, now: int, turns: Turns) -> None:
            slots, truth_bits = state.slots, state.truth_bits
            old = slots.get(slot)
            if old is not None and (old >= t if is_newest else old <= t):
                return
            slots[slot] = t
            turns.fed.add(slot)
            at = bisect_right(ages, now - t)
            for age_ms, effects in ahead[at]:
                turns.flips.append((t + age_ms, effects))
            mask, was = masks[at], truth_bits.get(slot, default_bits)
            if mask != was:
                keep(truth_bits, slot, mask, default_bits)
                turns.dirty |= turned(mask ^ was)

        return apply

    def _value_handler(self, update: Update) -> ApplyEvent:
        """The newest value, nearly always the same as before, and then nothing that holds changes."""
        slot, evaluate, default_bits, turned = self.slot, self.evaluate, self.default_bits, self.turned

        def apply(state: State, value: Json, t: int, now: int, turns: Turns) -> None:
            slots, truth_bits = state.slots, state.truth_bits
            old = slots.get(slot)
            new = slots[slot] = update(old, value, t, now, state.origin_ms)
            if new is old or (old is not None and type(value) is str and value == old[1]):
                return
            mask = evaluate(new, now, state, turns.flips)
            was = truth_bits.get(slot, default_bits)
            if mask != was:
                keep(truth_bits, slot, mask, default_bits)
                turns.dirty |= turned(mask ^ was)

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

    def apply_joint(state: State, value: Json, t: int, now: int, turns: Turns) -> None:
        apply(state, value, t, now, turns)
        truth_bits = state.truth_bits
        for key, truth, segments in parts:
            holds = truth(None, now, state)
            if holds != (key in truth_bits):
                keep(truth_bits, key, int(holds), 0)
                turns.dirty |= segments

    return apply_joint


def _around_others(apply: ApplyEvent, others: Sequence[Predicate], effects_of: EffectsOf) -> ApplyEvent:
    parts = [(predicate, frozenset(predicate.segments), effects_of([(predicate, None)])) for predicate in others]

    def apply_others(state: State, value: Json, t: int, now: int, turns: Turns) -> None:
        before = [predicate.holds(state, now) for predicate, _, _ in parts]  # now: the update may change the old data in place
        apply(state, value, t, now, turns)
        for (predicate, segments, effects), was_so in zip(parts, before, strict=True):
            data = predicate.data(state)
            if predicate.truth(data, now, state) != was_so:
                turns.dirty |= segments
            due_ms = predicate.due(data, now, state)
            if due_ms < NO_TIMER:
                turns.flips.append((due_ms, effects))

    return apply_others


# one question for many predicates -------------------------------------------------------------------------------------------


def default_bits_of(placed: BitPredicates) -> int:
    """What holds of a customer of whom nothing is remembered."""
    return sum(bit for bit, predicate in placed if predicate.truth(None, 0, State(generation=0)))


def evaluator_of(spec: Spec, placed: BitPredicates, effects_of: EffectsOf) -> EvaluateAll:
    """The one question that stands for all of these predicates over a memory."""
    aged = [(bit, predicate) for bit, predicate in placed if predicate.age is not None]
    others = [(bit, predicate) for bit, predicate in placed if predicate.age is None]
    parts: list[EvaluateAll] = []
    if aged:
        parts.append(_by_age_of_one(aged, effects_of) if _holds_one_time(spec) else _by_age(aged, effects_of))
    if isinstance(spec, (memories.KnownValue, memories.Runs)):
        lasting = [(bit, predicate) for bit, predicate in others if predicate.due is never_due]
        others = [(bit, predicate) for bit, predicate in others if predicate.due is not never_due]
        if lasting:
            parts.append(_by_value(lasting))
    if others or not parts:
        parts.append(_each(others, effects_of))
    return parts[0] if len(parts) == 1 else _all_of(parts)


def _holds_one_time(spec: Spec) -> bool:
    return isinstance(spec, memories.Oldest) or (isinstance(spec, memories.Newest) and spec.keep == 1)


def _all_of(parts: Sequence[EvaluateAll]) -> EvaluateAll:
    def evaluate(data: Data, now: int, state: State, flips: list[TurnMoment]) -> int:
        mask = 0
        for ask in parts:
            mask |= ask(data, now, state, flips)
        return mask

    return evaluate


TurnsAhead = tuple[tuple[int, Effects], ...]  # ages at which predicates turn, with what that can do


def _age_table(placed: BitPredicates, effects_of: EffectsOf) -> tuple[list[int], list[int], list[TurnsAhead]]:
    """Ages at which a predicate over one time turns, ascending; what holds below each of them, and above all; and the turns from there on
    that can do anything."""
    limits = [(bit, predicate, predicate.age) for bit, predicate in placed if predicate.age is not None]
    ages = sorted({limit.flip_ms for _, _, limit in limits} - {ANY_AGE})
    masks = [sum(bit for bit, _, limit in limits if (age <= limit.flip_ms) == limit.young) for age in (*ages, ANY_AGE)]
    turns = [(age, effects_of([(predicate, not limit.young) for _, predicate, limit in limits if limit.flip_ms == age])) for age in ages]
    return ages, masks, [tuple((age, effects) for age, effects in turns[at:] if effects) for at in range(len(turns) + 1)]


def _by_age_of_one(placed: BitPredicates, effects_of: EffectsOf) -> EvaluateAll:
    default_bits = default_bits_of(placed)
    ages, masks, ahead = _age_table(placed, effects_of)

    def evaluate(data: Data, now: int, _state: State, flips: list[TurnMoment]) -> int:
        if data is None:
            return default_bits
        at = bisect_right(ages, now - data)
        for age_ms, effects in ahead[at]:
            flips.append((data + age_ms, effects))
        return masks[at]

    return evaluate


def _by_age(placed: BitPredicates, effects_of: EffectsOf) -> EvaluateAll:
    """Over times ascending: each predicate has its rank among the newest."""
    default_bits = default_bits_of(placed)
    ages = [(bit, predicate, predicate.age) for bit, predicate in placed if predicate.age is not None]
    parts = [(age.rank, age.flip_ms, bit, effects_of([(predicate, not age.young)])) for bit, predicate, age in ages]
    past = sum(bit for bit, _, age in ages if not age.young)

    def evaluate(data: Data, now: int, _state: State, flips: list[TurnMoment]) -> int:
        if data is None:
            return default_bits
        mask, size = past, len(data)
        for rank, flip_ms, bit, effects in parts:
            if rank <= size:
                end_ms = data[-rank] + flip_ms
                if end_ms > now:
                    mask ^= bit
                    if effects and flip_ms < ANY_AGE:
                        flips.append((end_ms, effects))
        return mask

    return evaluate


def _by_value(placed: BitPredicates) -> EvaluateAll:
    """Over the newest or oldest value, which stands last in the data, where time turns none of the predicates."""
    known: dict[str, int] = {}

    def ask(data: Data, now: int, state: State) -> int:
        return sum(bit for bit, predicate in placed if predicate.truth(data, now, state))

    def evaluate(data: Data, now: int, state: State, _flips: list[TurnMoment]) -> int:
        value: Json = data[-1] if data is not None else None
        if type(value) is not str:
            return ask(data, now, state)
        mask = known.get(value)
        if mask is None:
            mask = ask(data, now, state)
            if len(known) < REMEMBERED_MAX:
                known[value] = mask
        return mask

    return evaluate


def _each(placed: BitPredicates, effects_of: EffectsOf) -> EvaluateAll:
    parts = [
        (
            bit,
            _pass_of(predicate),
            effects_of([(predicate, True)]),
            effects_of([(predicate, False)]),
        )
        for bit, predicate in placed
    ]

    def evaluate(data: Data, now: int, state: State, flips: list[TurnMoment]) -> int:
        mask = 0
        for bit, ask, on_true, on_false in parts:
            holds, end_ms = ask(data, now, state)
            effects = on_true
            if holds:
                mask |= bit
                effects = on_false
            if end_ms < NO_TIMER and effects:
                flips.append((end_ms, effects))
        return mask

    return evaluate


def _pass_of(predicate: Predicate) -> SinglePass:
    if predicate.single_pass is not None:
        return predicate.single_pass
    truth, due = predicate.truth, predicate.due
    if due is never_due:
        return lambda data, now, state: (truth(data, now, state), NO_TIMER)
    return lambda data, now, state: (truth(data, now, state), due(data, now, state))
