"""Which shards this worker owns: what the group deals to it is acquired, what the group takes away is released."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import time
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.errors import StreamerError
from streamer.flow.catalog import Plans
from streamer.flow.lane.lanes import Lanes
from streamer.flow.machine import Limits
from streamer.flow.relay import Relay
from streamer.flow.same_log import look_again
from streamer.flow.shard import Shard
from streamer.transports.kafka.journal import KafkaJournal, OpenJournal
from streamer.worker.status.shard_state import ShardState

from .edges import Edges
from .guard import ShardGuard
from .owned_shard import OwnedShard
from .publisher import Publisher
from .stopper import ShardStopper
from .tick_schedule import TickSchedule
from .ticker import Ticker

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.segmenter")

ACQUIRE_AT_ONCE: Final = 3  # each reads the tails of the outputs with a consumer of its own
PUBLISH_REST_SECONDS: Final = 2.0


class Ownership:
    """Acquires and releases the shards of one worker, a ``log_consumer.Rebalance``. ``is_dealt``: whether the group has dealt any yet."""

    def __init__(
        self,
        edges: Edges,
        shards: dict[TopicPartition, OwnedShard],
        guard: ShardGuard,
        stopper: ShardStopper,
        publisher: Publisher,
        ticker: Ticker,
        plans: Plans,
        lanes_of: Callable[[OwnedShard], Lanes],
    ) -> None:
        self.is_dealt = False
        self.limits = Limits(records=edges.settings.batch_records)
        self.open_journal: Callable[[int], Awaitable[OpenJournal]] = lambda number: KafkaJournal.open(edges.settings, number)
        self._settings = edges.settings
        self._keyring = edges.keyring
        self._store = edges.store
        self._sink = edges.sink
        self._consumer = edges.consumer
        self._inspector = edges.inspector
        self._brokers = edges.brokers
        self._metrics = edges.metrics
        self._background = edges.background
        self._shards = shards
        self._guard = guard
        self._stopper = stopper
        self._publisher = publisher
        self._ticker = ticker
        self._plans = plans
        self._lanes_of = lanes_of
        self._acquiring = asyncio.Semaphore(ACQUIRE_AT_ONCE)

    async def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Begin to own the shards dealt to this worker. Nothing is awaited: while the group waits for us there are no heartbeats."""
        self._metrics.rebalances.inc()
        self.is_dealt = True
        for partition in partitions:
            owned = self._shards[partition] = OwnedShard(partition, ticks=TickSchedule(self._settings.tick))
            if owned.number < self._settings.shards:
                self._background.spawn(self.own(owned))
            else:
                self._stopper.halt(owned, "the log has no such shard: the partition was added to its topic")

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Let the batch in hand finish, publish what it said, and forget the shards."""
        gone = [self._shards.pop(partition) for partition in partitions if partition in self._shards]
        for owned in gone:
            owned.is_ours = False
        await asyncio.gather(*(self._release(owned) for owned in gone))

    def give_up(self) -> None:
        """Whoever looks from outside must not read for half a minute that a worker which has ended is at work. What is halted stays so."""
        for owned in self._shards.values():
            if owned.state is not ShardState.HALTED:
                owned.enter(ShardState.RELEASED, "its worker was stopped, and no other has taken it up yet")

    def acquire_again(self, owned: OwnedShard) -> None:
        """Acquire a shard that waits, or was halted and is to go on, beside the loops."""
        owned.enter(ShardState.ACQUIRING, owned.why)
        self._background.spawn(self.own(owned))

    async def own(self, owned: OwnedShard) -> None:
        """Become the owner of a shard that is to be acquired."""
        async with self._acquiring, owned.lock:
            if owned.state is ShardState.ACQUIRING and owned.is_ours:  # revoked while we waited: to acquire it would fence its new owner
                await self._guard.run(owned, lambda: self._acquire(owned))

    async def _acquire(self, owned: OwnedShard) -> None:
        shard = await self._acquired(owned)
        relay = Relay(owned.number, self._store, self._sink)
        await relay.start()
        if owned.state is not ShardState.ACQUIRING or not owned.is_ours or not self._consumer.holds(owned.partition):
            return
        self._consumer.seek(owned.partition, shard.position.offset)
        owned.hold(shard, relay)
        owned.last_probe = time()
        self._publisher.wake()
        self._ticker.shard_acquired()
        self._consumer.resume(owned.partition)
        body = shard.body
        self._metrics.show_state(owned.number, owned.state.value)
        self._metrics.show_definitions(owned.number, (body.version, body.digest))
        log.info("shard acquired", action="acquire", shard=owned.number, epoch=shard.checkpoint.epoch, offset=shard.position.offset)

    async def _acquired(self, owned: OwnedShard) -> Shard:
        """The shard at its position, once its log is known to be the one that it has read. ``owned.mark`` follows its checkpoint."""
        owned.mark = None
        owned.journal = journal = await self.open_journal(owned.number)  # before the epoch rises: what a former owner amended is then whole
        shard = await Shard.acquire(
            owned.number,
            self._store,
            self._plans,
            self._settings.rules,
            limits=self.limits,
            journal=journal,
            pause=asyncio.sleep,
            keyring=self._keyring,
            lanes=self._lanes_of(owned),
            keeps_offsets=self._settings.record_offsets,
        )
        owned.mark, at = shard.checkpoint.mark, shard.position.offset
        if (chosen := await shard.resume_where_chosen()) is not None:
            owned.mark = shard.checkpoint.mark
            log.warning("shard goes on where a person chose", action="resume", shard=owned.number, at=at, to=chosen)
        await look_again(self._inspector.look, owned.number, shard.position.offset, shard.body.last, asyncio.sleep)
        return shard

    async def _release(self, owned: OwnedShard) -> None:
        async with owned.lock:
            if owned.relay is not None:
                with suppress(KafkaError, StreamerError, OSError, asyncio.TimeoutError):
                    await asyncio.wait_for(_publish_rest(owned.relay), PUBLISH_REST_SECONDS)
            self._stopper.release(owned)
            self._brokers.forget(owned.number)


async def _publish_rest(relay: Relay) -> None:
    while await relay.turn():
        pass


__all__ = ["Ownership"]
