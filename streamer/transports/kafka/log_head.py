"""History on Kafka, at the head of a log that has not begun or in a topic of its own: its newest records, and more behind them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from streamer.flow.replay import Arrival
from streamer.settings import Settings
from streamer.wire import EVENTS, Headers, LogRecord

from .clients import log_record
from .partition import read_partition

TAIL_RECORDS: Final = 5_000  # of one shard: more than happen within one millisecond
ON_THE_WAY_MAX: Final = 64  # batches that are written and not acknowledged yet: at most 16 MB


async def read_tail(settings: Settings, shard: int, topic: str = EVENTS) -> list[LogRecord]:
    """The last records of a shard's log, or of its history. Raises KafkaError, TimeoutError."""
    return [log_record(one) async for records in read_partition(settings, topic, shard, newest=TAIL_RECORDS) for one in records]


class KafkaHistory:
    """Writes history with a producer that repeats nothing within its session: see ``imports.importer.HistoryWriter``."""

    def __init__(self, settings: Settings, client: AIOKafkaProducer, topic: str = EVENTS) -> None:
        self._topic = settings.topic(topic)
        self._client = client
        self._on_the_way: deque[asyncio.Future[RecordMetadata]] = deque()

    async def write(self, records: list[tuple[int, Arrival, Headers]]) -> None:
        """Write some more, in whole batches: a future for each record would be most of what a record costs. Raises KafkaError, also for
        some that were written before."""
        batches = dict[int, BatchBuilder]()
        for shard, event, headers in records:
            batch = batches.get(shard)
            if batch is None:
                batch = batches[shard] = self._client.create_batch()
            if not _append(batch, event, headers):
                await self._send(shard, batch)
                batches[shard] = self._client.create_batch()
                _append(batches[shard], event, headers)  # the first of a batch has room, however large it is
        for shard, batch in batches.items():
            await self._send(shard, batch)
        while len(self._on_the_way) > ON_THE_WAY_MAX:
            await self._on_the_way.popleft()

    async def _send(self, shard: int, batch: BatchBuilder) -> None:
        self._on_the_way.append(await self._client.send_batch(batch, self._topic, partition=shard))

    async def finish(self) -> None:
        """Wait until all of it is acknowledged. Raises KafkaError."""
        while self._on_the_way:
            await self._on_the_way.popleft()


def _append(batch: BatchBuilder, event: Arrival, headers: Headers) -> bool:
    return batch.append(timestamp=None, key=event.key, value=event.value, headers=[*headers]) is not None


__all__ = ["KafkaHistory", "read_tail"]
