"""Where commits are cut: they stay small, and nothing that is said depends on it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from streamer.customers.state import decode_state
from streamer.errors import FencedError, HaltError
from streamer.events.event import Event
from streamer.flow.catalog import Plans
from streamer.flow.machine import Limits
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import Definitions, parse_definitions
from streamer.segments.change import decode_change
from streamer.stores.base import Commit, Position
from streamer.stores.buckets import bucket_sizes
from streamer.stores.memory import MemoryStore
from streamer.wire import CHANGES, TICK, LogRecord, Output, decode_outputs, definitions_control
from tests.walk import at_each_record, customers_of

RULES = Rules(shards=1)
HOUR_MS = 3_600_000
NIGHT = parse_definitions({"segments": {"night": {"for": "by the clock", "when": "hour() < 6"}, "known": {"for": "x", "when": 'did("A")'}}})
LATELY = parse_definitions({"segments": {"lately": {"for": "x", "when": 'never("B", within="30m")'}}})


class Spy(MemoryStore):
    """Remembers what was committed."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[Commit] = []

    async def commit(self, shard: int, commit: Commit) -> None:
        await super().commit(shard, commit)
        self.commits.append(commit)

    @property
    def outputs(self) -> list[Output]:
        return [output for commit in self.commits if commit.outbox for output in decode_outputs(commit.outbox[1])]


def test_a_year_of_timers_is_committed_in_slices() -> None:
    """One tick after a long silence may turn every customer hundreds of times: that must not become one commit of many megabytes."""
    limits = Limits(states=5, wakes=7, bytes=4_000)
    records = [*_switch(NIGHT), *(_event(f"c{number}", f"m{number}") for number in range(20)), _tick(200 * 24 * HOUR_MS)]
    small, whole = _run(records, limits), _run(records, Limits(records=1, wakes=10**9, states=10**9, bytes=10**12))
    assert small.outputs == whole.outputs
    assert len(small.outputs) > 20 * 2 * 200
    assert max(len(commit.states) for commit in small.commits) <= limits.states
    assert max(_size(commit) for commit in small.commits) < 2 * limits.bytes
    assert max(commit.position.step for commit in small.commits) > 100
    assert _heads(small)[-1] == _heads(whole)[-1]


def test_heavy_states_make_small_commits_at_once() -> None:
    """Not only after the first one that was too large."""
    heavy = [_event(f"c{number}", f"m{number}", plan="x" * 2_000) for number in range(50)]
    definitions = parse_definitions({"segments": {"plan": {"for": "x", "when": 'trait("plan") == "y"'}}})
    store = _run([*_switch(definitions), *heavy], Limits(bytes=10_000))
    assert len(store.commits) >= 10
    assert max(_size(commit) for commit in store.commits) < 15_000


def test_new_definitions_are_judged_in_slices_of_bytes_too() -> None:
    """A switch reads every customer; their states may be large."""
    heavy = [_event(f"c{number:02}", f"m{number}", plan="x" * 2_000) for number in range(30)]
    one = parse_definitions({"segments": {"plan": {"for": "x", "when": 'trait("plan") == "y"'}}})
    other = parse_definitions({"segments": {"plan": {"for": "x", "when": 'trait("plan") != "y"'}}})
    records = [*_switch(one), *heavy, *_switch(other, version=2)]
    with at_each_record(100):
        small, whole = _run(records, Limits(bytes=10_000)), _run(records, Limits())
    assert small.outputs == whole.outputs
    assert len({output.ordinal for output in small.outputs}) == 30
    assert max(_size(commit) for commit in small.commits) < 15_000
    assert max(commit.position.step for commit in small.commits) >= 4


def test_outputs_come_back_from_process_once() -> None:
    """Whoever owns the shard hands them to the relay; the next call must not bring them again."""

    async def scenario() -> None:
        store = Spy()
        shard = await _acquire(store)
        first = await shard.process(_numbered([*_switch(NIGHT), _event("c", "m1")]))
        assert [output.topic for _, outputs in first for output in outputs] == [CHANGES, CHANGES]
        assert await shard.process([LogRecord(2, 5_000, TICK, control=True)]) == []

    asyncio.run(scenario())


