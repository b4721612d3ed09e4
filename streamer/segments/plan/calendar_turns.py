"""When calendar, zone and memberships turn predicates: those that no memory alone decides, so that no bit in the state says what holds.

Each is asked when it turns next at every evaluation of a customer, so what turns at the same moments is asked once, and what hangs on the
clock alone is looked up by zone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple

from streamer.customers.state import NO_TIMER, State

from .predicates.predicate import Predicate, ZoneOf
from .single_pass import Due, never_due
from .turns import Effects, EffectsOf, can_matter

QUIET_MAX: Final = 3  # kept per zone: a timer looks at the moments before, at and after a turn


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


class _QuietClock(NamedTuple):
    """A time (UTC) in which none of the clock's predicates turns, and the moments after its start at which each does, ascending."""

    start_ms: int
    end_ms: int
    ahead: list[tuple[int, SharedTurns]]


class _ClockTurns:
    """Predicates that hang on the clock and the customer's zone alone: all customers of a zone share what is looked up here."""

    def __init__(self, turns: Sequence[SharedTurns], zone_of: ZoneOf) -> None:
        self._turns = turns
        self._zone_of = zone_of
        self._by_zone: dict[str, list[_QuietClock]] = {}

    def after(self, now: int, state: State) -> list[tuple[int, SharedTurns]]:
        """When each turns next after ``now``, ascending; all in UTC."""
        if not self._turns:
            return []
        known = self._by_zone.setdefault(self._zone_of(state).key or "", [])
        for start_ms, end_ms, ahead in known:
            if start_ms <= now < end_ms:
                return ahead
        found = self._find(now, state)
        known.insert(0, found)
        del known[QUIET_MAX:]
        return found.ahead

    def _find(self, now: int, state: State) -> _QuietClock:
        own_now, origin_ms = now - state.origin_ms, state.origin_ms
        moments = [(turns.due(None, own_now, state), turns) for turns in self._turns]
        ahead = [(due_ms + origin_ms, turns) for due_ms, turns in moments if due_ms < NO_TIMER]
        ahead.sort(key=lambda moment: moment[0])
        return _QuietClock(now, ahead[0][0] if ahead else NO_TIMER, ahead)


class CalendarTurns:
    """What turns by clock (for everybody), by a memory together with zone or memberships, and by a membership, each by its number."""

    def __init__(
        self,
        clock: Iterable[Predicate],
        by_slot: Mapping[int, Iterable[Predicate]],
        by_segment: Mapping[int, Iterable[Predicate]],
        effects_of: EffectsOf,
        zone_of: ZoneOf,
    ) -> None:
        self._clock = _ClockTurns(shared_turns(clock, effects_of), zone_of)
        self._by_slot = _that_turn(by_slot, effects_of)
        self._by_segment = _that_turn(by_segment, effects_of)

    def due_now(self, state: State, now: int) -> set[int]:
        """The segments that may turn at ``now``, the moment of the customer's timer."""
        dirty = set[int]()
        utc_now = now + state.origin_ms
        for due_ms, turns in self._clock.after(utc_now - 1, state):
            if due_ms > utc_now:
                break
            if can_matter(turns.effects, NO_TIMER, state):
                dirty |= turns.segments
        for turns in self._of_customer(state):
            if can_matter(turns.effects, NO_TIMER, state) and turns.due(turns.predicate.data(state), now - 1, state) <= now:
                dirty |= turns.segments
        return dirty

    def next_due(self, state: State, now: int) -> int:
        """The next moment after ``now`` that may change a membership; ``NO_TIMER`` if there is none."""
        best = NO_TIMER
        for due_ms, turns in self._clock.after(now + state.origin_ms, state):
            if can_matter(turns.effects, NO_TIMER, state):
                best = due_ms - state.origin_ms
                break
        for turns in self._of_customer(state):
            if can_matter(turns.effects, NO_TIMER, state):
                best = min(best, turns.due(turns.predicate.data(state), now, state))
        return best

    def _of_customer(self, state: State) -> list[SharedTurns]:
        """Those that can turn for this customer beside the clock's; some may come twice."""
        found: list[SharedTurns] = []
        for turns_by, known in ((self._by_slot, state.slots), (self._by_segment, state.members)):
            if turns_by:
                for number in turns_by.keys() & known.keys():
                    found += turns_by[number]
        return found


def _that_turn(predicates_by: Mapping[int, Iterable[Predicate]], effects_of: EffectsOf) -> dict[int, tuple[SharedTurns, ...]]:
    found = {number: shared_turns(predicates, effects_of) for number, predicates in predicates_by.items()}
    return {number: turns for number, turns in found.items() if turns}
