"""History of a shard, on its way into a lane: the log of what was imported, read ahead, its records given out where log time has come to
when they happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamer.flow.shard_log import Histories
from streamer.wire import LogRecord

READ_AHEAD: Final = 10_000  # records: about 5 MB


class Recall:
    """What is left of one shard's history from the offset ``at`` on; none from ``end`` on."""

    def __init__(self, histories: Histories, shard: int, at: int, end: int) -> None:
        self._histories = histories
        self._shard = shard
        self._end = end
        self._held: Sequence[LogRecord] = ()
        self._read = at  # the offset from which on nothing is held

    async def next(self, at: int) -> LogRecord | None:
        """The first record from the offset ``at`` on, which never goes back; None where there is none."""
        found = await self._from(at)
        return found[0] if found else None

    async def until(self, at: int, time_ms: int, most: int) -> Sequence[LogRecord]:
        """At most so many records from the offset ``at`` on, up to the first that happened after ``time_ms``."""
        found = (await self._from(at))[:most]
        count = next((number for number, record in enumerate(found) if record.arrival_ms > time_ms), len(found))
        return found[:count]

    async def _from(self, at: int) -> Sequence[LogRecord]:
        passed = next((number for number, record in enumerate(self._held) if record.offset >= at), len(self._held))
        self._held = self._held[passed:]
        if not self._held and self._read < self._end:
            self._held = await self._histories.history(self._shard, max(at, self._read), self._end, READ_AHEAD)
            self._read = self._held[-1].offset + 1 if self._held else self._end
        return self._held


__all__ = ["Recall"]
