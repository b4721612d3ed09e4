"""Consumers for reading the log of a shard beside the loop, kept for a while: a lane comes back for what is new every second.

To start one takes tens of milliseconds of the loop, which live traffic waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from streamer.settings import Settings
from streamer.wire import EVENTS, LogRecord

from .clients import log_record
from .partition import STALL_SECONDS, partition_consumer, read_by

KEPT_SECONDS: Final = 10.0


class _Resting(NamedTuple):
    consumer: AIOKafkaConsumer
    ends: asyncio.TimerHandle


class KeptReaders:
    """Reads logs from an offset to where they end. Each consumer has one partition, and rests while nobody reads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: dict[int, _Resting] = {}
        self._stopping = set[asyncio.Task[None]]()

    async def read(self, shard: int, offset: int, limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
        """The log of a shard from an offset to where it ends now, at most ``limit`` records at a time. Raises what ``read_partition``
        does; after an error the consumer is not kept."""
        at = TopicPartition(self._settings.topic(EVENTS), shard)
        consumer, is_read = self._take(shard), False
        try:
            if consumer is None:
                consumer = partition_consumer(self._settings, "none")
                async with asyncio.timeout(STALL_SECONDS):
                    await consumer.start()
            async with aclosing(read_by(consumer, at, begin=offset, max_records=limit)) as batches:
                async for records in batches:
                    yield [log_record(record) for record in records]
            is_read = True
        except GeneratorExit:  # its reader has all that it wanted
            is_read = True
            raise
        finally:
            if consumer is not None and is_read:
                consumer.pause(at)  # or it would be fetched on
            if consumer is not None and not (is_read and self._keep(shard, consumer)):
                await consumer.stop()

    async def stop(self) -> None:
        """Close all that rest."""
        consumers = [consumer for shard in list(self._kept) if (consumer := self._take(shard)) is not None]
        await asyncio.gather(*(consumer.stop() for consumer in consumers), *self._stopping)

    def _take(self, shard: int) -> AIOKafkaConsumer | None:
        kept = self._kept.pop(shard, None)
        if kept is None:
            return None
        kept.ends.cancel()
        return kept.consumer

    def _keep(self, shard: int, consumer: AIOKafkaConsumer) -> bool:
        """Have a consumer rest; False where one of the same shard does already."""
        if shard in self._kept:
            return False
        self._kept[shard] = _Resting(consumer, asyncio.get_running_loop().call_later(KEPT_SECONDS, self._end, shard))
        return True

    def _end(self, shard: int) -> None:
        consumer = self._take(shard)
        if consumer is not None:
            task = asyncio.get_running_loop().create_task(consumer.stop())
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)


__all__ = ["KeptReaders"]
