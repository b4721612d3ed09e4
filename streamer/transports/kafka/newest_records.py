"""A look at the newest records of the log, again and again: so many of each shard at most, however many come in between."""

from __future__ import annotations

import asyncio
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from streamer.errors import UnansweredError
from streamer.settings import Settings
from streamer.wire import EVENTS, LogRecord

from .answering import answering
from .clients import log_record, reader

ASK_SECONDS: Final = 10.0
FETCH_WAIT_MS: Final = 20
POLL_MS: Final = 200
LOOKS: Final = 20  # of polls: what lies there is not all in one answer


class NewestRecords:
    """Connects with the first look. UnansweredError where Kafka does not do its part; the next look connects anew."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: AIOKafkaConsumer | None = None
        self._places = [TopicPartition(settings.topic(EVENTS), shard) for shard in range(settings.shards)]
        self._seen: dict[TopicPartition, int] = {}

    async def take(self, most: int) -> list[tuple[int, LogRecord]]:
        """The newest records that no look had before, with their shards: about ``most``, shared by the shards."""
        each = max(1, most // len(self._places))
        try:
            with answering():
                async with asyncio.timeout(ASK_SECONDS):
                    return await self._take(await self._started(), each)
        except UnansweredError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.stop()

    async def _take(self, client: AIOKafkaConsumer, each: int) -> list[tuple[int, LogRecord]]:
        begins, ends = await client.beginning_offsets(self._places), await client.end_offsets(self._places)
        for at in self._places:
            self._seen[at] = max(begins[at], ends[at] - each, self._seen.get(at, 0))
            client.seek(at, min(self._seen[at], ends[at]))
        found: list[tuple[int, LogRecord]] = []
        for _ in range(LOOKS):
            waiting = [at for at in self._places if self._seen[at] < ends[at]]
            if not waiting:
                break
            for at, records in (await client.getmany(*waiting, timeout_ms=POLL_MS)).items():
                found += [(at.partition, log_record(record)) for record in records[:each]]
            for at in waiting:
                self._seen[at] = max(self._seen[at], await client.position(at))
        return found

    async def _started(self) -> AIOKafkaConsumer:
        if self._client is None:
            client = reader(self._settings, enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=FETCH_WAIT_MS)
            try:
                await client.start()
            except BaseException:
                await client.stop()
                raise
            client.assign(self._places)
            self._client = client
        return self._client


__all__ = ["NewestRecords"]
