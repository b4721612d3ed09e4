"""Where the log of each shard ends, looked at again and again for somebody who reads what shards have committed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.settings import Settings
from streamer.stopping import at_most
from streamer.wire import EVENTS

from .clients import reader

LOOK_SECONDS: Final = 0.5
OLD_SECONDS: Final = 3.0  # an end that was seen so long ago says nothing
AGAIN_SECONDS: Final = 2.0  # after an error
CLOSE_SECONDS: Final = 0.5

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.end_watch")


class EndWatch:
    """The ends of the logs of all shards, as of at most ``OLD_SECONDS`` ago."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._partitions: Sequence[TopicPartition] = [TopicPartition(settings.topic(EVENTS), shard) for shard in range(settings.shards)]
        self._ends: dict[int, int] = {}
        self._seen_at = float("-inf")
        self._began_at = monotonic()

    @property
    def silent_seconds(self) -> float:
        """How long Kafka has not said where logs end."""
        return monotonic() - max(self._seen_at, self._began_at)

    def end(self, shard: int) -> int | None:
        """The offset behind the last record of a shard, where it was seen lately."""
        return self._ends.get(shard) if monotonic() - self._seen_at < OLD_SECONDS else None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            client = reader(self._settings, enable_auto_commit=False, request_timeout_ms=5_000)
            try:
                await client.start()
                await self._look(client)
            except (KafkaError, TimeoutError, OSError) as error:
                log.warning("ends of the log not seen", action="lag", error=type(error).__name__)
            finally:
                await at_most(CLOSE_SECONDS, client.stop())
            await asyncio.sleep(AGAIN_SECONDS)

    async def _look(self, client: AIOKafkaConsumer) -> None:
        while True:
            ends = await client.end_offsets(self._partitions)
            self._ends, self._seen_at = {at.partition: end for at, end in ends.items()}, monotonic()
            await asyncio.sleep(LOOK_SECONDS)


__all__ = ["EndWatch"]
