"""Where a person had a shard go on: what they passed over then is passed over by every rebuild, though the log still has it."""

from __future__ import annotations

import pytest

from streamer.events.codec import encode
from streamer.events.event import Event
from streamer.flow.amendments import Amendment, MemoryJournal
from streamer.flow.catalog import Plans
from streamer.flow.machine import Limits
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import parse_definitions
from streamer.stores.memory import MemoryStore
from streamer.wire import TICK, LogRecord, definitions_control

NOW_MS = 1_767_225_600_000
RULES = Rules(shards=1)
DEFINITIONS = parse_definitions('segments: {often: {for: x, when: \'count("View", within="10m") >= 3\'}}')


def log() -> list[LogRecord]:
    """Definitions, nine views of two customers, and half an hour in which timers fire."""
    raw = definitions_control(DEFINITIONS.content(), DEFINITIONS.digest, 1)
    found = [LogRecord(0, NOW_MS, raw, control=True)]
    for offset in range(1, 10):
        event = Event(event="View", message_id=f"m{offset}", user_id=f"c{offset % 2}", timestamp_ms=NOW_MS + offset)
        found.append(LogRecord(offset, NOW_MS + offset, encode(event)))
    return [*found, LogRecord(10, NOW_MS + 1_800_000, TICK, control=True)]


async def shard_with(store: MemoryStore, kept: list[Amendment], limits: Limits) -> Shard:
    return await Shard.acquire(0, store, Plans(store, RULES), RULES, limits=limits, journal=MemoryJournal(kept), pause=_never)


async def _never(_seconds: float) -> None:
    raise AssertionError("a store in memory does not come and go")


@pytest.mark.parametrize("limits", [Limits(), Limits(records=1), Limits(records=3, states=1, wakes=1)])
async def test_a_rebuild_passes_over_what_a_person_passed_over(limits: Limits) -> None:
    """The changes of those records were never published: a rebuild that reads them has other members than readers were told of."""
    records, store, kept = log(), MemoryStore(), list[Amendment]()
    shard = await shard_with(store, kept, Limits())
    said = await shard.process(records[:3])
    kept.append(Amendment("resume", 0, 3, to=6, who="a person", why="three poisoned records"))
    shard = await shard_with(store, kept, Limits())
    assert await shard.resume_where_chosen() is not None
    said += await shard.process(records[6:])

    rebuilt = await shard_with(MemoryStore(), kept, limits)
    again = await rebuilt.process(records)
    assert [output for _, entry in again for output in entry] == [output for _, entry in said for output in entry]
    assert rebuilt.checkpoint.output_digest == shard.checkpoint.output_digest
    assert rebuilt.body.counts == {"accepted": 6}


async def test_what_was_fetched_and_lies_before_the_place_is_passed_over_too() -> None:
    """The jump may lead behind everything that is in hand."""
    kept = [Amendment("resume", 0, 2, to=8), Amendment("resume", 0, 8, to=10)]
    shard = await shard_with(MemoryStore(), kept, Limits())
    await shard.process(log()[:5])
    assert shard.position == (10, 0)


async def test_a_place_that_the_shard_never_stands_at_changes_nothing() -> None:
    """A rebuild began behind it: of two amendments about one place the later one holds, and this one was overtaken."""
    records = log()
    plain = await shard_with(MemoryStore(), [], Limits())
    amended = await shard_with(MemoryStore(), [Amendment("resume", 0, 4, to=4)], Limits())
    assert await amended.process(records) == await plain.process(records)
