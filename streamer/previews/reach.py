"""How far back the log of a deployment reaches, and which clauses of definitions look further."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Final

from aiokafka.errors import KafkaError

from streamer.errors import SettingsError
from streamer.segments.plan.plan import Plan, warming_predicates
from streamer.settings import Settings
from streamer.transports.kafka.clients import log_record
from streamer.transports.kafka.log_ends import read_log_ends
from streamer.transports.kafka.partition import read_partition
from streamer.wire import EVENTS

from .conclusion import by_segment

ANSWER_SECONDS: Final = 15.0


async def log_reach_ms(settings: Settings) -> int | None:
    """Since when the logs of all shards have whatever arrived, in UTC milliseconds; None where each still has its first record.

    Raises SettingsError where Kafka does not answer.
    """
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            ends = await read_log_ends(settings, range(settings.shards))
        firsts = [await _first_ms(settings, shard, at.begin) for shard, at in ends.items() if 0 < at.begin < at.end]
    except (KafkaError, TimeoutError) as error:
        raise SettingsError(f"STREAMER_KAFKA: cannot read the log at {settings.kafka} ({type(error).__name__})") from None
    return max((first for first in firsts if first is not None), default=None)


async def _first_ms(settings: Settings, shard: int, begin: int) -> int | None:
    async with aclosing(read_partition(settings, EVENTS, shard, begin=begin, max_records=1)) as batches:
        async for records in batches:
            return log_record(records[0]).arrival_ms
    return None


def beyond(plan: Plan, reach_ms: int, now_ms: int) -> list[tuple[str, str]]:
    """(segment, clause) of the clauses that look further back than a log that reaches back to a moment; both in UTC milliseconds."""
    found = by_segment(plan, warming_predicates(plan, {memory.key: reach_ms for memory in plan.memories}, now_ms))
    return sorted((plan.names[number], text) for number, texts in found.items() if number < len(plan.names) for text in texts)


__all__ = ["beyond", "log_reach_ms"]
