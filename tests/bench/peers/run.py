"""``python -m tests.bench peers``: the same job on ``streamer`` and on what one could take instead.

Engines work off the same log one after the other, and every row of their changes (customer, segment, kind, millisecond, sequence) must
be that of the first one. Then each runs live. What cannot be had here is said with its reason, and the others go on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from time import time
from typing import Final, NamedTuple

from aiokafka.errors import KafkaError

from streamer.errors import SettingsError
from tests.bench.deployment import Servers
from tests.bench.quiet import calibrate
from tests.bench.report import Report
from tests.bench.shop import Made

from . import live, throughput
from .changes import differences
from .engines import Engine, Hand, Streamer
from .job import Row, log_events
from .jvm import FlinkHeap, FlinkRocks, KafkaStreams
from .quix import Quix
from .table import Result, Table

ENGINES: Final[dict[str, type[Engine]]] = {engine.name: engine for engine in (Streamer, Hand, Quix, KafkaStreams, FlinkHeap, FlinkRocks)}
PAST_MS: Final = 60_000  # definitions carry the present as their time, so the log begins after it
LIMIT_S: Final = 120.0  # for an engine to work off the log, and
SLOWEST: Final = 500.0  # events a second, beside it


class Size(NamedTuple):
    """How much is measured."""

    events: int = 60_000
    rates: tuple[int, ...] = (1_000, 3_000)
    live_s: float = 12.0  # at each rate; 0: not at all


QUICK: Final = Size(20_000, (1_000,), 6.0)


async def run(names: Sequence[str], report: Report, size: Size) -> bool:
    """All of it; whether every engine that could be run said the same rows."""
    before = calibrate()
    made = list(log_events(size.events, start_ms=int(time() * 1_000) + PAST_MS))
    customers = len({one.customer for one in made})
    report.begin("peers", f"five segments, {len(made):,} events of {customers:,} customers in 12 partitions, on {', '.join(names)}")
    table = Table(report, size.rates if size.live_s else ())
    ours: list[Row] | None = None
    with Servers() as servers:
        report.servers.update(kafka=servers.kafka.description, redis=servers.redis.version)
        for name in names:
            result = await _measure(ENGINES[name], servers, made, size, ours)
            if ours is None and result.throughput is not None:
                ours = result.throughput.rows
            table.add(result)
    return table.finish(before, calibrate())


async def _measure(kind: type[Engine], servers: Servers, made: Sequence[Made], size: Size, ours: list[Row] | None) -> Result:
    """One engine; what it lacks or breaks on is its result, and the others go on."""
    result = Result(kind)
    try:
        kind.prepare()
        engine = kind(servers, live=False)
        try:
            result.throughput = await throughput.measure(engine, made, LIMIT_S + len(made) / SLOWEST)
        finally:
            await engine.close()
        if ours is not None:
            result.differing = differences(ours, result.throughput.rows)
        if size.live_s:
            engine = kind(servers, live=True)
            try:
                result.latencies = await live.measure(engine, size.rates, size.live_s)
            finally:
                await engine.close()
    except (SettingsError, OSError, KafkaError) as error:  # its process or its server went away between two looks
        result.missing = str(error) or type(error).__name__
    return result


def main(arguments: Sequence[str]) -> int:
    """Exit code 1 where rows differ, 2 where the machine lacks something."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench peers", description=__doc__)
    known = ", ".join(ENGINES)
    parser.add_argument("--engines", default=known, metavar="NAMES", help=f"of {known}; others are compared with the first")
    parser.add_argument("--events", type=int, metavar="N", help=f"of the log (default {Size().events:,}; the README's figures: 300000)")
    parser.add_argument("--seconds", type=float, metavar="S", help=f"at each rate (default {Size().live_s:g}; 0: no live run)")
    parser.add_argument("--quick", action="store_true", help="a third of the events, one rate, half the seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    given = parser.parse_args(arguments)
    names = [name.strip() for name in given.engines.split(",")]
    if unknown := [name for name in names if name not in ENGINES]:
        parser.error(f"no engine {unknown[0]!r}; there are {known}")
    size = QUICK if given.quick else Size()
    size = size._replace(
        events=size.events if given.events is None else given.events, live_s=size.live_s if given.seconds is None else given.seconds
    )
    report = Report(" ".join(["python -m tests.bench peers", *arguments]))
    report.print_machine()
    try:
        same = asyncio.run(run(names, report, size))
    except SettingsError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    finally:
        if given.json is not None:
            given.json.write_text(json.dumps(report.as_data(), indent=2) + "\n")
    return 0 if same else 1
