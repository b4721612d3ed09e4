"""What an engine has said, read as a service would read it: committed records only."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import time
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from .job import SHARDS, Row

BATCH: Final = 20_000


class Heard(NamedTuple):
    """A change as it reached the reader."""

    at_ms: float  # of the reader's clock
    value: bytes


class Reader:
    """Reads one topic of changes from its beginning."""

    def __init__(self, consumer: Any, topic: str) -> None:
        self._consumer = consumer
        self._partitions = [TopicPartition(topic, shard) for shard in range(SHARDS)]

    async def said(self) -> int:
        """Records up to the last one that is committed, those that mark the end of a transaction too."""
        return sum((await self._consumer.end_offsets(self._partitions)).values())

    async def take(self, wait_ms: int) -> list[Heard]:
        """What has come since, at most a batch."""
        found = await self._consumer.getmany(timeout_ms=wait_ms, max_records=BATCH)
        now_ms = time() * 1_000
        return [Heard(now_ms, record.value) for records in found.values() for record in records if record.value]

    async def all(self) -> list[Heard]:
        """Everything up to where the topic ends now."""
        found: list[Heard] = []
        ends = await self._consumer.end_offsets(self._partitions)
        while any([await self._consumer.position(partition) < end for partition, end in ends.items()]):
            found += await self.take(500)
        return found


@asynccontextmanager
async def reading(bootstrap: str, topic: str) -> AsyncGenerator[Reader]:
    """A reader of its own connection."""
    consumer: Any = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        fetch_max_wait_ms=20,
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, shard) for shard in range(SHARDS)])
        await consumer.seek_to_beginning()
        yield Reader(consumer, topic)
    finally:
        await consumer.stop()


def differences(ours: list[Row], theirs: list[Row], shown: int = 5) -> list[str]:
    """The first rows that differ, and how many; nothing where all are the same, each as often."""
    left, right = sorted(ours), sorted(theirs)
    if left == right:
        return []
    missing, more = _without(left, right), _without(right, left)
    told = [f"{len(missing):,} rows are missing, {len(more):,} are said too much"]
    told += [f"missing {_text(row)}" for row in missing[:shown]]
    return told + [f"more    {_text(row)}" for row in more[:shown]]


def _without(rows: list[Row], others: list[Row]) -> list[Row]:
    left: dict[Row, int] = {}
    for row in others:
        left[row] = left.get(row, 0) + 1
    found: list[Row] = []
    for row in rows:
        if left.get(row, 0):
            left[row] -= 1
        else:
            found.append(row)
    return found


def _text(row: Row) -> str:
    return f"{row.customer} {row.kind} {row.segment} at {row.at_ms} ({row.sequence})"
