"""Whoever reads a log again and again starts no consumer each time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiokafka import TopicPartition

from streamer.settings import load_settings
from streamer.transports.kafka import kept_readers
from streamer.transports.kafka.kept_readers import KeptReaders
from streamer.wire import EVENTS

if TYPE_CHECKING:
    from collections.abc import Collection

SETTINGS = load_settings(shards=2)
TOPIC = SETTINGS.topic(EVENTS)


class Consumer:
    """A consumer of a log with so many records."""

    def __init__(self, records: int) -> None:
        self.records, self.at, self.is_paused, self.is_stopped = records, 0, False, False

    async def start(self) -> None:
        """Connect."""

    async def stop(self) -> None:
        """Gone."""
        self.is_stopped = True

    def assign(self, _partitions: list[TopicPartition]) -> None:
        """Forget what was paused."""
        self.is_paused = False

    def pause(self, *_partitions: TopicPartition) -> None:
        """Fetch no more."""
        self.is_paused = True

    def seek(self, _at: TopicPartition, offset: int) -> None:
        """Stand there."""
        self.at = offset

    async def position(self, _at: TopicPartition) -> int:
        """Where it stands."""
        return self.at

    async def end_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Behind the last record."""
        return dict.fromkeys(partitions, self.records)

    async def getmany(self, at: TopicPartition, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        """The next records."""
        assert timeout_ms > 0
        assert (self.is_paused, self.is_stopped) == (False, False)
        offsets = range(self.at, min(self.records, self.at + max_records))
        self.at = offsets.stop
        return {at: [SimpleNamespace(offset=one, key=b"", value=b"x", timestamp=1, timestamp_type=1, headers=()) for one in offsets]}


class Started(list[Consumer]):
    """The consumers that were started, each of a log of five records."""

    def __call__(self, *_: object) -> Any:
        self.append(Consumer(5))
        return cast("Any", self[-1])


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """None yet."""
    found = Started()
    monkeypatch.setattr(kept_readers, "partition_consumer", found)
    return found


async def read(readers: KeptReaders, shard: int, offset: int) -> list[int]:
    return [record.offset async for records in readers.read(shard, offset, 2) for record in records]


async def test_who_comes_back_for_what_is_new_gets_the_same_consumer(started: Started) -> None:
    """It rests meanwhile, and fetches nothing."""
    readers = KeptReaders(SETTINGS)
    assert await read(readers, 0, 0) == [0, 1, 2, 3, 4]
    assert started[0].is_paused
    started[0].records = 7
    assert await read(readers, 0, 5) == [5, 6]
    assert await read(readers, 1, 3) == [3, 4], "another shard has its own"
    assert len(started) == 2
    await readers.stop()
    assert all(consumer.is_stopped for consumer in started)


async def test_two_who_read_one_log_at_once_have_a_consumer_each_and_one_is_kept(started: Started) -> None:
    """A consumer stands at one place."""
    readers = KeptReaders(SETTINGS)
    first = readers.read(0, 0, 2)
    assert [record.offset for record in await anext(first)] == [0, 1]
    assert await read(readers, 0, 4) == [4]
    assert [record.offset async for records in first for record in records] == [2, 3, 4]
    assert [consumer.is_stopped for consumer in started] == [True, False]
    await readers.stop()


async def test_a_reader_that_does_not_want_the_rest_gets_the_same_consumer_for_it(started: Started) -> None:
    """A lane reads as far as its shard has come, and no further before the next second."""
    readers = KeptReaders(SETTINGS)
    batches = readers.read(0, 0, 2)
    await anext(batches)
    await batches.aclose()
    assert started[0].is_paused
    assert await read(readers, 0, 2) == [2, 3, 4]
    assert len(started) == 1
    await readers.stop()
    assert started[0].is_stopped


async def test_after_an_error_a_consumer_is_not_kept(started: Started) -> None:
    """Nobody knows where it stands."""
    readers = KeptReaders(SETTINGS)
    batches = readers.read(0, 0, 2)
    await anext(batches)
    with pytest.raises(ConnectionError):
        await batches.athrow(ConnectionError())
    assert started[0].is_stopped


async def test_a_consumer_that_nobody_wants_any_more_is_closed(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes end, and their connections with them."""
    monkeypatch.setattr(kept_readers, "KEPT_SECONDS", 0.0)
    readers = KeptReaders(SETTINGS)
    await read(readers, 0, 0)
    async with asyncio.timeout(60):
        while not started[0].is_stopped:  # noqa: ASYNC110 - a timer of the loop
            await asyncio.sleep(0)
    assert await read(readers, 0, 0) == [0, 1, 2, 3, 4]
    assert len(started) == 2
    await readers.stop()
