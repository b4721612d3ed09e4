"""Logs into which history is brought once they have begun; and the same where each event of it had arrived when it happened."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hypothesis import strategies as st

from streamer.customers.rebase import shifted
from streamer.customers.state import NO_TIMER
from streamer.customers.tombstone import is_tombstone
from streamer.flow.catalog import Plans
from streamer.flow.lane.lanes import OnTheSpot
from streamer.flow.machine import WHOLE, Limits
from streamer.flow.shard import Shard
from streamer.language.definitions import parse_definitions
from streamer.stores.memory import MemoryStore
from streamer.values import time_text
from streamer.wire import ARRIVED_HEADER, COMPARED_HEADER, LogRecord, arrived_text, definitions_control
from tests.oracle.story import Record
from tests.property.born_old import CrashingWithLanes
from tests.property.driving import Case, CrashError, ListLog, Shown, log_of, look, never, with_purposes
from tests.property.logs import CUSTOMERS, LENGTHS, cases, delays, events

BROUGHT_BY = "00ff00ff00ff00ff"
MORE = ("h", "i")  # customers whom the log itself may not know


@dataclass(frozen=True)
class Brought:
    """A log, ``history`` as it was imported, and behind which of the log's records a publication ``brings`` it."""

    case: Case
    history: tuple[Record, ...]
    brings: int
    compared: frozenset[int] = frozenset()


@st.composite
def brought_cases(draw: st.DrawFn) -> Brought:
    """A log, and events before its beginning; now and then some that happened later."""
    case = draw(cases(records_max=8, switches=False))
    at_ms = min((record.arrival_ms for record in case.records), default=0)
    found, now = list[tuple[int, dict[str, Any]]](), at_ms
    for number in range(draw(st.integers(1, 8))):
        now = max(0, now - draw(st.sampled_from([0, 1, 1000, *LENGTHS])))
        timestamp = max(0, now - draw(delays(case.lateness_ms, 0))) if draw(st.integers(0, 4)) == 0 else now
        event = draw(events((*CUSTOMERS, *MORE)))
        found.append((now, {**event, "messageId": f"h{number}", "timestamp": timestamp}))
    found.reverse()
    if draw(st.booleans()):
        last = max(record.arrival_ms for record in case.records)
        found += [(at, {**draw(events((*CUSTOMERS, *MORE))), "messageId": f"l{at}", "timestamp": at}) for at in {at_ms + 1, last}]
    history = tuple(Record(offset, at, body) for offset, (at, body) in enumerate(sorted(found, key=lambda one: one[0])))
    compared = frozenset(record.offset for record in history if draw(st.booleans()))
    return Brought(case, history, draw(st.integers(1, len(case.records))), compared)


def log_with(brought: Brought) -> list[LogRecord]:
    """The log with the record that brings the history."""
    return bring(log_of(brought.case), brought.case, brought.brings, 2, len(brought.history))


def bring(log: Sequence[LogRecord], case: Case, behind: int, version: int, end: int) -> list[LogRecord]:
    """The log with a record ``behind`` one of its own that brings so much of the history."""
    parsed = parse_definitions(with_purposes(case.definitions))
    raw = definitions_control(parsed.content(), parsed.digest, version, history=[end])
    before, after = log[: behind + 1], log[behind + 1 :]
    bringing = LogRecord(len(before), log[behind].arrival_ms, raw, control=True)
    return [*before, bringing, *(record._replace(offset=record.offset + 1) for record in after)]


def history_of(brought: Brought) -> list[LogRecord]:
    """The history as it lies in its log."""
    return [_of_history(record, is_compared=record.offset in brought.compared) for record in brought.history]


def _of_history(record: Record, *, is_compared: bool) -> LogRecord:
    raw = json.dumps({**record.body, "timestamp": time_text(record.body["timestamp"])}).encode()
    headers = [(ARRIVED_HEADER, arrived_text(record.arrival_ms, BROUGHT_BY))]
    headers += [(COMPARED_HEADER, b"")] if is_compared else []
    key = (record.body.get("userId") or record.body.get("anonymousId") or "").encode()
    return LogRecord(record.offset, record.arrival_ms, raw, key=key, headers=tuple(headers))


class Told(NamedTuple):
    """What a shard came to."""

    shard: Shard
    shown: Shown


