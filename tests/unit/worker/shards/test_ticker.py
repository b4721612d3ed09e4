"""The ticker writes what the schedules ask for, and finds out what is due."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import time
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import RecordMetadata

from streamer.events.codec import encode
from streamer.events.event import Event
from streamer.language.definitions import parse_definitions
from streamer.settings import load_settings
from streamer.stores.memory import MemoryStore
from streamer.telemetry.metrics import Metrics
from streamer.transports.kafka.clients import LOG_APPEND_TIME
from streamer.wire import TICK, LogRecord, definitions_control
from streamer.worker.segmenter import Segmenter
from streamer.worker.shards.owned_shard import OwnedShard
from tests.unit.worker.one_shard import Kept, acquired, quiet_alerts

DEFINITIONS = parse_definitions('segments: {quiet: {for: Nothing for a while., when: idle("*") >= "300ms"}}')
WAIT_SECONDS = 10.0
AHEAD_MS = 120_000


class Broker:
    """A producer whose broker stamps records two minutes ahead of this machine, or takes none."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.stamps: list[int] = []

    async def send(self, topic: str, value: bytes, *, partition: int, headers: Any) -> asyncio.Future[RecordMetadata]:
        assert (value, partition) == (TICK, 0)
        done: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        if isinstance(self.error, OSError):
            raise self.error
        if self.error is not None:
            done.set_exception(self.error)
            return done
        self.stamps.append(int(time() * 1_000) + AHEAD_MS)
        done.set_result(RecordMetadata(topic, 0, TopicPartition(topic, 0), len(self.stamps), self.stamps[-1], LOG_APPEND_TIME, 0))
        return done


def ticking(store: MemoryStore) -> tuple[Segmenter, OwnedShard, Broker]:
    settings, metrics, broker = load_settings(shards=1), Metrics(), Broker()
    segmenter = Segmenter(settings, store, cast("Any", broker), Kept(), metrics, quiet_alerts(metrics))
    partition = TopicPartition(settings.topic("events"), 0)
    owned = segmenter.shards[partition] = OwnedShard(partition)
    return segmenter, owned, broker


async def tick_until(segmenter: Segmenter, holds: Callable[[], bool]) -> None:
    """Let the ticker work until something holds."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():
            await segmenter.ticker.turn()


async def test_a_timer_is_passed_by_a_tick_that_the_broker_stamps_behind_it() -> None:
    """By the broker's clock, which is two minutes ahead: log time is the broker's."""
    store = MemoryStore()
    segmenter, owned, broker = ticking(store)
    shard = await acquired(segmenter, owned, store)
    await tick_until(segmenter, lambda: len(broker.stamps) == 1)
    assert owned.clock.broker_ahead_ms is not None
    assert abs(owned.clock.broker_ahead_ms - AHEAD_MS) < 1_000

    now_ms = int(time() * 1_000) + AHEAD_MS
    switch = definitions_control(DEFINITIONS.content(), DEFINITIONS.digest, 1)
    event = encode(Event(event="Product Viewed", message_id="m", user_id="mila", timestamp_ms=now_ms))
    await segmenter.processing.process(owned, shard, [LogRecord(0, now_ms, switch, control=True), LogRecord(1, now_ms, event)])
    await tick_until(segmenter, lambda: len(broker.stamps) == 2)

    assert shard.due_ms == now_ms + 300
    assert broker.stamps[1] >= now_ms + 300, "asked of the store and aimed, not too early"
    await segmenter.processing.process(owned, shard, [LogRecord(2, broker.stamps[1], TICK, control=True)])
    assert shard.sizes == {"quiet": 1}
    assert not shard.is_due_known, "its timer is gone: which one is the first now, the store knows"
    await tick_until(segmenter, lambda: shard.is_due_known)
    assert shard.due_ms is None
    assert len(broker.stamps) == 2, "nothing is due any more"


@pytest.mark.parametrize("error", [KafkaTimeoutError(), ConnectionResetError()], ids=["not acknowledged", "not sent"])
async def test_a_tick_that_is_not_taken_is_tried_again_and_nobody_is_stopped(error: Exception) -> None:
    """A broker that is away for a second is no reason to let a shard go."""
    store = MemoryStore()
    segmenter, owned, broker = ticking(store)
    await acquired(segmenter, owned, store)
    broker.error = error
    await tick_until(segmenter, lambda: owned.ticks.unread_ms(1e12) > 0)
    broker.error = None
    await tick_until(segmenter, lambda: len(broker.stamps) == 1)
    assert owned.shard is not None
