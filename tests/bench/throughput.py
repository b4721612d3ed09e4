"""From the log to the published change on real Kafka and Redis, with everything on: checks, duplicates, timers, commit, outbox."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from streamer.transports.kafka.clients import connection
from streamer.wire import CHANGES

from .deployment import SHARDS, Deployment, Servers
from .library import twenty
from .report import Report
from .shop import Made


async def measure(report: Report, servers: Servers, made: Sequence[Made], warm: int, customers: int) -> float:
    """Events a second of processor and of wall clock; returns the latter."""
    part, number = "kafka", len(made) - warm
    report.begin(part, f"a worker on real Kafka and Redis, {customers:,} customers, 20 segments; log written ahead")
    deployment = Deployment(servers, "bench-kafka", log_time=True)
    try:
        await deployment.define(twenty())
        await deployment.write(made[:warm])
        deployment.start_worker()
        begin, end = await deployment.work_off()
        _rates(report, part, "customers seen for the first time", warm, end.cpu_s - begin.cpu_s, end.at_s - begin.at_s)
        deployment.stop_worker()
        before = await _changes(deployment)
        await deployment.write(made[warm:])
        deployment.start_worker()
        begin, end = await deployment.work_off()
        wall_s = end.at_s - begin.at_s
        _rates(report, part, "customers known", number, end.cpu_s - begin.cpu_s, wall_s)
        report.add(part, "changes published", (await _changes(deployment) - before) / number, "per event")
        kept = await deployment.store.memory_bytes(SHARDS)
        report.add(part, "Redis, all keys of customers", kept / customers, "B/customer")
        report.add(part, "worker, resident", end.rss_mb, "MB")
    finally:
        await deployment.close()
    return number / wall_s


def _rates(report: Report, part: str, what: str, number: int, cpu_s: float, wall_s: float) -> None:
    report.add(part, f"{what}: per second of processor time", number / cpu_s, "events/s", f"{cpu_s / number * 1e6:.1f} µs an event")
    report.add(part, f"{what}: per second of wall clock", number / wall_s, "events/s")


async def _changes(deployment: Deployment) -> int:
    consumer = AIOKafkaConsumer(**connection(deployment.settings))
    await consumer.start()
    try:
        partitions = [TopicPartition(deployment.settings.topic(CHANGES), shard) for shard in range(SHARDS)]
        return sum((await consumer.end_offsets(partitions)).values())
    finally:
        await consumer.stop()
