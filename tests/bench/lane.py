"""A past of the log folded for segments that are new: how fast, and what customers' events wait for meanwhile.

Quiet stretches and stretches with a lane alternate in one run under one steady load, so that both see the same machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, time
from typing import Final, NamedTuple

from streamer.deployment.connecting import starting
from streamer.deployment.publishing import publish_definitions
from streamer.deployment.shards import shard_bodies
from streamer.errors import SettingsError
from streamer.language.definitions import Definitions, parse_definitions
from streamer.segments.change import decode_change
from streamer.transports.kafka.clients import producer
from streamer.transports.kafka.partition import read_partition
from streamer.wire import CHANGES, EVENTS
from streamer.worker.status.shard_notes import read_note

from .deployment import SHARDS, Deployment, Servers
from .library import twenty
from .report import Report, percentile
from .sending import send_steadily
from .shop import Made, events

PART: Final = "lane"
ROUNDS: Final = 2
LIVE_PER_SECOND: Final = 1_000.0
QUIET_SECONDS: Final = 8.0
SETTLE_SECONDS: Final = 2.0  # at the begin of a stretch, which are not counted
DEADLINE_SECONDS: Final = 100.0
POLL_SECONDS: Final = 0.05

Arrivals = dict[tuple[int, int], int]

NEW: Final = """
segments:
  bench_never_{0}: {{for: looked and never bought, when: 'count("Product Viewed") >= {0} and never("Order Completed")'}}
  bench_spends_{0}: {{for: spends, when: 'sum("Order Completed", "total", within="{0}d") >= 200'}}
  bench_quiet_{0}: {{for: went quiet, when: 'did("Checkout Started") and not did("Checkout Started", within="{0}d")'}}
"""


class Window(NamedTuple):
    """From when to when something went on, by the broker's clock, which is this machine's."""

    begin_ms: float
    end_ms: float


async def measure(report: Report, servers: Servers, *, quick: bool) -> None:
    """Events a second and core of a lane by itself; then the wait of changes with a lane, over that without."""
    past, customers = (60_000, 6_000) if quick else (1_000_000, 100_000)
    report.begin(PART, f"three new segments over {past:,} events of {customers:,} customers, on real Kafka and Redis")
    deployment = Deployment(servers, "bench-lane", log_time=False)
    try:
        await deployment.define(twenty())
        await deployment.write(_made(past, customers))
        deployment.start_worker()
        await deployment.work_off()
        await _alone(report, deployment, past, servers.folder)
        await _beside(report, deployment, customers, servers.folder)
    finally:
        await deployment.close()


def _made(number: int, customers: int, seed: int = 1) -> Iterator[Made]:
    return events(number, customers=customers, start_ms=int(time() * 1_000), gap_ms=1_000, seed=seed)


async def _alone(report: Report, deployment: Deployment, past: int, folder: Path) -> None:
    """While nothing else is to be done."""
    before = deployment.usage()
    await _publish(deployment, folder, 60)
    after = deployment.usage()
    wall_s, cpu_s = after.at_s - before.at_s, after.cpu_s - before.cpu_s
    report.add(PART, "folded and joined, of wall clock", past / wall_s, "events/s", f"{wall_s:.1f} s for all")
    report.add(PART, "folded and joined, of processor time", past / cpu_s, "events/s", f"{cpu_s / past * 1e6:.1f} µs an event")
    report.add(PART, "so 10 million events take two cores", 10e6 * cpu_s / past / 2, "s", "Kafka and Redis not counted")


async def _beside(report: Report, deployment: Deployment, customers: int, folder: Path) -> None:
    """Under a steady load: quiet stretches and stretches with a lane, in turns."""
    windows: list[tuple[Window, Window, Window]] = []
    stop = asyncio.Event()
    load = asyncio.create_task(_load(deployment, customers, stop))
    try:
        await asyncio.sleep(QUIET_SECONDS)
        for number in range(ROUNDS):
            begin_ms = time() * 1_000
            await asyncio.sleep(QUIET_SECONDS)
            quiet = Window(begin_ms + SETTLE_SECONDS * 1_000, time() * 1_000)
            begin_ms = time() * 1_000
            switched_ms = await _publish(deployment, folder, 70 + number)
            windows.append((quiet, Window(begin_ms, switched_ms), Window(switched_ms, time() * 1_000 + SETTLE_SECONDS * 1_000)))
            await asyncio.sleep(SETTLE_SECONDS)
    finally:
        stop.set()
        arrivals = await load
    await _until_done(deployment)
    waits = await _waits(deployment, arrivals)
    lanes_s = sum(folds.end_ms - folds.begin_ms for _, folds, _ in windows) / 1_000
    report.add(
        PART, "live load beside it", LIVE_PER_SECOND, "events/s", f"{ROUNDS} lanes, {lanes_s:.0f} s in all before the first shard obeys"
    )
    quiet = sorted(_within(waits, [one for one, _, _ in windows]))
    for what, at in (("without a lane", 0), ("while a lane folds", 1), ("while shards switch", 2)):
        found = sorted(_within(waits, [each[at] for each in windows]))
        for share in (0.5, 0.99):
            wait_ms, alone_ms = percentile(found, share), percentile(quiet, share)
            note = f"of {len(found):,}; {wait_ms / alone_ms:.2f} times as long as without"
            report.add(PART, f"{share * 100:.0f} of 100 changes within, {what}", wait_ms, "ms", note)


async def _load(deployment: Deployment, customers: int, stop: asyncio.Event) -> Arrivals:
    """Events at a steady rate until told to stop; the broker's time of each."""
    client = producer(deployment.settings)
    await client.start()
    try:
        most = int(LIVE_PER_SECOND * DEADLINE_SECONDS)
        made = _until(_made(most, customers, seed=2), stop.is_set)
        return await send_steadily(client, deployment.settings.topic(EVENTS), made, deployment.ends, LIVE_PER_SECOND)
    finally:
        await client.stop()


