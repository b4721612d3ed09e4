"""What differs between two plans, for customers who come from one to the other one by one.

Nearly all of a customer is the same under both: memories that are read by the same predicates, segments that mean what they meant. Of these
nothing is to be found out anew. What holds of them is right already, but for what time has turned unseen, as at any event.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from functools import lru_cache
from typing import Final

from streamer.customers.memories import Data
from streamer.customers.specs import Spec
from streamer.customers.state import Membership, State
from streamer.language import tree
from streamer.language.references import references
from streamer.language.segment_specs import Segment

from . import predicate_index
from .memory_inputs import converted
from .model_memories import models_asked
from .plan import Plan

PLANS_KEPT: Final = 4  # pairs of plans


class PlanChange:
    """From the plan ``before`` to the plan ``after``. ``joined`` are the keys of memories whose data comes from elsewhere.

    ``dirty`` has the numbers of the segments that are to be judged: those that are new or mean something else, and those over memories
    whose data may be other data. ``is_whole``: it is of everything, as where another clock or a model has a part in it.
    """

    def __init__(self, before: Plan, after: Plan, joined: Collection[str], *, is_whole: bool = False) -> None:
        self._before = before
        self._after = after
        changed = changed_segments(before, after)
        self.is_whole = is_whole or changed is None
        self._slots: dict[int, tuple[int, Spec | None]] = {}
        others = dict.fromkeys(range(len(after.memories)))  # slots over which something is to be found out anew
        moved = {slot for slot, memory in enumerate(after.memories) if memory.key in joined}  # those whose data may be other data
        for slot, memory in enumerate(before.memories):
            to = after.slots.get(memory.key)
            if to is None:
                continue
            is_same = memory.spec == after.memories[to].spec
            self._slots[slot] = to, None if is_same else memory.spec
            if not is_same:
                moved.add(to)
            elif memory.key not in joined and _asked(before, slot) == _asked(after, to):
                del others[to]
        self._carried = {slot: to for slot, (to, _) in self._slots.items() if to not in others}
        self._others = list(others)
        self._joint = [(slot, over.joint) for slot, over in enumerate(after.predicate_indexes) if over.joint]
        over_moved = {number for slot in moved for predicate in after.predicate_indexes[slot].predicates for number in predicate.segments}
        self.dirty = (changed or frozenset[int]()) | over_moved
        self._numbers = {rule.number: after.numbers.get(rule.name) for rule in before.rules}
        self._keeps_slots = len(self._slots) == len(before.memories) and all(self._slots[slot] == (slot, None) for slot in self._slots)
        self._keeps_numbers = all(number == to for number, to in self._numbers.items())

    def carry(self, state: State) -> list[str]:
        """Renumber a state; return the names of segments that the customer was inside and that are gone, by name."""
        if not self._keeps_slots:
            state.slots = self._carry_slots(state.slots)
        state.truth_bits = {self._carried[key]: bits for key, bits in state.truth_bits.items() if key in self._carried}
        return [] if self._keeps_numbers else self._carry_members(state)

    def _carry_slots(self, slots: Mapping[int, Data]) -> dict[int, Data]:
        carried: dict[int, Data] = {}
        for slot, data in slots.items():
            found = self._slots.get(slot)
            if found is not None:
                to, spec = found
                carried[to] = data if spec is None else converted(data, spec, self._after.memories[to].spec)
        return carried

    def _carry_members(self, state: State) -> list[str]:
        members: dict[int, Membership] = {}
        gone: list[str] = []
        for number, entry in state.members.items():
            to = self._numbers[number]
            if to is not None:
                members[to] = entry
                continue
            name = self._before.rules[number].name
            state.retired[name] = entry.changes
            if entry.inside:
                gone.append(name)
        state.members = members
        return sorted(gone)

    def settle(self, state: State, now: int) -> None:
        """Find out anew what holds at ``now`` over what is new or was joined. What time has turned of the rest is for ``Plan.let_pass``."""
        slots, truth_bits, indexes = state.slots, state.truth_bits, self._after.predicate_indexes
        for slot in self._others:
            if slot in slots:
                over = indexes[slot]
                predicate_index.keep(truth_bits, slot, over.evaluate(slots[slot], now, state, []), over.default_bits)
        for slot, joint in self._joint:
            for predicate in joint if slot in slots else ():
                if predicate.truth_bit is not None:
                    predicate_index.keep(truth_bits, predicate.truth_bit.key, int(predicate.holds(state, now)), 0)


def _asked(plan: Plan, slot: int) -> list[str]:
    """What is asked of a memory, in the order of the bits in which it is noted."""
    return [predicate.text for predicate in plan.predicate_indexes[slot].predicates if predicate.plain]


@lru_cache(maxsize=PLANS_KEPT)
def changed_segments(before: Plan, after: Plan) -> frozenset[int] | None:
    """The numbers of those that are new or mean something else; None where all do, or models have a part in it. Found once for all shards
    of a worker: 10,000 segments take 0.4 s."""
    if has_other_clock(before, after) or before.definitions.models or after.definitions.models:
        return None
    return frozenset(after.numbers[name] for name in changed_names(before, after))


def has_other_clock(before: Plan, after: Plan) -> bool:
    """Whether customers are measured by another clock, so that nothing means what it meant."""
    one, other = before.definitions, after.definitions
    return (one.zone, one.zone_data) != (other.zone, other.zone_data)


def changed_names(before: Plan, after: Plan, models: Set[str] = frozenset()) -> set[str]:
    """The segments of ``after`` that are new, or mean something else by the same clock; where these models do, also those that ask them."""
    known = {rule.name: meaning(rule.segment) for rule in before.rules}
    names = set[str]()
    for rule in after.rules:  # those that are referred to come first
        conditions = rule.segment.conditions
        is_other = known.get(rule.name) != meaning(rule.segment) or not names.isdisjoint(references(conditions))
        if is_other or (models and not models.isdisjoint(models_asked(conditions))):
            names.add(rule.name)
    return names


def meaning(segment: Segment) -> tuple[str, str, int, int]:
    """All of a segment that decides who is in it. Equal texts are equal conditions."""
    leaves = "" if segment.exit is None else tree.text(segment.exit)
    return tree.text(segment.when), leaves, segment.stay_ms, segment.cooldown_ms


__all__ = ["PlanChange", "changed_names", "changed_segments", "has_other_clock", "meaning"]
