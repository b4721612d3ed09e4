"""The sink over a broker keeps a sink's promises, and a reader of the changes sees each once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.mock_kafka import MockKafka
from streamer.settings import Settings
from streamer.transports.kafka.clients import connection, producer
from streamer.transports.kafka.sink import KafkaSink
from streamer.transports.kafka.topics import ensure_topics
from tests.contract.sink_promises import PROMISES, SHARDS, Desk, Found


class KafkaDesk:
    """Topics of one test on a broker."""

    def __init__(self, settings: Settings, client: AIOKafkaProducer) -> None:
        self._settings = settings
        self.sink = KafkaSink(settings, client)

    async def read(self, topic: str, partition: int) -> list[Found]:
        consumer = AIOKafkaConsumer(**connection(self._settings), enable_auto_commit=False, auto_offset_reset="earliest")
        await consumer.start()
        try:
            place = TopicPartition(self._settings.topic(topic), partition)
            consumer.assign([place])
            end = (await consumer.end_offsets([place]))[place]
            found: list[Found] = []
            consumer.seek(place, 0)
            while await consumer.position(place) < end:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += [Found(record.key or b"", record.value or b"", dict(record.headers)) for record in records]
            return found
        finally:
            await consumer.stop()


@pytest.fixture
async def desk(broker: ApacheKafka | ExternalKafka | MockKafka, fresh_name: str) -> AsyncIterator[KafkaDesk]:
    """Fresh topics."""
    settings = Settings(kafka=broker.bootstrap, topic_prefix=fresh_name, shards=SHARDS)  # pyright: ignore[reportCallIssue] - all have defaults
    await _create(broker, settings)
    client = producer(settings)
    await client.start()
    try:
        yield KafkaDesk(settings, client)
    finally:
        await client.stop()


async def _create(broker: ApacheKafka | ExternalKafka | MockKafka, settings: Settings) -> None:
    if isinstance(broker, MockKafka):
        for suffix in ("events", "segment-changes", "dead-letters"):
            broker.create_topic(settings.topic(suffix), SHARDS)
    else:
        await ensure_topics(settings)


@pytest.mark.parametrize("promise", PROMISES)
async def test_the_sink_on_kafka_keeps(promise: Callable[[Desk], Awaitable[None]], desk: KafkaDesk) -> None:
    """Each promise, over fresh topics."""
    await promise(desk)