def test_definitions_come_back_with_an_emptied_store() -> None:
    """A worker that has compiled them already must write them again: the next owner has only the store."""

    async def scenario() -> None:
        store, records = MemoryStore(), _numbered([*_switch(NIGHT), _event("c", "m1")])
        plans = Plans(store, RULES)
        await (await _acquire(store, plans)).process(records)
        store.__init__()  # FLUSHALL
        await (await _acquire(store, plans)).process(records)
        assert (await _acquire(store)).plan.digest == NIGHT.digest

    asyncio.run(scenario())


@pytest.mark.parametrize("version", [1, 2])
def test_definitions_that_were_overtaken_are_nothing(version: int) -> None:
    """Two publish at the same moment, and their records reach two shards in different orders: in the end both must have the newer."""

    async def scenario() -> None:
        shard = await _acquire(MemoryStore())
        await shard.process(_numbered([*_switch(NIGHT, version=2), *_switch(LATELY, version=version), _event("c", "m1")]))
        assert (shard.plan.digest, shard.body.version) == (NIGHT.digest, 2)

    asyncio.run(scenario())


def test_definitions_that_come_back_are_said_under_their_new_number() -> None:
    """A, B, A: who reads the changes sees 1, 2, 3."""

    async def scenario() -> None:
        store = Spy()
        shard = await _acquire(store)
        switches = [_switch(definitions, version=at) for at, definitions in enumerate((NIGHT, LATELY, NIGHT), 1)]
        records = [record for at, switch in enumerate(switches) for record in (*switch, _event(f"c{at}", f"m{at}"))]
        await shard.process(_numbered(records))
        versions = [decode_change(output.value).data.definitions for output in store.outputs if output.topic == CHANGES]
        assert versions == sorted(versions)
        assert set(versions) == {1, 2, 3}
        await store.verify(0, shard.checkpoint)
        assert shard.checkpoint.holds == (bucket_sizes(["c0", "c1", "c2"]), 3, 1), "of all three definitions one is kept"

    asyncio.run(scenario())


def test_a_store_that_came_back_older_fences_and_does_not_halt() -> None:
    """States of the generation before look like damage; but nobody needs to look at it, the shard must only begin again."""

    async def scenario() -> None:
        store = MemoryStore()
        shard = await _acquire(store)
        await shard.process(_numbered([*_switch(NIGHT), _event("c", "m1")]))
        older = store.copy()
        await shard.process([LogRecord(2, 3_000, _switch(LATELY, version=2)[0].value, control=True)])
        store.__dict__.update(older.__dict__)
        with pytest.raises(FencedError):
            await shard.process([LogRecord(3, 4_000, _event("c", "m2").value)])

    asyncio.run(scenario())


def test_offsets_need_not_be_dense() -> None:
    """Markers of transactions take some, and so do aborted records: neither is a hole, wherever in a batch it lies."""

    async def scenario() -> None:
        shard = await _acquire(MemoryStore())
        await shard.process([LogRecord(offset, 1_000, TICK, control=True) for offset in (3, 4, 9)])
        assert shard.position == (10, 0)

    asyncio.run(scenario())


@pytest.mark.parametrize("offsets", [(5, 5), (5, 4), (2,)])
def test_offsets_that_do_not_rise_halt(offsets: Sequence[int]) -> None:
    """No log gives them: what the shard reads is not what it has read so far."""

    async def scenario() -> None:
        shard = await _acquire(MemoryStore())
        await shard.process([LogRecord(2, 1_000, TICK, control=True)])
        with pytest.raises(HaltError, match="expected an offset of at least"):
            await shard.process([LogRecord(offset, 1_000, TICK, control=True) for offset in offsets])
        assert shard.position == (3, 0)

    asyncio.run(scenario())


