"""Whose turn it is, of the shards of one worker, to come to its ``definitions`` record.

Each folds there what came since its lane was near, and brings its first customers, and the events of all shards share the worker: a dozen
of them in one moment would be one stall of all.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from streamer.flow.shard import Shard

TURN_SECONDS: Final = 1.0  # for which the others wait at most: a shard that is behind comes to its record when it gets there


class RecordTurn:
    """One shard has it, until it obeys the version or its time is over. ``now`` is a clock in seconds that never goes back."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._taken: tuple[Shard, int] | None = None
        self._until = 0.0

    def is_free_for(self, shard: Shard) -> bool:
        """Whether no other shard has it."""
        if self._taken is None or self._now() >= self._until:
            return True
        coming, version = self._taken
        return coming is shard or coming.body.version >= version

    def take(self, shard: Shard, version: int) -> None:
        """It is this shard's, which is about to come to definitions of this version."""
        self._taken, self._until = (shard, version), self._now() + TURN_SECONDS


__all__ = ["RecordTurn"]
