"""Topics of a shop on a real broker: killed at the worst moment, an ingest loses no message and counts none twice."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from time import monotonic, time
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import RecordMetadata

from streamer.cli.checks.ingest_checks import check_ingest
from streamer.events.codec import decode
from streamer.events.dead_letter import read_dead_letter
from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.children import Child, free_port
from streamer.settings import Settings
from streamer.transports.kafka.clients import connection, producer
from streamer.transports.kafka.partition import read_partition
from streamer.wire import DEAD_LETTERS, EVENTS, TOPICS, DeadLetter, shard_of

SHARDS = 3
SOURCE_PARTITIONS = 4
MESSAGES = 12_000
SESSION_TIMEOUT_MS = 6_000
NEVER_COMMITS = """
import asyncio
from streamer.cli import main
from streamer.transports.kafka.source_consumer import SourceConsumer

async def commit(self, behind):
    await asyncio.sleep(3_600)

SourceConsumer.commit = commit
main()
"""


class Shop:
    """A log, a topic of the shop with Segment's messages, and ingests of it as processes."""

    def __init__(self, kafka: str, name: str, folder: Path) -> None:
        self.settings = Settings(kafka=kafka, topic_prefix=name, shards=SHARDS, group=name)  # pyright: ignore[reportCallIssue]
        self.topic = f"{name}.clicks"
        self.group = f"{name}-ingest-segment"
        self.children: list[Child] = []
        self.ports: list[int] = []
        self._folder = folder

    def start(self, script: str = "") -> Child:
        """One more ingest; ``script`` is one whose code is not as it should be."""
        self.ports.append(free_port())
        environment = {
            **os.environ,
            "STREAMER_KAFKA": self.settings.kafka,
            "STREAMER_TOPIC_PREFIX": self.settings.topic_prefix,
            "STREAMER_GROUP": self.settings.group,
            "STREAMER_SHARDS": str(SHARDS),
            "STREAMER_SESSION_TIMEOUT": str(SESSION_TIMEOUT_MS),
            "STREAMER_INGEST_WEB_PORT": str(self.ports[-1]),
        }
        words = [sys.executable, *(["-c", script] if script else ["-m", "streamer"]), "ingest", self.topic, "--format", "segment"]
        child = Child(words, log=self._folder / f"ingest-{len(self.children)}.log", env=environment)
        self.children.append(child)
        return child

    @property
    def for_doctor(self) -> Settings:
        """With what the ingests are told on their command line."""
        return self.settings.model_copy(update={"ingest_topics": (self.topic,), "ingest_format": "segment"})

    def logs(self) -> str:
        return "\n\n".join(child.log_tail(30) for child in self.children)

    async def records(self, suffix: str) -> list[tuple[int, bytes]]:
        """Shard and value of all that lies in one of our topics."""
        found: list[tuple[int, bytes]] = []
        for shard in range(SHARDS):
            async for batch in read_partition(self.settings, suffix, shard):
                found += [(shard, record.value or b"") for record in batch]
        return found

    async def log_length(self) -> int:
        async with AIOKafkaConsumer(**connection(self.settings)) as consumer:
            ends = await consumer.end_offsets([TopicPartition(self.settings.topic(EVENTS), shard) for shard in range(SHARDS)])
            return sum(ends.values())

    async def positions(self) -> dict[int, int | None]:
        """Where the group is, by partition of the source."""
        async with AIOKafkaConsumer(**connection(self.settings), group_id=self.group, enable_auto_commit=False) as consumer:
            return {at: await consumer.committed(TopicPartition(self.topic, at)) for at in range(SOURCE_PARTITIONS)}

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = monotonic() + 40
        while not await asyncio.to_thread(holds):
            assert monotonic() < deadline, f"not within 40 s: {what}\n{self.logs()}"
            await asyncio.sleep(0.05)

    async def until_written(self, records: int) -> int:
        deadline = monotonic() + 40
        while (length := await self.log_length()) < records:
            assert monotonic() < deadline, f"{length} of {records} records in the log within 40 s\n{self.logs()}"
            await asyncio.sleep(0.02)
        return length

    async def until_read(self, ends: dict[int, int]) -> None:
        deadline = monotonic() + 60
        while (found := await self.positions()) != ends:
            assert monotonic() < deadline, f"the group is at {found}, not at {ends}, within 60 s\n{self.logs()}"
            await asyncio.sleep(0.2)

    def is_ready(self) -> bool:
        return self.said() == []

    def said(self) -> list[str]:
        """The problems that the newest ingest names; that it does not answer is one."""
        try:
            with urlopen(f"http://127.0.0.1:{self.ports[-1]}/readyz", timeout=2):
                return []
        except HTTPError as error:
            return json.loads(error.read())["problems"]
        except OSError as error:
            return [f"no answer: {error}"]

    def figures(self) -> str:
        with urlopen(f"http://127.0.0.1:{self.ports[-1]}/metrics", timeout=2) as answer:
            return answer.read().decode()


