"""The step in the oracle's words: the same records in, the same kind of answer out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from streamer.customers.state import NO_TIMER, State, decode_state
from streamer.customers.tombstone import is_tombstone
from streamer.errors import StoreUnavailableError
from streamer.flow.catalog import Plans
from streamer.flow.lane.lanes import OnTheSpot
from streamer.flow.machine import Limits
from streamer.flow.rules import Rules
from streamer.flow.same_log import View
from streamer.flow.shard import Shard
from streamer.language.definitions import content_digest, parse_definitions
from streamer.segments.merge import is_merge
from streamer.stores.base import Commit
from streamer.stores.memory import MemoryStore
from streamer.values import time_text
from streamer.wire import (
    CHANGES,
    TICK,
    Control,
    LogRecord,
    Output,
    decode_outputs,
    definitions_control,
    encode_control,
    model_control,
    withdraw_control,
)
from tests.oracle.story import Cause, Change, Record
from tests.oracle.values import to_ms
from tests.walk import customers_of

COUNTED = ("accepted", "duplicate", "future", "late", "of_erased", "placeholder_id")


@dataclass(frozen=True)
class Case:
    """Definitions, and the records of one shard; the definitions themselves lie at offset 0, so records begin at 1."""

    definitions: dict[str, Any]
    records: tuple[Record, ...]
    lateness_ms: int = 86_400_000
    skew_ms: int = 300_000

    @property
    def rules(self) -> Rules:
        return Rules(shards=1, lateness_ms=self.lateness_ms, skew_ms=self.skew_ms)


@dataclass(frozen=True)
class Shown:
    """What a shard came to, in all detail that must not depend on how it was driven."""

    output_digest: bytes
    body: bytes
    outputs: list[Output]
    states: dict[str, bytes]
    wakes: list[tuple[int, str]]


def with_purposes(definitions: Mapping[str, Any]) -> dict[str, Any]:
    named = {
        key: {name: {"for": "a test", **given} for name, given in definitions.get(key, {}).items()} for key in ("segments", "messages")
    }
    return {**definitions, **{key: given for key, given in named.items() if given}}


def log_of(case: Case) -> list[LogRecord]:
    """The records as they lie in the log."""
    first = Record(0, 0, {"control": "definitions", "version": 1, "definitions": case.definitions})
    return [log_record(record) for record in (first, *case.records)]


def log_record(record: Record) -> LogRecord:
    match record.body:
        case {"control": "tick"}:
            return LogRecord(record.offset, record.arrival_ms, TICK, control=True)
        case {"control": "erase", "customer": customer}:
            return LogRecord(record.offset, record.arrival_ms, encode_control(Control("erase", customer=customer)), control=True)
        case {"control": "pause" | "resume" as kind, "message": name}:
            return LogRecord(record.offset, record.arrival_ms, encode_control(Control(kind, message=name)), control=True)
        case {"control": "model" | "withdraw"}:
            return LogRecord(record.offset, record.arrival_ms, of_model(record.body), control=True)
        case {"control": "definitions", "version": version, "definitions": source}:
            parsed = parse_definitions(with_purposes(source))
            raw = definitions_control(parsed.content(), parsed.digest, version)
            return LogRecord(record.offset, record.arrival_ms, raw, control=True)
        case event:  # its time as text: a number early in 1970 would be taken for seconds
            raw = json.dumps({**event, "timestamp": time_text(event["timestamp"])}).encode()
            return LogRecord(record.offset, record.arrival_ms, raw)


def of_model(body: Mapping[str, Any]) -> bytes:
    """A record by which a scorer begins to serve, or none does any more; what the scorer is, its content says."""
    if body["control"] == "withdraw":
        return withdraw_control(body["model"], body["version"])
    content = json.dumps({"kind": body["kind"], "version": body["version"]}).encode()
    return model_control(body["model"], content, content_digest(content), body["version"])


class ListLog:
    """Records as a log that is read beside a shard; ``begin``: what lies before it is gone."""

    def __init__(self, records: Sequence[LogRecord], begin: int = 0, past: Sequence[LogRecord] = ()) -> None:
        self.records, self.begin, self.past = records, begin, past

    async def history(self, shard: int, begin: int, end: int, limit: int) -> Sequence[LogRecord]:
        return [record for record in self.past if begin <= record.offset < end][:limit]

    async def look(self, shard: int, offset: int) -> View:
        return View(self.begin, self.records[-1].offset + 1, None)

    async def read(self, shard: int, offset: int, limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
        if offset < self.begin:
            raise ConnectionError("a broker has nothing that lies before the beginning")
        found = [record for record in self.records if record.offset >= offset]
        for start in range(0, len(found), limit):
            yield found[start : start + limit]


def lanes_over(store: MemoryStore, records: Sequence[LogRecord], rules: Rules) -> OnTheSpot:
    """The past for what is new in definitions, of a shard that has this log; what other shards sent is in it."""
    return OnTheSpot(store, ListLog(records), rules, pause=never)


class Driver:
    """One shard over one store, by one owner after another. Without lanes what is new in definitions has no past."""

    def __init__(
        self, case: Case, *, batch: int = 500, limits: Limits | None = None, store: MemoryStore | None = None, has_lanes: bool = True
    ) -> None:
        self.rules, self.batch, self.limits = case.rules, batch, limits or Limits(records=batch)
        self.store = store or MemoryStore()
        self.lanes = lanes_over(self.store, log_of(case), self.rules) if has_lanes else None

    async def acquire(self) -> Shard:
        """A new owner, who knows what the store knows and no more."""
        plans, rules = Plans(self.store, self.rules), self.rules
        return await Shard.acquire(0, self.store, plans, rules, limits=self.limits, lanes=self.lanes, pause=never)

    async def run(self, log: Sequence[LogRecord]) -> Shard:
        """Process the whole log, by a new owner after each crash."""
        shard = await self.acquire()
        while shard.position.offset < len(log):
            try:
                await shard.process(log[shard.position.offset :][: self.batch])
            except CrashError:
                shard = await self.acquire()
        return shard


class CrashError(BaseException):
    """The owner is gone, at a commit: like a kill, nothing that it does on errors may run."""


class CrashingStore(MemoryStore):
    """Crashes the owner at commits: ``crashes`` says by number which, and whether before or after it went through."""

    def __init__(self, crashes: Mapping[int, str]) -> None:
        super().__init__()
        self._crashes, self._commits, self.happened = crashes, 0, 0

    async def commit(self, shard: int, commit: Commit) -> None:
        await self.crash_at(lambda: super(CrashingStore, self).commit(shard, commit))

    async def crash_at(self, make: Callable[[], Awaitable[None]]) -> None:
        """Make the next commit, and crash where it is its turn."""
        self._commits += 1
        when = self._crashes.get(self._commits)
        if when != "before":
            await make()
        if when is not None:
            self.happened += 1
            raise CrashError


async def look(store: MemoryStore, number: int = 0) -> Shown:
    """Everything the store has of a shard."""
    checkpoint = await store.checkpoint(number)
    customers = await customers_of(store, number)
    fetched = await store.fetch(number, customers, until_ms=NO_TIMER, limit=1_000_000)
    states = {customer: state for customer, state in zip(customers, fetched.states, strict=True) if state is not None}
    entries = await store.outbox(number, after=None, limit=1_000_000)
    outputs = [output for _, packed in entries for output in decode_outputs(packed)]
    timers = {customer: decode_state(state).due_ms for customer, state in states.items() if not is_tombstone(state)}
    known = {customer: due_ms for customer, due_ms in timers.items() if due_ms < NO_TIMER}
    assert known == {customer: due_ms for due_ms, customer in fetched.due}, "what a state says of its timer is what the store has"
    return Shown(checkpoint.output_digest, checkpoint.body, outputs, states, fetched.due)


def shown(case: Case, **options: Any) -> Shown:
    """What a case comes to, driven one way or another."""
    driver, _ = drive(case, **options)
    return asyncio.run(look(driver.store))


def drive(case: Case, **options: Any) -> tuple[Driver, Shard]:
    """Options are the driver's."""
    driver = Driver(case, **options)
    return driver, asyncio.run(driver.run(log_of(case)))


