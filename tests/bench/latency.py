"""From the broker's time of an event to the broker's time of the change it made, at half of what the worker can do."""

from __future__ import annotations

from collections.abc import Sequence

from streamer.segments.change import decode_change
from streamer.transports.kafka.clients import producer
from streamer.transports.kafka.partition import read_partition
from streamer.wire import CHANGES, EVENTS

from .deployment import SHARDS, Deployment, Servers
from .library import twenty
from .report import Report, percentile
from .sending import send_steadily
from .shop import Made

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
        client = producer(deployment.settings)
        await client.start()
        try:
            arrivals = await send_steadily(client, deployment.settings.topic(EVENTS), made, deployment.ends, per_second)
        finally:
            await client.stop()
        begin, end = await deployment.work_off()
        waits = await _waits(deployment, arrivals)
        report.add(part, "half of the changes within", percentile(waits, 0.5), "ms", f"of {len(waits):,}")
        report.add(part, "99 of 100 within", percentile(waits, 0.99), "ms")
        report.add(part, "999 of 1,000 within", percentile(waits, 0.999), "ms")
        report.add(part, "all within", waits[-1], "ms")
        report.add(part, "the load was over before the worker by", end.at_s - begin.at_s, "s")
    finally:
        await deployment.close()


async def _waits(deployment: Deployment, arrivals: dict[tuple[int, int], int]) -> list[float]:
    """Ascending milliseconds from event to change, of changes that events made."""
    after_ms = percentile([float(ms) for ms in sorted(arrivals.values())], WARM_SHARE)
    found: list[float] = []
    for shard in range(SHARDS):
        async for records in read_partition(deployment.settings, CHANGES, shard):
            for record in records:
                change = decode_change(record.value or b"")
                position = change.data.position
                at_ms = arrivals.get((position.shard, position.offset))
                if at_ms is not None and at_ms >= after_ms and change.data.cause.kind == "event":
                    found.append(float(record.timestamp - at_ms))
    return sorted(found)
