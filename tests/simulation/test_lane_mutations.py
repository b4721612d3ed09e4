"""Break the rules of side lanes, one at a time: the oracle must notice, who tells a log under later definitions from its beginning.

Each mutant is played and judged by the same broken code: a rebuild folds the same wrong past, so that only the answer itself is wrong.
"""

# pyright: reportPrivateUsage=false
# Whoever breaks things must reach inside.

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

import pytest

from streamer.customers.state import Membership, State
from streamer.flow.lane import past
from streamer.flow.lane.lane_step import _LaneIdentity
from streamer.flow.lane.lanes import _OneFold
from streamer.flow.migration import Migration
from streamer.messages import intents
from streamer.segments.plan.plan import SegmentRule
from streamer.wire import LogRecord

from .catching import Mutant, first_caught
from .people import manner_of

SEEDS = 120
MUTANTS: dict[str, tuple[Mutant, int]] = {}


def mutant(first: int) -> Callable[[Mutant], Mutant]:
    """Enlist a way to break the code, and the history with which to begin; that is where it was noticed last."""

    def enlist(function: Mutant) -> Mutant:
        MUTANTS[function.__name__] = function, first
        return function

    return enlist


@mutant(17)
def a_lane_misses_the_record_before_the_definitions(patch: pytest.MonkeyPatch) -> None:
    """What the record before them says is nowhere: the shard has it in its old memories alone."""
    upto, fold, without = _OneFold.upto, _OneFold._fold, dict[int, int]()

    async def upto_less(self: _OneFold, offset: int) -> None:
        without[id(self)] = offset - 1
        await upto(self, offset)

    async def fold_less(self: _OneFold, records: Sequence[LogRecord]) -> None:
        await fold(self, [record for record in records if record.offset != without[id(self)]])

    patch.setattr(_OneFold, "upto", upto_less)
    patch.setattr(_OneFold, "_fold", fold_less)


@mutant(17)
def a_lane_remembers_who_was_erased(patch: pytest.MonkeyPatch) -> None:
    """Forgotten, and known again at the next publication."""
    patch.setattr(_LaneIdentity, "erase", lambda self, customer, now, offset: None)


@mutant(21)
def numbers_of_changes_begin_again(patch: pytest.MonkeyPatch) -> None:
    """Readers drop what is not above what they have seen of a segment."""

    def join_theirs(state: State, number: int, name: str, theirs: Membership | None, by_ms: int) -> bool:
        ours = state.members.pop(number, None)
        if theirs is not None:
            state.members[number] = Membership(theirs.changes, theirs.at_ms + by_ms)
        elif ours is not None:
            state.retired[name] = ours.changes + ours.changes % 2
        return theirs is None and ours is not None and ours.inside

    patch.setattr(past, "_join_membership", join_theirs)


@mutant(5)
def since_when_is_since_the_definitions(patch: pytest.MonkeyPatch) -> None:
    """A stay begins anew for whoever was inside all the time."""
    join = past._join_membership

    def join_now(state: State, number: int, name: str, theirs: Membership | None, by_ms: int) -> bool:
        later = None if theirs is None else Membership(theirs.changes, theirs.at_ms + 1_200_000)
        return join(state, number, name, later, by_ms)

    patch.setattr(past, "_join_membership", join_now)


@mutant(21)
def more_than_the_net_change_is_said(patch: pytest.MonkeyPatch) -> None:
    """Whoever was inside enters once more."""

    def everybody(self: Migration, state: State, changed: Sequence[SegmentRule], was_inside: Container[int]) -> list[SegmentRule]:
        assert self.past is not None
        names = {rule.name for rule in changed} | self.past.segments
        return [rule for name in sorted(names) if state.is_inside((rule := self._after.rules[self._after.numbers[name]]).number)]

    patch.setattr(Migration, "_net", everybody)


@mutant(21)
def a_message_knows_no_number_of_what_was_left_for_good(patch: pytest.MonkeyPatch) -> None:
    """Our code fails at everybody who leaves a segment that they would never have entered."""
    patch.setattr(State, "changes_of", lambda self, segment, name: self.members[segment].changes)
    assert intents.begin, "it asks there"


@pytest.mark.parametrize("name", MUTANTS)
def test_the_world_notices(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge who lets a broken rule pass proves nothing about the sound one."""
    broken, first = MUTANTS[name]
    seeds = [first, *(seed for seed in range(SEEDS) if manner_of(seed) != "plain")]
    assert first_caught(broken, monkeypatch, seeds, "broken") is not None, f"{name}: not noticed in {len(seeds)} seeds"
