"""Transactions that a producer left open: what lies behind the first record of one is read by nobody until it ends, ticks included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from streamer.settings import Settings
from streamer.wire import EVENTS

from .clients import ReaderOptions, connection, reader

HELD_SECONDS: Final = 10.0  # sinks commit every few seconds; a producer that died is timed out after a minute by default
FIND: Final = "kafka-transactions.sh --bootstrap-server {kafka} find-hanging --topic {topic} names its producer, and abort ends it"


@dataclass(slots=True)
class Held:
    """Where the log of a shard stands still for a transaction, and since when, in seconds of a clock that never goes back."""

    offset: int | None = None
    since: float = 0.0
    records: int = 0  # that lie behind that place

    def see(self, end: int | None, stable: int | None, now: float) -> None:
        """The log ends at ``end``, and what is decided of it at ``stable``; None or a negative offset: the broker does not say."""
        if end is None or stable is None or not 0 <= stable < end:
            self.offset, self.records = None, 0
            return
        self.records = end - stable
        if stable != self.offset:
            self.offset, self.since = stable, now

    def problem(self, now: float) -> str:
        """What a person should know; empty for a transaction that is as short as they are."""
        if self.offset is None or now - self.since <= HELD_SECONDS:
            return ""
        return (
            f"an open transaction holds the log at offset {self.offset} for {now - self.since:.0f} s: nothing behind it is read, ticks too"
        )


async def open_since(settings: Settings, shards: int) -> Mapping[int, tuple[int, int]]:
    """Where an open transaction holds the log, by shard: the offset of its first record, and when that arrived in UTC milliseconds."""
    at = [TopicPartition(settings.topic(EVENTS), shard) for shard in range(shards)]
    options: ReaderOptions = {"enable_auto_commit": False, "auto_offset_reset": "none", "request_timeout_ms": 5_000}
    async with AIOKafkaConsumer(**connection(settings), **options) as every, reader(settings, **options) as decided:
        ends = await every.end_offsets(at)
        stable = await decided.end_offsets(at)  # asked later: what was written in between is not taken for undecided
        held = [partition for partition in at if stable[partition] < ends[partition]]
        return {partition.partition: (stable[partition], await _arrival_ms(every, partition, stable[partition])) for partition in held}


async def _arrival_ms(consumer: AIOKafkaConsumer, at: TopicPartition, offset: int) -> int:
    consumer.assign([at])
    consumer.seek(at, offset)
    return (await consumer.getone(at)).timestamp


__all__ = ["FIND", "HELD_SECONDS", "Held", "open_since"]
