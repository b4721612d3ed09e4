"""How far a group has read topics of a shop, asked from outside it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from streamer.settings import Settings

from .clients import connection

REQUEST_MS: Final = 5_000


class SourcePosition(NamedTuple):
    """The group's offset of a partition, None where it has none; the first offset that is kept, and the one behind the last."""

    offset: int | None
    begin: int
    end: int


async def read_positions(settings: Settings, topics: Collection[str], group: str) -> dict[TopicPartition, SourcePosition]:
    """The position of each partition. Raises KafkaError; joins nothing. Topics that are not there are left out. Waits as long as the client
    does, so bound it."""
    places = await _partitions(settings, topics)
    consumer = AIOKafkaConsumer(**connection(settings), group_id=group, enable_auto_commit=False, request_timeout_ms=REQUEST_MS)
    try:
        await consumer.start()
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        return {place: SourcePosition(await consumer.committed(place), begins[place], ends[place]) for place in places}
    finally:
        await consumer.stop()


async def _partitions(settings: Settings, topics: Collection[str]) -> list[TopicPartition]:
    admin = AIOKafkaAdminClient(**connection(settings), request_timeout_ms=REQUEST_MS)
    try:
        await admin.start()
        found = await admin.describe_topics()  # all: asking for one by name would make it on a broker that creates topics by itself
    finally:
        await admin.close()
    return [TopicPartition(one["topic"], part["partition"]) for one in found if one["topic"] in topics for part in one["partitions"]]
