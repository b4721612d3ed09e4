"""A worker whose shop sleeps: what it uses a second, what its ticks take in the log, and how late time alone is noticed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import time
from typing import Final

from streamer.events.codec import encode
from streamer.events.event import Event
from streamer.language.definitions import parse_definitions
from streamer.segments.change import decode_change
from streamer.transports.kafka.clients import producer
from streamer.transports.kafka.partition import read_partition
from streamer.values import parse_time_ms
from streamer.wire import CHANGES, EVENTS, shard_of

from .deployment import Deployment, Servers
from .report import Report, percentile
from .usage import cpu_s_of

SHARDS: Final = (12, 64)
CALM_S: Final = 8.0  # after the first commit; acquiring is not idling
FEW_S: Final = 15.0
EVENTS_A_SECOND: Final = 4.0  # over all shards
WAIT_S: Final = 4.0  # longer than any window below
YEAR_S: Final = 365 * 86_400
DEFINITIONS: Final = parse_definitions(
    """
segments:
  silent: {for: Nothing for a second., when: idle("*") >= "1s"}
  viewed: {for: Viewed in the last two and a half seconds., when: 'did("Product Viewed", within="2500ms")'}
"""
)


async def measure(report: Report, servers: Servers, *, seconds: float) -> None:
    """Each number of shards in turn: first nothing happens at all, then a few events come."""
    for shards in SHARDS:
        part = f"idle, {shards} shards"
        report.begin(part, f"one worker, nothing for {seconds:g} s; then {EVENTS_A_SECOND:g} events a second for {FEW_S:g} s")
        deployment = Deployment(servers, f"bench-idle-{shards}", log_time=False, shards=shards)
        try:
            await deployment.define(DEFINITIONS)
            deployment.start_worker()
            await deployment.work_off()
            await asyncio.sleep(CALM_S)
            await _sleep(report, part, deployment, servers, seconds)
            await _few_events(report, part, deployment, FEW_S)
        finally:
            await deployment.close()


async def _sleep(report: Report, part: str, deployment: Deployment, servers: Servers, seconds: float) -> None:
    """What the worker, the server of its store and the log take while nothing happens."""
    pid, redis = deployment.worker.pid, servers.redis.pid
    begin, cpu_s, redis_s = sum(await deployment.positions()), cpu_s_of(pid), cpu_s_of(redis)
    size = _log_bytes(servers, deployment)
    await asyncio.sleep(seconds)
    ticks = sum(await deployment.positions()) - begin
    report.add(part, "worker, processor time a second", (cpu_s_of(pid) - cpu_s) / seconds * 1e3, "ms")
    report.add(part, "Redis, processor time a second", (cpu_s_of(redis) - redis_s) / seconds * 1e3, "ms")
    report.add(part, "ticks a minute and shard", ticks / deployment.settings.shards / seconds * 60, "")
    if size is not None and ticks:
        tick_bytes = ((_log_bytes(servers, deployment) or 0) - size) / ticks
        report.add(part, "a tick in the log", tick_bytes, "bytes")
        report.add(part, "a year of heartbeats, all shards", tick_bytes * ticks / seconds * YEAR_S / 1e9, "GB")


def _log_bytes(servers: Servers, deployment: Deployment) -> int | None:
    """The segments of the log on the disk of a broker of our own."""
    folder = getattr(servers.kafka, "directory", None)
    if folder is None:
        return None
    return sum(file.stat().st_size for file in Path(folder, "data").glob(f"{deployment.settings.topic(EVENTS)}-*/*.log"))


async def _few_events(report: Report, part: str, deployment: Deployment, seconds: float) -> None:
    """How late changes by time alone lie in the topic of changes, by the broker's clock."""
    before = sum(await deployment.positions())
    client = producer(deployment.settings)
    await client.start()
    sent = int(seconds * EVENTS_A_SECOND)
    try:
        for number in range(sent):
            customer = f"c-{number}"
            event = encode(Event(event="Product Viewed", message_id=f"m-{number}", user_id=customer, timestamp_ms=int(time() * 1_000)))
            shard = shard_of(customer, deployment.settings.shards)
            told = await client.send_and_wait(deployment.settings.topic(EVENTS), event, key=customer.encode(), partition=shard)
            deployment.ends[shard] = told.offset + 1
            await asyncio.sleep(1 / EVENTS_A_SECOND)
    finally:
        await client.stop()
    await asyncio.sleep(WAIT_S)
    late = await _late(deployment)
    ticks = sum(await deployment.positions()) - before - sent
    report.add(part, "half of the changes by time alone within", percentile(late, 0.5), "ms", f"of {len(late):,}")
    report.add(part, "99 of 100 within", percentile(late, 0.99), "ms")
    report.add(part, "ticks a timer", ticks / max(1, len(late)), "", "heartbeats included")


async def _late(deployment: Deployment) -> list[float]:
    """Ascending milliseconds from the moment that is due to the broker's time of its change."""
    found: list[float] = []
    for shard in range(deployment.settings.shards):
        async for records in read_partition(deployment.settings, CHANGES, shard):
            for record in records:
                change = decode_change(record.value or b"")
                if change.data.cause.kind == "timer":
                    found.append(float(record.timestamp - (parse_time_ms(change.time) or 0)))
    return sorted(found)
