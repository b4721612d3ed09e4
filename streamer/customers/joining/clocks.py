"""When a past is joined, by which clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JoinClocks:
    """``now`` is log time in the survivor's shard, ``drained_ms`` was log time in the old id's shard at its drain, both by the survivor's
    own clock, which began at ``origin_ms`` (UTC)."""

    now: int
    drained_ms: int
    origin_ms: int

    def let_go_ms(self, span_ms: int) -> int | None:
        """Up to when the old id's window of this length has let go of what the survivor's still has; None: of nothing.

        JoinClocks of two shards differ by little, and the survivor's is nearly always the later one.
        """
        return self.drained_ms - span_ms if self.drained_ms > self.now else None
