"""From the broker's time of an event to the broker's time of the change it made, at half of what the worker can do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from streamer.segments.change import decode_change
from streamer.transports.kafka.clients import connection, producer
from streamer.wire import CHANGES, EVENTS, shard_of

from .deployment import SHARDS, Deployment, Servers
from .library import twenty
from .report import Report, percentile
from .shop import Made

TURN_SECONDS = 0.01
WARM_SHARE = 0.25  # of the run; the worker's first moments are not its ordinary ones


async def measure(report: Report, servers: Servers, made: Sequence[Made], per_second: float) -> None:
    """p50, p99 and the worst, in milliseconds. ``made`` carries the present as its times."""
    part = "latency"
    report.begin(part, f"{per_second:,.0f} events a second, half of the wall-clock rate above; broker's time to broker's time")
    deployment = Deployment(servers, "bench-latency", log_time=False)
    try:
        await deployment.define(twenty())
        deployment.start_worker()
        await deployment.work_off()
        arrivals = await _load(deployment, made, per_second)
        begin, end = await deployment.work_off()
        waits = await _waits(deployment, arrivals)
        report.add(part, "half of the changes within", percentile(waits, 0.5), "ms", f"of {len(waits):,}")
        report.add(part, "99 of 100 within", percentile(waits, 0.99), "ms")
        report.add(part, "999 of 1,000 within", percentile(waits, 0.999), "ms")
        report.add(part, "all within", waits[-1], "ms")
        report.add(part, "the load was over before the worker by", end.at_s - begin.at_s, "s")
    finally:
        await deployment.close()


async def _load(deployment: Deployment, made: Iterable[Made], per_second: float) -> dict[tuple[int, int], int]:
    """Send at a steady rate; the broker's time of every record by (shard, offset)."""
    client, topic = producer(deployment.settings), deployment.settings.topic(EVENTS)
    await client.start()
    waiting: list[tuple[int, int, Any]] = []
    source, sent, began = iter(made), 0, monotonic()
    try:
        while True:
            due = int((monotonic() - began) * per_second) - sent
            turn = list(islice(source, due)) if due > 0 else []
            if due > 0 and not turn:
                break
            sent += len(turn)
            by_shard: dict[int, list[Made]] = {}
            for one in turn:
                by_shard.setdefault(shard_of(one.customer, SHARDS), []).append(one)
            for shard, found in by_shard.items():
                batch: Any = client.create_batch()
                for one in found:
                    batch.append(timestamp=None, key=one.customer.encode(), value=one.value)
                deployment.ends[shard] += len(found)
                waiting.append((shard, len(found), await client.send_batch(batch, topic, partition=shard)))
            await asyncio.sleep(TURN_SECONDS)
        arrivals: dict[tuple[int, int], int] = {}
        for shard, number, acknowledged in waiting:
            told = await acknowledged
            arrivals.update({(shard, told.offset + index): told.timestamp for index in range(number)})
        return arrivals
    finally:
        await client.stop()


async def _waits(deployment: Deployment, arrivals: dict[tuple[int, int], int]) -> list[float]:
    """Ascending milliseconds from event to change, of changes that events made."""
    after_ms = percentile([float(ms) for ms in sorted(arrivals.values())], WARM_SHARE)
    consumer = AIOKafkaConsumer(**connection(deployment.settings), auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    found: list[float] = []
    try:
        partitions = [TopicPartition(deployment.settings.topic(CHANGES), shard) for shard in range(SHARDS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    change = decode_change(record.value or b"")
                    position = change.data.position
                    at_ms = arrivals.get((position.shard, position.offset))
                    if at_ms is not None and at_ms >= after_ms and change.data.cause.kind == "event":
                        found.append(float(record.timestamp - at_ms))
    finally:
        await consumer.stop()
    return sorted(found)