def test_warming_does_not_depend_on_when_a_worker_began() -> None:
    """A clause stops warming between two looks at the clock: whoever took the shard over in between must not say otherwise."""
    start = 1_000_000 * HOUR_MS
    records = [
        *_switch(NIGHT, at_ms=start),
        _event("c", "m1", at_ms=start + 1_000),
        *_switch(LATELY, at_ms=start + 30_000, version=2),  # warm at start + 30 s + 30 m, in the middle of a minute
        _event("d", "m2", at_ms=start + 30 * 60_000 + 10_000),
        _event("e", "m3", at_ms=start + 30 * 60_000 + 40_000),
    ]

    async def scenario(*, restarts: bool) -> list[bytes]:
        store = Spy()
        shard = await _acquire(store)
        for record in _numbered(records):
            await shard.process([record])
            if restarts:
                shard = await _acquire(store)
        return [output.value for output in store.outputs]

    steady, restarted = asyncio.run(scenario(restarts=False)), asyncio.run(scenario(restarts=True))
    assert steady == restarted
    assert any(clause.warming for value in steady for clause in decode_change(value).data.because)


def test_a_record_cut_in_two_keeps_counting_its_outputs() -> None:
    """Ordinals tell a reader what it has seen; a second slice that began at 0 again would be skipped."""
    records = [*_switch(NIGHT), *(_event(f"c{number}", f"m{number}") for number in range(4)), _tick(40 * HOUR_MS)]
    last = [output for output in _run(records, Limits(wakes=1)).outputs if output.offset == 5]
    assert [output.ordinal for output in last] == list(range(len(last)))
    assert len(last) > 4


def test_an_outbox_entry_is_named_by_what_it_says() -> None:
    """A former owner may have cut the record elsewhere: what it trims must not be what only the new entry says."""
    records = [*_switch(NIGHT), *(_event(f"c{number}", f"m{number}") for number in range(4)), _tick(40 * HOUR_MS)]
    named = 0
    for limits in (Limits(wakes=1), Limits(wakes=3), Limits(records=1), Limits()):
        for commit in _run(records, limits).commits:
            if commit.outbox is not None:
                last = decode_outputs(commit.outbox[1])[-1]
                assert commit.outbox[0] == (last.offset, last.ordinal)
                named += 1
    assert named > 20


def test_what_a_commit_says_is_handed_over_before_the_next_one() -> None:
    """One record may wake a hundred thousand customers: the first change is out before the last is computed."""
    records = [*_switch(NIGHT), *(_event(f"c{number}", f"m{number}") for number in range(6)), _tick(40 * HOUR_MS)]

    async def scenario() -> None:
        store, behind = Spy(), list[int]()
        shard = await _acquire(store, limits=Limits(wakes=2))

        async def hand_over(_entry: object) -> None:
            behind.append(len([commit for commit in store.commits if commit.outbox]) - len(behind))

        await shard.process(_numbered(records), hand_over)
        assert len(behind) > 3
        assert set(behind) == {1}, "one commit, one entry"

    asyncio.run(scenario())


def _run(records: list[LogRecord], limits: Limits) -> Spy:
    async def scenario() -> Spy:
        store = Spy()
        shard = await _acquire(store, limits=limits)
        await shard.process(_numbered(records))
        assert shard.position == Position(len(records), 0)
        for customer in await customers_of(store):
            assert decode_state((await store.fetch(0, [customer], until_ms=0, limit=0)).states[0] or b"").generation
        return store

    return asyncio.run(scenario())


async def _acquire(store: MemoryStore, plans: Plans | None = None, limits: Limits | None = None) -> Shard:
    return await Shard.acquire(0, store, plans or Plans(store, RULES), RULES, limits=limits or Limits(), pause=asyncio.sleep)


def _numbered(records: list[LogRecord]) -> list[LogRecord]:
    return [record._replace(offset=offset) for offset, record in enumerate(records)]


def _switch(definitions: Definitions, at_ms: int = 0, version: int = 1) -> list[LogRecord]:
    return [LogRecord(0, at_ms, definitions_control(definitions.content(), definitions.digest, version), control=True)]


def _tick(at_ms: int) -> LogRecord:
    return LogRecord(0, at_ms, TICK, control=True)


def _event(customer: str, message_id: str, *, at_ms: int = 1_000, **traits: Any) -> LogRecord:
    event = Event(event="A", message_id=message_id, user_id=customer, timestamp_ms=at_ms, traits=traits or None)
    return LogRecord(0, at_ms, msgspec.json.encode(event))


def _size(commit: Commit) -> int:
    return sum(len(state or b"") for state in commit.states.values()) + len(commit.outbox[1] if commit.outbox else b"")


def _heads(store: Spy) -> list[bytes]:
    return [commit.output_digest for commit in store.commits]
