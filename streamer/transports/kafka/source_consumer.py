"""The consumer of a shop's own topics: it goes on where its group was, and the group's position moves only when it is told to.

The opposite of ``log_consumer``, whose positions lie in the store: here the group's offsets are the only memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord
from structlog.typing import FilteringBoundLogger

from streamer.settings import Settings
from streamer.wire import Headers

from .clients import METADATA_MS, reader
from .membership import RebalanceListener, first_offset

POLL_MS: Final = 200
PARTITION_BYTES: Final = 1 << 20  # that are fetched ahead of one partition; a message that is larger comes alone
HAND_OVER_SECONDS: Final = 4.0  # what is in hand is written before its partitions go to another, or else is written twice

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.source_consumer")


class SourceMessage(NamedTuple):
    """A record of a shop's topic. ``received_ms`` is its time, None where it has none; ``value`` is None where nothing was written."""

    topic: str
    partition: int
    offset: int
    received_ms: int | None
    value: bytes | None
    headers: Headers = ()

    @property
    def place(self) -> TopicPartition:
        """Its partition."""
        return TopicPartition(self.topic, self.partition)


Lost = Callable[[TopicPartition, int], None]
"""Told of a partition, and of how many records were deleted there before they were read."""


class SourceConsumer:
    """Reads topics for one member of ``group``.

    A partition that the group has never read begins with the first record not older than ``since_ms()``, and that is committed at once.
    """

    def __init__(self, settings: Settings, topics: Sequence[str], group: str, since_ms: Callable[[], int], lost: Lost) -> None:
        self.is_dealt = False  # the group has said which partitions are this member's, none perhaps
        self._settings = settings
        self._topics = topics
        self._group = group
        self._since_ms = since_ms
        self._lost = lost
        self._client: AIOKafkaConsumer | None = None
        self._new: set[TopicPartition] = set()  # dealt, and not yet stood at their positions
        self._next: dict[TopicPartition, int] = {}  # what was not taken yet begins here
        self._is_idle = asyncio.Event()  # nothing is in hand
        self._is_idle.set()

    async def start(self) -> None:
        """Join the group. Raises KafkaError."""
        settings = self._settings
        self._client = reader(
            settings,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",  # nothing is passed over, or read from the beginning, in silence
            max_partition_fetch_bytes=PARTITION_BYTES,
            metadata_max_age_ms=METADATA_MS,
            session_timeout_ms=settings.session_timeout,
            heartbeat_interval_ms=max(100, min(3_000, settings.session_timeout // 10)),
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
        )
        self._client.subscribe([*self._topics], listener=RebalanceListener(self.dealt, self.taken_away))
        await self._client.start()

    async def stop(self) -> None:
        """Leave the group and close the connections."""
        if self._client is not None:
            await self._client.stop()

    async def fetch(self, max_records: int) -> list[SourceMessage]:
        """The next messages, of each partition in its order, after ``POLL_MS`` at the latest. KafkaError where they cannot be read now; the
        next call tries again from the same place. Messages are in hand until ``finish``."""
        client = self._started
        try:
            await self._place_new()
            found = await client.getmany(timeout_ms=POLL_MS, max_records=max_records)
        except NoOffsetForPartitionError:  # the client looked for the group's offset before it was told another
            self._go_back()
            return []
        except OffsetOutOfRangeError as error:
            self._go_back()
            await self._pass_lost(error.args[0])
            return []
        except KafkaError:
            self._go_back()
            raise
        messages = [_message(record) for place, records in found.items() if place in self._next for record in records]
        if messages:
            self._is_idle.clear()
        return messages

    async def commit(self, behind: Mapping[TopicPartition, int]) -> None:
        """What lies before these offsets is done with. Those of partitions that are another's by now are passed over: it reads them once
        more. KafkaError where the group cannot be told."""
        mine = {place: offset for place, offset in behind.items() if place in self._next}
        self._next.update(mine)
        if not mine:  # the client takes it for a mistake
            return
        try:
            await self._started.commit(mine)
        except (CommitFailedError, IllegalStateError):
            log.info("the group deals anew", action="ingest", group=self._group)

    def finish(self) -> None:
        """Nothing of what was fetched is in hand any more."""
        self._is_idle.set()

    async def ask_brokers(self) -> None:
        """Return once those of this member's partitions have answered; one of the topic's where it has none. KafkaError otherwise, or no
        return for as long as the client tries: bound it."""
        await self._started.end_offsets([*self._next] or [TopicPartition(self._topics[0], 0)])

    def lag(self) -> dict[TopicPartition, int]:
        """How many records of each partition of this member are not taken yet, where that is known."""
        found: dict[TopicPartition, int] = {}
        for place, offset in self._next.items():
            end = self._started.last_stable_offset(place)
            if end is None or end < 0:
                end = self._started.highwater(place)
            if end is not None:
                found[place] = max(0, end - offset)
        return found

    # the group

    async def dealt(self, places: Collection[TopicPartition]) -> None:
        """These are this member's from now on. Nothing of them is read before they stand at their position."""
        client = self._started
        client.pause(*places)
        for place in places:
            client.seek(place, 0)  # without any the client looks for the group's itself
        self._new = set(places)
        self._next = {}
        self.is_dealt = True

    async def taken_away(self, places: Collection[TopicPartition]) -> None:
        """These may be another's as soon as this returns, which waits a while for what is in hand."""
        try:
            await asyncio.wait_for(self._is_idle.wait(), HAND_OVER_SECONDS)
        except TimeoutError:
            log.warning("partitions go while messages of them are in hand; those are written twice", action="ingest")
        for place in places:
            self._new.discard(place)
            self._next.pop(place, None)

    async def _place_new(self) -> None:
        client = self._started
        for place in [*self._new]:
            offset = await client.committed(place)
            if offset is None:
                offset = await self._first(place)
                log.info("begins", action="ingest", topic=place.topic, partition=place.partition, offset=offset)
            if place in self._new:  # still this member's, after all the waiting
                self._new.discard(place)
                self._next[place] = offset
                client.seek(place, offset)
                client.resume(place)

    async def _first(self, place: TopicPartition) -> int:
        """Where a partition begins that nobody has read: committed, or what comes before a crash would count as old after it."""
        offset = await first_offset(self._started, place, self._since_ms())
        await self._started.commit({place: offset})
        return offset

    def _go_back(self) -> None:
        """With an error the client has dropped what it had ready, of other partitions too."""
        for place in self._started.assignment() & self._next.keys():
            self._started.seek(place, self._next[place])

    async def _pass_lost(self, asked: Mapping[TopicPartition, int]) -> None:
        """Go on where a partition begins now: what was deleted before it was read cannot be had any more."""
        for place in asked.keys() & self._next.keys():
            begin = (await self._started.beginning_offsets([place]))[place]
            if place not in self._next:
                continue
            before = self._next[place]
            log.error(
                "records were deleted before they were read" if before < begin else "the topic ends before the group's position",
                action="ingest",
                topic=place.topic,
                partition=place.partition,
                position=before,
                begin=begin,
            )
            self._lost(place, max(0, begin - before))
            self._next[place] = begin
            self._started.seek(place, begin)

    @property
    def _started(self) -> AIOKafkaConsumer:
        assert self._client is not None, "the consumer was not started"
        return self._client


def _message(record: ConsumerRecord[bytes, bytes]) -> SourceMessage:
    received_ms = record.timestamp if record.timestamp >= 0 else None
    headers = tuple((name, value or b"") for name, value in record.headers)  # in Kafka the value may be null
    return SourceMessage(record.topic, record.partition, record.offset, received_ms, record.value, headers)


__all__ = ["SourceConsumer", "SourceMessage"]
