"""Kafka's twin in memory: topics of one partition per shard, and the sink that writes to them. For tests and simulations.

It keeps bytes only, positions in the headers included, so whoever uses it pays for encoding like everywhere else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Final, NamedTuple

from streamer.flow.reader import Deduplicator
from streamer.flow.same_log import Unread, View
from streamer.segments.change import Change
from streamer.segments.merge import Merge, decode_change_or_merge
from streamer.segments.unmerge import Unmerge
from streamer.signing import Signer
from streamer.stores.base import OutputPosition
from streamer.wire import (
    CHANGES,
    CONTROL_HEADER,
    EVENTS,
    HISTORY,
    POSITION_HEADER,
    TICK,
    TOPICS,
    Headers,
    LogRecord,
    Output,
    arrival_of,
    lane_of,
    position_text,
    read_position,
)

from .signed import control_headers, headers_of

CONTROL: Final = ((CONTROL_HEADER, b"1"),)  # of a tick; any other is signed where keys hold


class MemoryRecord(NamedTuple):
    """One record as a broker keeps it. ``arrival_ms`` is the broker's time, or the producer's where ``broker_time`` is false."""

    arrival_ms: int
    key: bytes
    value: bytes
    headers: Headers
    broker_time: bool = True


class MemoryLog:
    """Topics by their suffix. ``now`` is the broker's clock in UTC milliseconds."""

    def __init__(self, shards: int, now: Callable[[], int]) -> None:
        self.shards = shards
        self._now = now
        self._topics: dict[str, list[list[MemoryRecord | None]]] = {topic: [[] for _ in range(shards)] for topic in (*TOPICS, HISTORY)}

    def append(
        self, topic: str, partition: int, value: bytes, *, key: bytes = b"", headers: Headers = (), producer_ms: int | None = None
    ) -> int:
        """Write a record; return its offset. ``producer_ms``: its time is its producer's, as where the topic has ``CreateTime``."""
        records = self._topics[topic][partition]
        is_brokers = producer_ms is None
        records.append(MemoryRecord(self._now() if producer_ms is None else producer_ms, key, value, headers, is_brokers))
        return len(records) - 1

    def send_control(self, raw: bytes, shards: Sequence[int] | None = None, *, signer: Signer | None = None) -> None:
        """Write a control record into shards (all, if none are named)."""
        for shard in range(self.shards) if shards is None else shards:
            self.append(EVENTS, shard, raw, headers=control_headers(signer, shard, raw))

    def send_tick(self, shard: int) -> None:
        """Let time pass in a shard."""
        self.send_control(TICK, [shard])

    def use_offset(self, topic: str, partition: int) -> None:
        """Take an offset for something that no reader gets: a transaction's marker, or a record of one that was aborted."""
        self._topics[topic][partition].append(None)

    def end(self, topic: str, partition: int) -> int:
        """The offset that the next record will have."""
        return len(self._topics[topic][partition])

    def read_end(self, topic: str, partition: int) -> int:
        """The offset behind the last record that a reader gets: the position of one who has read everything."""
        records = self._topics[topic][partition]
        return next((offset + 1 for offset in range(len(records) - 1, -1, -1) if records[offset] is not None), 0)

    def records(self, topic: str, partition: int) -> Sequence[MemoryRecord]:
        """Every record in a partition that a reader gets."""
        return [record for record in self._topics[topic][partition] if record is not None]

    def fetch(self, shard: int, offset: int, limit: int) -> list[LogRecord]:
        """At most ``limit`` records of the input from ``offset``, as a shard reads them."""
        found = [(at, record) for at, record in enumerate(self._topics[EVENTS][shard][offset:], offset) if record is not None]
        return [_log_record(place, record) for place, record in found[:limit]]

    async def history(self, shard: int, begin: int, end: int, limit: int) -> Sequence[LogRecord]:
        """See ``flow.shard_log.Histories``."""
        found = [(at, record) for at, record in enumerate(self._topics[HISTORY][shard][begin:end], begin) if record is not None]
        return [_log_record(place, record) for place, record in found[:limit]]

    async def look(self, shard: int, offset: int) -> View:
        """What the log of a shard has, and at ``offset``."""
        found = self.fetch(shard, offset, 1) if offset >= 0 else []
        return View(0, self.end(EVENTS, shard), found[0] if found and found[0].offset == offset else None)

    async def unread(self, shard: int, offset: int) -> Unread:
        """What the log of a shard has at or behind an offset."""
        found = self.fetch(shard, offset, 1)
        return Unread(found[0].offset if found else None, self.end(EVENTS, shard))

    async def read(self, shard: int, offset: int, limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
        """The log of a shard to its end: ``flow.refold.Log``."""
        while records := self.fetch(shard, offset, limit):
            yield records
            offset = records[-1].offset + 1

    def read_changes(self) -> Iterator[Change]:
        """Segment changes as a downstream service should read them: each once, in order per shard."""
        return (said for said in self._said() if isinstance(said, Change))

    def read_merges(self) -> Iterator[Merge]:
        """What says that the past of another id has come to a customer, likewise."""
        return (said for said in self._said() if isinstance(said, Merge))

    def read_unmerges(self) -> Iterator[Unmerge]:
        """What says that an id is a customer again, likewise."""
        return (said for said in self._said() if isinstance(said, Unmerge))

    def _said(self) -> Iterator[Change | Merge | Unmerge]:
        highest = Deduplicator()
        for partition in range(self.shards):
            for record in self.records(CHANGES, partition):
                said = decode_change_or_merge(record.value)
                position = said.data.position
                if highest.is_new(position.shard, position.generation, position.offset, position.ordinal):
                    yield said


def _log_record(place: int, record: MemoryRecord) -> LogRecord:
    return LogRecord(
        place,
        arrival_of(record.headers, record.arrival_ms),
        record.value,
        any(name == CONTROL_HEADER for name, _ in record.headers),
        record.key,
        record.headers,
        record.broker_time,
    )


class MemorySink:
    """Publishes outputs: ``flow.relay.Sink`` on a ``MemoryLog``."""

    def __init__(self, log: MemoryLog, generation: int = 1, signer: Signer | None = None) -> None:
        self._log = log
        self._generation = generation
        self._signer = signer

    async def tail(self, topic: str, shard: int) -> OutputPosition | None:
        """See ``Sink``."""
        found = (position_of(record) for record in self._log.records(topic, shard) if not lane_of(record.headers))
        return max(
            (OutputPosition(offset, ordinal) for generation, offset, ordinal in found if generation == self._generation), default=None
        )

    async def send(self, outputs: Sequence[Output]) -> None:
        """See ``Sink``."""
        for output in outputs:
            headers = ((POSITION_HEADER, position_text(self._generation, output.offset, output.ordinal)), *headers_of(output, self._signer))
            self._log.append(output.topic, output.partition, output.value, key=output.key, headers=headers)


def position_of(record: MemoryRecord) -> tuple[int, int, int]:
    """Generation, offset and ordinal of an output. Only for records that a sink has written."""
    found = read_position(dict(record.headers)[POSITION_HEADER])
    assert found is not None, f"no position of an output: {record.headers}"
    return found
