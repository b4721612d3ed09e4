"""Looks at the log beside the loop that reads it: where it begins and ends, and whether a record that was read is still there.

One consumer without a group for all shards of a worker. Of a partition it asks for one batch at a time, so a shard that is far behind costs
no more than one that is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from streamer.flow.same_log import Unread, View
from streamer.settings import Settings
from streamer.wire import EVENTS, HISTORY, LogRecord

from .clients import METADATA_MS, log_record, reader
from .kept_readers import KeptReaders
from .partition import read_partition

LOOK_SECONDS: Final = 5.0
PARTITION_BYTES: Final = 4_096  # of one partition in one fetch; a longer batch comes whole when its partition is the first
POLL_MS: Final = 200

_Offsets = dict[TopicPartition, int]


class LogInspector:
    """Asks what the log has. Every question takes at most ``LOOK_SECONDS``; TimeoutError or KafkaError when it was not answered."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topic(EVENTS)
        self._readers = KeptReaders(settings)
        self._consumer: AIOKafkaConsumer | None = None
        self._lock = asyncio.Lock()  # one question at a time: the consumer stands at one place

    async def stop(self) -> None:
        """Close the connections."""
        await self._readers.stop()
        if self._consumer is not None:
            await self._consumer.stop()

    async def look(self, shard: int, offset: int) -> View:
        """What the log of a shard has; of records the one at ``offset``, if that is not negative."""
        return (await self.look_at_all({shard: offset}))[shard]

    async def look_at_all(self, offsets: Mapping[int, int]) -> dict[int, View]:
        """``look`` at each shard with its offset, at the cost of one: one question for all begins, one for all ends, one for the records.

        One partition whose leader is away leaves all of them without an answer.
        """
        async with self._asking(list(offsets)) as (consumer, begins, ends):
            wanted = {at: offset for at in begins if begins[at] <= (offset := offsets[at.partition]) < ends[at]}
            first = await _first(consumer, wanted, ends)
        records = {at: record for at, record in first.items() if record.offset == wanted[at]}
        return {at.partition: View(begin, ends[at], records.get(at)) for at, begin in begins.items()}

    async def unread(self, shard: int, offset: int) -> Unread:
        """What the log of a shard has at or behind an offset."""
        async with self._asking([shard]) as (consumer, begins, ends):
            [(at, end)] = ends.items()
            if offset >= end:
                return Unread(None, end)
            record = (await _first(consumer, {at: max(begins[at], offset)}, ends)).get(at)
            return Unread(record.offset if record is not None else None, max(end, consumer.highwater(at) or 0))

    async def read(self, shard: int, offset: int, limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
        """The log of a shard from an offset to where it ends now, by a consumer of its own; TimeoutError when nothing comes for long."""
        async with aclosing(self._readers.read(shard, offset, limit)) as batches:
            async for records in batches:
                yield records

    async def history(self, shard: int, begin: int, end: int, limit: int) -> Sequence[LogRecord]:
        """See ``flow.shard_log.Histories``. Raises KafkaError, TimeoutError."""
        found = list[LogRecord]()
        async with aclosing(read_partition(self._settings, HISTORY, shard, begin=begin, max_records=limit)) as batches:
            async for records in batches:
                found += [log_record(record) for record in records[: limit - len(found)] if record.offset < end]
                if len(found) == limit or records[-1].offset + 1 >= end:
                    break
        return found

    async def partitions(self) -> int:
        """How many partitions the topic of events has; 0 when it is not there."""
        async with asyncio.timeout(LOOK_SECONDS), self._lock:
            consumer = await self._started()
            return len(consumer.partitions_for_topic(self._topic) or ())

    @asynccontextmanager
    async def _asking(self, shards: Sequence[int]) -> AsyncGenerator[tuple[AIOKafkaConsumer, _Offsets, _Offsets]]:
        """The consumer, for one question about shards; where the log of each begins, and the offset before which it ends."""
        partitions = [TopicPartition(self._topic, shard) for shard in shards]
        async with asyncio.timeout(LOOK_SECONDS), self._lock:
            consumer = await self._started()
            begins = await consumer.beginning_offsets(partitions)
            yield consumer, begins, await consumer.end_offsets(partitions)

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = reader(
                self._settings,
                enable_auto_commit=False,
                auto_offset_reset="none",
                max_partition_fetch_bytes=PARTITION_BYTES,
                metadata_max_age_ms=METADATA_MS,
            )
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            at = TopicPartition(self._topic, 0)
            consumer.assign([at])  # only so that it goes on to know the topic
            consumer.pause(at)
            consumer.seek(at, 0)
            await consumer._client.force_metadata_update()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - it is not known yet
            self._consumer = consumer
        return self._consumer


async def _first(consumer: AIOKafkaConsumer, offsets: _Offsets, ends: _Offsets) -> dict[TopicPartition, LogRecord]:
    """The first committed record of each partition at or behind its offset and before its end, where there is one."""
    found: dict[TopicPartition, LogRecord] = {}
    if not offsets:
        return found
    consumer.assign(list(offsets))
    for at, offset in offsets.items():
        consumer.seek(at, offset)
    left = set(offsets)
    while left:
        for at, records in (await consumer.getmany(*left, timeout_ms=POLL_MS)).items():
            found[at] = log_record(records[0])
        done = {at for at in left if at in found or await consumer.position(at) >= ends[at]}
        consumer.pause(*done)  # or it would be fetched on, up to the end and beyond
        left -= done
    return found
