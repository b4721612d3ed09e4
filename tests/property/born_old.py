"""Logs in which definitions change, told with lanes; and the same told under the later definitions from the beginning."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from hypothesis import strategies as st

from streamer.customers.tombstone import is_tombstone
from streamer.flow.catalog import Plans
from streamer.flow.lane.lane import SideLane
from streamer.flow.lane.lanes import OnTheSpot, Wanted
from streamer.flow.machine import WHOLE, Limits
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.stores.base import Commit
from streamer.stores.memory import MemoryStore
from streamer.wire import TICK, LogRecord
from tests.oracle.story import Record
from tests.property.driving import Case, CrashError, CrashingStore, ListLog, Shown, log_of, log_record, look, never
from tests.property.logs import bodies_of, cases, others, with_records

ONE_SHARD = Rules(shards=1)


class Counting(OnTheSpot):
    """Lanes that are folded on the spot, and how many were."""

    folds = 0

    async def at(self, wanted: Wanted) -> SideLane:
        self.folds += 1
        return await super().at(wanted)


@dataclass(frozen=True)
class Switched:
    """What a shard came to, and how many lanes it had folded."""

    shard: Shard
    shown: Shown
    folds: int


def told(records: Sequence[Record], rules: Rules = ONE_SHARD, *, limits: Limits = WHOLE, begin: int = 0) -> Switched:
    """A shard over a log, with lanes."""
    return asyncio.run(_told([log_record(record) for record in records], rules, limits, begin))


def told_case(case: Case, *, upto: int | None = None, limits: Limits = WHOLE) -> Switched:
    """The same over the log of a case, or what lies up to and including an offset of it."""
    log = log_of(case)
    return asyncio.run(_told(log if upto is None else log[: upto + 1], case.rules, limits, 0))


def told_each_at_last(case: Case) -> Switched:
    """The same, where nobody comes under other definitions but by what concerns them, and the rest behind the last record."""
    log = log_of(case)
    ticks = [LogRecord(log[-1].offset + number, max(record.arrival_ms for record in log), TICK, control=True) for number in range(1, 6)]
    return asyncio.run(_told_each_at_last(log, ticks, case.rules))


async def _told_each_at_last(log: list[LogRecord], ticks: list[LogRecord], rules: Rules) -> Switched:
    store = MemoryStore()
    lanes = Counting(store, ListLog([*log, *ticks]), rules, pause=never)
    shard = await Shard.acquire(0, store, Plans(store, rules), rules, lanes=lanes, pause=never)
    shard.walk_customers = lambda: 0
    await shard.process(log)
    shard.walk_customers = lambda: 1
    await shard.process(ticks)
    return Switched(shard, await look(store), lanes.folds)


async def _told(log: Sequence[LogRecord], rules: Rules, limits: Limits, begin: int) -> Switched:
    store = MemoryStore()
    lanes = Counting(store, ListLog(log, begin), rules, pause=never)
    shard = await Shard.acquire(0, store, Plans(store, rules), rules, limits=limits, lanes=lanes, pause=never)
    await shard.process(log)
    return Switched(shard, await look(store), lanes.folds)


class CrashingWithLanes(CrashingStore):
    """Crashes the owner at commits of the shard and of its lanes, counted together, and at the moment at which a lane is dropped."""

    def __init__(self, crashes: Mapping[int, str], *, at_drop: bool = False) -> None:
        super().__init__(crashes)
        self.at_drop, self.in_lanes, self.drops = at_drop, 0, 0

    def lane(self, name: str) -> MemoryStore:
        if name not in self._lanes:
            self._lanes[name] = _CrashingLane(self)
        return self._lanes[name]


class _CrashingLane(MemoryStore):
    def __init__(self, beside: CrashingWithLanes) -> None:
        super().__init__()
        self._beside = beside

    async def commit(self, shard: int, commit: Commit) -> None:
        before = self._beside.happened
        try:
            await self._beside.crash_at(lambda: super(_CrashingLane, self).commit(shard, commit))
        finally:
            self._beside.in_lanes += self._beside.happened - before

    async def drop(self, shard: int) -> None:
        self._beside.drops += 1
        if self._beside.at_drop and self._beside.drops == 1:
            raise CrashError
        await super().drop(shard)


def told_with_crashes(case: Case, store: CrashingWithLanes, limits: Limits) -> Shown:
    """The same log, by one owner after another."""

    async def run() -> Shown:
        log, rules = log_of(case), case.rules

        async def acquire() -> Shard:
            lanes = OnTheSpot(store, ListLog(log), rules, pause=never)
            return await Shard.acquire(0, store, Plans(store, rules), rules, limits=limits, lanes=lanes, pause=never)

        shard: Shard | None = None
        while shard is None or shard.position.offset < len(log):
            try:
                shard = shard or await acquire()
                await shard.process(log[shard.position.offset :])
            except CrashError:
                shard = None
        return await look(store)

    return asyncio.run(run())


# the law: as if the later definitions had always held


@st.composite
def switched_cases(draw: st.DrawFn, *, switches_max: int = 2) -> Case:
    """A case whose definitions change, anywhere, once or twice: to others that keep some segments, change some, and share memories."""
    case = draw(cases(switches=False))
    bodies, source = bodies_of(case), case.definitions
    places = sorted(draw(st.lists(st.integers(0, len(bodies)), min_size=1, max_size=switches_max)))
    for number, place in enumerate(places):
        source = draw(others(source))
        at_ms = bodies[min(place + number, len(bodies) - 1)][0]
        bodies.insert(place + number, (at_ms, {"control": "definitions", "version": number + 2, "definitions": source}))
    return with_records(case, bodies)


def last_switch(case: Case) -> int:
    """The offset of the last change of definitions."""
    return max(record.offset for record in case.records if record.body.get("control") == "definitions")


def from_the_beginning(case: Case) -> Case:
    """The same events under the last definitions alone."""
    at = last_switch(case)
    last = next(record.body for record in case.records if record.offset == at)
    return replace(
        case,
        definitions=last["definitions"],
        records=tuple(
            replace(
                record, body={"control": "tick"} if record.body.get("control") == "definitions" and record.offset != at else record.body
            )
            for record in case.records
        ),
    )


class Known(NamedTuple):
    """What is known of a customer, but for what may be found out at any time, and for how often it was changed."""

    origin_ms: int
    slots: dict[int, Any]
    inside: dict[str, int]
    truth_bits: dict[int, int]
    due_ms: int
    seen: bytes
    floor_ms: int | None


def known(shard: Shard, shown: Shown) -> dict[str, Known]:
    """Of every customer, found out anew as of log time."""
    found: dict[str, Known] = {}
    for customer, blob in shown.states.items():
        if is_tombstone(blob):
            continue
        state, now = shard.state(blob), shard.body.log_time_ms
        shard.plan.settle(state, now - state.origin_ms)
        due_ms = shard.plan.next_due(state, now - state.origin_ms)
        inside = {shard.plan.names[number]: entry.at_ms + state.origin_ms for number, entry in state.members.items() if entry.inside}
        found[customer] = Known(state.origin_ms, state.slots, inside, state.truth_bits, due_ms, state.seen, state.floor_ms)
    return found
