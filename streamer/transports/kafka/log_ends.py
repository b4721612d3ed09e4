"""Where the logs of the shards begin and end, asked from outside a worker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from streamer.settings import Settings
from streamer.wire import EVENTS

from .clients import connection


class LogEnds(NamedTuple):
    """The first offset of a partition and the one behind its last, with what open transactions hold."""

    begin: int
    end: int


async def read_log_ends(
    settings: Settings, shards: Iterable[int], since_ms: int | None = None, *, topic: str = EVENTS
) -> dict[int, LogEnds]:
    """Where the log of each of these shards, or another topic of theirs, begins and ends. Raises KafkaError; waits as long as the client
    does, so bound it.

    ``since_ms`` (UTC): begins are those of the first record that arrived then or later; the end where there is none.
    """
    consumer = AIOKafkaConsumer(**connection(settings), enable_auto_commit=False, request_timeout_ms=5_000)
    try:
        await consumer.start()
        log = [TopicPartition(settings.topic(topic), shard) for shard in shards]
        begins, ends = await consumer.beginning_offsets(log), await consumer.end_offsets(log)
        if since_ms is not None:
            found = await consumer.offsets_for_times(dict.fromkeys(log, since_ms))
            begins = {at: ends[at] if (first := found[at]) is None else first.offset for at in log}
        return {at.partition: LogEnds(begins[at], ends[at]) for at in log}
    finally:
        await consumer.stop()
