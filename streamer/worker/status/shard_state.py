"""The states of a shard in the worker to which it is dealt, and which may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final


class ShardState(Enum):
    """What a worker does with one of its shards. The value stands in metrics, notes and answers."""

    ACQUIRING = "acquiring"  # it is about to become the owner
    OWNED = "owned"  # records are processed
    WAITING = "waiting"  # it was fenced, or its store is away; it is acquired anew in a while
    REFOLDING = "refolding"  # one customer is folded anew from the log, and the rest of the shard waits
    HALTED = "halted"  # a person must look
    RELEASED = "released"  # it is this worker's no longer


NEXT: Final[Mapping[ShardState, frozenset[ShardState]]] = {
    ShardState.ACQUIRING: frozenset({ShardState.OWNED, ShardState.WAITING, ShardState.HALTED, ShardState.RELEASED}),
    ShardState.OWNED: frozenset({ShardState.WAITING, ShardState.REFOLDING, ShardState.HALTED, ShardState.RELEASED}),
    ShardState.WAITING: frozenset({ShardState.ACQUIRING, ShardState.WAITING, ShardState.RELEASED}),
    ShardState.REFOLDING: frozenset({ShardState.OWNED, ShardState.WAITING, ShardState.HALTED, ShardState.RELEASED}),
    ShardState.HALTED: frozenset({ShardState.ACQUIRING, ShardState.WAITING, ShardState.HALTED, ShardState.RELEASED}),
    ShardState.RELEASED: frozenset({ShardState.RELEASED}),
}
"""Which state may follow which. What was halted may fail again while it publishes what was committed; what was released stays so."""


__all__ = ["NEXT", "ShardState"]
