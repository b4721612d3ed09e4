"""Where the logs of the shards end, asked many times a second over one connection."""

from __future__ import annotations

import asyncio
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streamer.settings import Settings
from streamer.transports.kafka.clients import reader
from streamer.wire import EVENTS

REQUEST_MS: Final = 5_000
PEEK_MS: Final = 200


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
                found = await self._client.getmany(place, timeout_ms=PEEK_MS, max_records=1)
                position = await self._client.position(place)
            except KafkaError as error:
                raise TimeoutError(type(error).__name__) from None
            finally:
                self._client.pause(place)
        records = found.get(place, [])
        if not records and position >= end:
            self._empty[shard] = begin, position
            return True
        return bool(records) and records[0].offset >= end


__all__ = ["KafkaLogTail"]
