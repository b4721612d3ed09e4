"""A segmenter with one shard, and sinks that keep or refuse what they are sent."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from aiokafka import TopicPartition

from streamer.flow.catalog import Plans
from streamer.flow.relay import Relay, Sink
from streamer.flow.shard import Shard
from streamer.settings import load_settings
from streamer.stores.base import OutputPosition
from streamer.stores.memory import MemoryStore
from streamer.telemetry.metrics import Metrics
from streamer.wire import Output
from streamer.worker.segmenter import Segmenter
from streamer.worker.shards.owned_shard import OwnedShard
from streamer.worker.status.alerts import Alerts
from streamer.worker.status.shard_state import ShardState


class Kept:
    """A sink that keeps what it is sent."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []

    async def tail(self, topic: str, shard: int) -> OutputPosition | None:
        return None

    async def send(self, outputs: Sequence[Output]) -> None:
        self.outputs += outputs


class RefusingFor(Kept):
    """One that refuses, for as long as it has an error to refuse with."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.error = error

    async def send(self, outputs: Sequence[Output]) -> None:
        if self.error is not None:
            raise self.error
        await super().send(outputs)


def quiet_alerts(metrics: Metrics) -> Alerts:
    """Alerts that only the log and the count have."""

    async def publish(_raw: bytes) -> None: ...

    return Alerts(publish, metrics, "/shop")


def owning(store: MemoryStore, sink: Sink | None = None) -> tuple[Segmenter, OwnedShard]:
    """A segmenter with one shard dealt to it, of which it has not acquired anything yet."""
    settings = load_settings(shards=1)
    metrics = Metrics()
    segmenter = Segmenter(settings, store, cast("Any", None), sink or Kept(), metrics, quiet_alerts(metrics))
    partition = TopicPartition(settings.topic("events"), 0)
    owned = segmenter.shards[partition] = OwnedShard(partition)
    return segmenter, owned


async def acquired(segmenter: Segmenter, owned: OwnedShard, store: MemoryStore, sink: Sink | None = None) -> Shard:
    rules = segmenter.settings.rules
    owned.shard = await Shard.acquire(0, store, Plans(store, rules), rules, pause=asyncio.sleep)
    owned.state, owned.relay = ShardState.OWNED, Relay(0, store, sink or Kept())
    return owned.shard


def value(segmenter: Segmenter, name: str, **labels: str) -> float | None:
    return segmenter.metrics.registry.get_sample_value(name, labels)
