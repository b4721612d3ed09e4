"""Events at a steady rate, now: how late changes reach a reader, and what the engine uses a second."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic, time
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer

from streamer.errors import SettingsError
from tests.bench.report import percentile
from tests.bench.sending import send_steadily
from tests.bench.usage import cpu_s_of

from .changes import Heard, Reader, reading
from .engines import Engine
from .job import live_events

WARM_S: Final = 6.0  # before the first rate is measured; compilers and caches settle
TURN_S: Final = 3.0  # before every further one
START_S: Final = 60.0  # to say the first change
LATE_S: Final = 4.0  # to say what is left when the load is over
FIRST_EVENTS: Final = 200
GAP_S: Final = 3  # between two events of a customer, on average


class Latency(NamedTuple):
    """Of one engine at one rate; milliseconds from the moment to which a change belongs to its reader."""

    rate: int
    event_p50_ms: float
    event_p99_ms: float
    timer_p50_ms: float
    timer_p99_ms: float
    events_said: int
    timers_said: int
    engine_cpu_ms: float  # a second
    redis_cpu_ms: float


async def measure(engine: Engine, rates: Sequence[int], seconds: float) -> list[Latency]:
    """One process of the engine, each rate for so long. An event's moment is the broker's time of it, a timer's the moment it is due."""
    await engine.make_topics()
    found: list[Latency] = []
    producer = AIOKafkaProducer(bootstrap_servers=engine.servers.kafka.bootstrap)
    await producer.start()
    try:
        engine.start()
        async with reading(engine.servers.kafka.bootstrap, engine.changes) as reader:
            await _until_it_speaks(engine, reader, producer)
            for turn, rate in enumerate(rates):
                found.append(await _at_rate(engine, reader, producer, rate, WARM_S if turn == 0 else TURN_S, seconds))
    finally:
        await producer.stop()
        engine.stop()
    return found


async def _until_it_speaks(engine: Engine, reader: Reader, producer: AIOKafkaProducer) -> None:
    """A few events, until a change comes: no load while it starts."""
    await send_steadily(producer, engine.events, live_events(FIRST_EVENTS, customers=FIRST_EVENTS), engine.ends, FIRST_EVENTS)
    end = monotonic() + START_S
    while not await reader.take(100):
        if monotonic() > end:
            raise SettingsError(f"{engine.name} says nothing within {START_S:g} s:\n{engine.child.log_tail(25)}")


async def _at_rate(engine: Engine, reader: Reader, producer: AIOKafkaProducer, rate: int, warm_s: float, seconds: float) -> Latency:
    made = live_events(int(rate * (warm_s + seconds)), customers=rate * GAP_S, seed=rate)
    load = asyncio.create_task(send_steadily(producer, engine.events, made, engine.ends, rate))
    heard: list[Heard] = []
    try:
        await _hear(reader, heard, warm_s)
        from_ms, from_s, cpu_s, redis_s = time() * 1_000, monotonic(), engine.cpu_s(), cpu_s_of(engine.servers.redis.pid)
        await _hear(reader, heard, seconds - 0.5)
        until_ms, spent_s = time() * 1_000, monotonic() - from_s
        engine_ms, redis_ms = (engine.cpu_s() - cpu_s) / spent_s * 1e3, (cpu_s_of(engine.servers.redis.pid) - redis_s) / spent_s * 1e3
        await load
        await _hear(reader, heard, LATE_S)
    finally:
        load.cancel()
    by_event, by_time = _late(engine, heard, from_ms, until_ms)
    return Latency(
        rate,
        event_p50_ms=_share(by_event, 0.5),
        event_p99_ms=_share(by_event, 0.99),
        timer_p50_ms=_share(by_time, 0.5),
        timer_p99_ms=_share(by_time, 0.99),
        events_said=len(by_event),
        timers_said=len(by_time),
        engine_cpu_ms=engine_ms,
        redis_cpu_ms=redis_ms,
    )


def _share(late: list[float], share: float) -> float:
    return percentile(late, share) if late else float("nan")


async def _hear(reader: Reader, heard: list[Heard], seconds: float) -> None:
    end = monotonic() + seconds
    while (left := end - monotonic()) > 0:
        heard += await reader.take(int(min(left, 0.05) * 1_000) + 1)


def _late(engine: Engine, heard: Sequence[Heard], from_ms: float, until_ms: float) -> tuple[list[float], list[float]]:
    """Ascending milliseconds of changes whose moment lies in the span: those that events made, those that time alone made."""
    by: dict[str, list[float]] = {"event": [], "timer": []}
    for one in heard:
        row, cause = engine.row(one.value)
        if from_ms <= row.at_ms < until_ms and cause in by:
            by[cause].append(one.at_ms - row.at_ms)
    return sorted(by["event"]), sorted(by["timer"])
