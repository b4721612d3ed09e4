"""The examples on Kafka, read from anywhere beside the learner's own consumer, which stands at their end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from streamer.settings import Settings
from streamer.wire import EXAMPLES, LogRecord

from .clients import log_record, reader

BATCH_RECORDS: Final = 2_000
POLL_MS: Final = 500
STALL_SECONDS: Final = 30.0  # a partition without a leader would keep us for ever


class ExamplesReader:
    """``flow.past_examples.ExamplesTopic`` on Kafka. It connects when it is first asked, and is to be closed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._positions: dict[TopicPartition, int] = {}

    async def batch(self, shard: int, offset: int) -> Sequence[LogRecord]:
        """See ``ExamplesTopic``. KafkaError and TimeoutError when the broker does not answer."""
        partition = TopicPartition(self._settings.topic(EXAMPLES), shard)
        async with asyncio.timeout(STALL_SECONDS):
            consumer = await self._connected()
            self._fetch_only(consumer, partition)
            if self._positions.get(partition) != offset:
                consumer.seek(partition, offset)
            while True:
                found = (await consumer.getmany(partition, timeout_ms=POLL_MS, max_records=BATCH_RECORDS)).get(partition, [])
                self._positions[partition] = await consumer.position(partition)
                if found:
                    return [log_record(record) for record in found]
                if self._positions[partition] >= (await consumer.end_offsets([partition]))[partition]:
                    return ()

    @staticmethod
    def _fetch_only(consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        """Nothing is read ahead of the others, which may not be asked for again before much has been learned."""
        others = consumer.assignment() - consumer.paused() - {partition}
        consumer.pause(*others)
        if partition in consumer.paused():
            consumer.resume(partition)

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = reader(self._settings, enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=20)
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            partitions = [TopicPartition(self._settings.topic(EXAMPLES), shard) for shard in range(self._settings.shards)]
            consumer.assign(partitions)
            for partition in partitions:
                consumer.seek(partition, 0)  # else the client asks first where each begins
            self._consumer = consumer
        return self._consumer

    async def close(self) -> None:
        """Let go of the connection; asked again, it connects anew."""
        consumer, self._consumer, self._positions = self._consumer, None, {}
        if consumer is not None:
            await consumer.stop()


__all__ = ["ExamplesReader"]
