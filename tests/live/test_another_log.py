"""The log under the workers is not the one they knew: made anew, cut off at its begin, given more partitions. Real Kafka only."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import monotonic

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from aiokafka.errors import KafkaError

from streamer.errors import SettingsError
from streamer.flow.checkpoint import decode_body
from streamer.flow.reader import Deduplicator
from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.segments.change import decode_change
from streamer.settings import load_settings
from streamer.transports.kafka.clients import connection
from streamer.transports.kafka.control import send_control
from streamer.transports.kafka.events_topic import check_events_topic
from streamer.transports.kafka.topics import ensure_topics
from streamer.wire import CHANGES, EVENTS, definitions_control

from .deployment import SHARDS, Deployment


@pytest.fixture
async def shop(shop: Deployment) -> Deployment:
    """Topics, definitions and a worker that has read a few events."""
    shop.start_worker()
    await shop.until_owned()
    await shop.load(1)
    await shop.until_caught_up()
    return shop


@asynccontextmanager
async def admin(shop: Deployment) -> AsyncGenerator[AIOKafkaAdminClient]:
    """Whoever may do with topics what they like."""
    client = AIOKafkaAdminClient(**connection(shop.settings))
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def make_anew(shop: Deployment) -> None:
    """Delete the topic of events and create it again, longer than it was."""
    longest = max(await shop.ends(EVENTS))
    async with admin(shop) as client:
        await client.delete_topics([shop.settings.topic(EVENTS)])
    await until_made(shop)
    async with shop.producer() as client:
        for shard in range(SHARDS):
            sent = [await client.send(shop.settings.topic(EVENTS), shop.event()[1], partition=shard) for _ in range(longest + 50)]
            await asyncio.gather(*sent)


async def until_made(shop: Deployment, *, deadline_s: float = 20) -> None:
    """Create what is missing; a topic that was deleted is in the way for a while."""
    deadline = monotonic() + deadline_s
    while True:
        try:
            await ensure_topics(shop.settings)
            if len(await shop.ends(EVENTS)) == SHARDS:
                return
        except (KafkaError, SettingsError):
            assert monotonic() < deadline, "the topic could not be made again"
            await asyncio.sleep(0.2)


async def test_a_topic_made_anew_halts_its_shards_running_or_started_and_nothing_of_it_is_read(shop: Deployment) -> None:
    """It is longer than the old one was, so its end says nothing: before, the first records of the new log were dropped in silence."""
    before = [decode_body(checkpoint.body).counts for checkpoint in await shop.checkpoints()]  # of events: ticks go on for a moment
    await make_anew(shop)
    found = await shop.until_problem("shard 0: halted")
    assert all("made anew" in problem for problem in found if "halted" in problem)

    await shop.stop_all()
    shop.start_worker()
    found = await shop.until_problem(f"shard {SHARDS - 1}: halted")
    assert all("is another one" in problem for problem in found if "halted" in problem)
    assert [decode_body(checkpoint.body).counts for checkpoint in await shop.checkpoints()] == before

    await _begin_the_new_log(shop)


async def _begin_the_new_log(shop: Deployment) -> None:
    """The documented way out, for the whole deployment: what the new log says is new to whoever has read the old one's changes."""
    generation, words = {"STREAMER_LOG_GENERATION": "2"}, ("shards", "rebuild", "--new-log")
    assert "stop all workers, wait, and try again" in await shop.command(*words, **generation)
    await shop.stop_all()
    async with shop.store() as store:
        for shard in range(SHARDS):
            await store.drop_document(f"note:{shard}")  # instead of half a minute's wait
    assert "expected either a shard or --new-log" in await shop.command("shards", "rebuild")
    assert "begin the next one by `streamer shards rebuild --new-log`" in await shop.command("shards", "rebuild", "0", **generation)
    assert "generation 2 of the log begins: all 3 shards" in await shop.command(*words, **generation)
    assert "log_generation was 2, is 1" in await shop.command("shards", "rebuild", "0")

    old = {shard: len(await shop.read(CHANGES, shard)) for shard in range(SHARDS)}
    async with shop.producer() as client:
        raw = definitions_control(shop.definitions.content(), shop.definitions.digest, 1)
        await send_control(client, shop.settings, raw, range(SHARDS))
    shop.start_worker(**generation)
    await shop.load(1)
    await shop.until_caught_up()
    assert set(await shop.stop_all()) == {0}, shop.logs()
    seen, new = Deduplicator(), Counter[int]()
    for shard in range(SHARDS):
        for number, record in enumerate(await shop.read(CHANGES, shard)):
            at = decode_change(record.value).data.position
            if seen.is_new(at.shard, at.generation, at.offset, at.ordinal) and number >= old[shard]:
                new[at.generation] += 1
    assert new[2] > 0
    assert set(new) == {2}


async def test_records_gone_unread_and_partitions_added_are_said(shop: Deployment) -> None:
    """What retention took before it was read cannot be guessed; what lies in an added partition is read by nobody."""
    await shop.stop_all()
    topic = shop.settings.topic(EVENTS)
    async with shop.producer() as client, admin(shop) as operator:
        for _ in range(5):
            await client.send_and_wait(topic, shop.event()[1], partition=0)
        end = (await shop.ends(EVENTS))[0]
        await operator.delete_records({TopicPartition(topic, 0): RecordsToDelete(end)})
        shop.start_worker()
        await shop.until_problem(f"the log of shard 0 begins at offset {end}, after the position")

        await operator.create_partitions({topic: NewPartitions(SHARDS + 1)})
        await shop.until_problem(f"has {SHARDS + 1} partitions, and the log has {SHARDS} shards")
        await shop.until_problem("the log has no such shard")
    await shop.until_moved(1)


@pytest.mark.parametrize("trusted", [False, True])
async def test_a_topic_with_the_time_of_producers_is_refused_before_anything_starts(
    kafka: ApacheKafka | ExternalKafka, fresh_name: str, trusted: bool
) -> None:
    """Whoever starts a worker or publishes is told how to set it, or how to trust the producers."""
    settings = load_settings(kafka=kafka.bootstrap, topic_prefix=fresh_name, trust_producer_time=trusted)
    kafka.create_topic(settings.topic(EVENTS), 1, {"message.timestamp.type": "CreateTime"})
    if trusted:
        await check_events_topic(settings)
    else:
        with pytest.raises(SettingsError, match=r"message\.timestamp\.type is CreateTime"):
            await check_events_topic(settings)
