"""The loop that fetches whole batches of the log and has their shards process them, side by side: they share round trips to the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError, OffsetOutOfRangeError
from structlog.typing import FilteringBoundLogger

from streamer.flow.shard import Shard
from streamer.transports.kafka.log_consumer import LogConsumer
from streamer.wire import LogRecord

from .log_watch import LogWatch
from .owned_shard import OwnedShard
from .processing import BatchProcessor

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.segmenter")

FETCH_AGAIN_SECONDS: Final = 1.0

ShardBatch = tuple[OwnedShard, Shard, Sequence[LogRecord]]


class FetchLoop:
    """Fetches for the shards that can take more. ``batch_records`` is how many records a shard commits at once."""

    def __init__(
        self,
        shards: Mapping[TopicPartition, OwnedShard],
        consumer: LogConsumer,
        processing: BatchProcessor,
        log_watch: LogWatch,
        batch_records: int,
    ) -> None:
        self._shards = shards
        self._consumer = consumer
        self._processing = processing
        self._log_watch = log_watch
        self._batch_records = batch_records
        self._idle = asyncio.Event()  # no batch in hand
        self._idle.set()

    async def run(self, is_over: Callable[[], bool], sleep: Callable[[float], Awaitable[None]]) -> None:
        """Fetch and process until it is over. ``sleep`` returns early when it is."""
        self._idle.clear()
        try:
            while not is_over() and not self._processing.is_stopping:
                self._consumer.fetch_only(self._is_ready)
                await self._process_all(await self._fetch(sleep))
        except ConsumerStoppedError:
            pass
        finally:
            self._idle.set()

    async def finished(self) -> None:
        """Return when no batch is in hand."""
        await self._idle.wait()

    async def _process_all(self, fetched: Sequence[ShardBatch]) -> None:
        """Process batches of shards, all to their ends: what they ask of the store at the same time is one round trip."""
        works = (self._processing.process(owned, shard, records) for owned, shard, records in fetched)
        for failed in await asyncio.gather(*works, return_exceptions=True):
            if failed is not None:
                raise failed

    async def _fetch(self, sleep: Callable[[float], Awaitable[None]]) -> list[ShardBatch]:
        """What is there, each with the shard for which it was fetched; nothing after an error."""
        try:
            batches = await self._consumer.fetch(2 * self._batch_records)
        except OffsetOutOfRangeError as error:
            self._seek_back()
            await self._look_at(error.args[0])
            return []
        except KafkaError as error:  # of one partition: not authorized, or what the broker has there is damaged
            log.warning("nothing fetched", action="fetch", why=f"{type(error).__name__}: {error}")
            self._seek_back()
            await sleep(FETCH_AGAIN_SECONDS)
            return []
        fetched = [(self._shards.get(partition), records) for partition, records in batches.items()]
        return [(owned, owned.shard, records) for owned, records in fetched if owned is not None and owned.shard is not None]

    def _is_ready(self, partition: TopicPartition) -> bool:
        owned = self._shards.get(partition)
        return owned is not None and owned.is_ready(monotonic())

    def _seek_back(self) -> None:
        """Fetch again from where the shards are: with an error the client drops what it had ready, of other partitions too."""
        for partition in self._consumer.assigned():
            owned = self._shards.get(partition)
            if owned is not None and owned.shard is not None:
                self._consumer.seek(partition, owned.shard.position.offset)

    async def _look_at(self, partitions: Iterable[TopicPartition]) -> None:
        """Halt the shards whose position their log does not have."""
        for partition in partitions:
            if (owned := self._shards.get(partition)) is not None:
                await self._log_watch.look_at(owned)


__all__ = ["FetchLoop"]
