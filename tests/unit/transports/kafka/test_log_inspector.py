"""The look at the logs of all shards of a worker: what it costs, and what it says of each."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any, cast

from aiokafka import TopicPartition

from streamer.flow.same_log import View
from streamer.settings import load_settings
from streamer.transports.kafka.log_inspector import LogInspector
from streamer.wire import EVENTS

SETTINGS = load_settings(shards=64)
TOPIC = SETTINGS.topic(EVENTS)


class Broker:
    """A consumer of partitions with records at the given offsets, which counts what it is asked. One answer has ``batches`` partitions."""

    def __init__(self, offsets: Mapping[int, list[int]], ends: Mapping[int, int], *, batches: int = 1_000) -> None:
        self.asked = Counter[str]()
        self.paused = set[TopicPartition]()
        self._offsets = {TopicPartition(TOPIC, shard): there for shard, there in offsets.items()}
        self._ends = {TopicPartition(TOPIC, shard): end for shard, end in ends.items()}
        self._batches = batches
        self._at: dict[TopicPartition, int] = {}

    async def beginning_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """All logs begin at 0."""
        self.asked["begins"] += 1
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """As told."""
        self.asked["ends"] += 1
        return {at: self._ends[at] for at in partitions}

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Forgets where it stood; refuses what aiokafka refuses."""
        assert isinstance(partitions, list | set | tuple), type(partitions)
        self._at, self.paused = dict.fromkeys(partitions, 0), set()

    def seek(self, at: TopicPartition, offset: int) -> None:
        """Stand there."""
        self._at[at] = offset

    def pause(self, *partitions: TopicPartition) -> None:
        """Fetched no more."""
        self.paused |= set(partitions)

    async def position(self, at: TopicPartition) -> int:
        """Where it stands."""
        return self._at[at]

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        """All records of the first partitions."""
        assert timeout_ms > 0
        await asyncio.sleep(0)
        self.asked["records"] += 1
        found: dict[TopicPartition, list[Any]] = {}
        for at in sorted(partitions)[: self._batches]:
            there = [offset for offset in self._offsets[at] if offset >= self._at[at]]
            self._at[at] = self._ends[at]
            if there:
                found[at] = [_record(at, offset) for offset in there]
        return found


def _record(at: TopicPartition, offset: int) -> SimpleNamespace:
    return SimpleNamespace(
        topic=TOPIC, partition=at.partition, offset=offset, key=b"", value=b"%d" % offset, timestamp=offset, timestamp_type=1, headers=()
    )


def inspector_of(broker: Broker) -> LogInspector:
    """One that is connected already."""
    inspector = LogInspector(SETTINGS)
    inspector._consumer = cast("Any", broker)
    return inspector


def seen(views: Mapping[int, View]) -> dict[int, tuple[int, int, int | None]]:
    """Begins, ends and offsets of records."""
    return {shard: (view.begin, view.end, view.record and view.record.offset) for shard, view in views.items()}


async def test_a_look_at_64_logs_asks_as_often_as_a_look_at_one() -> None:
    """A worker with many quiet shards did little else than ask for one begin and one end after the other."""
    asked: list[Counter[str]] = []
    for shards in (1, 64):
        broker = Broker({shard: [8, 9] for shard in range(shards)}, dict.fromkeys(range(shards), 10))
        views = await inspector_of(broker).look_at_all(dict.fromkeys(range(shards), 9))
        assert seen(views) == dict.fromkeys(range(shards), (0, 10, 9))
        asked.append(broker.asked)
    assert asked[0] == asked[1] == Counter(begins=1, ends=1, records=1)


async def test_each_log_has_its_own_answer() -> None:
    """One that is there, none wanted, one beyond the end, and the place of a marker, with or without a record behind it."""
    broker = Broker({0: [4, 5], 1: [0], 2: [0], 3: [0, 2], 4: [0]}, {0: 6, 1: 1, 2: 1, 3: 3, 4: 2})
    views = await inspector_of(broker).look_at_all({0: 5, 1: -1, 2: 7, 3: 1, 4: 1})
    assert seen(views) == {0: (0, 6, 5), 1: (0, 1, None), 2: (0, 1, None), 3: (0, 3, None), 4: (0, 2, None)}


async def test_logs_with_long_batches_are_asked_until_each_has_answered_and_no_longer() -> None:
    """The broker gives a whole batch of the first partition alone where batches are long; whoever has answered is not fetched on."""
    broker = Broker({shard: [8, 9] for shard in range(5)}, dict.fromkeys(range(5), 10), batches=1)
    views = await inspector_of(broker).look_at_all(dict.fromkeys(range(5), 9))
    assert seen(views) == dict.fromkeys(range(5), (0, 10, 9))
    assert broker.asked == Counter(begins=1, ends=1, records=5)
    assert broker.paused == {TopicPartition(TOPIC, shard) for shard in range(5)}
