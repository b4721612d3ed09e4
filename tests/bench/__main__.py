"""``python -m tests.bench``: how fast it is here.

--quick         a tenth of the events
--part NAME     only this one (may be given more than once): core, offsets, segments, kafka, latency, identity, idle, faust,
                collect, webhooks, serve, page, send, refold, lane, import, peers
--json FILE     the figures for a machine, too
--base FOLDER   a checkout of an earlier commit: what an event costs here and there (alone, without any part that is not named)

``python -m tests.bench peers``: the same job on other engines; it has options of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import time

import structlog

from streamer.errors import SettingsError

from . import (
    against,
    collect,
    core,
    faust_part,
    history,
    identity,
    idle,
    lane,
    latency,
    listening,
    offsets,
    page,
    refold,
    scaling,
    send,
    serve,
    throughput,
    webhooks,
)
from .deployment import Servers
from .peers import run as peers
from .report import Report
from .shop import Made, events

PARTS = (
    "core",
    "offsets",
    "segments",
    "kafka",
    "latency",
    "identity",
    "idle",
    "faust",
    "collect",
    "webhooks",
    "serve",
    "page",
    "send",
    "refold",
    "lane",
    "import",
    "peers",
)
CUSTOMERS = 100_000
GAP_MS = 1_800_000  # between two events of one customer, on average
LATENCY_SECONDS = 20
IDLE_SECONDS = 60  # two heartbeats
LATENCY_RATE_MAX = 20_000.0


async def run(parts: list[str], report: Report, *, quick: bool) -> None:
    """The parts, one after the other."""
    scale = 10 if quick else 1
    customers = CUSTOMERS // scale
    start_ms = int(time() * 1_000) + 60_000
    if "core" in parts or "segments" in parts:
        few = 5_000
        made = list(events(60_000 // (2 if quick else 1), customers=few, start_ms=start_ms, gap_ms=GAP_MS))
        if "core" in parts:
            await core.measure(report, made, len(made) // 3)
            await listening.measure(report, made, quick=quick)
        if "segments" in parts:
            await scaling.measure(report, made[: 20_000 // (2 if quick else 1)], quick=quick)
    if "offsets" in parts:
        await offsets.measure(report, start_ms=start_ms, gap_ms=GAP_MS, quick=quick)
    if {"kafka", "latency", "identity", "idle", "faust", "collect", "webhooks", "serve", "page", "send", "refold", "lane"} & set(parts):
        await _with_servers(parts, report, customers=customers, start_ms=start_ms, quick=quick)
    if "import" in parts:
        await history.measure(report, quick=quick)
    if "peers" in parts:
        await peers.run(list(peers.ENGINES), report, peers.QUICK if quick else peers.Size())


async def _with_servers(parts: list[str], report: Report, *, customers: int, start_ms: int, quick: bool) -> None:
    with Servers() as servers:
        report.servers.update(kafka=servers.kafka.description, redis=servers.redis.version)
        print(f"\n{servers.kafka.description}; {servers.redis.version}")
        per_second = 10_000.0
        if "kafka" in parts:
            made = list(events(5 * customers, customers=customers, start_ms=start_ms, gap_ms=GAP_MS))
            per_second = await throughput.measure(report, servers, made, 2 * customers, customers)
        rate = min(per_second / 2, LATENCY_RATE_MAX)
        if "latency" in parts:
            await latency.measure(report, servers, list(_present(rate, quick=quick)), rate)
        if "identity" in parts:
            await identity.measure(report, servers, _present(rate, quick=quick), rate)
        if "idle" in parts:
            await idle.measure(report, servers, seconds=IDLE_SECONDS)
        if "collect" in parts:
            await collect.measure(report, servers, quick=quick)
        if "webhooks" in parts:
            await webhooks.measure(report, servers, quick=quick)
        if "serve" in parts:
            await serve.measure(report, servers, quick=quick)
        if "page" in parts:
            await page.measure(report, servers, customers=customers)
        if "send" in parts:
            await send.measure(report, servers, quick=quick)
        if "refold" in parts:
            await refold.measure(report, servers, start_ms=start_ms, gap_ms=GAP_MS, quick=quick)
        if "lane" in parts:
            await lane.measure(report, servers, quick=quick)
        if "faust" in parts:
            made = list(islice(events(5 * customers, customers=customers, start_ms=start_ms, gap_ms=GAP_MS), 20_000 // (4 if quick else 1)))
            await faust_part.measure(report, servers, made)


def _present(rate: float, *, quick: bool) -> Iterator[Made]:
    """Events of now, for as long as a load at this rate is to last."""
    number = int(rate * LATENCY_SECONDS / (2 if quick else 1))
    return events(number, customers=CUSTOMERS, start_ms=int(time() * 1_000), gap_ms=1_000)


def main() -> int:
    """Exit code 2 where the machine lacks something."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it warns of each topic that is not there yet
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    if sys.argv[1:2] == ["peers"]:
        return peers.main(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="How fast it is here.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the events")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one (may be given more than once)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--base", type=Path, metavar="FOLDER", help="a checkout of an earlier commit: what an event costs here and there")
    given = parser.parse_args()
    report = Report(" ".join(["python -m tests.bench", *sys.argv[1:]]))
    report.print_machine()
    try:
        if given.base is not None:
            against.measure(report, given.base.resolve(), quick=given.quick)
        parts: list[str] = given.part or ([] if given.base is not None else list(PARTS))
        asyncio.run(run(parts, report, quick=given.quick))
    except SettingsError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    finally:
        if given.json is not None:
            given.json.write_text(json.dumps(report.as_data(), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
