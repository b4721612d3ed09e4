"""A log that is there already, worked off as fast as the engine can: processor time an event, memory, state, and every row."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from time import monotonic
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer

from streamer.errors import SettingsError
from streamer.local.apache_kafka import ApacheKafka
from tests.bench.sending import write
from tests.bench.shop import Made
from tests.bench.usage import cpu_s_of

from .changes import Reader, reading
from .engines import Engine
from .job import Row

STEADY: Final = (1 / 3, 29 / 30)  # of the events: between them the engine runs as it does all day
POLL_S: Final = 0.05
SETTLED_S: Final = 3.0  # without a further change, after the last event
STALL_S: Final = 60.0


class Sample(NamedTuple):
    """What had been done, and used, at one moment."""

    at_s: float
    done: int
    engine_cpu_s: float
    redis_cpu_s: float
    broker_cpu_s: float


@dataclass(slots=True)
class Throughput:
    """Of one engine on one log."""

    engine_us: float  # of processor time an event, over the steady span
    redis_us: float
    broker_us: float
    events_per_s: float  # of wall clock
    rss_mb: float
    state_bytes: float  # a customer
    first_change_s: float  # from the start of the process
    start_cpu_s: float  # processor time up to the first change
    rows: list[Row] = field(repr=False)


async def measure(engine: Engine, made: Sequence[Made], limit_s: float) -> Throughput:
    """Write the log, start the engine, wait until all is said. SettingsError where it ends, stands still or takes too long."""
    await engine.make_topics()
    before = sum(engine.ends)
    client = AIOKafkaProducer(bootstrap_servers=engine.servers.kafka.bootstrap, max_batch_size=262_144)
    await client.start()
    try:
        await write(client, engine.events, made, engine.ends)
    finally:
        await client.stop()
    async with reading(engine.servers.kafka.bootstrap, engine.changes) as reader:
        began_s = monotonic()
        engine.start()
        samples, first_s, first_cpu_s = await _watch(engine, reader, sum(engine.ends), limit_s)
        rows = [engine.row(heard.value)[0] for heard in await reader.all()]
        rss_mb = engine.rss_peak_mb()
        state = 0.0 if engine.flushes_when_it_ends else await engine.state_bytes()
        engine.stop()
        if engine.flushes_when_it_ends:
            state = await engine.state_bytes()
    begin, end = (_at(samples, before + int(share * len(made))) for share in STEADY)
    number = end.done - begin.done
    return Throughput(
        engine_us=(end.engine_cpu_s - begin.engine_cpu_s) / number * 1e6,
        redis_us=(end.redis_cpu_s - begin.redis_cpu_s) / number * 1e6,
        broker_us=(end.broker_cpu_s - begin.broker_cpu_s) / number * 1e6,
        events_per_s=number / max(1e-9, end.at_s - begin.at_s),
        rss_mb=rss_mb,
        state_bytes=state / len({one.customer for one in made}),
        first_change_s=first_s - began_s,
        start_cpu_s=first_cpu_s,
        rows=rows,
    )


async def _watch(engine: Engine, reader: Reader, all_events: int, limit_s: float) -> tuple[list[Sample], float, float]:
    """Samples until all is worked off and no change comes any more; when the first change came, and the processor time by then."""
    samples = [await _sample(engine)]
    began_s = progress_s = monotonic()
    first_s = first_cpu_s = 0.0
    said = 0
    while True:
        now = await _sample(engine)
        if now.done != samples[-1].done:
            progress_s = now.at_s
        samples.append(now)
        if not first_s or now.done >= all_events:
            found = await reader.said()
            if found and not first_s:
                first_s, first_cpu_s = now.at_s, now.engine_cpu_s
            if found != said:
                said, progress_s = found, now.at_s
        if now.done >= all_events and now.at_s - progress_s > SETTLED_S:
            return samples, first_s, first_cpu_s
        if now.at_s - progress_s > STALL_S or now.at_s - began_s > limit_s:
            raise SettingsError(f"{engine.name} is at {now.done:,} of {all_events:,} events:\n{engine.child.log_tail(25)}")
        await asyncio.sleep(POLL_S)


async def _sample(engine: Engine) -> Sample:
    servers = engine.servers
    kafka_s = cpu_s_of(servers.kafka.pid) if isinstance(servers.kafka, ApacheKafka) else 0.0
    return Sample(monotonic(), await engine.done(), engine.cpu_s(), cpu_s_of(servers.redis.pid), kafka_s)


def _at(samples: Sequence[Sample], done: int) -> Sample:
    """What was used when so many events were done, by a straight line between the two samples around in which it had got further."""
    moved = [samples[0], *(after for before, after in pairwise(samples) if after.done > before.done)]
    for before, after in pairwise(moved):
        if after.done >= done:
            share = (done - before.done) / max(1, after.done - before.done)
            return Sample(
                before.at_s + share * (after.at_s - before.at_s),
                done,
                before.engine_cpu_s + share * (after.engine_cpu_s - before.engine_cpu_s),
                before.redis_cpu_s + share * (after.redis_cpu_s - before.redis_cpu_s),
                before.broker_cpu_s + share * (after.broker_cpu_s - before.broker_cpu_s),
            )
    return samples[-1]
