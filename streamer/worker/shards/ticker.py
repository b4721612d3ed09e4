"""Ticks: the owner of a quiet shard writes records that only let time pass, aimed at the moments at which time changes something."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from math import inf
from time import monotonic, time
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from streamer.transports.kafka.clients import LOG_APPEND_TIME
from streamer.transports.kafka.control import send_tick
from streamer.worker.status.shard_state import ShardState

from .edges import Edges
from .guard import ShardGuard
from .owned_shard import OwnedShard
from .tick_schedule import APART_MS

LOOK_MS: Final = 1_000.0  # between two looks at shards of which nothing was heard


class Ticker:
    """Writes the ticks of one worker's shards, each by its own schedule. Moments are milliseconds of a clock that never goes back."""

    def __init__(self, edges: Edges, shards: Mapping[TopicPartition, OwnedShard], guard: ShardGuard) -> None:
        self._settings = edges.settings
        self._producer = edges.producer
        self._brokers = edges.brokers
        self._background = edges.background
        self._shards = shards
        self._guard = guard
        self._woken = asyncio.Event()
        self._until_ms = 0.0  # it looks again at that moment

    def shard_acquired(self) -> None:
        """A shard was acquired: its first tick tells what the broker's clock shows."""
        self._woken.set()

    def shard_read(self, owned: OwnedShard) -> None:
        """A shard has processed records."""
        now_ms = _now_ms()
        owned.ticks.read(now_ms, owned.log_time_ms)
        if self._next_at(owned, now_ms) < self._until_ms:
            self._woken.set()

    async def turn(self) -> None:
        """Do what is due now, and wait until something is due again, or has changed."""
        self._woken.clear()
        self._until_ms = _now_ms() + LOOK_MS
        for owned in self._shards.values():
            now_ms = _now_ms()
            if self._next_at(owned, now_ms) <= now_ms:
                self._act(owned, now_ms)
            self._until_ms = min(self._until_ms, self._next_at(owned, now_ms))
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._until_ms - _now_ms()) / 1_000):
                await self._woken.wait()

    def _next_at(self, owned: OwnedShard, now_ms: float) -> float:
        """When something is to be done for a shard, for what is known now; infinity while nothing is."""
        shard, ticks = owned.shard, owned.ticks
        if shard is None or owned.state is not ShardState.OWNED or not owned.is_ours or owned.finds_due:
            return inf
        if shard.is_switching:
            return ticks.next_at(now_ms, None, hurries=True)
        at = ticks.next_at(now_ms, shard.due_ms)
        if ticks.is_on and not shard.is_due_known:
            at = min(at, ticks.quiet_at_ms)
        return max(at, now_ms + APART_MS) if owned.lock.locked() else at  # what is in hand lets time pass by itself

    def _act(self, owned: OwnedShard, now_ms: float) -> None:
        """Find out what is due, where that is not known, or write a tick."""
        shard = owned.shard
        assert shard is not None, "only what is owned has something due"
        if shard.is_due_known or shard.is_switching:
            owned.ticks.sent(now_ms)
            self._background.spawn(self._send(owned))
        else:
            owned.finds_due = True
            self._background.spawn(self._find_due(owned))

    async def _find_due(self, owned: OwnedShard) -> None:
        try:
            async with owned.lock:
                if (shard := owned.shard) is not None and owned.state is ShardState.OWNED:
                    await self._guard.run(owned, shard.find_due)
        finally:
            owned.finds_due = False
            self._woken.set()

    async def _send(self, owned: OwnedShard) -> None:
        sent_at_ms = int(time() * 1_000)
        try:
            acknowledged = await send_tick(self._producer, self._settings, owned.number)
        except (KafkaError, TimeoutError, OSError):
            owned.ticks.failed(_now_ms())
            return
        acknowledged.add_done_callback(lambda done: self._ended(owned, done, sent_at_ms))

    def _ended(self, owned: OwnedShard, acknowledged: asyncio.Future[RecordMetadata], sent_at_ms: int) -> None:
        """A lost tick is no loss, another follows; but asyncio complains of errors that nobody looked at."""
        now_ms = _now_ms()
        if acknowledged.cancelled() or acknowledged.exception() is not None:
            owned.ticks.failed(now_ms)
            return
        self._brokers.answered()
        tick = acknowledged.result()
        if tick.timestamp_type == LOG_APPEND_TIME and tick.timestamp is not None:
            owned.clock.broker_ahead_ms = tick.timestamp - int(time() * 1_000)
            owned.ticks.acknowledged(now_ms, tick.timestamp)
        else:  # the topic keeps the times of producers, and this one's is ours
            owned.ticks.acknowledged(now_ms, sent_at_ms)
        self._woken.set()


def _now_ms() -> float:
    return monotonic() * 1_000


__all__ = ["Ticker"]
