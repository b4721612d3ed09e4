"""The end of the changes, read once for all subscriptions of a process.

A hundred subscriptions that each read the topic would ask the broker a hundred times for each change. So their groups only deal shards and
keep what is done; new changes come from here, and whoever is behind reads what it missed by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError, OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord
from structlog.typing import FilteringBoundLogger

from streamer.errors import RefusedError
from streamer.settings import Settings
from streamer.telemetry.webhook_metrics import WebhookMetrics
from streamer.transports.kafka.clients import METADATA_MS, reader
from streamer.wire import CHANGES

from .lanes import PendingChange
from .subscription import ChangeHead, read_head

FETCH_RECORDS: Final = 1_000
POLL_MS: Final = 500
PAUSE_SECONDS: Final = 1.0  # after an error of Kafka

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.webhooks")


class ChangeListener(Protocol):
    """One subscription of one shard."""

    def take(self, head: ChangeHead, change: PendingChange) -> None:
        """The next change, wanted or not."""
        ...

    def reached(self, offset: int) -> None:
        """Everything before this offset was given."""
        ...

    def passed(self, begin: int) -> None:
        """What lay before this offset is deleted, and was not given."""
        ...


class ChangeFeed:
    """Reads all shards from where they end when it starts. ``problem`` says why it cannot at the moment."""

    def __init__(self, settings: Settings, metrics: WebhookMetrics) -> None:
        self.problem = ""
        self._settings = settings
        self._metrics = metrics
        self._client: AIOKafkaConsumer | None = None
        self._next: dict[int, int] = {}
        self._listeners: dict[int, list[ChangeListener]] = {}

    async def start(self) -> None:
        """Stand at the ends. Raises KafkaError."""
        self._client = client = reader(self._settings, enable_auto_commit=False, auto_offset_reset="none", metadata_max_age_ms=METADATA_MS)
        await client.start()
        places = [self._place(shard) for shard in range(self._settings.shards)]
        client.assign(places)
        for place, end in (await client.end_offsets(places)).items():
            self._next[place.partition] = end
            client.seek(place, end)

    async def stop(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.stop()

    def position(self, shard: int) -> int:
        """The offset of the next change that listeners of a shard are given."""
        return self._next[shard]

    def listen(self, shard: int, listener: ChangeListener) -> None:
        """Give it changes from ``position`` on."""
        self._listeners.setdefault(shard, []).append(listener)

    def leave(self, shard: int, listener: ChangeListener) -> None:
        """Give it no more; harmless when repeated."""
        if listener in (found := self._listeners.get(shard, [])):
            found.remove(listener)

    async def first_kept(self, shard: int) -> int:
        """The offset of the first record of a shard that is not deleted. Raises KafkaError."""
        place = self._place(shard)
        return (await self._started.beginning_offsets([place]))[place]

    async def ask_brokers(self) -> Mapping[int, int]:
        """The ends of all shards. Raises KafkaError; a fetch from a broker that is away only returns nothing."""
        ends = await self._started.end_offsets([self._place(shard) for shard in range(self._settings.shards)])
        return {place.partition: end for place, end in ends.items()}

    def behind(self, shard: int) -> int:
        """How many records of a shard are not read, where that is known; else 0."""
        end = self._started.last_stable_offset(self._place(shard))
        return max(0, end - self._next[shard]) if end is not None else 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                found = await self._started.getmany(timeout_ms=POLL_MS, max_records=FETCH_RECORDS)
                self.problem = ""
            except ConsumerStoppedError:
                return
            except OffsetOutOfRangeError as error:
                await self._pass_lost(error.args[0])
            except KafkaError as error:
                self._go_back()
                self.problem = f"changes cannot be read: {type(error).__name__}"
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                for place, records in found.items():
                    for record in records:
                        self._give(record)
                    self._reach(place.partition, records[-1].offset + 1)

    def _give(self, record: ConsumerRecord[bytes, bytes]) -> None:
        listeners = self._listeners.get(record.partition)
        if not listeners:
            return
        if (found := read_change(record, self._metrics)) is not None:
            for listener in listeners:
                listener.take(*found)

    def _reach(self, shard: int, offset: int) -> None:
        self._next[shard] = offset
        for listener in self._listeners.get(shard, ()):
            listener.reached(offset)

    def _go_back(self) -> None:
        """With an error the client has dropped what it had ready."""
        for shard, offset in self._next.items():
            self._started.seek(self._place(shard), offset)

    async def _pass_lost(self, asked: Mapping[TopicPartition, int]) -> None:
        """Go on where a shard begins now: what was deleted before it was read cannot be had any more."""
        self._go_back()
        for place in asked:
            begin = (await self._started.beginning_offsets([place]))[place]
            log.error("changes were deleted before they were read", action="webhooks", shard=place.partition, begin=begin)
            self._next[place.partition] = begin
            self._started.seek(place, begin)
            for listener in self._listeners.get(place.partition, ()):
                listener.passed(begin)

    def _place(self, shard: int) -> TopicPartition:
        return TopicPartition(self._settings.topic(CHANGES), shard)

    @property
    def _started(self) -> AIOKafkaConsumer:
        assert self._client is not None, "the feed was not started"
        return self._client


def read_change(record: ConsumerRecord[bytes, bytes], metrics: WebhookMetrics) -> tuple[ChangeHead, PendingChange] | None:
    """A record as its lane takes it; None, and counted, for what is no change."""
    raw = record.value or b""
    try:
        head = read_head(raw)
    except RefusedError:
        metrics.unreadable.inc()
        log.error("no change", action="webhooks", shard=record.partition, offset=record.offset)
        return None
    return head, PendingChange(record.partition, record.offset, head.place, head.id, record.timestamp, raw)
