"""Where the logs of the shards end, and whether there is a record before that: what a gate waits for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from streamer.sender.log_tail import KafkaLogTail
from streamer.settings import load_settings
from streamer.wire import EVENTS

SETTINGS = load_settings(shards=2)
PLACE = TopicPartition(SETTINGS.topic(EVENTS), 1)


class Broker:
    """A consumer of partitions with records at some offsets and marks at the others, of which it delivers nothing."""

    def __init__(self, offsets: list[int], end: int) -> None:
        self.peeks = 0
        self.resumed = set[TopicPartition]()
        self.error: Exception | None = None
        self.is_slow = False  # nothing comes in time
        self._offsets, self._end, self._at = offsets, end, 0

    async def end_offsets(self, places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        if self.error is not None:
            raise self.error
        return dict.fromkeys(places, self._end)

    def seek(self, place: TopicPartition, offset: int) -> None:
        assert place == PLACE
        self._at = offset

    def resume(self, *places: TopicPartition) -> None:
        self.resumed |= set(places)

    def pause(self, *places: TopicPartition) -> None:
        self.resumed -= set(places)

    async def getmany(self, *places: TopicPartition, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        assert self.resumed == set(places)
        assert max_records == 1
        assert 0 < timeout_ms < 1_000, "a gate waits for this"
        self.peeks += 1
        if self.error is not None:
            raise self.error
        if self.is_slow:
            return {}
        found = [offset for offset in self._offsets if offset >= self._at][:1]
        self._at = found[0] + 1 if found else self._end
        return {PLACE: [SimpleNamespace(offset=offset) for offset in found]} if found else {}

    async def position(self, place: TopicPartition) -> int:
        assert place == PLACE
        return self._at


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
    assert await tail_of(Broker([], 7)).end(1) == 7


async def test_a_broker_that_does_not_answer_is_a_time_out(tail_of: TailOf) -> None:
    """The gate says then that nobody can tell, and nothing is left being fetched."""
    broker = Broker([], 7)
    broker.error = KafkaConnectionError()
    tail = tail_of(broker)
    with pytest.raises(TimeoutError, match="KafkaConnectionError"):
        await tail.end(1)
    with pytest.raises(TimeoutError, match="KafkaConnectionError"):
        await tail.is_empty(1, 3, 7)
    assert broker.resumed == set()


async def test_a_record_before_the_end_is_found(tail_of: TailOf) -> None:
    """However many marks lie before it."""
    broker = Broker([6], 8)
    assert await tail_of(broker).is_empty(1, 3, 8) is False
    assert broker.resumed == set(), "nothing is fetched between two questions"


async def test_marks_alone_are_no_record_and_are_remembered(tail_of: TailOf) -> None:
    """A quiet shard is asked about at each message, so the same stretch is read once."""
    broker = Broker([2], 8)
    tail = tail_of(broker)
    assert await tail.is_empty(1, 3, 8) is True
    assert await tail.is_empty(1, 3, 8) is True
    assert await tail.is_empty(1, 4, 6) is True
    assert broker.peeks == 1
    assert await tail.is_empty(1, 2, 8) is False, "more than is known: read again"


async def test_a_record_that_came_after_the_question_does_not_count(tail_of: TailOf) -> None:
    """The gate promises what was in the log when it asked."""
    assert await tail_of(Broker([8], 9)).is_empty(1, 3, 8) is True


async def test_what_did_not_come_in_time_is_not_taken_for_nothing(tail_of: TailOf) -> None:
    """A slow broker delivers no record either; a message would leave unseen."""
    broker = Broker([6], 8)
    broker.is_slow = True
    tail = tail_of(broker)
    assert await tail.is_empty(1, 3, 8) is False
    broker.is_slow = False
    assert await tail.is_empty(1, 3, 8) is False
