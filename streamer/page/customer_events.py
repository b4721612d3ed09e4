"""A customer's newest events as they lie in the log, for their time line.

They are found by the notes in the customer's state, else by looking through the end of their shard; read beside whoever looks, and again
when the state says that there are more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, NamedTuple, Protocol

import structlog
from structlog.typing import FilteringBoundLogger

from streamer.customers.offsets import RecordOffsets, places
from streamer.customers.state import State
from streamer.errors import RefusedError, StreamerError
from streamer.events.codec import decode
from streamer.events.event import Event
from streamer.flow.committed import CommittedCustomer
from streamer.stopping import at_most
from streamer.wire import LogRecord

SHOWN: Final = 50
LOOKED_THROUGH: Final = 20_000  # records of the shard, where the state does not say where its own lie
LOOK_AGAIN_SECONDS: Final = 30.0
PATIENCE_SECONDS: Final = 0.1  # that a page waits for events that were not read yet
CUSTOMERS_KEPT: Final = 200
AT_ONCE: Final = 4  # customers that are read
CLOSE_SECONDS: Final = 0.5

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.page")


class RecordsOfShards(Protocol):
    """Where records are read: ``transports.kafka.customer_records``. Raises UnansweredError."""

    async def at(self, shard: int, offsets: Sequence[int]) -> list[LogRecord]:
        """The records at these ascending offsets, as far as the log has them."""
        ...

    def newest(self, shard: int, number: int) -> AsyncGenerator[Sequence[LogRecord]]:
        """The records at the last offsets of a shard."""
        ...

    async def stop(self) -> None:
        """Close the connections."""
        ...


class LoggedEvent(NamedTuple):
    """An event at a place of the log; ``arrival_ms`` (UTC) is when it arrived."""

    shard: int
    offset: int
    arrival_ms: int
    event: Event


class EventLine(NamedTuple):
    """The newest events, the newest first. ``all``: how many records of theirs are noted; None where their shard was looked through
    instead. ``is_answered``: whether Kafka did its part."""

    events: list[LoggedEvent] = []
    all: int | None = None
    is_answered: bool = True


@dataclass
class _KeptLine:
    mark: RecordOffsets | None
    read_s: float
    task: asyncio.Task[EventLine]
    line: EventLine | None = field(default=None)


class CustomerEvents:
    """Reads them for those who are looked at, and keeps what it read of the last of them."""

    def __init__(self, records: RecordsOfShards) -> None:
        self.records = records
        self._kept: dict[str, _KeptLine] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Hold the connections until cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            for kept in self._kept.values():
                kept.task.cancel()
            await at_most(CLOSE_SECONDS, self.records.stop())

    async def of(self, found: CommittedCustomer, state: State) -> EventLine | None:
        """The newest that were read; None while none were. Returns soon."""
        kept = self._kept.pop(found.customer, None)
        mark = state.offsets if state.offsets.is_kept else None
        if kept is None or (kept.task.done() and _is_old(kept, mark)):
            line = None if kept is None else kept.line
            kept = _KeptLine(mark, monotonic(), asyncio.create_task(self._read(found, state)), line)
        self._kept[found.customer] = kept  # the last one
        if len(self._kept) > CUSTOMERS_KEPT:
            self._kept.pop(next(iter(self._kept))).task.cancel()
        await asyncio.wait({kept.task}, timeout=PATIENCE_SECONDS)
        if kept.task.done():
            kept.line = kept.task.result()
        return kept.line

    async def _read(self, found: CommittedCustomer, state: State) -> EventLine:
        async with self._turn:
            try:
                if state.offsets.is_kept:
                    return await self._noted(found.view.shard, state.offsets)
                return await self._looked_through(found, state)
            except (StreamerError, ValueError) as error:  # what is noted may be damaged
                log.warning("events not read", action="page", shard=found.view.shard, error=type(error).__name__)
                return EventLine(is_answered=False)

    async def _noted(self, shard: int, offsets: RecordOffsets) -> EventLine:
        noted = places(offsets)
        records = await self.records.at(shard, [place.offset for place in noted[-SHOWN:]])
        seen = [one for record in records if (one := _seen(shard, record)) is not None]
        return EventLine(seen[::-1], len(noted))

    async def _looked_through(self, found: CommittedCustomer, state: State) -> EventLine:
        ids = frozenset((found.customer, *found.passed, *state.links))
        keys, newest = frozenset(one.encode() for one in ids), deque[LoggedEvent](maxlen=SHOWN)
        async for records in self.records.newest(found.view.shard, LOOKED_THROUGH):
            for record in records:
                if record.key in keys or b"\\" in record.value or any(key in record.value for key in keys):
                    one = _seen(found.view.shard, record)
                    if one is not None and (record.key in keys or one.event.customer in ids):
                        newest.append(one)
            await asyncio.sleep(0)  # others are answered meanwhile
        return EventLine([*reversed(newest)])


def _is_old(kept: _KeptLine, mark: RecordOffsets | None) -> bool:
    """Whether there may be more by now: the state says so, or there was time for it."""
    is_answered = kept.task.result().is_answered
    if mark is not None and is_answered:
        return mark != kept.mark
    return monotonic() - kept.read_s > LOOK_AGAIN_SECONDS


def _seen(shard: int, record: LogRecord) -> LoggedEvent | None:
    """The event of a record; None for what is none, such as the past of another id."""
    if record.control:
        return None
    try:
        return LoggedEvent(shard, record.offset, record.arrival_ms, decode(record.value))
    except RefusedError:
        return None


__all__ = ["CustomerEvents", "EventLine", "LoggedEvent"]
