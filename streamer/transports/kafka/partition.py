"""One partition read to its end: the definitions, a shard's amendments, dead letters, the tail of a sink, the log for a refold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from streamer.settings import Settings

from .clients import reader

STALL_SECONDS: Final = 30.0  # a partition without a leader would keep us for ever
POLL_MS: Final = 500
WAIT_MS: Final = 20  # the broker holds an empty answer no longer: at the end of the partition nothing is waited for


async def read_partition(
    settings: Settings,
    topic: str,
    partition: int,
    *,
    begin: int | None = None,
    newest: int | None = None,
    max_records: int | None = None,
    stall_seconds: float = STALL_SECONDS,
) -> AsyncGenerator[Sequence[ConsumerRecord[bytes, bytes]]]:
    """Batches of aiokafka's records of a partition, from where it begins to where it ends when the reading begins.

    ``topic`` is one of ``wire``'s, without the prefix. ``begin`` is the offset of the first record wanted; KafkaError where it lies before
    the first one that is kept. ``newest`` wants only so many offsets before the end. No batch has more than ``max_records``.

    Records of open and of aborted transactions are not read. The end is asked once, so a partition that grows faster than it is read has
    an end too; what comes in the batch behind it is left out. TimeoutError when for ``stall_seconds`` nothing comes, however long the
    whole takes. The consumer is of this reading alone and is closed with it: use ``aclosing`` where you may stop before the end.
    """
    at = TopicPartition(settings.topic(topic), partition)
    consumer = partition_consumer(settings, "earliest" if begin is None else "none")
    try:
        async with asyncio.timeout(stall_seconds):
            await consumer.start()
        async with aclosing(
            read_by(consumer, at, begin=begin, newest=newest, max_records=max_records, stall_seconds=stall_seconds)
        ) as batches:
            async for records in batches:
                yield records
    finally:
        await consumer.stop()


def partition_consumer(settings: Settings, reset: str) -> AIOKafkaConsumer:
    """One of its own for ``read_by``, not started. ``reset`` is what is done where nobody says at which offset to begin."""
    return reader(settings, enable_auto_commit=False, auto_offset_reset=reset, fetch_max_wait_ms=WAIT_MS)


async def read_by(
    consumer: AIOKafkaConsumer,
    at: TopicPartition,
    *,
    begin: int | None,
    newest: int | None = None,
    max_records: int | None = None,
    stall_seconds: float = STALL_SECONDS,
) -> AsyncGenerator[Sequence[ConsumerRecord[bytes, bytes]]]:
    """``read_partition`` by a consumer that is started, and is nobody else's meanwhile."""
    async with asyncio.timeout(stall_seconds):
        end = await _seek(consumer, at, begin, newest)
    position = -1
    while position < end:
        async with asyncio.timeout(stall_seconds):
            records, position = await _next(consumer, at, end, max_records)
        if records:
            yield records


async def _seek(consumer: AIOKafkaConsumer, at: TopicPartition, begin: int | None, newest: int | None) -> int:
    """Stand at the first record wanted; where the partition ends, or -1 if nothing is wanted."""
    consumer.assign([at])
    end = (await consumer.end_offsets([at]))[at]
    first = (await consumer.beginning_offsets([at]))[at] if begin is None else begin
    if newest is not None:
        first = max(first, end - newest)
    consumer.seek(at, first)
    return end if first < end else -1


async def _next(
    consumer: AIOKafkaConsumer, at: TopicPartition, end: int, max_records: int | None
) -> tuple[list[ConsumerRecord[bytes, bytes]], int]:
    """The next records before ``end``, and the position behind them. None, where only markers of transactions lay there."""
    before = await consumer.position(at)
    while (position := before) < end:
        found = (await consumer.getmany(at, timeout_ms=POLL_MS, max_records=max_records)).get(at, [])
        position = await consumer.position(at)
        if found or position > before:
            return [record for record in found if record.offset < end], position
    return [], position
