"""Producers with transactions write to the log: what they committed counts, what they aborted never happened, and a marker is no hole.

As Flink's, Connect's and Kafka Streams' exactly-once sinks write. Real Kafka only: no twin has markers.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import time

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from streamer.events.codec import encode
from streamer.events.event import Event
from streamer.flow.same_log import Unread
from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.redis import RedisServer
from streamer.segments.change import decode_change
from streamer.transports.kafka.clients import connection
from streamer.transports.kafka.log_inspector import LogInspector
from streamer.transports.kafka.open_transactions import open_since
from streamer.wire import CHANGES, COMMANDS, DEAD_LETTERS, EVENTS, shard_of

from .deployment import SHARDS, Deployment

DEFINITIONS = """
segments:
  seen: {for: Was seen., when: did("Product Viewed")}
"""


@pytest.fixture
async def shop(kafka: ApacheKafka | ExternalKafka, redis_server: RedisServer, fresh_name: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    """Topics and definitions, no worker yet."""
    async with Deployment(kafka.bootstrap, redis_server.url, fresh_name, tmp_path, definitions=DEFINITIONS) as deployment:
        await deployment.prepare()
        yield deployment


def event(customer: str, at_ms: int) -> bytes:
    """One view."""
    return encode(Event(event="Product Viewed", message_id=f"m-{customer}", user_id=customer, timestamp_ms=at_ms))


@asynccontextmanager
async def transactional(shop: Deployment, name: str) -> AsyncGenerator[AIOKafkaProducer]:
    """A producer such as a sink with exactly-once has."""
    client = AIOKafkaProducer(**connection(shop.settings), transactional_id=f"{shop.settings.topic_prefix}-{name}")
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def send(shop: Deployment, client: AIOKafkaProducer, *customers: str) -> None:
    """One event of each customer, acknowledged."""
    for customer in customers:
        await client.send_and_wait(shop.settings.topic(EVENTS), event(customer, int(time() * 1_000)), partition=shard_of(customer, SHARDS))


async def members(shop: Deployment) -> set[str]:
    """Who entered a segment, as a reader of the changes sees it."""
    found = [record for shard in range(SHARDS) for record in await shop.read(CHANGES, shard)]
    return {decode_change(record.value).subject for record in found}


async def check_orders_find_records(shop: Deployment) -> None:
    """An order to pass over a record means the one behind a marker at its position; a look at all logs finds the records read last."""
    inspector = LogInspector(shop.settings)
    try:
        for shard, end in enumerate(await shop.ends(EVENTS)):
            offsets = [record.offset for record in await shop.read(EVENTS, shard)]
            marker = next(offset for offset in range(end) if offset not in offsets)
            assert await inspector.unread(shard, end) == Unread(None, end)
            assert await inspector.unread(shard, marker) == Unread(next(offset for offset in offsets if offset > marker), end)
        delivered = {shard: (await shop.read(EVENTS, shard))[-1].offset for shard in range(SHARDS)}
        views = await inspector.look_at_all(delivered)
        assert {shard: view.record and view.record.offset for shard, view in views.items()} == delivered
    finally:
        await inspector.stop()


async def test_a_committed_transaction_counts_and_an_aborted_one_never_happened(shop: Deployment) -> None:
    """Both leave markers that take offsets and are never delivered. Kafka Streams' kind commits what it read in the same transaction."""
    shop.start_worker()
    committed, aborted, plain, streamed = (
        [f"customer-{number}" for number in range(start, start + 2 * SHARDS)] for start in range(0, 8 * SHARDS, 2 * SHARDS)
    )
    read = TopicPartition(shop.settings.topic(COMMANDS), 0)
    async with transactional(shop, "sink") as client:
        async with client.transaction():
            await send(shop, client, *committed)
        await client.begin_transaction()
        await send(shop, client, *aborted)
        await client.abort_transaction()
        for number, name in enumerate(streamed):
            async with client.transaction():
                await send(shop, client, name)
                await client.send_offsets_to_transaction({read: number}, f"{shop.settings.group}-sink")
    async with shop.producer() as idempotent:  # its records carry a producer's id too, and no transaction
        await send(shop, idempotent, *plain)
    await shop.until_caught_up()
    for shard in range(SHARDS):
        offsets = [record.offset for record in await shop.read(EVENTS, shard)]
        assert offsets != list(range(len(offsets))), "no marker took an offset"

    await shop.stop_all()
    epochs = [checkpoint.epoch for checkpoint in await shop.checkpoints()]
    shop.start_worker()  # goes on behind the markers
    await shop.until(lambda found: all(now.epoch > before for now, before in zip(found, epochs, strict=True)))
    await shop.until_caught_up()
    assert set(await shop.stop_all()) == {0}, shop.logs()

    await check_orders_find_records(shop)
    assert await members(shop) == {*committed, *plain, *streamed}
    assert [record for shard in range(SHARDS) for record in await shop.read(DEAD_LETTERS, shard)] == []
    await shop.reckon()


async def test_an_open_transaction_is_waited_for_and_then_counts(shop: Deployment) -> None:
    """What lies behind its first record is not stable, ticks included: nobody may know yet how it ends."""
    shop.start_worker()
    await shop.until_owned()
    first, later = "customer-1", "customer-5"
    shard = shard_of(first, SHARDS)
    assert shard == shard_of(later, SHARDS), "the second must lie behind the first"
    async with transactional(shop, "slow") as client, shop.producer() as other:
        await client.begin_transaction()
        await send(shop, client, first)
        await send(shop, other, later)
        held = (await shop.ends(EVENTS))[shard]
        await shop.until_longer(shard, 3)
        assert (await shop.ends(EVENTS))[shard] == held
        assert (await shop.checkpoints())[shard].position.offset <= held
        assert later not in await members(shop)
        assert {shard: held} == {number: offset for number, (offset, _) in (await open_since(shop.settings, SHARDS)).items()}
        await client.commit_transaction()
    await shop.until_caught_up()
    assert set(await shop.stop_all()) == {0}, shop.logs()

    assert await members(shop) == {first, later}
    await shop.reckon()
