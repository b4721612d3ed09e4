"""The newest changes, read once for all readers of this process.

A reader has no queue of its own: it stands at a number in this list, and what all have passed, or what is too old, goes. So a thousand
readers cost no more memory than one, and one that is slow costs nobody anything.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, NamedTuple

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger

from streamer.errors import UnansweredError
from streamer.segments.change import ENTERED, EXITED
from streamer.segments.merge import OF_NO_SEGMENT
from streamer.settings import Settings
from streamer.telemetry.server_metrics import ServerMetrics
from streamer.transports.kafka.change_records import ChangeRecord, ChangeRecords

from .stream_position import ShardPosition, StreamPosition

KEPT_RECORDS: Final = 10_000
KEPT_BYTES: Final = 32_000_000
CHUNK_BYTES: Final = 64_000  # written to a reader at a time
CHUNKS_SHARED: Final = 64
AGAIN_SECONDS: Final = 1.0  # after an error of Kafka's

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.server")


class _StreamHeadData(msgspec.Struct):
    segment: str = ""


class _StreamHead(msgspec.Struct):
    type: str
    data: _StreamHeadData


KNOWN: Final = frozenset({ENTERED, EXITED}) | OF_NO_SEGMENT
_decode_head: Final = msgspec.json.Decoder(_StreamHead).decode


class ChangeFilter(NamedTuple):
    """Which changes a reader wants: of these segments (None: of all). Merges, and those taken back, are of no segment, and come to all."""

    segments: frozenset[str] | None = None

    def wants(self, segment: str) -> bool:
        """Whether a change of a segment is wanted."""
        return self.segments is None or not segment or segment in self.segments


class FeedEntry(NamedTuple):
    """A change: the record, its segment (empty for a merge), its event in the stream without the id, and the id that stands behind it."""

    record: ChangeRecord
    segment: str
    event: bytes
    id: bytes


def entry_of(record: ChangeRecord, id_text: str) -> FeedEntry:
    """The entry of a record. One that nobody can read is passed on as it is, under no type of ours."""
    try:
        head = _decode_head(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        head = _StreamHead("unreadable", _StreamHeadData())
    kind = head.type if head.type in KNOWN else "unreadable"
    data = record.value.replace(b"\r", b"").replace(b"\n", b"\ndata: ")
    return FeedEntry(record, head.data.segment, b"event: %b\ndata: %b\n\n" % (kind.encode(), data), b"id: %b\n" % id_text.encode())


class Feed:
    """Reads ``segment-changes`` from now on. ``first`` is the number of the oldest entry, ``end`` of the next one; ``position`` is behind
    the newest. Whoever waits is woken by ``changed``. ``problem`` says why it cannot read at the moment;
    ``is_failing``: Kafka refused or did not answer."""

    def __init__(self, settings: Settings, metrics: ServerMetrics) -> None:
        self.first = self.end = 0
        self.is_closed = False
        self.problem = "changes are not read yet"
        self.is_failing = False
        self.ready = asyncio.Event()
        self.position = StreamPosition([])
        self._settings = settings
        self._metrics = metrics
        self._entries = deque[FeedEntry]()
        self._bytes = 0
        self._begin: list[int] = []  # offsets in Kafka from which on everything is among the entries
        self._chunks: dict[tuple[int, ChangeFilter], tuple[bytes, int]] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled. After an error of Kafka's it goes on where it was."""
        while True:
            try:
                async with ChangeRecords.opened(self._settings) as records:
                    await self._follow(records)
            except UnansweredError as error:
                self.problem = f"changes cannot be read: {error}"
                self.is_failing = True
                log.warning("changes not read", action="changes", error=str(error))
            await asyncio.sleep(AGAIN_SECONDS)

    def close(self) -> None:
        """Have all readers end."""
        self.is_closed = True
        self.wake()

    async def _follow(self, records: ChangeRecords) -> None:
        if not self.ready.is_set():
            await self._begin_at_end(records)
        records.seek({shard: at.kafka_offset for shard, at in enumerate(self.position.shards)})
        self.problem = ""
        while True:
            taken = await records.take()
            self.is_failing = False
            if taken:
                self.add(taken)
            self._metrics.feed_behind.set(records.behind())

    async def _begin_at_end(self, records: ChangeRecords) -> None:
        """Stand at the end, with the place of the last change of each shard: by it one that is published again is known."""
        begins, ends = await records.bounds()
        at = StreamPosition([ShardPosition(max(begins[shard], ends[shard] - 1)) for shard in range(self._settings.shards)])
        records.seek({shard: one.kafka_offset for shard, one in enumerate(at.shards)})
        while any(one.kafka_offset < ends[shard] for shard, one in enumerate(at.shards)):
            for record in await records.take():
                at.take(record)
            for shard, offset in (await records.positions()).items():
                at.move(shard, ShardPosition(max(offset, at.shards[shard].kafka_offset), at.shards[shard].place))
        self.begin(at)

    def begin(self, position: StreamPosition) -> None:
        """Take records from here on."""
        self.position = position
        self._begin = [one.kafka_offset for one in position.shards]
        self.ready.set()

    def add(self, records: list[ChangeRecord]) -> None:
        """The next records; those that repeat a change are left out."""
        for record in records:
            if not self.position.take(record):
                continue
            entry = entry_of(record, self.position.text())
            self._entries.append(entry)
            self._bytes += len(entry.event) + len(entry.id)
            self.end += 1
            self._metrics.changes_read.inc()
        while len(self._entries) > KEPT_RECORDS or self._bytes > KEPT_BYTES:
            self._drop_oldest()
        self.wake()

    def _drop_oldest(self) -> None:
        entry = self._entries.popleft()
        self._begin[entry.record.shard] = entry.record.kafka_offset + 1
        self._bytes -= len(entry.event) + len(entry.id)
        self.first += 1

    def wake(self) -> None:
        """Have all who wait look again."""
        self._chunks.clear()
        self._changed.set()
        self._changed = asyncio.Event()

    def covers(self, position: StreamPosition) -> bool:
        """Whether everything behind a position is among the entries, or still to come."""
        return all(
            begin <= mine.kafka_offset <= newest.kafka_offset
            for begin, mine, newest in zip(self._begin, position.shards, self.position.shards, strict=True)
        )

    def is_behind(self, position: StreamPosition) -> bool:
        """Whether somebody stands before the oldest entry."""
        return any(mine.kafka_offset < begin for begin, mine in zip(self._begin, position.shards, strict=True))

    def entry(self, number: int) -> FeedEntry:
        """The entry of a number from ``first`` to below ``end``."""
        return self._entries[number - self.first]

    def chunk(self, number: int, wanted: ChangeFilter) -> tuple[bytes, int]:
        """What a reader who stands at a number gets next, and the number at which they stand then. Readers at the same number share it."""
        key = number, wanted
        if key not in self._chunks:
            parts, size, at = list[bytes](), 0, number
            while at < self.end and size < CHUNK_BYTES:
                entry = self.entry(at)
                if wanted.wants(entry.segment):
                    parts += entry.id, entry.event
                    size += len(entry.id) + len(entry.event)
                at += 1
            if len(self._chunks) >= CHUNKS_SHARED:
                self._chunks.clear()
            self._chunks[key] = b"".join(parts), at
        return self._chunks[key]

    def id_at(self, number: int) -> bytes:
        """The id behind which a reader stands who stands at a number."""
        return self.entry(number - 1).id if number > self.first else b""

    async def changed(self, seconds: float) -> None:
        """Return when something has come, or after so long."""
        event = self._changed
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return


__all__ = ["ChangeFilter", "Feed", "FeedEntry", "entry_of"]
