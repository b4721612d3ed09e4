"""Records reach Kafka in few batches, and whoever wrote them hears when they are safe, or that they are not."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError
from aiokafka.producer.message_accumulator import BatchBuilder

from streamer.errors import NotWrittenError
from streamer.events.event import Event
from streamer.settings import Settings
from streamer.transports.kafka.event_writer import EventWriter, Record, Records
from streamer.wire import EVENTS, shard_of

pytestmark = pytest.mark.fast

BATCH_BYTES = 2_000


class FakeProducer:
    """Takes batches and acknowledges them when it is told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, int]] = []  # topic, partition, records
        self.waiting: list[asyncio.Future[None]] = []
        self.is_quick = False
        self.has_sent = asyncio.Event()

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(BATCH_BYTES, 0)  # type: ignore[call-arg] - the stub knows no constructor

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> asyncio.Future[None]:
        self.sent.append((topic, partition, batch.record_count()))
        self.has_sent.set()
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        if self.is_quick:
            future.set_result(None)
        return future

    def acknowledge(self, error: KafkaError | None = None) -> None:
        for future in self.waiting:
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)


def make(producer: FakeProducer, *, hold_seconds: float = 5.0) -> EventWriter:
    settings = Settings(shards=3, topic_prefix="shop")  # pyright: ignore[reportCallIssue]
    assert isinstance(producer, FakeProducer)
    client: AIOKafkaProducer = producer  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
    return EventWriter(settings, client, hold_seconds=hold_seconds)


def record(partition: int, size: int = 10) -> Record:
    return Record(EVENTS, partition, b"c-17", b"x" * size)


async def until_sent(producer: FakeProducer, batches: int) -> None:
    async with asyncio.timeout(5):
        while len(producer.sent) < batches:
            producer.has_sent.clear()
            await producer.has_sent.wait()


async def test_a_write_returns_only_when_each_of_its_partitions_is_acknowledged() -> None:
    """An answer 200 stands on this."""
    producer = FakeProducer()
    writer = make(producer)
    written = asyncio.create_task(writer.write([record(0), record(1), record(0)]))
    await until_sent(producer, 2)
    assert sorted(producer.sent) == [("shop.events", 0, 2), ("shop.events", 1, 1)]
    producer.waiting[0].set_result(None)
    await asyncio.sleep(0.01)
    assert not written.done()
    assert writer.in_flight_records in (1, 2)
    producer.acknowledge()
    await written
    assert (writer.in_flight_records, writer.in_flight_bytes, writer.acknowledged) == (0, 0, 3)


async def test_writes_of_one_moment_share_a_batch() -> None:
    """A request a write and a batch a write would cost a round of the broker for each click."""
    producer = FakeProducer()
    producer.is_quick = True
    writer = make(producer)
    await asyncio.gather(*(writer.write([record(2)]) for _ in range(50)))
    assert producer.sent[0] == ("shop.events", 2, min(50, producer.sent[0][2]))
    assert sum(records for _, _, records in producer.sent) == 50
    assert len(producer.sent) <= 4  # as 50 records are more than one batch holds


async def test_a_partition_that_fails_fails_only_those_who_wrote_to_it() -> None:
    """One leader that is away must not cost the events of the others."""
    producer = FakeProducer()
    writer = make(producer)
    bad, good = asyncio.create_task(writer.write([record(0), record(1)])), asyncio.create_task(writer.write([record(1)]))
    await until_sent(producer, 2)
    place = [partition for _, partition, _ in producer.sent].index(0)
    producer.waiting[place].set_exception(KafkaTimeoutError())
    producer.waiting[1 - place].set_result(None)
    await good
    with pytest.raises(NotWrittenError, match="KafkaTimeoutError"):
        await bad
    assert writer.in_flight_records == 0


async def test_a_write_that_nobody_answers_ends_and_is_still_counted() -> None:
    """Its bytes are in memory until Kafka has answered: whoever bounds memory must see them."""
    producer = FakeProducer()
    writer = make(producer, hold_seconds=0.02)
    with pytest.raises(NotWrittenError, match="no answer"):
        await writer.write([record(0), record(1)])
    assert writer.in_flight_records == 2
    producer.acknowledge(KafkaTimeoutError())
    await asyncio.sleep(0.01)
    assert (writer.in_flight_records, writer.in_flight_bytes) == (0, 0)
    assert writer.failing_seconds > 0
    producer.is_quick = True
    await writer.write([record(0)])
    assert writer.failing_seconds == 0


async def test_what_is_larger_than_a_batch_goes_in_one_of_its_own() -> None:
    """A dead letter may be larger than what batches gather to."""
    producer = FakeProducer()
    producer.is_quick = True
    writer = make(producer)
    await writer.write([record(0), record(0, size=5 * BATCH_BYTES), record(0)])
    assert sum(records for _, _, records in producer.sent) == 3
    assert len(producer.sent) >= 2


async def test_draining_waits_for_all_that_is_on_its_way() -> None:
    """A process that ends must not take answered events with it, nor those that it may still answer."""
    producer = FakeProducer()
    writer = make(producer)
    written = asyncio.create_task(writer.write([record(0)]))
    await asyncio.sleep(0)
    drained = asyncio.create_task(writer.drain())
    await until_sent(producer, 1)
    assert not drained.done()
    producer.acknowledge()
    await drained
    await written


async def test_nothing_to_write_is_written_at_once() -> None:
    """A batch of which every event was dropped on purpose is answered like any other."""
    await make(FakeProducer()).write([])


def test_an_event_goes_into_the_shard_of_its_customer() -> None:
    """The segmenter sends on what lies elsewhere: a round more for each event."""
    event = Event(message_id="m", user_id="c-17", timestamp_ms=5, event="Cart Viewed")
    found = Records(12).of_event(event)
    assert (found.partition, found.key) == (shard_of("c-17", 12), b"c-17")
