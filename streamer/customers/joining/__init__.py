"""What two names remember of one person, made one memory.

The law: answers are those over the events of both names. The survivor remembers the past of the old id when it is joined, behind all
that they had: of equal times the old id's comes after, and times beyond the survivor's log time count as that. The old id's own events
keep the order in which its memories held them, which is by time and, of equal times, as they came. Where that cannot be told from what
is left, the data say up to when an answer may be off, and the answers say approximate (``segments/plan/predicates``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

from streamer.customers import memories
from streamer.customers.cart import Cart, join_carts
from streamer.customers.ids import united
from streamer.customers.memories import SUM_MAX, Data, bounded
from streamer.customers.model_data import AwaitedMemory, ScoreMemory
from streamer.customers.profile import ProfileMemory
from streamer.customers.rebase import moved
from streamer.customers.specs import Spec
from streamer.customers.state import State

from .clocks import JoinClocks
from .models import join_awaited, join_profile
from .sequences import join_runs, join_steps
from .series import join_distinct, join_frequencies, join_labels, join_ladder, join_newest, join_pairs


def join_memories(state: State, specs: Sequence[Spec], theirs: Mapping[int, Data], their_origin_ms: int, drained_ms: int, now: int) -> None:
    """Join the memories of an old id, by number of ``specs``, into those of the survivor. ``now`` is log time, all times are in UTC.

    The old id's own clock began at ``their_origin_ms``; ``drained_ms`` was log time in its shard when it was drained. What holds now is not
    found out here: the survivor's ``truth_bits``, memberships and timer stay as they were.
    """
    at, by_ms = JoinClocks(now - state.origin_ms, drained_ms - state.origin_ms, state.origin_ms), their_origin_ms - state.origin_ms
    for slot, data in theirs.items():
        if data is None:
            continue
        spec = specs[slot]
        past = moved(spec, fitted(spec, data), lambda t: min(t + by_ms, at.now))
        found = joined(spec, state.slots.get(slot), past, at)
        if found is None:
            state.slots.pop(slot, None)
        else:
            state.slots[slot] = found


def join_ids(state: State, seen: bytes, floor_ms: int | None) -> int:
    """Have the survivor remember the message ids of an old id, whose floor (UTC) is ``floor_ms``; return how many both had remembered.

    Such a message was accepted under both names, and both pasts have it: it counts twice from then on.
    """
    if floor_ms is None:
        return 0  # it never had any
    found = united(state.seen, state.forgotten_ms, seen, floor_ms)
    state.seen, state.floor_ms = found.seen, found.floor_ms - state.origin_ms
    return found.both


def fitted(spec: Spec, data: Data) -> Data:
    """Data in the form of ``spec``: definitions may have changed the size of a memory between two shards."""
    match spec:
        case memories.Newest(keep=1):
            return data if type(data) is int else data[-1]
        case memories.Newest():
            return [data] if type(data) is int else data
        case memories.KnownValue():
            return data[-2:]
        case memories.Runs():
            return [None, None, *data] if len(data) == 2 else data
        case _:
            return data


def joined(spec: Spec, ours: Data, theirs: Data, at: JoinClocks) -> Data:
    """One memory of both, or None where nothing is left to remember. ``ours`` may be None. ``theirs`` is by the survivor's own clock, and
    has no time after now. Either may be changed in place.
    """
    match spec:
        case memories.Newest(keep=keep):
            return join_newest(keep, ours, theirs)
        case memories.Oldest():
            return theirs if ours is None else min(ours, theirs)
        case memories.EventCount():
            return theirs if ours is None else ours + theirs
        case memories.Totals():
            return theirs if ours is None else _totals(ours, theirs)
        case memories.Bests(sign=sign):
            return theirs if ours is None else (max if sign > 0 else min)(ours, theirs)
        case memories.Pairs():
            return join_pairs(spec, ours, theirs, at)
        case memories.Ladder():
            return join_ladder(spec, ours, theirs, at)
        case memories.Distinct(keep=keep):
            return join_distinct(keep, ours, theirs)
        case memories.Labels():
            return join_labels(spec, ours, theirs, at)
        case memories.Frequencies():
            return join_frequencies(ours, theirs)
        case memories.KnownValue(newest=newest):
            return theirs if ours is None or (theirs[0] >= ours[0] if newest else theirs[0] < ours[0]) else ours
        case memories.Zone():
            return theirs if ours is None or theirs[0] >= ours[0] else ours
        case memories.Runs():
            return join_runs(spec, ours, theirs, at)
        case memories.Steps():
            return join_steps(spec, ours, theirs, at)
        case Cart():
            return join_carts(ours, theirs, spec.held)
        case ProfileMemory():
            return join_profile(ours, theirs, at.now + at.origin_ms)
        case ScoreMemory():
            return theirs if ours is None else ours  # what was said of the survivor stands until they are scored again
        case AwaitedMemory():
            return join_awaited(ours, theirs)
        case _:
            assert_never(spec)


def _totals(ours: Data, theirs: Data) -> Data:
    """A sum that reached its limit stays there."""
    held = next((data[0] for data in (ours, theirs) if abs(data[0]) == SUM_MAX), None)
    return [bounded(ours[0] + theirs[0]) if held is None else held, ours[1] + theirs[1]]
