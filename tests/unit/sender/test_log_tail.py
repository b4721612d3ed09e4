"""Where the logs of the shards end, and behind which record before that: what a gate waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from streamer.sender.log_tail import LOOKS, KafkaLogTail
from streamer.settings import load_settings
from streamer.wire import EVENTS

SETTINGS = load_settings(shards=2)
TOPIC = SETTINGS.topic(EVENTS)


class Broker:
    """A consumer of partitions with records at some offsets and marks at the others, of which it delivers nothing."""

    def __init__(self, end: int, *offsets: int) -> None:
        self.fetches = 0
        self.resumed = set[TopicPartition]()
        self.error: Exception | None = None
        self.is_slow = False  # nothing comes in time
        self._offsets, self._end = offsets, end
        self._at: dict[TopicPartition, int] = {}

    async def end_offsets(self, places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        if self.error is not None:
            raise self.error
        return dict.fromkeys(places, self._end)

    def seek(self, place: TopicPartition, offset: int) -> None:
        assert 0 <= offset < self._end
        self._at[place] = offset

    def resume(self, *places: TopicPartition) -> None:
        self.resumed |= set(places)

    def pause(self, *places: TopicPartition) -> None:
        self.resumed -= set(places)

    async def getmany(self, *, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        assert 0 < timeout_ms < 1_000, "a gate waits for this"
        self.fetches += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        if self.is_slow:
            return {}
        found = {place: [SimpleNamespace(offset=one) for one in self._offsets if one >= self._at[place]] for place in self.resumed}
        self._at |= dict.fromkeys(self.resumed, self._end)
        return found

    async def position(self, place: TopicPartition) -> int:
        return self._at[place]


TailOf = Callable[[Broker], KafkaLogTail]


@pytest.fixture
def tail_of(monkeypatch: pytest.MonkeyPatch) -> TailOf:
    """A tail whose client is this one."""

    def make(broker: Broker) -> KafkaLogTail:
        monkeypatch.setattr("streamer.sender.log_tail.reader", lambda *_, **__: broker)
        return KafkaLogTail(SETTINGS)

    return make


async def test_the_end_is_asked_of_the_partition_of_the_shard(tail_of: TailOf) -> None:
    """Each time anew: it is the question whose age counts."""
    assert await tail_of(Broker(7)).end(1) == 7


async def test_a_broker_that_does_not_answer_is_a_time_out(tail_of: TailOf) -> None:
    """The gate says then that nobody can tell, and nothing is left being fetched."""
    broker = Broker(7)
    broker.error = KafkaConnectionError()
    tail = tail_of(broker)
    with pytest.raises(TimeoutError, match="KafkaConnectionError"):
        await tail.end(1)
    with pytest.raises(TimeoutError, match="KafkaConnectionError"):
        await tail.behind_last(1, 3, 7)
    assert broker.resumed == set()
    broker.error = None
    assert await tail.behind_last(1, 3, 7) == 3, "and the next question is answered"


async def test_the_last_record_before_the_end_is_found(tail_of: TailOf) -> None:
    """However many marks lie behind it."""
    broker = Broker(9, 4, 6)
    assert await tail_of(broker).behind_last(1, 3, 9) == 7
    assert broker.resumed == set(), "nothing is fetched between two questions"


async def test_marks_alone_are_no_record_and_are_remembered(tail_of: TailOf) -> None:
    """A quiet shard is asked about at each message, so the same stretch is read once."""
    broker = Broker(8, 2)
    tail = tail_of(broker)
    assert await tail.behind_last(1, 3, 8) == 3
    assert await tail.behind_last(1, 3, 8) == 3
    assert await tail.behind_last(1, 4, 8) == 4
    assert broker.fetches == 1
    assert await tail.behind_last(1, 1, 8) == 3, "more than is known: read again"
    assert broker.fetches == 2


async def test_a_record_that_came_after_the_question_does_not_count(tail_of: TailOf) -> None:
    """The gate promises what was in the log when it asked."""
    assert await tail_of(Broker(9, 5, 8)).behind_last(1, 3, 8) == 6


async def test_what_did_not_come_in_time_is_not_taken_for_nothing(tail_of: TailOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow broker delivers no record either; a message would leave unseen."""
    monkeypatch.setattr("streamer.sender.log_tail.ANSWER_SECONDS", 0.02)
    broker = Broker(8, 6)
    broker.is_slow = True
    tail = tail_of(broker)
    with pytest.raises(TimeoutError):
        await tail.behind_last(1, 3, 8)
    broker.is_slow = False
    assert await tail.behind_last(1, 3, 8) == 7


async def test_a_shard_that_is_far_behind_costs_no_reading_of_its_whole_backlog(tail_of: TailOf) -> None:
    """Only the last offsets are read, unless nothing but marks lies there."""
    broker = Broker(1_000_000, 999_990)
    tail = tail_of(broker)
    assert await tail.behind_last(1, 0, 1_000_000) == 999_991
    assert broker.fetches == 1
    broker = Broker(1_000_000, 999_999 - 2 * LOOKS[0])
    assert await tail_of(broker).behind_last(0, 0, 1_000_000) == 1_000_000 - 2 * LOOKS[0]
    assert broker.fetches == 2


async def test_questions_about_several_shards_are_answered_by_the_same_fetches(tail_of: TailOf) -> None:
    """One that waited for another's answer made every message late by as many fetches as there are shards."""
    broker = Broker(9, 4)
    tail = tail_of(broker)
    assert await asyncio.gather(tail.behind_last(0, 3, 9), tail.behind_last(1, 3, 9)) == [5, 5]
    assert broker.fetches == 1
