"""The shards of one sender: dealt by a consumer group, each opened from its ledger, and let go when the group deals anew."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import ConsumerStoppedError, KafkaError, OffsetOutOfRangeError
from structlog.typing import FilteringBoundLogger

from streamer.errors import FencedError, NotWrittenError
from streamer.settings import Settings
from streamer.telemetry.sender_metrics import SenderMetrics
from streamer.transports.kafka.clients import METADATA_MS, reader
from streamer.transports.kafka.membership import RebalanceListener
from streamer.wire import MESSAGES

from .kafka_ledger import sender_group
from .ledger import Book
from .shard_sender import SendLog, ShardSender

POLL_MS: Final = 200
FETCH_RECORDS: Final = 500
PARTITION_BYTES: Final = 1 << 20
HAND_OVER_SECONDS: Final = 4.0  # for attempts that are under way; then their outcome is unknown to whoever has the shard next
PAUSE_SECONDS: Final = 1.0  # after an error of Kafka
IDLE_SECONDS: Final = 5.0

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.sender")


class OpenSendLog(SendLog, Protocol):
    """A ledger that holds a connection, with what it said when it was opened."""

    @property
    def book(self) -> Book:
        """What it said."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


OpenLedger = Callable[[int], Awaitable[OpenSendLog]]
MakeSender = Callable[[int, OpenSendLog], ShardSender]


@dataclass(slots=True)
class _HeldShard:
    """A shard that is this sender's."""

    ledger: OpenSendLog
    sender: ShardSender
    backlog: deque[tuple[int, bytes]] = field(default_factory=deque[tuple[int, bytes]])
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    is_stopping: bool = False
    task: asyncio.Task[None] | None = None

    async def work(self) -> None:
        """Take turns until this is to stop. Raises FencedError, NotWrittenError."""
        while not self.is_stopping:
            while self.backlog and self.sender.has_room:
                self.sender.take(*self.backlog.popleft())
            seconds = await self.sender.turn()
            if seconds > 0 and not self.is_stopping and not (self.backlog and self.sender.has_room):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.wake.wait(), min(seconds, IDLE_SECONDS))
                self.wake.clear()

    async def end(self) -> None:
        """Let the turn that is under way end, for a while, and let go of the ledger."""
        self.is_stopping = True
        self.wake.set()
        if self.task is not None:
            _, late = await asyncio.wait({self.task}, timeout=HAND_OVER_SECONDS)
            for task in late:
                log.warning("messages are let go while they are being sent", action="send", shard=self.sender.shard)
                task.cancel()
                await asyncio.wait({task}, timeout=PAUSE_SECONDS)
            if self.task.done() and not self.task.cancelled():
                self.task.exception()
        await self.ledger.close()


