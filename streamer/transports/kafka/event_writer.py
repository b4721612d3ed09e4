"""Records of whoever stands before the log (the collector, an ingest) on their way into Kafka, and the moment at which they are safe there.

Many small writes become few large batches: what is written within ``LINGER_SECONDS`` goes in one batch a partition, and while a batch of a
partition is on its way the next one gathers. There is a future a write and a batch, none a record: that is most of what a record costs.

The producer is not idempotent, on purpose. An idempotent one of aiokafka never lets a batch expire, and ends for good when its numbering
breaks; here a batch that the broker did not take in time must end, so that memory is bounded and its writers can be told. What a repeated
request writes twice is a duplicate by its message id, and the step drops those.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from functools import lru_cache
from time import monotonic
from typing import Final, NamedTuple

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder
from structlog.typing import FilteringBoundLogger

from streamer.errors import NotWrittenError
from streamer.events.codec import encode
from streamer.events.event import Event
from streamer.settings import Settings
from streamer.wire import DEAD_LETTERS, EVENTS, DeadLetter, Headers, encode_dead_letter, shard_of

from .clients import connection

LINGER_SECONDS: Final = 0.005
HOLD_SECONDS: Final = 5.0  # a write waits no longer; clients give up after ten
REQUEST_MS: Final = 5_000  # for one answer of a broker, and how long a batch is tried again
BATCH_BYTES_MAX: Final = 262_144
RECORD_BYTES: Final = 70  # of a record besides key and value, about: what it costs in memory on its way
CUSTOMERS_REMEMBERED: Final = 20_000  # whose shard need not be computed again
REMIND_SECONDS: Final = 10.0  # between two lines of the log that say that Kafka does not take records

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.event_writer")


class Record(NamedTuple):
    """One record to write; ``topic`` is a suffix of ``wire``."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: Headers = ()


def event_producer(settings: Settings) -> AIOKafkaProducer:
    """A producer for an ``EventWriter``: it waits for all replicas, and gives up a batch after ``REQUEST_MS``."""
    return AIOKafkaProducer(
        **connection(settings), acks="all", compression_type="lz4", max_batch_size=BATCH_BYTES_MAX, request_timeout_ms=REQUEST_MS
    )


class Records:
    """What becomes a record of the log: in the shard of its customer."""

    def __init__(self, shards: int) -> None:
        def in_shard(customer: str) -> int:
            return shard_of(customer, shards)

        self._shard_of = lru_cache(maxsize=CUSTOMERS_REMEMBERED)(in_shard)

    def of_event(self, event: Event, headers: Headers = ()) -> Record:
        """The record of an event. RefusedError where it is too large."""
        customer = event.customer
        return Record(EVENTS, self._shard_of(customer), customer.encode(), encode(event), headers)

    def of_letter(self, letter: DeadLetter, customer: str) -> Record:
        """The record of a dead letter; an empty ``customer`` where nobody is known."""
        return Record(DEAD_LETTERS, self._shard_of(customer), customer.encode(), encode_dead_letter(letter))


class _Write:
    """Records that were given at once, and the one future of whoever waits for all of them."""

    __slots__ = ("left", "written")

    def __init__(self, written: asyncio.Future[None]) -> None:
        self.left = 0  # batches that have records of it and are not acknowledged
        self.written = written

    def batch_ended(self, problem: str | None) -> None:
        self.left -= 1
        if self.written.done():  # it failed with another batch, or nobody waits any more
            return
        if problem is not None:
            self.written.set_exception(NotWrittenError(problem))
        elif self.left == 0:
            self.written.set_result(None)


class _Batch:
    """Records of one partition that go together, and the writes that wait for it."""

    __slots__ = ("builder", "bytes", "deadline", "records", "writes")

    def __init__(self, builder: BatchBuilder) -> None:
        self.builder = builder
        self.deadline: asyncio.TimerHandle | None = None
        self.writes: list[_Write] = []
        self.records = 0
        self.bytes = 0

    def take(self, record: Record) -> bool:
        """Whether there was room for a record; the first always has it."""
        return self.builder.append(timestamp=None, key=record.key, value=record.value, headers=[*record.headers]) is not None

    def end(self, problem: str | None) -> None:
        """Tell all who wait; who was told at the deadline hears it no second time."""
        if self.deadline is not None:
            self.deadline.cancel()
        for write in self.writes:
            write.batch_ended(problem)
        self.writes.clear()


class _Lane:
    """One partition: the batch that gathers, full ones behind it, and whether one is on its way."""

    __slots__ = ("full", "gathering", "partition", "sending", "topic")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.full: deque[_Batch] = deque()
        self.gathering: _Batch | None = None
        self.sending: asyncio.Task[None] | None = None

    def next_batch(self) -> _Batch | None:
        if self.full:
            return self.full.popleft()
        batch, self.gathering = self.gathering, None
        return batch


