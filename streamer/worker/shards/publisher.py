"""Publishing: the relays of all shards of a worker, each by itself, woken by every commit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic, time
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OutOfOrderSequenceNumber
from structlog.typing import FilteringBoundLogger

from streamer.errors import StoreError
from streamer.flow.relay import Relay

from .edges import Edges
from .guard import ShardGuard
from .owned_shard import SAY_AGAIN_SECONDS, OwnedShard

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.segmenter")

TURN_SECONDS: Final = 0.5  # between two turns without a commit
RELAY_AGAIN_SECONDS: Final = 0.2
TRIM_SECONDS: Final = 0.25  # between two rounds of forgetting what was published: one for all shards, and not one for each batch


class Publisher:
    """Publishes what the shards of one worker have committed.

    ``numbering_lost`` is true after a batch that the broker refused for good: it takes nothing more of this producer there.
    """

    def __init__(self, edges: Edges, shards: Mapping[TopicPartition, OwnedShard], guard: ShardGuard) -> None:
        self.numbering_lost = False
        self._metrics = edges.metrics
        self._alerts = edges.alerts
        self._background = edges.background
        self._shards = shards
        self._guard = guard
        self._woken = asyncio.Event()
        self._trimmed_at = 0.0  # when the last round of trimming began

    def wake(self) -> None:
        """Something was committed, or a relay was begun."""
        self._woken.set()

    async def turn(self) -> None:
        """Wait for something to publish, ``TURN_SECONDS`` at most, and begin to publish it; once in a while forget what is published."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._woken.wait(), TURN_SECONDS)
        self._woken.clear()
        for owned in self._shards.values():  # each by itself: an output partition without a leader holds up nobody else
            publishing = owned.publishing
            if owned.backlog and (publishing.task is None or publishing.task.done()):
                publishing.task = self._background.spawn(self.publish(owned))
        if monotonic() - self._trimmed_at >= TRIM_SECONDS:
            self._trimmed_at = monotonic()
            for owned in self._shards.values():
                if owned.relay is not None and owned.relay.has_to_trim:
                    self._background.spawn(self._trim(owned))

    async def publish_all(self) -> None:
        """Publish what is committed, of every shard; return when that is done or the broker refused it."""
        there = [owned for owned in self._shards.values() if owned.relay is not None]
        await asyncio.gather(*(self.publish(owned) for owned in there))
        await asyncio.gather(*(self._trim(owned) for owned in there))

    async def publish(self, owned: OwnedShard) -> None:
        """Publish the outbox of a shard until it is empty, or the broker takes nothing. Raises nothing."""
        relay = owned.relay
        try:
            while relay is not None and relay is owned.relay:
                before = relay.published
                more = await relay.publish()
                owned.publishing.refused = None
                if not more:
                    return
                self._metrics.published.inc(relay.published - before)
                self.observe_latency(owned)
        except (TimeoutError, KafkaError, OSError) as error:
            self.numbering_lost = self.numbering_lost or isinstance(error, OutOfOrderSequenceNumber)
            self._refused(owned, error)
            await asyncio.sleep(RELAY_AGAIN_SECONDS)
            self.wake()
        except Exception as error:
            await self._fail(owned, relay, error)

    async def _trim(self, owned: OwnedShard) -> None:
        """Forget what is published of a shard; where the store takes nothing, with the next round. Raises nothing."""
        relay = owned.relay
        if relay is None:
            return
        try:
            await relay.trim()
        except StoreError as error:
            log.debug("outbox not trimmed", action="relay", shard=owned.number, why=type(error).__name__)
        except Exception as error:
            await self._fail(owned, relay, error)

    async def _fail(self, owned: OwnedShard, relay: Relay | None, error: Exception) -> None:
        """The relay of a shard met an error: the guard knows what it means, unless another relay has taken its place meanwhile."""
        async with owned.lock:
            if relay is owned.relay:
                await self._guard.fail(owned, error)

    def _refused(self, owned: OwnedShard, error: Exception) -> None:
        """Note that nothing was published, and say so once a minute: it is tried five times a second."""
        publishing, now = owned.publishing, monotonic()
        publishing.refused = publishing.refused or (now, type(error).__name__)
        if now - publishing.said_at < SAY_AGAIN_SECONDS:
            return
        publishing.said_at = now
        log.warning("outputs not published yet", action="relay", shard=owned.number, why=type(error).__name__)
        if why := publishing.why(now, owned.backlog):
            self._alerts.say("not_published", why, shard=owned.number)

    def observe_latency(self, owned: OwnedShard) -> None:
        """Measure how long ago the records arrived whose outputs are published now."""
        now_ms, upto = time() * 1_000, owned.relay.upto if owned.relay is not None else None
        arrivals = owned.publishing.arrivals
        while upto is not None and arrivals and arrivals[0][0] <= upto.offset:
            _, arrival_ms = arrivals.popleft()
            self._metrics.latency.observe(max(0.0, (now_ms - arrival_ms) / 1_000))


__all__ = ["Publisher"]
