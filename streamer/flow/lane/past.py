"""One customer's past, as a lane has folded it, joined to what the shard itself knows of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from streamer.customers import offsets
from streamer.customers.memories import Data
from streamer.customers.rebase import shifted
from streamer.customers.state import Membership, State
from streamer.flow.checkpoint import NOTHING_BROUGHT
from streamer.segments.plan.plan import Plan

from .known_by import OLD_ID, aliases_of, is_brought, row_of
from .lane_plan import LanePlan

NO_LANE: Final = -1  # instead of the offset of definitions, where none was folded for them


class Folded(NamedTuple):
    """What a lane has folded up to and including the record at ``offset`` (``NO_LANE``: nobody was there to be folded).

    ``since_ms``: by memory since when it remembers, where the log does not reach back to its beginning.
    """

    past: Past
    offset: int
    since_ms: Mapping[str, int]


class Past:
    """What a lane came to, for customers who come under the plan ``after`` one by one.

    ``states`` has the lane's states of those who are next, by customer. ``keys`` are the memories that are taken from it.
    ``brings_history``: the lane is the first that was folded with history, so it knows customers of whom the shard knows nothing.
    ``brought``: see ``Switch``.
    """

    def __init__(self, lane: LanePlan, after: Plan, keys: frozenset[str]) -> None:
        self.states: Mapping[str, State] = {}
        self.keys = keys
        self.brings_history = lane.brings_history
        self.brought = lane.brought if lane.brings_history else NOTHING_BROUGHT
        self.segments = lane.segments
        plan = lane.plan
        self._plan = plan
        self._memories = [(plan.slots[key], after.slots[key], after.memories[after.slots[key]].spec) for key in sorted(keys)]
        self._segments = [(plan.numbers[name], after.numbers[name], name) for name in sorted(lane.segments)]

    def join(self, customer: str, state: State) -> list[str]:
        """Have ``state``, which is under the plan ``after`` already, remember what the lane does, and be in what they are in there.

        Numbers of changes go on where something was said of a segment, else they are the lane's. Returns the names of segments that the
        customer was in and of which a full past has no membership at all: they are to ``leave`` these once the rest has been judged.
        """
        past = self.states.get(customer)
        if past is None:
            return []
        by_ms = past.origin_ms - state.origin_ms
        if self.brings_history:
            _join_ids(state, past, by_ms)
        for theirs, ours, spec in self._memories:
            if theirs in past.slots:
                state.slots[ours] = shifted(spec, past.slots[theirs], by_ms) if by_ms else past.slots[theirs]
            else:
                state.slots.pop(ours, None)
        return [name for theirs, ours, name in self._segments if _join_membership(state, ours, name, past.members.get(theirs), by_ms)]

    def newcomer(self, customer: str) -> State | None:
        """What the lane knows of somebody of whom the shard knows nothing, and who is to be known; None where there is nobody."""
        past = self.states.get(customer) if self.brings_history else None
        return past if past is not None and past.newest_offset != OLD_ID else None

    def of_old_id(self, customer: str) -> State | None:
        """What history has of an id that led to another already; None where it has nothing that the other does not know."""
        past = self.states.get(customer) if self.brings_history else None
        is_fresh = past is not None and past.newest_offset == OLD_ID and not is_brought(past, self.brought)
        return past if is_fresh else None

    def ids(self, customer: str) -> tuple[Collection[str], Collection[str]]:
        """The other ids by which the lane knows a customer, and which of them history says outright."""
        past = self.states.get(customer) if self.brings_history else None
        return (past.links, aliases_of(past)) if past is not None else ((), ())

    def memories(self, past: State) -> dict[str, Data]:
        """What a state of the lane remembers, by the keys of memories."""
        return {self._plan.memories[slot].key: data for slot, data in sorted(past.slots.items())}

    def leave(self, state: State, names: list[str], now: int) -> None:
        """The customer leaves these segments at ``now`` (UTC), unless they have entered them anew."""
        for number, name in self._numbered(names):
            if not state.is_inside(number):
                state.members[number] = Membership(state.retired.pop(name), now - state.origin_ms)

    def retire(self, state: State, names: list[str]) -> None:
        """That has been said: of these segments nothing stays but the count of changes, as of one that was never entered."""
        for number, name in self._numbered(names):
            if not state.is_inside(number):
                state.retired[name] = state.members.pop(number).changes

    def _numbered(self, names: list[str]) -> list[tuple[int, str]]:
        return [(ours, name) for _, ours, name in self._segments if name in names]


def _join_ids(state: State, past: State, by_ms: int) -> None:
    """What was seen of history counts as seen, and where its records lie is what the lane has noted."""
    state.seen = past.seen
    state.floor_ms = past.floor_ms if past.floor_ms is None else past.floor_ms + by_ms
    offsets.set_history(state, row_of(past))


def _join_membership(state: State, number: int, name: str, theirs: Membership | None, by_ms: int) -> bool:
    """Take over one membership; return whether there is none and the customer was inside."""
    ours = state.members.get(number)
    said = ours.changes if ours is not None else state.retired.get(name, state.lifted or 0)
    if theirs is not None:
        changes = theirs.changes if not said else said if theirs.inside == (said % 2 == 1) else said + 1
        state.members[number] = Membership(changes, theirs.at_ms + by_ms)
        state.retired.pop(name, None)
    elif ours is not None:
        del state.members[number]
        state.retired[name] = said + said % 2
        return ours.inside
    return False
