"""The records of the examples of all shards, decoded, and the one order in which a learner takes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from streamer.customers.features import FEATURES
from streamer.errors import RefusedError
from streamer.examples import MARK_MS, Example, decode_example
from streamer.wire import Control, LogRecord, decode_control


class TrainingRecord(NamedTuple):
    """One record of the examples, decoded: an example, a command, or why it is neither."""

    shard: int
    record: LogRecord
    what: Example | Control | RefusedError


def read_training_record(shard: int, record: LogRecord) -> TrainingRecord:
    """Decode a record of the examples topic."""
    try:
        return TrainingRecord(shard, record, decode_control(record.value) if record.control else decode_example(record.value, FEATURES))
    except RefusedError as error:
        return TrainingRecord(shard, record, error)


class MinuteOrder:
    """Puts the items of all shards into one order, a minute at a time."""

    def __init__(self, shards: int) -> None:
        self._queues: list[deque[tuple[int, TrainingRecord]]] = [deque() for _ in range(shards)]
        self._newest = [-1] * shards

    def add(self, items: Sequence[TrainingRecord]) -> None:
        """Items of one shard or several, each shard's in its order. What is no example belongs to the minute of the one before it."""
        for item in items:
            if isinstance(item.what, Example):
                self._newest[item.shard] = max(self._newest[item.shard], item.what.at_ms // MARK_MS)
            self._queues[item.shard].append((self._newest[item.shard], item))

    @property
    def waiting(self) -> int:
        """Items whose minute is not over in every shard."""
        return sum(len(queue) for queue in self._queues)

    def waits_for(self, minutes: int) -> int | None:
        """The shard that holds the others back by at least so many minutes; None where none does."""
        oldest = min(self._newest)
        return self._newest.index(oldest) if max(self._newest) - oldest >= minutes else None

    def is_full(self, shard: int, most: int) -> bool:
        """Whether a shard is so far ahead of the others that no more of it should be read."""
        return len(self._queues[shard]) > most

    def ready(self) -> list[TrainingRecord]:
        """Everything of the minutes that are over in every shard."""
        over = min(self._newest)
        found: list[tuple[int, int, int, TrainingRecord]] = []
        for shard, queue in enumerate(self._queues):
            while queue and queue[0][0] < over:
                minute, item = queue.popleft()
                found.append((minute, shard, item.record.offset, item))
        return [item for *_, item in sorted(found, key=lambda entry: entry[:3])]
