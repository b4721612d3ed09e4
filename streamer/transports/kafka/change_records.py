"""Records of ``segment-changes`` from given offsets on, as they lie there, for somebody who keeps offsets himself."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from streamer.settings import Settings
from streamer.stopping import at_most
from streamer.wire import CHANGES, POSITION_HEADER, read_position

from .answering import answering
from .clients import reader

CLOSE_SECONDS: Final = 0.5
TAKE_MS: Final = 200
StoryPlace = tuple[int, int, int]  # generation of the log, offset, ordinal: what readers drop repetitions by
NOWHERE: Final[StoryPlace] = (0, -1, -1)


class ChangeRecord(NamedTuple):
    """One of them: where it lies in Kafka, and where in the story."""

    shard: int
    kafka_offset: int
    place: StoryPlace
    value: bytes


class ChangeRecords:
    """Reads all shards. Errors of Kafka's are UnansweredError."""

    def __init__(self, settings: Settings, client: AIOKafkaConsumer) -> None:
        self._client = client
        self._partitions = [TopicPartition(settings.topic(CHANGES), shard) for shard in range(settings.shards)]
        self._next: dict[int, int] = {}
        client.assign(self._partitions)

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings) -> AsyncGenerator[Self]:
        """A reader that is connected, and is at no offset yet."""
        client = reader(settings, enable_auto_commit=False, auto_offset_reset="none", request_timeout_ms=5_000, fetch_max_wait_ms=TAKE_MS)
        try:
            with answering():
                await client.start()
            yield cls(settings, client)
        finally:
            await at_most(CLOSE_SECONDS, client.stop())

    async def bounds(self) -> tuple[dict[int, int], dict[int, int]]:
        """Of each shard the first offset that is kept, and the one behind the last record."""
        with answering():
            begins, ends = await self._client.beginning_offsets(self._partitions), await self._client.end_offsets(self._partitions)
        return {at.partition: offset for at, offset in begins.items()}, {at.partition: offset for at, offset in ends.items()}

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Go on at these offsets, of all shards."""
        for at in self._partitions:
            self._client.seek(at, offsets[at.partition])
            self._next[at.partition] = offsets[at.partition]

    async def take(self) -> list[ChangeRecord]:
        """What comes next, in order within each shard; nothing after ``TAKE_MS`` without a record. What no relay has written is left
        out."""
        with answering():
            taken = await self._client.getmany(*self._partitions, timeout_ms=TAKE_MS)
        found: list[ChangeRecord] = []
        for at, records in taken.items():
            self._next[at.partition] = records[-1].offset + 1
            for record in records:
                place = read_position(dict(record.headers).get(POSITION_HEADER, b""))
                if place is not None and record.value is not None:
                    found.append(ChangeRecord(at.partition, record.offset, place, record.value))
        return found

    def behind(self) -> int:
        """How many records are not read yet, as far as the last answers of the broker say; it is not asked."""
        ends = ((self._client.last_stable_offset(at), self._next.get(at.partition, 0)) for at in self._partitions)
        return sum(max(0, end - position) for end, position in ends if end is not None)

    async def positions(self) -> dict[int, int]:
        """The offsets at which it goes on."""
        with answering():
            return {at.partition: await self._client.position(at) for at in self._partitions}


__all__ = ["NOWHERE", "ChangeRecord", "ChangeRecords", "StoryPlace"]
