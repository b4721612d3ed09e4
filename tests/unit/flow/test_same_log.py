"""Whether a log is still the one that a shard has read, from what the log says of itself."""

from __future__ import annotations

import asyncio

import pytest

from streamer.errors import HaltError
from streamer.flow.catalog import Plans
from streamer.flow.rules import Rules
from streamer.flow.same_log import NOTHING, View, check_same_log, delivered, look_again
from streamer.flow.shard import Shard
from streamer.stores.memory import MemoryStore
from streamer.transports.memory import MemoryLog
from streamer.wire import EVENTS, TICK, LogRecord

READ = LogRecord(6, 1_000, b"value", key=b"key")
LAST = delivered(READ)


@pytest.mark.parametrize(("begin", "end"), [(0, 7), (3, 40), (6, 7)])
def test_a_log_that_still_has_the_record_delivered_last_is_the_same(begin: int, end: int) -> None:
    """At its end there is only nothing to read yet."""
    check_same_log(1, 7, LAST, View(begin, end, READ))


def test_a_log_whose_retention_took_what_was_read_is_the_same() -> None:
    """The record by which one would know it is gone by rights, and nothing unread is missing."""
    check_same_log(1, 7, LAST, View(7, 40))


def test_before_anything_was_delivered_only_begin_and_end_speak() -> None:
    """A new shard, an empty Redis, or a position that a person chose."""
    check_same_log(1, 0, NOTHING, View(0, 0))
    with pytest.raises(HaltError, match="begins at offset 3"):
        check_same_log(1, 0, NOTHING, View(3, 40))


def test_a_log_that_begins_after_the_position_is_retention() -> None:
    """Records are gone that were not read: only a person can say that it may go on without them."""
    with pytest.raises(HaltError, match="log of shard 1 begins at offset 8, after the position 7: its retention took"):
        check_same_log(1, 7, LAST, View(8, 40))


def test_a_log_that_ends_before_the_position_is_not_the_one_that_was_read() -> None:
    """What was read is not in it."""
    with pytest.raises(HaltError, match="log of shard 1 ends at offset 6, before the position 7: its tail was lost, or"):
        check_same_log(1, 7, LAST, View(0, 6))


@pytest.mark.parametrize(
    "found", [READ._replace(arrival_ms=1_001), READ._replace(value=b"another"), READ._replace(key=b"keyvalue", value=b""), None]
)
def test_a_log_that_has_grown_past_the_position_is_known_by_its_record(found: LogRecord | None) -> None:
    """A topic made anew, or one that lost its tail, reaches as far as the old one after a while. Ticks differ in their time alone."""
    with pytest.raises(HaltError, match="log of shard 1 is another one: of the record at offset 6, read when it had arrived at 1970"):
        check_same_log(1, 7, LAST, View(0, 40, found))


def test_the_record_delivered_last_is_committed_with_the_position() -> None:
    """Whoever owns the shard next compares it. A marker behind it takes an offset and is none."""

    async def scenario() -> None:
        store, rules, log = MemoryStore(), Rules(shards=1), MemoryLog(1, lambda: 5_000)
        shard = await Shard.acquire(0, store, Plans(store, rules), rules, pause=asyncio.sleep)
        assert shard.body.last == NOTHING
        log.send_control(TICK)
        log.use_offset(EVENTS, 0)
        records = log.fetch(0, 0, 9)
        await shard.process(records)

        after = await Shard.acquire(0, store, Plans(store, rules), rules, pause=asyncio.sleep)
        assert after.body.last == delivered(records[-1])
        await look_again(log.look, 0, after.position.offset, after.body.last, pause=_no_pause)

    asyncio.run(scenario())


async def _no_pause(_seconds: float) -> None:
    raise AssertionError("the first look was enough")


async def test_a_log_is_looked_at_twice_before_a_shard_halts() -> None:
    """A broker that has just become the leader may for a moment not know where its log ends."""
    views, paused = [View(0, 3), View(0, 7, READ), View(0, 3), View(0, 3)], list[float]()

    async def look(_shard: int, offset: int) -> View:
        assert offset == LAST[0]
        return views.pop(0)

    async def pause(seconds: float) -> None:
        paused.append(seconds)

    await look_again(look, 1, 7, LAST, pause)
    with pytest.raises(HaltError, match="ends at offset 3"):
        await look_again(look, 1, 7, LAST, pause)
    assert (len(paused), views) == (2, [])
