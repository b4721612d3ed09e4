"""Where the logs of the shards end, asked many times a second over one connection."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streamer.settings import Settings
from streamer.transports.kafka.clients import reader
from streamer.wire import EVENTS

REQUEST_MS: Final = 5_000
PEEK_SECONDS: Final = 0.2
PEEK_STEP_MS: Final = 5  # the client waits for a record all the time it is given, also where it has read nothing but marks by then


class KafkaLogTail:
    """See ``gate.LogTail``. ``start`` before anything, ``stop`` at the end."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topic(EVENTS)
        self._places = [TopicPartition(self._topic, shard) for shard in range(settings.shards)]
        self._client: AIOKafkaConsumer = reader(
            settings, enable_auto_commit=False, auto_offset_reset="earliest", request_timeout_ms=REQUEST_MS, fetch_max_wait_ms=20
        )
        self._peeking = asyncio.Lock()
        self._empty: dict[int, tuple[int, int]] = {}  # by shard, from where to where it is known to have no record

    async def start(self) -> None:
        """Connect. Raises KafkaError."""
        await self._client.start()
        self._client.assign(self._places)
        self._client.pause(*self._places)

    async def stop(self) -> None:
        """Close the connections."""
        await self._client.stop()

    async def end(self, shard: int) -> int:
        """See ``LogTail``; what open transactions hold is not acknowledged yet."""
        try:
            return (await self._client.end_offsets([self._places[shard]]))[self._places[shard]]
        except KafkaError as error:
            raise TimeoutError(type(error).__name__) from None

    async def is_empty(self, shard: int, begin: int, end: int) -> bool:
        """See ``LogTail``."""
        known = self._empty.get(shard, (0, 0))
        if known[0] <= begin and end <= known[1]:
            return True
        place = self._places[shard]
        async with self._peeking:
            self._client.seek(place, begin)
            self._client.resume(place)
            try:
                offset, position = await self._peek(place, end)
            except KafkaError as error:
                raise TimeoutError(type(error).__name__) from None
            finally:
                self._client.pause(place)
        if offset is None and position >= end:
            self._empty[shard] = begin, position
            return True
        return offset is not None and offset >= end

    async def _peek(self, place: TopicPartition, end: int) -> tuple[int | None, int]:
        """The offset of the next record, None where none came; and how far was read by then."""
        deadline = monotonic() + PEEK_SECONDS
        while True:
            found = await self._client.getmany(place, timeout_ms=PEEK_STEP_MS, max_records=1)
            position = await self._client.position(place)
            if records := found.get(place):
                return records[0].offset, position
            if position >= end or monotonic() >= deadline:
                return None, position


__all__ = ["KafkaLogTail"]
