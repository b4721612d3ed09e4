"""How far the owner of a shard is on the way to definitions that were published and do not hold there yet."""

from __future__ import annotations

from typing import Literal

import msgspec

LaneState = Literal["reads", "folds", "shadow", "ready", "written", "stands"]


class LaneStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """The way to ``version`` in one shard.

    ``state``: ``reads`` (the shard first comes to where its log ended when the publication was seen), ``folds`` (the past is folded for
    what is new), ``shadow`` (so it is, beside what holds), ``ready`` (it is within a second of the end of the log, and waits for other
    shards, or as ``why`` says), ``written`` (the record lies in the log), ``stands`` (``why`` says for what).

    Of the ``of`` records of the log ``folded`` are done; ``ends_at_ms`` is when that is expected to be all, in UTC milliseconds, 0 where
    nothing can be said.
    """

    version: int
    state: LaneState
    folded: int = 0
    of: int = 0
    ends_at_ms: int = 0
    why: str = ""

    @property
    def share(self) -> float:
        """How much of the log is folded, from 0 to 1."""
        return min(1.0, self.folded / self.of) if self.of else 0.0


__all__ = ["LaneState", "LaneStatus"]
