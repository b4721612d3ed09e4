"""Lanes: what keeps each customer's order while one that fails holds nobody else up.

The changes of a shard go into 64 lanes by a hash of the customer. A lane has its changes delivered one after the other; lanes know nothing
of each other. A lane takes so many changes into memory; what comes for a full one is passed over, and taken up later from ``missed`` on:
out of the last few that were read, or out of Kafka once more. So a change that is tried for three days costs one lane's queue, whatever
comes behind it.

How far a shard is fits into the text that Kafka keeps beside a group's offset: the offset is that of the first change that is not done,
the text says which lanes are behind what was read, how far, and how often their first change was tried. Without the text nothing is
missed; changes behind the offset are then delivered again, under the same ids.
"""

from __future__ import annotations

import base64
import binascii
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

LANES: Final = 64
QUEUE_MAX: Final = 16  # changes of a lane in memory
SHARD_MAX: Final = 256  # and of all lanes of a shard
RECENT_MAX: Final = 128  # changes of a shard that were read last


def lane_of(customer: str) -> int:
    """The lane of a customer, in every process."""
    return crc32(customer.encode()) % LANES


class PendingChange(NamedTuple):
    """A change on its way out. ``shard`` and ``offset`` are where it lies in its topic, ``written_ms`` when it was written there."""

    shard: int
    offset: int
    place: tuple[int, int, int]
    change_id: str
    written_ms: int
    body: bytes


class LaneNote(msgspec.Struct, array_like=True):
    """What is kept of a lane that is behind: its number, its first change that is not done, how often that was tried, and since when."""

    lane: int
    offset: int  # how far before what was read
    attempts: int = 0
    failing_since_s: int = 0


class LanesNote(msgspec.Struct, array_like=True):
    """What is kept beside a shard's offset: how far beyond it was read, since when the endpoint fails, and the lanes that are behind."""

    version: int
    beyond: int
    failing_since_s: int
    lanes: list[LaneNote]


class DeliveryLane:
    """The changes of some customers of a shard, in their order."""

    __slots__ = ("attempts", "failing_since_ms", "highest", "is_blocked", "missed", "number", "queue")

    def __init__(self, number: int) -> None:
        self.number = number
        self.queue: deque[PendingChange] = deque()
        self.missed: int | None = None  # from this offset on changes of it are to be read again
        self.highest: tuple[int, int, int] = (0, -1, -1)  # of the places that it has taken
        self.attempts = 0  # at the first in the queue
        self.failing_since_ms = 0  # since when that fails; 0: it does not
        self.is_blocked = False  # its first change waits for another attempt

    @property
    def first(self) -> int | None:
        """The offset of its first change that is not done; None where it has none."""
        return self.queue[0].offset if self.queue else self.missed

    def done(self) -> None:
        """Its first change is delivered, or given up."""
        self.queue.popleft()
        self.attempts, self.failing_since_ms, self.is_blocked = 0, 0, False