async def never(_seconds: float) -> None:
    raise StoreUnavailableError("memory does not come and go")


# The step's answers in the oracle's words


def changes_of(outputs: Sequence[Output]) -> Iterator[Change]:
    """The segment changes among outputs; dead letters are left to the counts."""
    for output in outputs:
        if output.topic == CHANGES and not is_merge(output.value):
            event = json.loads(output.value)
            data, cause, position = event["data"], event["data"]["cause"], event["data"]["position"]
            assert event["id"] == f"1-{position['shard']}-{position['offset']}-{position['ordinal']}"
            assert event["time"] == data["at"]
            assert (position["offset"], position["ordinal"]) == (output.offset, output.ordinal)
            due = cause.get("due")
            yield Change(
                event["subject"],
                data["segment"],
                event["type"] == "segment.entered",
                ms_of(data["at"]),
                data["sequence"],
                Cause(cause["kind"], cause.get("id"), None if due is None else ms_of(due), cause.get("version")),
                data["definitions"],
                position["offset"],
                position["ordinal"],
            )


def without_positions(found: Shown) -> dict[str, Any]:
    """What was said of each customer and segment in turn, and what is remembered of them."""
    said: dict[str, list[Any]] = {}
    for change in sorted(changes_of(found.outputs), key=lambda change: (change.customer, change.segment, change.sequence)):
        said.setdefault(change.customer, []).append(replace(change, offset=0, ordinal=0))
    return {"said": said, "states": found.states, "wakes": found.wakes}


def ms_of(text: str) -> int:
    return to_ms(datetime.fromisoformat(text))


def states_of(driver: Driver) -> dict[str, State]:
    return {customer: decode_state(blob) for customer, blob in asyncio.run(look(driver.store)).states.items()}


def events_by(driver: Driver) -> list[dict[str, Any]]:
    """The segment changes as they are written."""
    outputs = asyncio.run(look(driver.store)).outputs
    return [json.loads(output.value) for output in outputs if output.topic == CHANGES]


def changes_by(driver: Driver) -> list[Change]:
    return list(changes_of(asyncio.run(look(driver.store)).outputs))


def memberships_of(driver: Driver, shard: Shard) -> dict[str, list[str]]:
    names = shard.plan.names
    inside = {
        customer: sorted(names[number] for number, entry in state.members.items() if entry.inside)
        for customer, state in states_of(driver).items()
    }
    return {customer: found for customer, found in inside.items() if found}


def counts_of(shard: Shard) -> dict[str, int]:
    return {name: shard.body.counts[name] for name in COUNTED if shard.body.counts.get(name)}
