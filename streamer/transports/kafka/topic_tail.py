"""The newest records of topics, and then those that come: for somebody who shows them, and keeps no position."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.errors import SettingsError
from streamer.settings import Settings
from streamer.stopping import at_most

from .clients import reader
from .topics import check_topic

FETCH_WAIT_MS: Final = 500
TAKE_MS: Final = 1_000
AGAIN_SECONDS: Final = 2.0  # after an error of Kafka's
MISSING_SECONDS: Final = 10.0  # until a topic that was not there is looked for again
CLOSE_SECONDS: Final = 0.5

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.topic_tail")


class TailRecord(NamedTuple):
    """A record of one of the topics. ``topic`` is as in ``wire``, without the prefix."""

    topic: str
    partition: int
    offset: int
    value: bytes
    key: bytes = b""


class TopicTail:
    """Reads topics, each with so many partitions. ``is_ready``: what was there at the beginning has been read; ``is_failing``:
    Kafka refuses or does not answer at the moment."""

    def __init__(self, settings: Settings, topics: Mapping[str, int], newest: int) -> None:
        self.is_ready = False
        self.is_failing = False
        self._settings = settings
        self._topics = dict(topics)
        self._newest = newest
        self._positions: dict[TopicPartition, int] = {}

    async def run(self, take: Callable[[TailRecord], None]) -> None:
        """Until cancelled; ``take`` gets each record once, in order within a partition. A topic that is not there is waited for."""
        while True:
            there = [topic for topic in self._topics if await self._exists(topic)]
            client = reader(self._settings, enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=FETCH_WAIT_MS)
            try:
                await client.start()
                await self._follow(client, there, take)
            except (KafkaError, TimeoutError, OSError) as error:
                self.is_failing = True
                log.warning("topics not read", action="tail", topics=there, error=type(error).__name__)
            finally:
                await at_most(CLOSE_SECONDS, client.stop())
            await asyncio.sleep(AGAIN_SECONDS)

    async def _exists(self, topic: str) -> bool:
        try:
            await check_topic(self._settings, topic)
        except (SettingsError, KafkaError, TimeoutError, OSError):
            return False
        return True

    async def _follow(self, client: AIOKafkaConsumer, there: list[str], take: Callable[[TailRecord], None]) -> None:
        """Until a topic that was not there is to be looked for again."""
        names = {self._settings.topic(topic): topic for topic in there}
        places = [TopicPartition(name, number) for name, topic in names.items() for number in range(self._topics[topic])]
        ends = await self._begin(client, places)
        loop = asyncio.get_running_loop()
        until = None if len(there) == len(self._topics) else loop.time() + MISSING_SECONDS
        while until is None or loop.time() < until:
            if not places:
                await asyncio.sleep(TAKE_MS / 1_000)
            for place, records in (await client.getmany(*places, timeout_ms=TAKE_MS)).items() if places else ():
                for record in records:
                    self._positions[place] = record.offset + 1  # so that none comes again after an error
                    take(TailRecord(names[place.topic], place.partition, record.offset, record.value or b"", record.key or b""))
            for place in places:
                self._positions[place] = await client.position(place)
            self.is_failing = False
            self.is_ready = self.is_ready or all(self._positions[place] >= ends[place] for place in places)

    async def _begin(self, client: AIOKafkaConsumer, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Stand where we were, or at the newest records; where the partitions end."""
        if not places:
            return {}
        client.assign(places)
        begins, ends = await client.beginning_offsets(places), await client.end_offsets(places)
        each = max(1, self._newest // len(places))
        for place in places:
            client.seek(place, max(begins[place], self._positions.get(place, ends[place] - each)))
        return ends


__all__ = ["TailRecord", "TopicTail"]
