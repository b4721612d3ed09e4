"""Real shops' logs: what is published behind them is what it would be had it been published before them, to the byte of what is remembered.

One shard tells a log under a few segments and is given others behind it, which a lane folds over what lies there. Another has all of them
from the beginning. What each then knows of every customer is compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from streamer.cli.event_source import EventSource
from streamer.flow.catalog import Plans
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import Definitions
from streamer.stores.memory import MemoryStore
from streamer.wire import TICK, LogRecord, definitions_control
from tests.bench.library import twenty
from tests.property.born_old import Counting, Known, ListLog, known
from tests.property.driving import look, never

HERE: Final = Path(__file__).parents[1] / "data"
FILES: Final = {  # below a folder of data sets, each with its mapping
    "online_retail/first_3000.csv.gz": "online_retail",
    "online_retail_uci/online_retail.csv.gz": "online_retail",
    "otto_sample/train_20_sessions.jsonl": "otto",
    "rees46_electronics/five_users_full_history.csv": "rees46",
    "rees46_multicategory/2019-Oct_first17434.csv": "rees46",
}
CUSTOMERS_A_TICK: Final = 100  # who come under new definitions at most, where ticks are
TICKS_APART_MS: Final = 1_000
BATCH: Final = 1_000


class Compared(NamedTuple):
    """What a log came to: its events, who is known at its end, and memberships of segments that were published behind it."""

    events: int
    customers: int
    members: int


def found_in(folder: Path) -> Iterator[tuple[Path, str]]:
    """The data sets that are there, with the mappings by which they are read."""
    return ((folder / name, mapping) for name, mapping in FILES.items() if (folder / name).is_file())


def compare(file: Path, mapping: str) -> Compared:
    """Tell a log twice. AssertionError where somebody is known otherwise than had the definitions been there before."""
    return asyncio.run(_compare(file, mapping))


async def _compare(file: Path, mapping: str) -> Compared:
    source = EventSource([str(file)], mapping)
    arrivals = list(source.log(lambda _: None))
    rules = Rules(shards=1, placeholder_ids=source.placeholder_ids)
    new = twenty()
    old = Definitions(new.segments[::3], new.zone, zone_data=new.zone_data)
    events = [LogRecord(offset, one.arrival_ms, one.value) for offset, one in enumerate(arrivals, 1)]
    end_ms, behind = max(record.arrival_ms for record in events), len(events) + 1
    ticks = [
        LogRecord(behind + number, end_ms + number * TICKS_APART_MS, TICK, control=True)
        for number in range(1, len(events) // CUSTOMERS_A_TICK + 3)
    ]
    later, folds = await _told([_published(old, 0, 1, 0), *events, _published(new, behind, 2, end_ms), *ticks], rules)
    before, _ = await _told([_published(new, 0, 2, 0), *events, LogRecord(behind, end_ms, TICK, control=True), *ticks], rules)
    assert folds == 1, "the past was not folded"
    assert later.keys() == before.keys(), "other customers"
    differing = [customer for customer, blob in later.items() if before[customer] != blob]
    assert not differing, (
        f"{len(differing)} of {len(later)} customers are known otherwise; the first is number {list(later).index(differing[0])}"
    )
    fresh = {segment.name for segment in new.segments} - {segment.name for segment in old.segments}
    members = sum(len(fresh & msgspec.msgpack.decode(blob)[2].keys()) for blob in later.values())
    assert members, "nobody is in a segment that was published behind the log"
    return Compared(len(events), len(later), members)


def _published(definitions: Definitions, offset: int, version: int, at_ms: int) -> LogRecord:
    return LogRecord(offset, at_ms, definitions_control(definitions.content(), definitions.digest, version), control=True)


async def _told(log: Sequence[LogRecord], rules: Rules) -> tuple[dict[str, bytes], int]:
    """What is known of every customer behind a log, as bytes, and how many lanes were folded."""
    store = MemoryStore()
    lanes = Counting(store, ListLog(log), rules, pause=never)
    shard = await Shard.acquire(0, store, Plans(store, rules), rules, lanes=lanes, pause=never)
    for start in range(0, len(log), BATCH):
        await shard.process(log[start : start + BATCH])
    assert shard.machine.migration is None, "not everybody has come under the definitions"
    return {customer: _bytes(each) for customer, each in known(shard, await look(store)).items()}, lanes.folds


def _bytes(found: Known) -> bytes:
    """In the order of numbers and names: memories that are joined stand behind those that were there."""
    return msgspec.msgpack.encode([dict(sorted(part.items())) if isinstance(part, dict) else part for part in found])
