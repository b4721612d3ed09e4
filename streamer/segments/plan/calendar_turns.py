"""When calendar, zone and memberships turn predicates: those that no memory alone decides, so that no bit in the state says what holds.

Each is asked when it turns next at every evaluation of a customer, so what turns at the same moments is asked once, and only where it can
move this customer. What hangs on the clock alone is looked up once a zone (``predicates.clock``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import NamedTuple

from streamer.customers.state import NO_TIMER, State

from .predicates.predicate import Predicate
from .single_pass import Due, never_due
from .turns import Effects, EffectsOf, can_matter


class SharedTurns(NamedTuple):
    """Predicates that turn at the same moments: one of them, when they turn, what that can do, and the segments they stand in."""

    predicate: Predicate
    due: Due
    effects: Effects
    segments: frozenset[int]


def shared_turns(predicates: Iterable[Predicate], effects_of: EffectsOf) -> tuple[SharedTurns, ...]:
    """Those of the predicates that time turns, those with the same ``due`` over the same memories together."""
    groups: dict[tuple[Due, tuple[int, ...]], list[Predicate]] = {}
    for predicate in predicates:
        if predicate.due is not never_due:
            groups.setdefault((predicate.due, predicate.slots), []).append(predicate)
    return tuple(
        SharedTurns(
            group[0], due, effects_of([(predicate, None) for predicate in group]), frozenset(chain(*[one.segments for one in group]))
        )
        for (due, _), group in groups.items()
    )


class CalendarTurns:
    """What turns by clock (for everybody), by a memory together with zone or memberships, and by a membership, each by its number."""

    def __init__(
        self,
        clock: Iterable[Predicate],
        by_slot: Mapping[int, Iterable[Predicate]],
        by_segment: Mapping[int, Iterable[Predicate]],
        effects_of: EffectsOf,
    ) -> None:
        self._clock = shared_turns(clock, effects_of)
        self._by_slot = _that_turn(by_slot, effects_of)
        self._by_segment = _that_turn(by_segment, effects_of)

    def due_now(self, state: State, now: int) -> set[int]:
        """The segments that may turn at ``now``, the moment of the customer's timer."""
        dirty = set[int]()
        for turns in self._of_customer(state):
            if can_matter(turns.effects, NO_TIMER, state) and turns.due(turns.predicate.data(state), now - 1, state) <= now:
                dirty |= turns.segments
        return dirty

    def next_due(self, state: State, now: int) -> int:
        """The next moment after ``now`` that may change a membership; ``NO_TIMER`` if there is none."""
        best = NO_TIMER
        for turns in self._of_customer(state):
            if can_matter(turns.effects, NO_TIMER, state):
                best = min(best, turns.due(turns.predicate.data(state), now, state))
        return best

    def _of_customer(self, state: State) -> list[SharedTurns]:
        """Those that can turn for this customer: the clock's, and what hangs on what is known of them; some may come twice."""
        found = list(self._clock)
        for turns_by, known in ((self._by_slot, state.slots), (self._by_segment, state.members)):
            if turns_by:
                for number in turns_by.keys() & known.keys():
                    found += turns_by[number]
        return found


def _that_turn(predicates_by: Mapping[int, Iterable[Predicate]], effects_of: EffectsOf) -> dict[int, tuple[SharedTurns, ...]]:
    found = {number: shared_turns(predicates, effects_of) for number, predicates in predicates_by.items()}
    return {number: turns for number, turns in found.items() if turns}