def _until(made: Iterator[Made], is_over: Callable[[], bool]) -> Iterator[Made]:
    for one in made:
        if is_over():
            return
        yield one


async def _publish(deployment: Deployment, folder: Path, number: int) -> float:
    """Publish three segments more, and wait until every shard obeys; when the first did, in milliseconds. SettingsError where one does
    not."""
    found = parse_definitions(NEW.format(number))
    file = folder / "lane.yaml"
    base = twenty()
    file.write_bytes(Definitions((*base.segments, *found.segments), base.zone, zone_data=base.zone_data).content())
    async with starting(deployment.settings) as (client, store):
        version = (await publish_definitions(deployment.settings, client, store, file)).publication.version
        until = monotonic() + DEADLINE_SECONDS
        switched_ms = 0.0
        while True:
            bodies = await shard_bodies(deployment.settings, store)
            if not switched_ms and any(body.version >= version for body in bodies):
                switched_ms = time() * 1_000
            if all(body.version >= version for body in bodies):
                return switched_ms
            if monotonic() > until:
                notes = [await read_note(store, shard) for shard in range(SHARDS)]
                said = "\n".join(
                    f"shard {note.status.shard}: {note.status.lag_seconds} s behind, {note.status.lane}" for note in notes if note
                )
                raise SettingsError(
                    f"version {version} does not hold after {DEADLINE_SECONDS:.0f} s:\n{said}\n{deployment.worker.log_tail(20)}"
                )
            await asyncio.sleep(POLL_SECONDS)


async def _until_done(deployment: Deployment) -> None:
    """Wait until everybody has come under the newest definitions and all is published."""
    until = monotonic() + DEADLINE_SECONDS
    async with starting(deployment.settings) as (_, store):
        while any(body.previous for body in await shard_bodies(deployment.settings, store)) and monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
    await deployment.work_off()


async def _waits(deployment: Deployment, arrivals: Arrivals) -> list[tuple[int, float]]:
    """The broker's time of each event that brought a change about, and how many milliseconds later that was published."""
    found: list[tuple[int, float]] = []
    for shard in range(SHARDS):
        async for records in read_partition(deployment.settings, CHANGES, shard):
            for record in records:
                change = decode_change(record.value or b"")
                at_ms = arrivals.get((change.data.position.shard, change.data.position.offset))
                if at_ms is not None and change.data.cause.kind == "event":
                    found.append((at_ms, float(record.timestamp - at_ms)))
    return found


def _within(waits: list[tuple[int, float]], windows: list[Window]) -> Iterator[float]:
    return (wait_ms for at_ms, wait_ms in waits if any(window.begin_ms <= at_ms < window.end_ms for window in windows))
