"""The segmenter: the service of a worker that reads the log, and the parts of which it consists.

It decides when something is done; what a record means is decided in ``flow``. A shard starts at the position its store has, never at the
consumer group's offset. Its states are those of ``ShardState``; whatever happens to one shard, the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from time import time
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from mode import Service
from structlog.typing import FilteringBoundLogger

from streamer.errors import HaltError
from streamer.flow.catalog import Plans
from streamer.flow.relay import Sink
from streamer.settings import Settings
from streamer.stopping import at_most
from streamer.stores.base import Store
from streamer.telemetry.metrics import Metrics
from streamer.transports.kafka.broker_watch import ASK_SECONDS, BrokerWatch
from streamer.transports.kafka.clients import is_dead
from streamer.transports.kafka.definitions_topic import DefinitionsTopic
from streamer.transports.kafka.log_consumer import LogConsumer
from streamer.transports.kafka.log_inspector import LogInspector
from streamer.transports.kafka.record_picker import RecordPicker
from streamer.wire import DEFINITIONS, EVENTS

from .shards.auditor import Auditor
from .shards.background import Background
from .shards.compiling import beside
from .shards.edges import Edges
from .shards.fetching import FetchLoop
from .shards.guard import ShardGuard
from .shards.lanes import LaneService
from .shards.log_watch import LogWatch
from .shards.note_keeper import NoteKeeper
from .shards.owned_shard import OwnedShard
from .shards.ownership import Ownership
from .shards.processing import BatchProcessor
from .shards.proposals import Proposals
from .shards.publication_watch import LOOK_SECONDS, PublicationWatch
from .shards.publisher import Publisher
from .shards.status_report import StatusReport
from .shards.stopper import ShardStopper
from .shards.store_watch import StoreWatch
from .shards.ticker import Ticker
from .shards.upkeep import Upkeep
from .status.alerts import Alerts

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.segmenter")

MAINTAIN_SECONDS: Final = 0.25
STOP_SECONDS: Final = 6.0  # SIGTERM to exit is promised within ten, and others have to stop too
LAST_NOTES_SECONDS: Final = 0.5


class Segmenter(Service):
    """The segmenter as a service of the worker. ``shards`` are those that the group has dealt to it."""

    def __init__(self, settings: Settings, store: Store, producer: AIOKafkaProducer, sink: Sink, metrics: Metrics, alerts: Alerts) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType] - of a node of services
        self.settings = settings
        self.metrics = metrics
        self.alerts = alerts
        self.finished = asyncio.Event()  # stopped, with nothing left in hand
        self.shards: dict[TopicPartition, OwnedShard] = {}
        self.background = Background()
        self.consumer = LogConsumer(settings)
        self.inspector = LogInspector(settings)
        self.picker = RecordPicker(settings)
        self.brokers = BrokerWatch(settings.kafka)
        self.definitions = DefinitionsTopic(settings, producer)
        self._store = store
        self._producer = producer
        self.edges = edges = Edges(
            settings=settings,
            keyring=settings.keyring,
            store=store,
            sink=sink,
            producer=producer,
            consumer=self.consumer,
            inspector=self.inspector,
            picker=self.picker,
            brokers=self.brokers,
            metrics=metrics,
            alerts=alerts,
            background=self.background,
        )
        self.stopper = ShardStopper(edges)
        self.guard = ShardGuard(edges, self.stopper)
        self.publisher = Publisher(edges, self.shards, self.guard)
        self.ticker = Ticker(edges, self.shards, self.guard)
        self.processing = BatchProcessor(edges, self.guard, self.stopper, self.publisher, self.ticker)
        plans = Plans(store, settings.rules, compile_by=beside)
        self.lanes = LaneService(edges, self.shards, plans, lambda: self.processing.is_stopping, self._hand_over_lane)
        self.ownership = Ownership(edges, self.shards, self.guard, self.stopper, self.publisher, self.ticker, plans, self.lanes.of)
        self.auditor = Auditor(edges, self.shards, plans)
        self.log_watch = LogWatch(edges, self.guard)
        self.store_watch = StoreWatch(edges)
        self.upkeep = Upkeep(edges, self.ownership, self.guard, self.publisher)
        self.proposals = Proposals(edges, self.shards, self.definitions, self.lanes)
        self._publications = PublicationWatch(self.definitions, self._end_of_definitions)
        self.report = StatusReport(
            edges,
            self.shards,
            is_dealt=self._is_dealt,
            others=self._problems_besides,
            lane=self.proposals.status,
            audit=self.auditor.status,
        )
        self.notes = NoteKeeper(store, self.shards, self.report.statuses)
        self._fetching = FetchLoop(self.shards, self.consumer, self.processing, self.log_watch, settings.batch_records)

    # life

    async def on_start(self) -> None:
        """Join the group."""
        await self.consumer.start(self.ownership)

    async def on_stop(self) -> None:
        """Finish the batch in hand, publish what it said, leave the group."""
        self.processing.is_stopping = True
        await at_most(STOP_SECONDS / 2, self._fetching.finished())
        await at_most(STOP_SECONDS / 4, self.publisher.publish_all())
        await at_most(LAST_NOTES_SECONDS, self.give_up_shards())
        self.background.cancel()
        log.info("segmenter stopped", action="stop", shards=len(self.shards))
        await at_most(STOP_SECONDS / 4, _all([self.lanes.stop(), self.consumer.stop(), self.inspector.stop(), self.picker.stop()]))
        self.finished.set()

    async def give_up_shards(self) -> None:
        """Say of each shard that nobody is at work on it, as this worker ends."""
        self.ownership.give_up()
        await self.notes.note_all()

    def problems(self) -> list[str]:
        """Why this worker is not ready; nothing when it is."""
        return self.report.readiness().problems

    def _is_dealt(self) -> bool:
        return self.consumer.is_started and self.ownership.is_dealt

    def _problems_besides(self) -> list[str]:
        """What is wrong with the topic of events, and with how the store is set up."""
        return [*self.log_watch.problems, *self.store_watch.problems]

    async def _hand_over_lane(self, shard: int, version: int) -> None:
        await self.proposals.hand_over(shard, version)

    # loops

    @Service.task
    async def _fetch(self) -> None:
        await self._fetching.run(lambda: self.should_stop, self.sleep)

    @Service.task
    async def _publish(self) -> None:
        while not self.should_stop:
            await self.publisher.turn()

    @Service.task
    async def _tick(self) -> None:
        while not self.should_stop:
            await self.ticker.turn()

    @Service.task
    async def _maintain(self) -> None:
        while not self.should_stop:
            began = time()
            await asyncio.sleep(MAINTAIN_SECONDS)
            self.metrics.loop_lag.set(max(0.0, time() - began - MAINTAIN_SECONDS))
            if is_dead(self._producer) or self.publisher.numbering_lost:
                raise HaltError("the Kafka producer gave up and can publish nothing any more; start the worker again")
            await self.upkeep.look_after(list(self.shards.values()))

    @Service.task
    async def _leave_notes(self) -> None:
        while not self.should_stop:
            await self.notes.note_all()
            await self.sleep(ASK_SECONDS)

    @Service.task
    async def _watch_brokers(self) -> None:
        while not self.should_stop:
            await self.brokers.look(self._ends)
            await self.sleep(ASK_SECONDS)

    @Service.task
    async def _watch_log(self) -> None:
        while not self.should_stop:
            await self.sleep(self.settings.probe / 1_000)
            await self.log_watch.look_at_all(list(self.shards.values()))

    @Service.task
    async def _audit(self) -> None:
        while self.auditor.is_on and not self.should_stop:
            await self.sleep(await self.auditor.turn())

    @Service.task
    async def _propose(self) -> None:
        while not self.should_stop:
            self.proposals.look_after(await self._publications.look())
            await self.sleep(LOOK_SECONDS)

    # once in a while

    async def _end_of_definitions(self) -> int:
        at = TopicPartition(self.settings.topic(DEFINITIONS), 0)
        return (await self.consumer.ends([at]))[at]

    async def _ends(self) -> Mapping[int, int]:
        """Where the log ends; a worker without shards asks all the same, as it has no other sign that the broker is there."""
        found = await self.consumer.ends(list(self.shards) or [TopicPartition(self.settings.topic(EVENTS), 0)])
        return {partition.partition: end for partition, end in found.items() if partition in self.shards}

    async def commit_positions(self) -> None:
        """Tell the group where the shards are: for dashboards only."""
        offsets = {owned.partition: owned.shard.position.offset for owned in self.shards.values() if owned.shard is not None}
        if offsets and self.consumer.is_started:
            with suppress(KafkaError, ValueError):
                await self.consumer.commit(offsets)


async def _all(works: Sequence[Awaitable[None]]) -> None:
    await asyncio.gather(*works)


__all__ = ["Segmenter"]
