"""A past of the log folded for segments that are new: how fast, and what customers' events wait for meanwhile.

Quiet stretches and stretches with a lane alternate in one run under one steady load, so that both see the same machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, time
from typing import Final, NamedTuple

from streamer.deployment.shards import shard_bodies
from streamer.errors import SettingsError
from streamer.language.definitions import Definitions, parse_definitions
from streamer.segments.change import decode_change
from streamer.transports.kafka.clients import log_record, producer
from streamer.transports.kafka.partition import read_partition
from streamer.wire import CHANGES, EVENTS, decode_control
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
POLL_SECONDS: Final = 0.2

Arrivals = dict[tuple[int, int], int]

NEW: Final = """
segments:
  bench_never_{0}: {{for: looked and never bought, when: 'count("Product Viewed") >= {0} and never("Order Completed")'}}
  bench_spends_{0}: {{for: spends, when: 'sum("Order Completed", "total", within="{0}d") >= 200'}}
  bench_quiet_{0}: {{for: went quiet, when: 'did("Checkout Started") and not did("Checkout Started", within="{0}d")'}}
"""


class _Published(NamedTuple):
    """A version of definitions, and from when to when it was on its way: from the end of the command until every shard obeyed."""

    version: int
    begin_ms: float
    end_ms: float


class Window(NamedTuple):
    """From when to when something went on, by the broker's clock, which is this machine's."""

    begin_ms: float
    end_ms: float


async def measure(report: Report, servers: Servers, *, quick: bool) -> None:
    """Events a second and core of a lane by itself; then the wait of changes with a lane, over that without."""
    past, customers = (200_000, 6_000) if quick else (1_000_000, 100_000)
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
    """While nothing else is to be done, by processes that have begun for what was published before."""
    await _publish(deployment, folder, 50)
    before = deployment.usage()
    await _publish(deployment, folder, 60)
    after = deployment.usage()
    wall_s, cpu_s = after.at_s - before.at_s, after.cpu_s - before.cpu_s
    report.add(PART, "folded and joined, of wall clock", past / wall_s, "events/s", f"{wall_s:.1f} s for all")
    report.add(PART, "folded and joined, of processor time", past / cpu_s, "events/s", f"{cpu_s / past * 1e6:.1f} µs an event")
    report.add(PART, "so 10 million events take two cores", 10e6 * cpu_s / past / 2, "s", "Kafka and Redis not counted")


async def _beside(report: Report, deployment: Deployment, customers: int, folder: Path) -> None:
    """Under a steady load: quiet stretches and stretches with a lane, in turns."""
    quiet, published = list[Window](), list[_Published]()
    stop = asyncio.Event()
    load = asyncio.create_task(_load(deployment, customers, stop))
    try:
        await asyncio.sleep(QUIET_SECONDS)
        for number in range(ROUNDS):
            begin_ms = time() * 1_000
            await asyncio.sleep(QUIET_SECONDS)
            quiet.append(Window(begin_ms + SETTLE_SECONDS * 1_000, time() * 1_000))
            published.append(await _publish(deployment, folder, 70 + number))
            await asyncio.sleep(SETTLE_SECONDS)
    finally:
        stop.set()
        arrivals = await load
    await _until_done(deployment)
    written_ms = await _written_ms(deployment)
    folds = [Window(one.begin_ms, written_ms[one.version]) for one in published]
    switches = [Window(written_ms[one.version], one.end_ms + SETTLE_SECONDS * 1_000) for one in published]
    lanes_s = sum(window.end_ms - window.begin_ms for window in folds) / 1_000
    report.add(PART, "live load beside it", LIVE_PER_SECOND, "events/s", f"{ROUNDS} lanes, {lanes_s:.0f} s in all before the first record")
    _report_waits(
        report,
        await _waits(deployment, arrivals),
        {"without a lane": quiet, "while a lane folds": folds, "while shards switch": switches},
    )


def _report_waits(report: Report, waits: list[tuple[int, float]], windows: dict[str, list[Window]]) -> None:
    """The first of the windows is that with which the others are compared."""
    alone: list[float] = []
    for what, when in windows.items():
        found = sorted(_within(waits, when))
        alone = alone or found
        for share in (0.5, 0.99):
            wait_ms, alone_ms = percentile(found, share), percentile(alone, share)
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


async def _publish(deployment: Deployment, folder: Path, number: int) -> _Published:
    """Publish three segments more, by a process of its own as whoever does so would, and wait until every shard obeys. SettingsError where
    one does not."""
    found = parse_definitions(NEW.format(number))
    file = folder / "lane.yaml"
    base = twenty()
    file.write_bytes(Definitions((*base.segments, *found.segments), base.zone, zone_data=base.zone_data).content())
    before = max(await _versions(deployment))
    await deployment.command("segments", "publish", str(file))
    begin_ms, until = time() * 1_000, monotonic() + DEADLINE_SECONDS
    while min(found := await _versions(deployment)) == before:
        if monotonic() > until:
            notes = [await read_note(deployment.store, shard) for shard in range(SHARDS)]
            said = "\n".join(f"shard {note.status.shard}: {note.status.lag_seconds} s behind, {note.status.lane}" for note in notes if note)
            raise SettingsError(f"{number} does not hold after {DEADLINE_SECONDS:.0f} s:\n{said}\n{deployment.worker.log_tail(20)}")
        await asyncio.sleep(POLL_SECONDS)
    return _Published(min(found), begin_ms, time() * 1_000)


async def _versions(deployment: Deployment) -> list[int]:
    """Of the definitions that each shard obeys."""
    return [body.version for body in await shard_bodies(deployment.settings, deployment.store)]


async def _until_done(deployment: Deployment) -> None:
    """Wait until everybody has come under the newest definitions and all is published."""
    until = monotonic() + DEADLINE_SECONDS
    while any(body.previous for body in await shard_bodies(deployment.settings, deployment.store)) and monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(POLL_SECONDS)
    await deployment.work_off()


async def _written_ms(deployment: Deployment) -> dict[int, float]:
    """By the version of definitions the broker's time of the first record of them that lies in the log."""
    found: dict[int, float] = {}
    for shard in range(SHARDS):
        async for records in read_partition(deployment.settings, EVENTS, shard):
            for record in records:
                if log_record(record).control and (control := decode_control(record.value or b"")).control == "definitions":
                    found[control.version] = min(found.get(control.version, record.timestamp), record.timestamp)
    return found


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
