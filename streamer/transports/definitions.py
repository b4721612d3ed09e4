"""The topic of definitions on Kafka: read as far as it goes, written by whoever publishes.

Nothing of it is asked for often, so each look has a consumer of its own, and no connection is held for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streamer.flow.published import Published, definitions_in
from streamer.settings import Settings
from streamer.wire import DEFINITIONS, LogRecord

from .kafka import connection, log_record

READ_SECONDS: Final = 30.0  # a partition without a leader would keep us for ever
POLL_MS: Final = 500


async def read_published(settings: Settings) -> Published:
    """What the topic says now. Raises KafkaError, TimeoutError."""
    published = Published()
    async with asyncio.timeout(READ_SECONDS), aclosing(_records(settings, 0)) as records:
        async for record in records:
            published.take(record)
    return published


class DefinitionsTopic:
    """``flow.published.Versions`` on Kafka, and the record of what was published."""

    def __init__(self, settings: Settings, client: AIOKafkaProducer) -> None:
        self.published = Published()
        self._settings = settings
        self._producer = client
        self._reading = asyncio.Lock()

    async def refresh(self) -> Published:
        """Read what came since the last look. Raises KafkaError, TimeoutError."""
        async with self._reading, asyncio.timeout(READ_SECONDS), aclosing(_records(self._settings, self.published.end)) as records:
            async for record in records:
                self.published.take(record)
        return self.published

    async def append(self, raw: bytes) -> int:
        """Write a record and wait for the acknowledgement; its offset."""
        written = await self._producer.send_and_wait(self._settings.topic(DEFINITIONS), raw, partition=0)
        return written.offset

    async def content(self, version: int) -> bytes | None:
        """See ``flow.published.Versions``."""
        found = self.published.at(version) or (await self.refresh()).at(version)
        if found is None:
            return None
        async with asyncio.timeout(READ_SECONDS), aclosing(_records(self._settings, found.offset)) as records:
            return definitions_in(await anext(records))


async def _records(settings: Settings, begin: int) -> AsyncGenerator[LogRecord]:
    """From an offset to the end."""
    async with _consumer(settings) as consumer:
        partition = TopicPartition(settings.topic(DEFINITIONS), 0)
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        if begin >= end:
            return
        consumer.seek(partition, begin)
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                for record in records:
                    yield log_record(record)


@asynccontextmanager
async def _consumer(settings: Settings) -> AsyncGenerator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(**connection(settings), enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=20)
    try:
        await consumer.start()
        yield consumer
    finally:
        await consumer.stop()
