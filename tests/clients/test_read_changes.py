"""Changes in Kafka: the examples under "For readers" of the README, run as they stand there, and a client with the rule alone."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import uuid
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from confluent_kafka import Consumer

from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.settings import Settings
from streamer.transports.kafka.clients import producer
from streamer.transports.kafka.topics import ensure_topics
from streamer.wire import CHANGES
from tests.clients.conftest import needs
from tests.clients.installed import node, node_clients
from tests.clients.readme import ROOT, example
from tests.live.change_readers import ChangeWriter, by_shard, headers_of

SHARDS: Final = 3
WRITTEN: Final = 120
LIMIT_S: Final = 40
SECTION: Final = "For readers"
GROUP: Final = "my-service"
ID: Final = re.compile(r"^1-[0-9]+-[0-9]+-[0-9]+(?= )")
SOON_S: Final = 0.5  # a change that comes twice comes within


class RepeatingTopic(NamedTuple):
    """Changes of which each third lies there twice, as after relays that died before they trimmed; ids as they were first written."""

    settings: Settings
    ids: list[str]


@pytest.fixture
async def topic(kafka: ApacheKafka | ExternalKafka) -> RepeatingTopic:
    """One of each test, as groups remember how far they are."""
    ours = {"kafka": kafka.bootstrap, "topic_prefix": f"readers-{uuid.uuid4().hex[:8]}", "shards": SHARDS, "create": True}
    settings = Settings.model_construct().model_copy(update=ours)
    await ensure_topics(settings)
    async with producer(settings) as client:
        writer = ChangeWriter(settings, client)
        await writer.write(WRITTEN)
    assert writer.repeated > WRITTEN / 4, "the topic repeats nothing"
    return RepeatingTopic(settings, writer.written)


async def ids_printed(command: list[str], environment: Mapping[str, str], enough: int, *, folder: Path = ROOT) -> list[str]:
    """The ids that begin lines which a program prints that does not end by itself: so many, and those that still come soon after."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    found: list[str] = []

    async def read_line(out: asyncio.StreamReader, errors: asyncio.StreamReader) -> None:
        line = await out.readline()
        assert line, f"it ended after {len(found)} changes:\n{(await errors.read()).decode()[-3000:]}"
        found.extend(ID.findall(line.decode()))

    try:
        async with asyncio.timeout(LIMIT_S):
            while len(found) < enough:
                await read_line(process.stdout, process.stderr)
        with suppress(TimeoutError):
            async with asyncio.timeout(SOON_S):
                while True:
                    await read_line(process.stdout, process.stderr)
    finally:
        process.kill()
        await process.wait()
    return found


async def test_the_example_in_python_reads_each_change_once(topic: RepeatingTopic) -> None:
    """It is what a developer copies first, and all that it needs is the front door of the package."""
    settings = topic.settings
    environment = {
        "STREAMER_KAFKA": settings.kafka,
        "STREAMER_TOPIC_PREFIX": settings.topic_prefix,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }
    got = await ids_printed([sys.executable, "-c", example(SECTION, "python", "read_changes")], environment, WRITTEN)
    assert by_shard(got) == by_shard(topic.ids)


async def test_the_example_in_another_language_reads_each_change_once(topic: RepeatingTopic) -> None:
    """Its client knows nothing of us: the five lines must be enough."""
    needs(node, node_clients)
    others = {"localhost:9092": topic.settings.kafka, "streamer.segment-changes": topic.settings.topic(CHANGES), GROUP: "in-node"}
    code = example(SECTION, "js", "consumer", **others)
    got = await ids_printed([str(node()), "--input-type=module", "--eval", code], {}, WRITTEN, folder=node_clients().parent)
    assert by_shard(got) == by_shard(topic.ids)


def test_a_client_that_keeps_its_positions_reads_each_change_once_over_restarts(topic: RepeatingTopic) -> None:
    """The rule with librdkafka, which most languages use. A group may forget how far it is; what lies beside the result may not."""
    got, seen = list[str](), dict[int, tuple[int, ...]]()
    for _ in range(3):
        read_some(topic.settings, got, seen, enough=len(got) + WRITTEN // 3)
    assert by_shard(got) == by_shard(topic.ids)


def read_some(settings: Settings, got: list[str], seen: dict[int, tuple[int, ...]], *, enough: int) -> None:
    """Read until there is enough, and go without saying how far: the next one begins at the start."""
    options = {"bootstrap.servers": settings.kafka, "group.id": "plain", "auto.offset.reset": "earliest", "enable.auto.commit": False}
    with closing(Consumer({**options, "isolation.level": "read_committed"})) as consumer:
        consumer.subscribe([settings.topic(CHANGES)])
        for _ in range(LIMIT_S * 10):
            record = consumer.poll(0.1)
            if record is None:
                continue
            assert record.error() is None, record.error()
            position = tuple(map(int, headers_of(record)["streamer-position"].split(b"-")))
            partition = record.partition()
            assert partition is not None
            if position <= seen.get(partition, (0, -1, -1)):
                continue
            seen[partition] = position
            got.append(json.loads(record.value() or b"")["id"])
            if len(got) == enough:
                return
    raise AssertionError(f"only {len(got)} of {enough} came")
