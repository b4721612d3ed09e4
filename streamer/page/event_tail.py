"""The newest events without what is of a person, for whoever looks: read only while somebody does, and so many a second at most."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import Final, NamedTuple, Protocol

import structlog
from structlog.typing import FilteringBoundLogger

from streamer.errors import RefusedError, UnansweredError
from streamer.events.codec import decode
from streamer.events.redaction import ClockOff, RedactedEvent, clock_counts, redacted
from streamer.stopping import at_most
from streamer.wire import FORWARD_HEADER, LogRecord

from .reading import ReadingState, reading_of

SHOWN: Final = 30
KEPT: Final = 1_000  # by which clocks are counted
TAKEN: Final = 200  # at a look
LOOK_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 15.0  # after which nobody looks any more
CLOSE_SECONDS: Final = 0.5

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.page")


class LooksAtLogs(Protocol):
    """``transports.kafka.newest_records``. ``take`` raises UnansweredError."""

    async def take(self, most: int) -> list[tuple[int, LogRecord]]:
        """The newest records that no look had before, with their shards."""
        ...

    async def stop(self) -> None:
        """Close the connections."""
        ...


class TailLine(NamedTuple):
    """An event at a place of the log; ``arrival_ms`` in UTC."""

    shard: int
    offset: int
    arrival_ms: int
    event: RedactedEvent


class TailSeen(NamedTuple):
    """The newest lines, and how many of the ``sampled`` newest events had which clock."""

    lines: list[TailLine]
    clocks: list[tuple[ClockOff, int]]
    sampled: int
    reading: ReadingState


class EventTail:
    """Follows the ends of the logs while ``look`` is called now and then."""

    def __init__(self, records: LooksAtLogs) -> None:
        self.records = records
        self._lines = deque[TailLine](maxlen=KEPT)
        self._task: asyncio.Task[None] | None = None
        self._asked_s = 0.0
        self._is_ready = False
        self._is_failing = False

    @property
    def is_looking(self) -> bool:
        """Whether the log is being read."""
        return self._task is not None and not self._task.done()

    def look(self) -> TailSeen:
        """What was seen so far."""
        self._asked_s = monotonic()
        if not self.is_looking:
            self._task = asyncio.create_task(self._follow())
        newest = sorted(self._lines, key=lambda one: (one.arrival_ms, one.shard, one.offset), reverse=True)
        reading = reading_of(is_ready=self._is_ready, is_failing=self._is_failing)
        return TailSeen(newest[:SHOWN], clock_counts(one.event for one in self._lines), len(self._lines), reading)

    def close(self) -> None:
        """Read nothing any more."""
        if self._task is not None:
            self._task.cancel()

    async def _follow(self) -> None:
        """Until nobody has looked for a while."""
        try:
            while monotonic() - self._asked_s < IDLE_SECONDS:
                await self._take()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await at_most(CLOSE_SECONDS, self.records.stop())

    async def _take(self) -> None:
        try:
            found = await self.records.take(TAKEN)
        except UnansweredError as error:
            self._is_failing = True
            log.warning("tail not read", action="page", error=str(error))
            return
        self._is_ready, self._is_failing = True, False
        for shard, record in found:
            if not record.control and not any(name == FORWARD_HEADER for name, _ in record.headers):
                self._add(shard, record)

    def _add(self, shard: int, record: LogRecord) -> None:
        try:
            self._lines.append(TailLine(shard, record.offset, record.arrival_ms, redacted(decode(record.value))))
        except RefusedError:  # it is among the dead letters
            return


__all__ = ["EventTail", "TailLine", "TailSeen"]
