"""History of one shard, told beside its log: what had happened when a record of the log arrived, as a lane folds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamer.errors import RefusedError
from streamer.events.codec import decode
from streamer.wire import COMPARED_HEADER, LogRecord, read_arrived

from .lane.recall import Recall
from .shard_log import Histories

AT_ONCE: Final = 1_000  # records


class ShardHistory:
    """What is left of one shard's history below the offset ``end``. Of what happened before ``since_ms`` (UTC) nothing is told.

    ``next_ms`` is when the next of it happened, as far as that is known; None where nothing is left.
    """

    def __init__(self, histories: Histories, shard: int, end: int, *, since_ms: int = 0) -> None:
        self.next_ms: int | None = 0 if end else None
        self._recall = Recall(histories, shard, 0, end)
        self._at = 0  # the offset of the next record
        self._since_ms = since_ms
        self._has_begun = False  # the shard's log, with an event

    def notice(self, record: LogRecord) -> None:
        """A record of the shard's log that counts: from its first event on history is told only where it was compared with the log."""
        if self._has_begun or self.next_ms is None or record.control:
            return
        try:
            decode(record.value)
        except RefusedError:
            return
        self._has_begun = True

    async def due(self, time_ms: int) -> Sequence[LogRecord]:
        """Some of what had happened at a moment (UTC), in its order; ask again while ``next_ms`` is not behind the moment."""
        found = await self._recall.until(self._at, time_ms, AT_ONCE)
        if found:
            self._at = found[-1].offset + 1
        following = await self._recall.next(self._at)
        self.next_ms = None if following is None else following.arrival_ms
        return [record for record in found if self._counts(record)]

    def _counts(self, record: LogRecord) -> bool:
        """History has no control records, and says of each event when it happened."""
        if record.control or record.arrival_ms < self._since_ms or read_arrived(record.headers) is None:
            return False
        return not self._has_begun or any(name == COMPARED_HEADER for name, _ in record.headers)


__all__ = ["ShardHistory"]