class ShardLanes:
    """All lanes of one shard of one subscription, and how far its changes were read."""

    def __init__(self, begin: int) -> None:
        self.read = begin  # the offset of the next change to read
        self.failing_since_ms = 0  # of the endpoint, as the one who had the shard before knew it
        self._lanes: dict[int, DeliveryLane] = {}
        self._recent: deque[tuple[int, PendingChange]] = deque(maxlen=RECENT_MAX)
        self._recent_from = begin  # from this offset on all that was wanted is in it
        self._waiting = 0

    def lane(self, number: int) -> DeliveryLane:
        """One of its lanes."""
        found = self._lanes.get(number)
        if found is None:
            found = self._lanes[number] = DeliveryLane(number)
        return found

    def __iter__(self) -> Iterator[DeliveryLane]:
        return iter(self._lanes.values())

    def offer(self, number: int, change: PendingChange) -> DeliveryLane | None:
        """A change that was read for the first time; its lane, where it was taken."""
        if len(self._recent) == RECENT_MAX:
            self._recent_from = self._recent[0][1].offset + 1
        self._recent.append((number, change))
        lane = self.lane(number)
        if change.place <= lane.highest:
            return None
        if lane.missed is not None or not self.has_room(lane):
            lane.missed = change.offset if lane.missed is None else lane.missed
            return None
        self._take(lane, change)
        return lane

    def offer_again(self, lane: DeliveryLane, change: PendingChange) -> None:
        """A change that was read once more, for a lane that misses it and has room."""
        if change.place > lane.highest:
            self._take(lane, change)
        lane.missed = change.offset + 1

    def catch_up(self, lane: DeliveryLane) -> bool:
        """Let a lane take what it misses out of the last changes that were read, as far as it has room; False where it misses older
        ones."""
        if lane.missed is None:
            return True
        if lane.missed < self._recent_from:
            return False
        for number, change in self._recent:
            if number == lane.number and change.offset >= lane.missed:
                if not self.has_room(lane):
                    lane.missed = change.offset
                    return True
                self.offer_again(lane, change)
        lane.missed = None
        return True

    @property
    def recent_from(self) -> int:
        """From this offset on a lane can catch up without Kafka."""
        return self._recent_from

    def join(self, position: int) -> None:
        """Changes come from ``position`` on: each lane misses what lies between what was read and that."""
        if self.read >= position:
            return
        for number in range(LANES):
            lane = self.lane(number)
            if lane.first is None:
                lane.missed = self.read
        self.read = self._recent_from = position

    def forget_failures(self, *, before_ms: int) -> None:
        """What failed since before then counts no more: somebody has looked at the endpoint and let it go on."""
        if self.failing_since_ms < before_ms:
            self.failing_since_ms = 0
        for lane in self._lanes.values():
            if lane.failing_since_ms < before_ms:
                lane.attempts, lane.failing_since_ms = 0, 0

    def moved(self, begin: int) -> None:
        """The changes before ``begin`` are deleted, unread."""
        self.read = max(self.read, begin)
        for lane in self._lanes.values():
            if lane.missed is not None:
                lane.missed = max(lane.missed, begin)

    def has_room(self, lane: DeliveryLane) -> bool:
        """Whether a lane may take one more. An empty one always may, so none starves."""
        return not lane.queue or (len(lane.queue) < QUEUE_MAX and self._waiting < SHARD_MAX)

    def done(self, lane: DeliveryLane) -> None:
        """The first change of a lane is done with."""
        lane.done()
        self._waiting -= 1

    def missing(self) -> list[DeliveryLane]:
        """The lanes that have missed changes and would take some now."""
        return [lane for lane in self._lanes.values() if lane.missed is not None and not lane.is_blocked and self.has_room(lane)]

    @property
    def waiting(self) -> int:
        """Changes in memory."""
        return self._waiting

    @property
    def blocked(self) -> int:
        """Lanes whose first change waits for another attempt."""
        return sum(lane.is_blocked for lane in self._lanes.values())

    def position(self) -> int:
        """The offset before which everything is done."""
        return min((first for lane in self._lanes.values() if (first := lane.first) is not None), default=self.read)

    def text(self, failing_since_ms: int) -> str:
        """What Kafka keeps beside ``position``."""
        position = self.position()
        behind = [
            LaneNote(lane.number, self.read - first, lane.attempts, lane.failing_since_ms // 1_000)
            for lane in self._lanes.values()
            if (first := lane.first) is not None
        ]
        state = LanesNote(1, self.read - position, failing_since_ms // 1_000, behind)
        return base64.b85encode(msgspec.msgpack.encode(state)).decode()

    @classmethod
    def restored(cls, position: int, text: str) -> ShardLanes:
        """The lanes as they were committed. A text that cannot be read counts as none: everything from ``position`` on goes out again."""
        try:
            state = _states.decode(base64.b85decode(text)) if text else None
        except (msgspec.DecodeError, binascii.Error, ValueError):
            state = None
        if state is None or state.version != 1:
            return cls(position)
        found = cls(position + max(0, state.beyond))
        found.failing_since_ms = state.failing_since_s * 1_000
        for one in state.lanes:
            lane = found.lane(one.lane % LANES)
            lane.missed = max(position, found.read - one.offset)
            lane.attempts, lane.failing_since_ms = one.attempts, one.failing_since_s * 1_000
        return found

    def _take(self, lane: DeliveryLane, change: PendingChange) -> None:
        lane.queue.append(change)
        lane.highest = change.place
        self._waiting += 1


_states: Final = msgspec.msgpack.Decoder(LanesNote)