@pytest.fixture
async def shop(kafka: ApacheKafka | ExternalKafka, fresh_name: str, tmp_path: Path) -> AsyncIterator[Shop]:
    """The topics of one test."""
    made = Shop(kafka.bootstrap, fresh_name, tmp_path)
    for suffix in TOPICS:
        kafka.create_topic(made.settings.topic(suffix), SHARDS, {"message.timestamp.type": "LogAppendTime"} if suffix == EVENTS else None)
    kafka.create_topic(made.topic, SOURCE_PARTITIONS)
    yield made
    for child in made.children:
        child.kill()


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[AIOKafkaProducer]:
    """The shop's own producer."""
    made = producer(shop.settings)
    await made.start()
    yield made
    await made.stop()


async def send(client: AIOKafkaProducer, shop: Shop, numbers: range, *, pause_seconds: float = 0) -> dict[int, int]:
    """Messages of Segment, by turns in the partitions; where each partition ends then. One in 100 is none, one in 10 has no id."""
    sent: list[asyncio.Future[RecordMetadata]] = []
    ends: dict[int, int] = {}
    for number in numbers:
        future = await client.send(
            shop.topic,
            message(number),
            partition=number % SOURCE_PARTITIONS,
            headers=[("streamer-no-link", b"1"), ("streamer-control", b"1")],
        )
        sent.append(future)
        if pause_seconds and number % 5 == 0:
            await asyncio.sleep(pause_seconds)
    for found in await asyncio.gather(*sent):
        ends[found.partition] = max(ends.get(found.partition, 0), found.offset + 1)
    return ends


def message(number: int) -> bytes:
    if number % 100 == 99:
        return b'{"type": "track", "userId": "c-1", "event": %d' % number
    fields = {"type": "track", "event": "Product Viewed", "userId": f"c-{number % 500}", "properties": {"number": number}}
    own = {"messageId": f"m-{number}"} if number % 10 else {}
    return json.dumps({**fields, **own, "timestamp": int(time() * 1_000)}).encode()


def numbers_of(records: Sequence[tuple[int, bytes]]) -> Counter[int]:
    """How often each message is in the log."""
    found = Counter[int]()
    for shard, value in records:
        event = decode(value)
        assert shard == shard_of(event.customer, SHARDS)
        number = (event.properties or {})["number"]
        assert isinstance(number, int)
        found[number] += 1
    return found


