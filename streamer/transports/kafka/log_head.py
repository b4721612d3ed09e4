"""History on Kafka, at the head of a log that has not begun or in a topic of its own: its newest records, and more behind them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from streamer.errors import SettingsError
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
    """Writes history with a producer that repeats nothing within its session: see ``imports.importer.HistoryWriter``.

    ``ends`` has by shard where its records are to lie: behind what was there when it was looked what is there. Where one comes to lie
    elsewhere, somebody else writes there too: SettingsError, since what both write is not in the order of time.
    """

    def __init__(self, settings: Settings, client: AIOKafkaProducer, topic: str, ends: Mapping[int, int]) -> None:
        self._topic = settings.topic(topic)
        self._client = client
        self._next: dict[int, int | None] = dict(ends)  # by shard the next offset; None where the broker did not say it
        self._on_the_way: deque[tuple[asyncio.Future[RecordMetadata], int]] = deque()  # with how many records each has

    async def write(self, records: list[tuple[int, Arrival, Headers]]) -> None:
        """Write some more, in whole batches: a future for each record would be most of what a record costs. Raises KafkaError and
        SettingsError, also for some that were written before."""
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
        while self._on_the_way and (len(self._on_the_way) > ON_THE_WAY_MAX or self._on_the_way[0][0].done()):
            await self._settle()

    async def _send(self, shard: int, batch: BatchBuilder) -> None:
        count = batch.record_count()
        self._on_the_way.append((await self._client.send_batch(batch, self._topic, partition=shard), count))

    async def finish(self) -> None:
        """Wait until all of it is acknowledged. Raises KafkaError, SettingsError."""
        while self._on_the_way:
            await self._settle()

    async def _settle(self) -> None:
        """See to it that the oldest batch lies where it is to lie."""
        future, count = self._on_the_way.popleft()
        written = await future
        shard, offset = written.partition, written.offset  # of the first of the batch
        expected = self._next[shard]
        if offset >= 0 and expected is not None and offset != expected:
            raise SettingsError(
                f"shard {shard}: somebody else brings history in at the same time, and what both have written since lies mixed: what is "
                "not in the order of time will count as late. Let the other come to its end, then do this again: it goes on behind that"
            )
        self._next[shard] = offset + count if offset >= 0 else None


def _append(batch: BatchBuilder, event: Arrival, headers: Headers) -> bool:
    return batch.append(timestamp=None, key=event.key, value=event.value, headers=[*headers]) is not None


__all__ = ["KafkaHistory", "read_tail"]