class EventWriter:
    """Writes records with ``acks=all``. ``client`` is a started ``event_producer``; whoever made it ends it, after ``drain``.

    ``in_flight_records`` and ``in_flight_bytes`` count what Kafka has not answered for, also where the writers wait no more: whoever takes
    in more must bound them.
    """

    def __init__(self, settings: Settings, client: AIOKafkaProducer, *, hold_seconds: float = HOLD_SECONDS) -> None:
        self.in_flight_records = 0
        self.in_flight_bytes = 0
        self.acknowledged = 0  # records
        self._settings = settings
        self._producer = client
        self._hold_seconds = hold_seconds
        self._loop = asyncio.get_running_loop()
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._linger: asyncio.TimerHandle | None = None
        self._failing_since: float | None = None
        self._reminded_at = -REMIND_SECONDS

    @property
    def failing_seconds(self) -> float:
        """How long Kafka has taken nothing of what was tried; 0 while it takes records."""
        return 0.0 if self._failing_since is None else monotonic() - self._failing_since

    async def write(self, records: Iterable[Record]) -> None:
        """Write, and return when each record is acknowledged. ``NotWrittenError`` after ``hold_seconds``, or where Kafka refuses one: those
        that are acknowledged meanwhile or later lie in the log all the same."""
        write = _Write(self._loop.create_future())
        for record in records:
            self._add(record, write)
        if write.left:
            self._linger_a_moment()
            await write.written

    async def drain(self) -> None:
        """Return when nothing is on its way any more."""
        while self.in_flight_records:
            self._send_gathered()
            await asyncio.wait([lane.sending for lane in self._lanes.values() if lane.sending is not None])

    def _add(self, record: Record, write: _Write) -> None:
        lane = self._lanes.get(record[:2])
        if lane is None:
            lane = self._lanes[record[:2]] = _Lane(self._settings.topic(record.topic), record.partition)
        batch = lane.gathering or self._begin(lane)
        if not batch.take(record):
            lane.full.append(batch)
            if lane.sending is None:
                self._start(lane)
            batch = self._begin(lane)
            taken = batch.take(record)
            assert taken, "an empty batch takes any record"
        if not batch.writes or batch.writes[-1] is not write:  # records of one write come one after the other
            batch.writes.append(write)
            write.left += 1
        size = len(record.key) + len(record.value) + RECORD_BYTES
        batch.records += 1
        batch.bytes += size
        self.in_flight_records += 1
        self.in_flight_bytes += size

    def _begin(self, lane: _Lane) -> _Batch:
        batch = lane.gathering = _Batch(self._producer.create_batch())
        batch.deadline = self._loop.call_later(self._hold_seconds, batch.end, f"no answer from Kafka for {self._hold_seconds:g} s")
        return batch

    def _linger_a_moment(self) -> None:
        if self._linger is None:
            self._linger = self._loop.call_later(LINGER_SECONDS, self._send_gathered)

    def _send_gathered(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        for lane in self._lanes.values():
            if lane.sending is None and (lane.gathering is not None or lane.full):
                self._start(lane)

    def _start(self, lane: _Lane) -> None:
        lane.sending = self._loop.create_task(self._send(lane))

    async def _send(self, lane: _Lane) -> None:
        """Send what a lane has, and full batches that come meanwhile; what gathers meanwhile waits its moment."""
        try:
            batch = lane.next_batch()
            while batch is not None:
                await self._send_one(lane, batch)
                batch = lane.full.popleft() if lane.full else None
        finally:
            lane.sending = None
            if lane.gathering is not None:
                self._linger_a_moment()

    async def _send_one(self, lane: _Lane, batch: _Batch) -> None:
        problem: str | None = "the writer has ended"
        try:
            acknowledged = await self._producer.send_batch(batch.builder, lane.topic, partition=lane.partition)
            await acknowledged
        except (KafkaError, AssertionError) as error:  # an assertion of aiokafka: the topic has no such partition any more
            problem = type(error).__name__
            self._failed(lane, problem)
        else:
            problem = None
            self.acknowledged += batch.records
            self._failing_since = None
        finally:
            self.in_flight_records -= batch.records
            self.in_flight_bytes -= batch.bytes
            batch.end(problem)

    def _failed(self, lane: _Lane, why: str) -> None:
        now = monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if now - self._reminded_at >= REMIND_SECONDS:
            self._reminded_at = now
            log.error("records not written", action="write", topic=lane.topic, partition=lane.partition, why=why)


__all__ = ["EventWriter", "Record", "Records", "event_producer"]