async def test_killed_before_it_says_how_far_it_is_it_repeats_and_loses_nothing(shop: Shop, client: AIOKafkaProducer) -> None:
    """Its position moves behind what is written: kill -9 in between costs a repetition, which has the same id, and never a message."""
    ends = await send(client, shop, range(MESSAGES))
    shop.start(NEVER_COMMITS)
    written = await shop.until_written(1)
    shop.children[0].kill()
    begins = await shop.positions()
    assert set(begins.values()) == {0}, "the kill came between the write and the commit"
    child = shop.start()
    await shop.until_read(ends)
    events, letters = await shop.records(EVENTS), await shop.records(DEAD_LETTERS)
    assert set(numbers_of(events)) == {number for number in range(MESSAGES) if number % 100 != 99}
    assert len(events) >= MESSAGES * 99 // 100 + written, "nothing was repeated"
    ids = {(shard, decode(value).message_id) for shard, value in events}
    assert len(ids) == MESSAGES * 99 // 100, "a repetition has the id of what it repeats, in the same shard: the step drops it"
    origins = {(letter.origin.topic, letter.origin.partition, letter.origin.offset) for letter in map(_letter, letters) if letter.origin}
    assert origins == {(shop.topic, number % SOURCE_PARTITIONS, number // SOURCE_PARTITIONS) for number in range(99, MESSAGES, 100)}
    assert {(letter.reason, letter.format) for letter in map(_letter, letters)} == {("not_json", "segment")}
    [found] = await check_ingest(shop.for_doctor)
    assert (found.verdict, "is 0 records behind in 4 partitions" in found.found) == ("ok", True)
    await shop.until(shop.is_ready, "ready")
    assert f'ingest_lag_records{{partition="0",topic="{shop.topic}"}} 0.0' in shop.figures()
    await _ends(child)


async def test_members_come_go_and_are_killed_under_load_and_nothing_is_lost(shop: Shop, client: AIOKafkaProducer) -> None:
    """Wherever each of them stands: each message is in the log, and those that are there twice have one id."""
    for _ in range(3):
        shop.start()
    await shop.until(shop.is_ready, "ready")
    sending = asyncio.create_task(send(client, shop, range(MESSAGES), pause_seconds=0.002))
    await shop.until_written(1_000)
    await _ends(shop.children[0])
    shop.children[1].kill()
    assert not sending.done(), "the kill came too late to be one"
    await shop.until_read(await sending)
    await _holds_all(shop)


async def test_a_broker_that_comes_back_is_enough(shop: Shop, client: AIOKafkaProducer, kafka: ApacheKafka | ExternalKafka) -> None:
    """Killed under load: the ingest goes on by itself, with nothing lost; and told to end while Kafka says nothing, it ends in time."""
    if isinstance(kafka, ExternalKafka):
        pytest.fail("this test kills its broker; run it without STREAMER_KAFKA")
    child = shop.start()
    await shop.until(shop.is_ready, "ready")
    sending = asyncio.create_task(send(client, shop, range(MESSAGES), pause_seconds=0.001))
    await shop.until_written(500)
    kafka.kill()
    try:
        assert not sending.done(), "the broker was killed too late"
        await shop.until(lambda: any("has not answered" in problem for problem in shop.said()), "said that Kafka is away")
        assert "ingest_reading_fails 1.0" in shop.figures()
    finally:
        kafka.restart()
    await shop.until_read(await sending)
    await shop.until(shop.is_ready, "ready again")
    await _holds_all(shop)
    kafka.pause()
    try:
        await _ends(child)
    finally:
        kafka.resume()


async def test_records_that_were_deleted_before_they_were_read_are_said(shop: Shop, client: AIOKafkaProducer) -> None:
    """The retention of the shop's topic was shorter than the outage: nobody may find out by counting."""
    ends = await send(client, shop, range(400))
    await _ends_after_reading(shop, ends)
    ends = await send(client, shop, range(400, 800))
    admin = AIOKafkaAdminClient(**connection(shop.settings))
    await admin.start()
    await admin.delete_records({TopicPartition(shop.topic, 2): RecordsToDelete(before_offset=150)})
    await admin.close()
    [before] = await check_ingest(shop.for_doctor)
    assert (before.verdict, "partitions 2 do not have" in before.found) == ("wrong", True)
    shop.start()
    await shop.until_read(ends)
    found = numbers_of(await shop.records(EVENTS))
    assert found.keys() & {number for number in range(800) if number % 4 == 2} == {
        number for number in range(800) if number % 4 == 2 and not 100 <= number // 4 < 150
    }
    assert f'ingest_records_lost_total{{topic="{shop.topic}"}} 50.0' in shop.figures()
    assert "records were deleted before they were read" in shop.children[-1].log_tail(50)


async def test_the_first_start_begins_with_what_is_not_too_old(shop: Shop, client: AIOKafkaProducer) -> None:
    """Older messages would all be refused as late; and from the start on none is missed, also where it ends before it has read."""
    old = int(time() * 1_000) - 2 * 86_400_000
    for at in range(SOURCE_PARTITIONS):
        await client.send_and_wait(shop.topic, message(at), partition=at, timestamp_ms=old)
    await client.send_and_wait(shop.topic, message(4), partition=0)
    child = shop.start()
    await shop.until_written(1)
    await shop.until_read({0: 2, 1: 1, 2: 1, 3: 1})
    assert set(numbers_of(await shop.records(EVENTS))) == {4}
    await _ends(child)


async def _holds_all(shop: Shop) -> None:
    """Each message is in the log; if twice, with one id in one shard."""
    events = await shop.records(EVENTS)
    assert set(numbers_of(events)) == {number for number in range(MESSAGES) if number % 100 != 99}
    assert len({(shard, decode(value).message_id) for shard, value in events}) == MESSAGES * 99 // 100


def _letter(found: tuple[int, bytes]) -> DeadLetter:
    return read_dead_letter(found[1])


async def _ends_after_reading(shop: Shop, ends: dict[int, int]) -> None:
    child = shop.start()
    await shop.until_read(ends)
    await _ends(child)


async def _ends(child: Child) -> None:
    """SIGTERM, and done within ten seconds."""
    began = monotonic()
    child.process.terminate()
    code = await asyncio.to_thread(child.process.wait, 15)
    assert (code, monotonic() - began < 10) == (0, True), child.log_tail(40)
