"""Looks at the log beside the loop that reads it: where it begins and ends, and whether a record that was read is still there.

One consumer without a group for all shards of a worker. It asks for one batch of one partition at a time, so a shard that is far behind
costs no more than one that is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from streamer.flow.same_log import Unread, View
from streamer.settings import Settings
from streamer.wire import EVENTS, LogRecord

from .clients import METADATA_MS, log_record, reader
from .partition import read_partition

LOOK_SECONDS: Final = 5.0


class LogInspector:
    """Asks what the log has. Every question takes at most ``LOOK_SECONDS``; TimeoutError or KafkaError when it was not answered."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topic(EVENTS)
        self._consumer: AIOKafkaConsumer | None = None
        self._lock = asyncio.Lock()  # one question at a time: the consumer stands at one place

    async def stop(self) -> None:
        """Close the connections."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def look(self, shard: int, offset: int) -> View:
        """What the log of a shard has; of records the one at ``offset``, if that is not negative."""
        async with self._asking(shard) as (consumer, at, begin, end):
            record = await _read(consumer, at, offset, end) if begin <= offset < end else None
            return View(begin, end, record)

    async def unread(self, shard: int, offset: int) -> Unread:
        """What the log of a shard has at or behind an offset."""
        async with self._asking(shard) as (consumer, at, begin, end):
            if offset >= end:
                return Unread(None, end)
            record = await _first(consumer, at, max(begin, offset), end)
            return Unread(record.offset if record is not None else None, max(end, consumer.highwater(at) or 0))

    async def read(self, shard: int, offset: int, limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
        """The log of a shard from an offset to where it ends now, by a consumer of its own; TimeoutError when nothing comes for long."""
        async with aclosing(read_partition(self._settings, EVENTS, shard, begin=offset, max_records=limit)) as batches:
            async for records in batches:
                yield [log_record(record) for record in records]

    async def partitions(self) -> int:
        """How many partitions the topic of events has; 0 when it is not there."""
        async with asyncio.timeout(LOOK_SECONDS), self._lock:
            consumer = await self._started()
            return len(consumer.partitions_for_topic(self._topic) or ())

    @asynccontextmanager
    async def _asking(self, shard: int) -> AsyncGenerator[tuple[AIOKafkaConsumer, TopicPartition, int, int]]:
        """The consumer, for one question about a shard, whose log begins at the first offset and ends before the second."""
        at = TopicPartition(self._topic, shard)
        async with asyncio.timeout(LOOK_SECONDS), self._lock:
            consumer = await self._started()
            begin = (await consumer.beginning_offsets([at]))[at]
            yield consumer, at, begin, (await consumer.end_offsets([at]))[at]

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = reader(
                self._settings,
                enable_auto_commit=False,
                auto_offset_reset="none",
                max_partition_fetch_bytes=1,  # the broker gives one whole batch all the same
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


async def _read(consumer: AIOKafkaConsumer, at: TopicPartition, offset: int, end: int) -> LogRecord | None:
    """The record at ``offset``, if there is one and it is committed."""
    found = await _first(consumer, at, offset, end)
    return found if found is not None and found.offset == offset else None


async def _first(consumer: AIOKafkaConsumer, at: TopicPartition, offset: int, end: int) -> LogRecord | None:
    """The first committed record at or behind ``offset``, and before ``end``."""
    consumer.assign([at])
    consumer.seek(at, offset)
    while await consumer.position(at) < end:
        for records in (await consumer.getmany(timeout_ms=200, max_records=1)).values():
            return log_record(records[0])
    return None
