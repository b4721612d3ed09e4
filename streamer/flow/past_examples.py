"""What new models are to learn of the past, where other definitions begin to hold.

While a side lane folds the past for definitions, it says what the models that came with them would have had to learn of it: the same
examples, marks and profiles that the shard says from its ``definitions`` record on, under the header ``streamer-lane``. All of a lane's
stand in the examples before the ``switch`` of its shard. So for a learner that has come to a switch the one story of a new model is, by
shard, what the lane says and then what the shard says behind its switch; and these stories are put into one order as always, by minute.

Nothing of a lane is read before every shard has come to the definitions, since only its switch says for which version its lane was folded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import msgspec

from streamer.errors import RefusedError
from streamer.examples import MARK_MS, Example
from streamer.wire import LogRecord, lane_of

from .training_order import TrainingRecord, read_training_record

ExamplePlace = tuple[int, int, int]
BEFORE_ALL: Final[ExamplePlace] = (0, -1, -1)


class ExamplesTopic(Protocol):
    """The examples of all shards, to be read from anywhere, beside whoever reads their end."""

    async def batch(self, shard: int, offset: int) -> Sequence[LogRecord]:
        """Some of the records of a shard from an offset on; none where nothing is there yet."""
        ...


class PastEnd(NamedTuple):
    """Where the past of a shard ends: the offset of its switch in the examples, and the version for which its lane was folded."""

    offset: int
    version: int


class PastBody(msgspec.Struct, array_like=True):
    """How far a learner is with the past of the ``models`` that came with a ``version`` of the definitions: of a checkpoint.

    ``ends`` are those of the shards, None where it is not found yet, and ``sought`` how far the examples were searched for it.
    ``offsets`` is the next example to read, by shard, and ``places`` has the highest place whose example was taken.
    ``learner`` is who learns the past, and ``current`` what would serve by that; both are empty once they have joined the rest.
    """

    version: int
    models: list[str]
    ends: list[PastEnd | None]
    sought: list[int]
    offsets: list[int]
    places: list[ExamplePlace]
    learner: bytes = b""
    current: dict[str, tuple[int, str]] = {}
    has_joined: bool = False

    @classmethod
    def begin(cls, version: int, models: Sequence[str], sought: Sequence[int]) -> PastBody:
        """Nothing is read yet. ``sought``: no switch lies before these offsets."""
        shards = len(sought)
        return cls(version, list(models), [None] * shards, list(sought), [0] * shards, [BEFORE_ALL] * shards)


class PastExamples:
    """The past of the models of one version, read from the examples in the one order of all shards. Of its body it keeps all but what is
    learned."""

    def __init__(self, body: PastBody, topic: ExamplesTopic) -> None:
        self.body = body
        self._topic = topic
        self._read = list(body.offsets)
        self._minutes = [-1] * len(body.offsets)
        self._queues: list[deque[tuple[int, TrainingRecord]]] = [deque() for _ in body.offsets]

    async def has_ends(self) -> bool:
        """Whether the switch of every shard is found. Searches what is there of each shard that lacks it, and raises what reading may."""
        for shard, end in enumerate(self.body.ends):
            if end is None:
                await self._seek_end(shard)
        return None not in self.body.ends

    @property
    def lacking(self) -> int | None:
        """The first shard that has not come to the definitions, as far as is known; None where all have."""
        return self.body.ends.index(None) if None in self.body.ends else None

    async def _seek_end(self, shard: int) -> None:
        body = self.body
        while records := await self._topic.batch(shard, body.sought[shard]):
            for record in records:
                body.sought[shard] = record.offset + 1
                version = _holds_from(shard, record)
                if version >= body.version:
                    body.ends[shard] = PastEnd(record.offset, version)
                    return

    async def next(self, minute: int, shard: int, most: int) -> list[TrainingRecord]:
        """At most so many of the next examples, of those that come before the ones of a shard in a minute. Ends must be found."""
        found: list[TrainingRecord] = []
        while len(found) < most:
            for each in range(len(self._queues)):
                await self._fill(each)
            heads = [(queue[0][0], each) for each, queue in enumerate(self._queues) if queue]
            if not heads or min(heads) > (minute, shard):
                break
            self._take_minute(min(heads), most, found)
        return found

    def _take_minute(self, head: tuple[int, int], most: int, found: list[TrainingRecord]) -> None:
        """What a shard says in a minute, as far as there is room."""
        minute, shard = head
        queue = self._queues[shard]
        while queue and queue[0][0] == minute and len(found) < most:
            _, item = queue.popleft()
            self.body.offsets[shard] = item.record.offset + 1
            if self._is_new(shard, item.what):
                found.append(item)

    def _is_new(self, shard: int, what: object) -> bool:
        if not isinstance(what, Example):
            return False  # whatever the lane of another release has said: nobody could learn from it
        place = (what.generation, what.offset, what.ordinal)
        if place <= self.body.places[shard]:
            return False
        self.body.places[shard] = place
        return True

    async def _fill(self, shard: int) -> None:
        """Read on until the next example of a shard's lane is there, or its switch is reached."""
        end, queue = self.body.ends[shard], self._queues[shard]
        assert end is not None, "ends are found first"
        while not queue and self._read[shard] < end.offset:
            records = await self._topic.batch(shard, self._read[shard])
            if not records:  # compacted, or of a transaction: nothing more lies before the switch
                self._read[shard] = end.offset
            for record in records:
                self._read[shard] = record.offset + 1
                if record.offset < end.offset and lane_of(record.headers) == end.version:
                    self._add(shard, record)

    def _add(self, shard: int, record: LogRecord) -> None:
        item = read_training_record(shard, record)
        if isinstance(item.what, Example):
            self._minutes[shard] = max(self._minutes[shard], item.what.at_ms // MARK_MS)
        self._queues[shard].append((self._minutes[shard], item))


def _holds_from(shard: int, record: LogRecord) -> int:
    """The version of the definitions that a record says its shard is under; 0 for one that does not say."""
    if record.control or lane_of(record.headers) or not (b'"switch"' in record.value or b'"mark"' in record.value):
        return 0  # without looking into it
    what = read_training_record(shard, record).what
    return 0 if isinstance(what, RefusedError) or not isinstance(what, Example) else what.definitions