class SendLoop:
    """Sends until it is cancelled. ``problem`` says why decisions cannot be read at the moment."""

    def __init__(self, settings: Settings, open_ledger: OpenLedger, make_sender: MakeSender, metrics: SenderMetrics) -> None:
        self.problem = ""
        self.is_dealt = False
        self._settings = settings
        self._open_ledger = open_ledger
        self._make_sender = make_sender
        self._metrics = metrics
        self._held: dict[int, _HeldShard] = {}
        self._new: set[int] = set()  # dealt, and not opened
        self._client: AIOKafkaConsumer | None = None

    async def run(self) -> None:
        """Join the group and send. KafkaError where the group cannot be joined at all."""
        client = self._client = _consumer(self._settings)
        client.subscribe([self._settings.topic(MESSAGES)], listener=RebalanceListener(self._on_dealt, self._on_taken_away))
        try:
            await client.start()
            while True:
                try:
                    await self._turn(client)
                    self._say("")
                except ConsumerStoppedError:
                    return
                except (KafkaError, TimeoutError) as error:
                    self._say(type(error).__name__)
                    await asyncio.sleep(PAUSE_SECONDS)
        finally:
            await asyncio.gather(*(held.end() for held in self._held.values()))
            self._held.clear()
            await client.stop()

    def show(self, now_ms: int) -> None:
        """Bring the gauges up to date."""
        self._metrics.waiting.clear()
        self._metrics.oldest.clear()
        for shard, held in self._held.items():
            self._metrics.waiting.labels(shard).set(held.sender.waiting + len(held.backlog))
            oldest_ms = held.sender.oldest_ms
            self._metrics.oldest.labels(shard).set(0 if oldest_ms is None else max(0, now_ms - oldest_ms) / 1_000)

    # the group

    async def dealt(self, shards: Collection[int]) -> None:
        """These are this sender's; nothing of them is read before their ledger is."""
        assert self._client is not None
        places = [self._place(shard) for shard in shards]
        self._client.pause(*places)
        for place in places:
            self._client.seek(place, 0)  # without any the client looks for the group's itself
        self._new = set(shards)
        self.is_dealt = True

    async def taken_away(self, shards: Collection[int]) -> None:
        """These may be another's as soon as this returns."""
        self._new -= set(shards)
        going = [self._held.pop(shard) for shard in shards if shard in self._held]
        await asyncio.gather(*(held.end() for held in going))

    async def _turn(self, client: AIOKafkaConsumer) -> None:
        await self._retire()
        for shard in sorted(self._new):
            await self._open(client, shard)
        self._resume(client)
        try:
            found = await client.getmany(timeout_ms=POLL_MS, max_records=FETCH_RECORDS)
        except OffsetOutOfRangeError as error:
            await self._pass_lost(client, error.args[0])
            return
        for place, records in found.items():
            held = self._held.get(place.partition)
            if held is not None:
                held.backlog.extend((record.offset, record.value or b"") for record in records)
                held.wake.set()
                if len(held.backlog) >= FETCH_RECORDS:
                    client.pause(place)
        self._count()

    async def _open(self, client: AIOKafkaConsumer, shard: int) -> None:
        ledger = await self._open_ledger(shard)
        if shard not in self._new:  # taken away meanwhile
            await ledger.close()
            return
        self._new.discard(shard)
        held = self._held[shard] = _HeldShard(ledger, self._make_sender(shard, ledger))
        client.seek(self._place(shard), held.sender.next_offset)
        client.resume(self._place(shard))
        held.task = asyncio.create_task(held.work())

    async def _retire(self) -> None:
        """Shards whose work ended with an error are opened anew."""
        for shard, held in [*self._held.items()]:
            if held.task is None or not held.task.done():
                continue
            error = held.task.exception()
            if error is not None and not isinstance(error, FencedError | NotWrittenError):
                raise error
            log.warning("a shard is opened anew", action="send", shard=shard, why=str(error))
            self._metrics.reopened.labels(type(error).__name__).inc()
            del self._held[shard]
            assert self._client is not None
            self._client.pause(self._place(shard))
            await held.end()
            await asyncio.sleep(PAUSE_SECONDS)
            self._new.add(shard)

    def _resume(self, client: AIOKafkaConsumer) -> None:
        for place in client.paused():
            held = self._held.get(place.partition)
            if held is not None and len(held.backlog) < FETCH_RECORDS:
                client.resume(place)

    async def _pass_lost(self, client: AIOKafkaConsumer, places: Collection[TopicPartition]) -> None:
        """Decisions that are not kept any more are past their time: go on where the topic begins."""
        for place in places:
            begin = (await client.beginning_offsets([place]))[place]
            log.warning("decisions were deleted before they were read", action="send", shard=place.partition, begin=begin)
            client.seek(place, begin)

    def _count(self) -> None:
        for held in self._held.values():
            counts, held.sender.counts = held.sender.counts, {}
            for what, number in counts.items():
                self._metrics.messages.labels(what).inc(number)

    def _place(self, shard: int) -> TopicPartition:
        return TopicPartition(self._settings.topic(MESSAGES), shard)

    async def _on_dealt(self, places: Collection[TopicPartition]) -> None:
        await self.dealt([place.partition for place in places])

    async def _on_taken_away(self, places: Collection[TopicPartition]) -> None:
        await self.taken_away([place.partition for place in places])

    def _say(self, why: str) -> None:
        if why and self.problem != why:
            log.error("decisions cannot be read", action="send", why=why)
        self.problem = why
        self._metrics.reading_fails.set(1 if why else 0)


def _consumer(settings: Settings) -> AIOKafkaConsumer:
    return reader(
        settings,
        group_id=sender_group(settings),
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=PARTITION_BYTES,
        metadata_max_age_ms=METADATA_MS,
        session_timeout_ms=settings.session_timeout,
        heartbeat_interval_ms=max(100, min(3_000, settings.session_timeout // 10)),
        partition_assignment_strategy=[RoundRobinPartitionAssignor],
    )


__all__ = ["OpenSendLog", "SendLoop"]
