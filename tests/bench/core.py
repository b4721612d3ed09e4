"""The step by itself, in one process and without a network: what the thinking costs."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from time import process_time
from typing import Any, NamedTuple

from streamer.events.codec import decode
from streamer.flow.catalog import Plans
from streamer.flow.machine import Limits
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import Definitions
from streamer.stores.base import Checkpoint, Commit, Fetched
from streamer.stores.memory import MemoryStore
from streamer.wire import LogRecord, definitions_control

from .library import twenty
from .report import Report
from .shop import Made

BATCH = 1_000


class TimedStore(MemoryStore):
    """A store that knows how much processor time its calls took."""

    def __init__(self) -> None:
        super().__init__()
        self.read_s = self.commit_s = 0.0

    async def fetch(
        self, shard: int, customers: Sequence[str], *, until_ms: int, limit: int, expected: Checkpoint | None = None
    ) -> Fetched:
        began = process_time()
        try:
            return await super().fetch(shard, customers, until_ms=until_ms, limit=limit, expected=expected)
        finally:
            self.read_s += process_time() - began

    async def commit(self, shard: int, commit: Commit) -> None:
        began = process_time()
        try:
            await super().commit(shard, commit)
        finally:
            self.commit_s += process_time() - began


class Cost(NamedTuple):
    """Of one run over a log in memory."""

    seconds: float  # of processor time
    outputs: int
    output_digest: str


async def run(store: Any, definitions: Definitions, made: Sequence[Made], warm: int) -> Cost:
    """Work off a log; what comes before ``warm`` is not measured."""
    rules = Rules(shards=1)
    shard = await Shard.acquire(0, store, Plans(store, rules), rules, limits=Limits(), keeps_offsets=True, pause=never)
    first = LogRecord(0, made[0].at_ms, definitions_control(definitions.content(), definitions.digest, 1), control=True)
    await shard.process([first])
    records = [LogRecord(number, one.at_ms, one.value) for number, one in enumerate(made, 1)]
    await _work(shard, records[:warm])
    if isinstance(store, TimedStore):
        store.read_s = store.commit_s = 0.0
    gc.collect()
    began = process_time()
    outputs = await _work(shard, records[warm:])
    return Cost(process_time() - began, outputs, shard.checkpoint.output_digest.hex())


async def _work(shard: Shard, records: Sequence[LogRecord]) -> int:
    return sum(
        [sum(len(found) for _, found in await shard.process(records[start : start + BATCH])) for start in range(0, len(records), BATCH)]
    )


async def measure(report: Report, made: Sequence[Made], warm: int) -> None:
    """Microseconds of processor time an event, by stage."""
    part, number = "core", len(made) - warm
    report.begin(part, f"one shard in memory, {number:,} events after {warm:,} others, 20 segments")
    store = TimedStore()
    cost = await run(store, twenty(), made, warm)
    began = process_time()
    for one in made[warm:]:
        decode(one.value)
    decode_s = process_time() - began
    report.add(part, "all", cost.seconds / number * 1e6, "µs/event", f"{cost.outputs / number:.2f} changes an event")
    report.add(part, "decoding and checking the event", decode_s / number * 1e6, "µs/event")
    step_s = cost.seconds - decode_s - store.read_s - store.commit_s
    report.add(part, "timers, memories, judging, changes, states to and from bytes", step_s / number * 1e6, "µs/event")


async def never(_seconds: float) -> None:
    """Nothing is waited for."""
    raise AssertionError("a store in memory is always there")
