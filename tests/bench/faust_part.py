"""The same events through a plain Faust agent with a round trip to Redis for each."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from time import monotonic

from streamer.errors import SettingsError
from streamer.local.children import Child

from .deployment import SHARDS, Deployment, Servers
from .report import Report
from .shop import Made

WAIT_SECONDS = 120.0


async def measure(report: Report, servers: Servers, made: Sequence[Made]) -> None:
    """Events a second of the agent."""
    part, number = "faust", len(made)
    report.begin(part, f"a plain Faust agent, GET and SET for each of {number:,} of the same events")
    deployment = Deployment(servers, "bench-plain", log_time=True)
    servers.kafka.create_topic("bench-plain.plain-changes", SHARDS)
    log = servers.folder / "plain.log"
    await deployment.write(made)
    environment = {
        **os.environ,
        "BENCH_PREFIX": "bench-plain",
        "BENCH_KAFKA": servers.kafka.bootstrap,
        "BENCH_REDIS": servers.redis.url,
        "BENCH_EVENTS": str(number),
    }
    agent = Child([sys.executable, "-m", "tests.bench.plain_faust"], log=log, env=environment)
    try:
        spent = await _spent(agent)
    finally:
        agent.stop()
        await deployment.close()
    report.add(
        part, "per second of processor time", number / spent["cpu_s"], "events/s", f"{spent['cpu_s'] / number * 1e6:.1f} µs an event"
    )
    report.add(part, "per second of wall clock", number / spent["wall_s"], "events/s")


async def _spent(agent: Child) -> dict[str, float]:
    end = monotonic() + WAIT_SECONDS
    while monotonic() < end:
        for line in agent.log_tail(40).splitlines():
            if line.startswith('{"plain"'):
                return json.loads(line)["plain"]
        if not agent.alive:
            break
        await asyncio.sleep(0.2)
    raise SettingsError(f"the agent did not finish:\n{agent.log_tail(20)}")
