"""What a segment costs an event: the newest events told in memory under it alone, and under none, in turns; the difference is its own.

What it shares with other segments they pay once together, so the costs of all of them add up to more than what all of them cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from time import process_time
from typing import Final, NamedTuple, cast

import msgspec
from aiokafka.errors import KafkaError

from streamer.customers.state import encode_state
from streamer.errors import SettingsError
from streamer.flow.replay import Arrival, Replay
from streamer.flow.rules import Rules
from streamer.language.definitions import Definitions, parse_definitions
from streamer.segments.plan.model_memories import with_all_asked
from streamer.settings import Settings
from streamer.stores.memory import MemoryStore
from streamer.transports.kafka.clients import log_record
from streamer.transports.kafka.partition import read_partition
from streamer.values import Json
from streamer.wire import EVENTS, FORWARD_HEADER, LogRecord

EVENTS_MAX: Final = 4_000  # the newest of all shards
TURNS: Final = 3
BATCH: Final = 500


class SegmentCost(msgspec.Struct, frozen=True):
    """On ``events`` of ``customers``: ``us`` are microseconds of processor time an event by the segment, above ``bare_us`` without any;
    ``bytes`` what it adds to the state of a customer, on average."""

    events: int
    customers: int
    us: float
    bare_us: float
    bytes: float


class _ToldOnce(NamedTuple):
    seconds: float
    customers: int
    bytes: int


async def newest_events(settings: Settings) -> list[Arrival]:
    """The newest events of all shards, by arrival. SettingsError where Kafka does not answer."""
    found: list[LogRecord] = []
    try:
        for shard in range(settings.shards):
            async with aclosing(read_partition(settings, EVENTS, shard, newest=max(1, EVENTS_MAX // settings.shards))) as batches:
                async for records in batches:
                    found += filter(_is_event, map(log_record, records))
                    await asyncio.sleep(0)
    except (KafkaError, TimeoutError, OSError) as error:
        raise SettingsError(f"STREAMER_KAFKA: cannot read the log at {settings.kafka} ({type(error).__name__})") from None
    found.sort(key=lambda record: record.arrival_ms)
    return [Arrival(line, record.arrival_ms, record.value, key=record.key) for line, record in enumerate(found, 1)]


def _is_event(record: LogRecord) -> bool:
    return not record.control and not any(name == FORWARD_HEADER for name, _ in record.headers)


async def cost_of(definitions: Definitions, segment: str, arrivals: Sequence[Arrival], rules: Rules) -> SegmentCost:
    """What a segment of these definitions costs on these events, by the processor time of this process."""
    rules = replace(rules, shards=1)
    alone, none = alone_with_references(definitions, segment), Definitions((), definitions.zone, zone_data=definitions.zone_data)
    with_it, bare = list[_ToldOnce](), list[_ToldOnce]()
    for _ in range(TURNS):  # in turns: a machine that is busy for a while is so for both
        bare.append(await _told(none, arrivals, rules))
        with_it.append(await _told(alone, arrivals, rules))
    events, customers = max(1, len(arrivals)), max(1, with_it[0].customers)
    bare_us = min(one.seconds for one in bare) * 1e6 / events
    own_us = min(one.seconds for one in with_it) * 1e6 / events - bare_us
    own_bytes = (with_it[0].bytes - bare[0].bytes) / customers
    return SegmentCost(len(arrivals), with_it[0].customers, max(0.0, own_us), bare_us, max(0.0, own_bytes))


def alone_with_references(definitions: Definitions, segment: str) -> Definitions:
    """The segment with the segments and models that it refers to. SettingsError where there is no such segment."""
    by_name = {one.name: one for one in definitions.segments}
    if segment not in by_name:
        raise SettingsError(f"there is no segment {segment!r}")
    wanted, asked = with_all_asked([segment], (), by_name, definitions.models)
    content: dict[str, Json] = msgspec.json.decode(definitions.content())
    kept: dict[str, Json] = {"zone": definitions.zone, "zone_data": definitions.zone_data}
    for section, names in (("segments", wanted), ("models", asked)):
        entries = cast("dict[str, Json]", content.get(section) or {})
        kept[section] = {name: body for name, body in entries.items() if name in names}
    if "sensitive" in content:
        kept["sensitive"] = content["sensitive"]
    return parse_definitions(kept)


async def _told(definitions: Definitions, arrivals: Sequence[Arrival], rules: Rules) -> _ToldOnce:
    run = await Replay.begin(definitions, MemoryStore(), rules, batch=BATCH, learns=False)
    began = process_time()
    async for _ in run.feed(arrivals, batch=BATCH):
        pass
    seconds = process_time() - began
    sizes = [len(encode_state(state)) async for _, state in run.states()]
    return _ToldOnce(seconds, len(sizes), sum(sizes))


__all__ = ["SegmentCost", "alone_with_references", "cost_of", "newest_events"]
