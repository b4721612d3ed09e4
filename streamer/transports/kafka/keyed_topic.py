"""A compacted topic of one partition: of each key the newest value counts, and a key without one is removed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Final

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from streamer.settings import Settings

from .clients import reader
from .partition import read_partition

POLL_MS: Final = 500


async def read_newest(settings: Settings, topic: str) -> dict[str, ConsumerRecord[bytes, bytes]]:
    """The newest record of each key. Raises KafkaError, TimeoutError."""
    found: dict[str, ConsumerRecord[bytes, bytes]] = {}
    async for records in read_partition(settings, topic, 0):
        found.update((_key(record), record) for record in records)
    return found


async def follow(settings: Settings, topic: str) -> AsyncGenerator[Sequence[ConsumerRecord[bytes, bytes]]]:
    """All records from the first one on: the first batch is all up to the end, each further one what came since. Raises KafkaError."""
    at = TopicPartition(settings.topic(topic), 0)
    consumer = reader(settings, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([at])
        end = (await consumer.end_offsets([at]))[at]
        await consumer.seek_to_beginning(at)
        first: list[ConsumerRecord[bytes, bytes]] = []
        while await consumer.position(at) < end:
            first += (await consumer.getmany(at, timeout_ms=POLL_MS)).get(at, [])
        yield first
        while True:
            if records := (await consumer.getmany(at, timeout_ms=POLL_MS)).get(at, []):
                yield records
    finally:
        await consumer.stop()


def _key(record: ConsumerRecord[bytes, bytes]) -> str:
    return (record.key or b"").decode(errors="replace")
