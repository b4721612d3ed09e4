"""A partition is read from its beginning to where it ended when the reading began: no more, no less, and never for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import chain
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError

from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.settings import Settings
from streamer.transports.kafka.clients import connection, producer, reader
from streamer.transports.kafka.partition import read_partition
from streamer.wire import CHANGES, TOPICS

COUNT = 25


@pytest.fixture
def settings(kafka: ApacheKafka | ExternalKafka, fresh_name: str) -> Settings:
    """Topics of one test's own."""
    found = Settings(kafka=kafka.bootstrap, topic_prefix=fresh_name, shards=2)  # pyright: ignore[reportCallIssue] - all have defaults
    for suffix in TOPICS:
        kafka.create_topic(found.topic(suffix), 2)
    return found


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """A producer that may use transactions."""
    made = producer(settings, transactional_id=settings.topic_prefix)
    await made.start()
    yield made
    await made.stop()


async def write(client: AIOKafkaProducer, settings: Settings, values: range, *, committed: bool = True) -> None:
    """Write numbers into partition 1, in one transaction."""
    await client.begin_transaction()
    for value in values:
        await client.send_and_wait(settings.topic(CHANGES), b"%d" % value, partition=1)
    await (client.commit_transaction() if committed else client.abort_transaction())
    await until_ended(settings)


async def until_ended(settings: Settings) -> None:
    """The broker answers the commit before it has written the transaction's marker, and until then nobody reads what it wrote."""
    at = TopicPartition(settings.topic(CHANGES), 1)
    async with (
        asyncio.timeout(30),
        reader(settings) as committed,
        AIOKafkaConsumer(**connection(settings), isolation_level="read_uncommitted") as everything,
    ):
        while await committed.end_offsets([at]) != await everything.end_offsets([at]):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)


async def batches_of(settings: Settings, **more: Any) -> list[list[int]]:
    """The numbers that are read, batch by batch."""
    return [[int(record.value or b"") for record in records] async for records in read_partition(settings, CHANGES, 1, **more)]


def flat(batches: list[list[int]]) -> list[int]:
    """The numbers alone."""
    return list(chain.from_iterable(batches))


async def test_what_is_committed_is_read_whole_and_in_order(settings: Settings, client: AIOKafkaProducer) -> None:
    """The markers of transactions and what was aborted lie in between, the last thing of all included."""
    await write(client, settings, range(COUNT))
    await write(client, settings, range(100, 110), committed=False)
    await write(client, settings, range(COUNT, 2 * COUNT))
    await write(client, settings, range(100, 110), committed=False)
    assert flat(await batches_of(settings)) == list(range(2 * COUNT))


async def test_an_empty_partition_is_read_at_once(settings: Settings) -> None:
    """A new log has no amendments; nobody waits for the first."""
    assert await batches_of(settings, stall_seconds=5.0) == []


async def test_a_part_of_it_can_be_asked_for(settings: Settings, client: AIOKafkaProducer) -> None:
    """From an offset on, and the newest; small batches where memory counts."""
    await write(client, settings, range(COUNT))
    assert flat(await batches_of(settings, begin=20)) == list(range(20, COUNT))
    assert flat(await batches_of(settings, newest=4)) == [22, 23, 24], "a marker is an offset too"
    assert await batches_of(settings, begin=COUNT + 1) == []
    found = await batches_of(settings, max_records=10)
    assert flat(found) == list(range(COUNT))
    assert max(map(len, found)) <= 10


async def test_what_is_written_while_it_is_read_belongs_to_the_next_reading(settings: Settings, client: AIOKafkaProducer) -> None:
    """A partition that grows faster than it is read would never end."""
    await write(client, settings, range(COUNT))
    found = list[int]()
    async with aclosing(read_partition(settings, CHANGES, 1, max_records=1)) as batches:
        async for [record] in batches:
            found.append(int(record.value or b""))
            if len(found) == 1:
                await write(client, settings, range(COUNT, 2 * COUNT))
    assert found == list(range(COUNT))


async def test_an_offset_that_is_not_there_any_more_is_an_error(settings: Settings, client: AIOKafkaProducer) -> None:
    """Who asks for a place would take what lies behind it for what lay there."""
    await write(client, settings, range(COUNT))
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    await admin.delete_records({TopicPartition(settings.topic(CHANGES), 1): RecordsToDelete(before_offset=10)})
    await admin.close()
    assert flat(await batches_of(settings)) == list(range(10, COUNT))
    with pytest.raises(KafkaError):
        await batches_of(settings, begin=5)


async def test_a_partition_that_does_not_answer_ends_the_reading(settings: Settings) -> None:
    """As one without a leader, or one that is not there."""
    with pytest.raises(TimeoutError):
        [records async for records in read_partition(settings, CHANGES, 7, stall_seconds=1.0)]
