"""How far back the log of a deployment reaches, and which clauses of definitions look further."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from typing import Final

from streamer.segments.plan.plan import Plan, warming_predicates
from streamer.settings import Settings
from streamer.transports.kafka.clients import log_record
from streamer.transports.kafka.log_ends import read_log_ends
from streamer.transports.kafka.partition import read_partition
from streamer.wire import EVENTS, HISTORY

from .conclusion import by_segment
from .servers import history_ends, kafka_asked, store_of

ANSWER_SECONDS: Final = 15.0


async def log_reach_ms(settings: Settings) -> int | None:
    """Since when the logs of all shards have whatever arrived, with imported history that is part of the past, in UTC milliseconds; None
    where each still has its first record.

    Raises SettingsError where Kafka does not answer, and what reading the store may.
    """
    with kafka_asked(settings):
        async with asyncio.timeout(ANSWER_SECONDS):
            ends = await read_log_ends(settings, range(settings.shards))
        cut = {shard: at.begin for shard, at in ends.items() if 0 < at.begin < at.end}
        if not cut:
            return None
        logs = {shard: await _first_ms(settings, EVENTS, shard, begin) for shard, begin in cut.items()}
        remembered = await _history_reach_ms(settings, cut)
        return earliest_of_all(logs, remembered)


def earliest_of_all(logs: Mapping[int, int | None], remembered: Mapping[int, int]) -> int | None:
    """Since when all of some shards know what happened, each by its log or by what it has of history; None where nothing is known.

    >>> earliest_of_all({0: 500, 1: 400}, {0: 100})
    400
    """
    known = [min(first, remembered.get(shard, first)) for shard, first in logs.items() if first is not None]
    return max(known, default=None)


async def _history_reach_ms(settings: Settings, shards: Iterable[int]) -> dict[int, int]:
    """When the first happened that each shard has of imported history; only shards in whose past some is."""
    async with store_of(settings) as store:
        ends = await history_ends(settings, store)
    wanted = [shard for shard in shards if shard in ends]
    if not wanted:
        return {}
    async with asyncio.timeout(ANSWER_SECONDS):
        kept = await read_log_ends(settings, wanted, topic=HISTORY)
    firsts = {shard: await _first_ms(settings, HISTORY, shard, kept[shard].begin) for shard in wanted if kept[shard].begin < ends[shard]}
    return {shard: first for shard, first in firsts.items() if first is not None}


async def _first_ms(settings: Settings, topic: str, shard: int, begin: int) -> int | None:
    """When the first record of a partition arrived; of history, when it happened."""
    async with aclosing(read_partition(settings, topic, shard, begin=begin, max_records=1)) as batches:
        async for records in batches:
            return log_record(records[0]).arrival_ms
    return None


def beyond(plan: Plan, reach_ms: int, now_ms: int) -> list[tuple[str, str]]:
    """(segment, clause) of the clauses that look further back than a log that reaches back to a moment; both in UTC milliseconds."""
    found = by_segment(plan, warming_predicates(plan, {memory.key: reach_ms for memory in plan.memories}, now_ms))
    return sorted((plan.names[number], text) for number, texts in found.items() if number < len(plan.names) for text in texts)


__all__ = ["beyond", "earliest_of_all", "log_reach_ms"]