def told(log: Sequence[LogRecord], past: Sequence[LogRecord], case: Case, *, limits: Limits = WHOLE) -> Told:
    """A shard over a log, with its history."""

    async def run() -> Told:
        store = MemoryStore()
        shard = await _owner(store, log, past, case, limits)
        await shard.process(log)
        return Told(shard, await look(store))

    return asyncio.run(run())


def told_with_crashes(log: Sequence[LogRecord], past: Sequence[LogRecord], case: Case, store: CrashingWithLanes, limits: Limits) -> Shown:
    """The same, by one owner after another."""

    async def run() -> Shown:
        shard: Shard | None = None
        while shard is None or shard.position.offset < len(log):
            try:
                shard = shard or await _owner(store, log, past, case, limits)
                await shard.process(log[shard.position.offset :])
            except CrashError:
                shard = None
        return await look(store)

    return asyncio.run(run())


async def _owner(store: MemoryStore, log: Sequence[LogRecord], past: Sequence[LogRecord], case: Case, limits: Limits) -> Shard:
    lanes = OnTheSpot(store, ListLog(log, past=past), case.rules, pause=never)
    return await Shard.acquire(0, store, Plans(store, case.rules), case.rules, limits=limits, lanes=lanes, keeps_offsets=True, pause=never)


class Known(NamedTuple):
    """What is known of a customer, all times in UTC, but for what may be found out at any time."""

    slots: dict[int, Any]
    inside: dict[str, int]
    truth_bits: dict[int, int]
    due_ms: int
    seen: bytes
    floor_ms: int | None


def known_in_utc(told: Told) -> dict[str, Known]:
    """Of every customer, found out anew as of log time."""
    shard, found = told.shard, dict[str, Known]()
    for customer, blob in told.shown.states.items():
        if is_tombstone(blob):
            continue
        state, now = shard.state(blob), shard.body.log_time_ms
        shard.plan.settle(state, now - state.origin_ms)
        due_ms = shard.plan.next_due(state, now - state.origin_ms)
        specs, origin_ms = shard.plan.specs, state.origin_ms
        found[customer] = Known(
            {slot: shifted(specs[slot], data, origin_ms) for slot, data in state.slots.items()},
            {shard.plan.names[number]: entry.at_ms + origin_ms for number, entry in state.members.items() if entry.inside},
            state.truth_bits,
            due_ms + origin_ms if due_ms < NO_TIMER else NO_TIMER,
            state.seen,
            None if state.floor_ms is None else state.floor_ms + origin_ms,
        )
    return found


class AsItHappened(NamedTuple):
    """What a shard comes to that was told everything when it happened: where the history is brought, and in the end; how many events of
    history were accepted, and how many were left out since the log had begun."""

    known: dict[str, Known]
    sizes: dict[str, int]
    in_the_end: Told
    said_from: int
    accepted: int
    overlap: int


def as_it_happened(brought: Brought) -> AsItHappened:
    """One log that has each event of history before the first record that arrived after it happened."""

    async def run() -> AsItHappened:
        rules, store = brought.case.rules, MemoryStore()
        shard = await Shard.acquire(0, store, Plans(store, rules), rules, pause=never)
        left, counts, said_from = history_of(brought), Counter[str](), 0
        known, sizes, offset = dict[str, Known](), dict[str, int](), 0

        async def tell(record: LogRecord) -> bool:
            nonlocal offset
            before = shard.body.counts.get("accepted", 0)
            await shard.process([record._replace(offset=offset)])
            offset += 1
            return shard.body.counts.get("accepted", 0) > before

        for record in log_with(brought):
            is_bringing = record.offset == brought.brings + 1
            now = max(shard.body.log_time_ms, record.arrival_ms)
            while record.offset and left and left[0].arrival_ms <= now:  # definitions hold before anything happens
                event = left.pop(0)
                if counts["own"] and not any(name == COMPARED_HEADER for name, _ in event.headers):
                    counts["overlap"] += 1
                else:
                    counts["accepted"] += await tell(event)
            if is_bringing:
                left = []
                await tell(LogRecord(0, record.arrival_ms, b'{"control":"tick"}', control=True))
                known, sizes, said_from = known_in_utc(Told(shard, await look(store))), dict(shard.sizes), offset
            else:
                counts["own"] += await tell(record) and not record.control
        return AsItHappened(known, sizes, Told(shard, await look(store)), said_from, counts["accepted"], counts["overlap"])

    return asyncio.run(run())
