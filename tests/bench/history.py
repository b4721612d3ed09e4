"""History on its way into a log that has begun, in processor time and without servers: read from a file as by `streamer import`, and folded
in a lane."""

from __future__ import annotations

from collections.abc import Sequence
from tempfile import NamedTemporaryFile
from time import process_time, time
from typing import Final

from streamer.cli.event_source import EventSource
from streamer.cli.import_history import ImportTask
from streamer.flow.amendments import Amendments
from streamer.flow.catalog import compile_plan
from streamer.flow.lane.lane import LaneSettings, SideLane
from streamer.flow.lane.lane_plan import plan_lane
from streamer.flow.rules import Rules
from streamer.imports.process import HistoryFile, try_events
from streamer.language.definitions import Definitions, parse_definitions
from streamer.stores.memory import MemoryStore
from streamer.units import DAY_MS
from streamer.wire import ARRIVED_HEADER, TICK, LogRecord, arrived_text

from .library import twenty
from .report import Report
from .shop import Made, events

EVENTS: Final = 100_000
CUSTOMERS: Final = 5_000
BROUGHT_BY: Final = "00000000000000aa"
THREE: Final = parse_definitions(
    {
        "segments": {
            "buyer": {"for": "has bought", "when": 'did("Order Completed")'},
            "regular": {"for": "bought twice", "when": 'count("Order Completed") >= 2'},
            "lapsed": {"for": "bought, and is not seen for long", "when": 'did("Order Completed") and idle("*") >= "90d"'},
        }
    }
)


async def measure(report: Report, *, quick: bool) -> None:
    """Both, over the same events."""
    count = EVENTS // (5 if quick else 1)
    now_ms = int(time() * 1_000)
    report.begin("import", f"{count:,} events of {CUSTOMERS:,} customers, of two years, on one core")
    made = list(events(count, customers=CUSTOMERS, start_ms=now_ms - 700 * DAY_MS, gap_ms=650 * DAY_MS * CUSTOMERS // count))
    report.add("import", "read, checked, put in order by shard", count / await _read(made, now_ms), "events/s", "no Kafka")
    for name, definitions in (("three segments", THREE), ("twenty segments", twenty())):
        report.add("import", f"folded, {name}", count / await _fold(made, definitions, now_ms), "events/s", "store in memory")


async def _read(made: Sequence[Made], now_ms: int) -> float:
    """By the way of ``streamer import``, from a file."""
    with NamedTemporaryFile(suffix=".ndjson") as file:
        file.writelines(one.value + b"\n" for one in made)
        file.flush()
        task = ImportTask(EventSource([file.name], sort=True), now_ms, quiet=True)
        began = process_time()
        done = await try_events(12, HistoryFile(BROUGHT_BY, task.history(lambda *_: None), task.refuse))
        took = process_time() - began
    assert done.written == len(made), "all of it is history"
    return took


class _History:
    """What was imported, in memory."""

    def __init__(self, records: Sequence[LogRecord]) -> None:
        self._records = records

    async def history(self, shard: int, begin: int, end: int, limit: int) -> Sequence[LogRecord]:
        """See ``flow.shard_log.Histories``."""
        return self._records[begin : min(end, begin + limit)]


async def _fold(made: Sequence[Made], definitions: Definitions, now_ms: int) -> float:
    rules = Rules(shards=1)
    records = [
        LogRecord(at, one.at_ms, one.value, False, one.customer.encode(), ((ARRIVED_HEADER, arrived_text(one.at_ms, BROUGHT_BY)),))
        for at, one in enumerate(made)
    ]
    plan = plan_lane(
        compile_plan(Definitions(()), rules),
        compile_plan(definitions, rules),
        lateness_ms=rules.lateness_ms,
        history=len(records),
        brought=0,
    )
    assert plan is not None, "all of it is to be folded"
    settings = LaneSettings(0, MemoryStore(), rules, Amendments(), _never, histories=_History(records))
    lane = await SideLane.open(settings, plan, 2)
    tick = LogRecord(0, now_ms, TICK, control=True)
    began = process_time()
    while lane.left_of_history:
        await lane.fold([tick])
    took = process_time() - began
    assert lane.counts["accepted"] >= 0.9 * len(records), "but for what is said twice"
    return took


async def _never(_seconds: float) -> None:
    raise AssertionError("a store in memory does not come and go")


__all__ = ["measure"]
