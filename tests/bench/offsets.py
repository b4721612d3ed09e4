"""What it costs a shard to note in each state where its records lie: two shards over one log, one of which does, in alternating batches."""

from __future__ import annotations

import gc
from statistics import mean, median
from time import process_time
from typing import Final

from streamer.flow.catalog import Plans
from streamer.flow.machine import Limits
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.stores.memory import MemoryStore
from streamer.wire import LogRecord, definitions_control
from tests.walk import customers_of

from .core import never
from .library import twenty
from .report import Report
from .shop import events

EVENTS: Final = 60_000
CUSTOMERS: Final = 3_000
BATCH: Final = 500
PLAIN: Final = "plain"
NOTED: Final = "noted"


async def measure(report: Report, *, start_ms: int, gap_ms: int, quick: bool) -> None:
    """The first third of the events is not measured. What a batch of one shard costs is compared with what the same one costs the other."""
    part = "offsets"
    made = list(events(EVENTS // (2 if quick else 1), customers=CUSTOMERS, start_ms=start_ms, gap_ms=gap_ms))
    report.begin(part, f"where records lie is noted in states, {len(made):,} events, two shards in alternating batches of {BATCH}")
    stores = {PLAIN: MemoryStore(), NOTED: MemoryStore()}
    shards = {name: await _begun(store, made[0].at_ms, keeps_offsets=name == NOTED) for name, store in stores.items()}
    records = [LogRecord(number, one.at_ms, one.value) for number, one in enumerate(made, 1)]
    took: dict[str, list[float]] = {PLAIN: [], NOTED: []}
    for start in range(0, len(records), BATCH):
        order = (PLAIN, NOTED) if start // BATCH % 2 else (NOTED, PLAIN)
        for name in order:
            gc.collect(1)
            began = process_time()
            await shards[name].process(records[start : start + BATCH])
            took[name].append((process_time() - began) / BATCH * 1e6)
    first = len(took[PLAIN]) // 3
    more = median(noted - plain for plain, noted in zip(took[PLAIN][first:], took[NOTED][first:], strict=True))
    plain = median(took[PLAIN][first:])
    report.add(part, "the step without", plain, "µs/event", "median of batches")
    report.add(part, "noting costs", more, "µs/event", f"median of the differences, {more / plain * 100:.1f} %")
    await _bytes(report, part, stores)


async def _begun(store: MemoryStore, at_ms: int, *, keeps_offsets: bool) -> Shard:
    rules, definitions = Rules(shards=1), twenty()
    shard = await Shard.acquire(0, store, Plans(store, rules), rules, limits=Limits(), keeps_offsets=keeps_offsets, pause=never)
    control = definitions_control(definitions.content(), definitions.digest, 1)
    await shard.process([LogRecord(0, at_ms, control, control=True)])
    return shard


async def _bytes(report: Report, part: str, stores: dict[str, MemoryStore]) -> None:
    customers = await customers_of(stores[NOTED], 0)
    sizes = {name: [len(blob) for blob in (await store.committed(0, customers)).states if blob] for name, store in stores.items()}
    events_each = (await stores[NOTED].checkpoint(0)).position.offset / len(customers)
    longer = (sum(sizes[NOTED]) - sum(sizes[PLAIN])) / len(customers)
    report.add(part, "a state is longer by", longer, "bytes", f"of {mean(sizes[PLAIN]):.0f}, {events_each:.0f} events a customer")
