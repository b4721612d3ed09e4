"""History of a shard, on its way into a lane: the log of what was imported, read ahead, its records given out where log time has come to
when they happened. What does not say when it happened counts for nothing, and holds up nothing: it is given out at once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from streamer.flow.shard_log import Histories
from streamer.wire import LogRecord, read_arrived

READ_AHEAD: Final = 10_000  # records: about 5 MB


class Recall:
    """What is left of one shard's history from the offset ``at`` on; none from ``end`` on. A record that does not say when it happened
    has 0 as its ``arrival_ms``."""

    def __init__(self, histories: Histories, shard: int, at: int, end: int) -> None:
        self._histories = histories
        self._shard = shard
        self._end = end
        self._held: Sequence[LogRecord] = ()
        self._first: int = 0  # the index of the first of them that was not passed
        self._read: int = at  # the offset from which on nothing is held

    async def next(self, at: int) -> LogRecord | None:
        """The first record from the offset ``at`` on, which never goes back; None where there is none."""
        await self._pass(at)
        return self._held[self._first] if self._first < len(self._held) else None

    async def until(self, at: int, time_ms: int, most: int) -> Sequence[LogRecord]:
        """At most so many records from the offset ``at`` on, up to the first that happened after ``time_ms``."""
        await self._pass(at)
        end = min(self._first + most, len(self._held))
        later = (index for index in range(self._first, end) if self._held[index].arrival_ms > time_ms)
        return self._held[self._first : next(later, end)]

    async def _pass(self, at: int) -> None:
        """Pass over what lies before the offset ``at``, and read ahead where nothing is held any more."""
        self._first = bisect_left(self._held, at, self._first, key=_offset)
        if self._first == len(self._held) and self._read < self._end:
            found = await self._histories.history(self._shard, max(at, self._read), self._end, READ_AHEAD)
            self._held = [_as_it_happened(record) for record in found]
            self._first = 0
            self._read = self._held[-1].offset + 1 if self._held else self._end


def _as_it_happened(record: LogRecord) -> LogRecord:
    """A record that does not say when it happened has the time at which a broker took it, and would hold up all behind it until then."""
    return record if read_arrived(record.headers) is not None else record._replace(arrival_ms=0)


def _offset(record: LogRecord) -> int:
    return record.offset


__all__ = ["Recall"]
