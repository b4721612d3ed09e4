"""A member of a group that deals partitions and keeps what is done of each: an offset, and a note in the words of the partition's owner.

It reads nothing. Offset and note are committed together, and only by whoever has the partition: another's commit is refused by the group.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.settings import Settings

from .clients import METADATA_MS, connection, reader
from .membership import RebalanceListener, first_offset

POLL_MS: Final = 300

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.noted_consumer")


class Noted(NamedTuple):
    """A committed offset, and the note beside it."""

    offset: int
    note: str


class StartingPlace(NamedTuple):
    """Where to begin: at these offsets, by partition; elsewhere with the first record not older than ``since_ms``."""

    since_ms: int
    offsets: Mapping[int, int]


class Owner(Protocol):
    """Whoever works on the partitions of a ``NotedConsumer``."""

    def dealt(self, partition: int, noted: Noted) -> None:
        """A partition is this member's from now on."""
        ...

    async def taken_away(self, partitions: Collection[int]) -> Mapping[int, Noted]:
        """Partitions go to another as soon as this returns: what is done of them by now."""
        ...


class NotedConsumer:
    """One member of ``group``, for one topic. ``topic`` is one of ``wire``'s.

    A partition that the group has never read begins as ``start`` says: at that offset, or with the first record that is not older.
    """

    def __init__(self, settings: Settings, topic: str, group: str, start: StartingPlace, owner: Owner) -> None:
        self.is_dealt = False  # the group has said which partitions are this member's, none perhaps
        self._settings = settings
        self._topic = settings.topic(topic)
        self._group = group
        self._start = start
        self._owner = owner
        self._client: AIOKafkaConsumer | None = None
        self._new: set[int] = set()  # dealt, and the owner does not know yet
        self._mine: set[int] = set()

    async def start(self) -> None:
        """Join the group. Raises KafkaError."""
        settings = self._settings
        self._client = reader(
            settings,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            metadata_max_age_ms=METADATA_MS,
            session_timeout_ms=settings.session_timeout,
            heartbeat_interval_ms=max(100, min(3_000, settings.session_timeout // 10)),
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
        )
        self._client.subscribe([self._topic], listener=RebalanceListener(self.on_dealt, self.on_taken_away))
        await self._client.start()

    async def stop(self) -> None:
        """Leave the group and close the connections; the owner is told first that its partitions go."""
        if self._client is not None:
            await self._client.stop()

    async def attend(self) -> None:
        """Be a member for a moment, and tell the owner what was dealt. KafkaError where the group cannot be asked."""
        await self._place_new()
        await self._started.getmany(timeout_ms=POLL_MS)  # nothing is read, as all is paused; without the call the group takes it for dead

    async def commit(self, notes: Mapping[int, Noted]) -> bool:
        """What lies before these offsets is done with, and the rest as the notes say; whether the group took it. Partitions that are
        another's by now are passed over. KafkaError where the group cannot be told."""
        mine = {self._place(partition): (noted.offset, noted.note) for partition, noted in notes.items() if partition in self._mine}
        if not mine:
            return True
        try:
            await self._started.commit(mine)
        except (CommitFailedError, IllegalStateError):
            return False
        return True

    # the group

    async def on_dealt(self, places: Collection[TopicPartition]) -> None:
        """These are this member's. Nothing of them is read here."""
        client = self._started
        client.pause(*places)
        for place in places:
            client.seek(place, 0)  # without any the client looks for the group's itself
        self._new = {place.partition for place in places}
        self._mine = set()
        self.is_dealt = True

    async def on_taken_away(self, places: Collection[TopicPartition]) -> None:
        """These may be another's as soon as this returns."""
        partitions = {place.partition for place in places}
        try:
            await self.commit(await self._owner.taken_away(partitions & self._mine))
        except KafkaError as error:
            log.warning("not committed at the hand-over: some go out again", action="webhooks", why=type(error).__name__)
        for partition in partitions:
            self._new.discard(partition)
            self._mine.discard(partition)

    async def _place_new(self) -> None:
        if not self._new:
            return
        notes = await self._notes([*self._new])
        for partition in [*self._new]:
            noted = notes.get(partition) or Noted(await self._first(partition), "")
            if partition in self._new:  # still this member's, after all the waiting
                self._new.discard(partition)
                self._mine.add(partition)
                self._owner.dealt(partition, noted)

    async def _notes(self, partitions: Sequence[int]) -> dict[int, Noted]:
        """What the group has committed. The consumer itself would tell the offsets alone."""
        admin = AIOKafkaAdminClient(**connection(self._settings))
        try:
            await admin.start()
            found = await admin.list_consumer_group_offsets(self._group, partitions=list(map(self._place, partitions)))
        finally:
            await admin.close()
        return {place.partition: Noted(one.offset, one.metadata) for place, one in found.items() if one.offset >= 0}

    async def _first(self, partition: int) -> int:
        """Where a partition begins that nobody has read: committed, or what comes before a crash would be passed over after it."""
        place = self._place(partition)
        offset = self._start.offsets.get(partition)
        if offset is None:
            offset = await first_offset(self._started, place, self._start.since_ms)
        await self._started.commit({place: offset})
        return offset

    def _place(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)

    @property
    def _started(self) -> AIOKafkaConsumer:
        assert self._client is not None, "the consumer was not started"
        return self._client


__all__ = ["Noted", "NotedConsumer", "Owner", "StartingPlace"]
