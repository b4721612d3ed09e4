"""A segmenter with one shard, over a log and a store in memory."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from aiokafka import TopicPartition

from streamer.flow.amendments import MemoryJournal
from streamer.flow.shard import Shard
from streamer.language.definitions import parse_definitions
from streamer.settings import load_settings
from streamer.stores.memory import MemoryStore
from streamer.telemetry.metrics import Metrics
from streamer.transports.memory import MemoryLog, MemorySink
from streamer.wire import EVENTS, definitions_control
from streamer.worker.segmenter import Segmenter
from streamer.worker.shards.owned_shard import OwnedShard
from streamer.worker.status.alerts import Alerts
from streamer.worker.status.shard_state import ShardState

SEEN = parse_definitions({"segments": {"seen": {"for": "x", "when": 'did("Product Viewed")'}}})


class Worker:
    """A segmenter with one shard, over a log and a store in memory."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.log, self.store = MemoryLog(1, lambda: 1_000), store or MemoryStore()
        self.log.send_control(definitions_control(SEEN.content(), SEEN.digest, 1))
        for number in range(20):
            raw = b'{"event": "Product Viewed", "messageId": "m%d", "userId": "c%d", "timestamp": 900}' % (number, number)
            self.log.append(EVENTS, 0, raw)
        self.begin, self.sought = 0, list[int]()
        self.settings, self.published = load_settings(shards=1, lane_processes=0), list[bytes]()
        metrics = Metrics()
        alerts = Alerts(self._publish, metrics, "/shop")
        self.segmenter = Segmenter(self.settings, self.store, cast("Any", None), MemorySink(self.log), metrics, alerts)
        partition = TopicPartition(self.settings.topic(EVENTS), 0)
        self.segmenter.ownership.open_journal = self._journal
        self.segmenter.consumer.client = cast("Any", self._consumer(partition))
        inspector: Any = self.segmenter.inspector
        inspector.look, inspector.read = self.log.look, self.log.read
        self.owned = self.segmenter.shards[partition] = OwnedShard(partition)
        self.segmenter.ownership.is_dealt = True

    async def _journal(self, _shard: int) -> MemoryJournal:
        return MemoryJournal()

    async def _publish(self, raw: bytes) -> None:
        self.published.append(raw)

    def _consumer(self, partition: TopicPartition) -> SimpleNamespace:
        async def beginning_offsets(_partitions: object) -> dict[TopicPartition, int]:
            return {partition: self.begin}

        async def end_offsets(_partitions: object) -> dict[TopicPartition, int]:
            return {partition: self.log.end(EVENTS, 0)}

        return SimpleNamespace(
            assignment=lambda: {partition},
            beginning_offsets=beginning_offsets,
            end_offsets=end_offsets,
            seek=lambda _partition, offset: self.sought.append(offset),
            pause=lambda *_: None,
            resume=lambda *_: None,
            highwater=lambda _: None,
            last_stable_offset=lambda _: None,
        )

    async def own(self) -> Shard:
        """Acquire the shard, and read its log to the end."""
        self.owned.state = ShardState.ACQUIRING
        await self.segmenter.ownership.own(self.owned)
        shard = self.owned.shard
        assert shard is not None, self.owned.why
        await self.segmenter.processing.process(self.owned, shard, self.log.fetch(0, shard.position.offset, 10_000))
        await self.segmenter.publisher.publish_all()
        return shard

    def buy(self, customer: str) -> None:
        """A customer buys, which the shard has yet to read."""
        raw = b'{"event": "Order Completed", "messageId": "b%s", "userId": "%s", "timestamp": 900}'
        self.log.append(EVENTS, 0, raw % (customer.encode(), customer.encode()))

    def read(self) -> list[tuple[str, int]]:
        """The changes as a reader sees them."""
        return [(change.subject, change.data.sequence) for change in self.log.read_changes()]
