"""Kafka away and back under those who bring changes to readers: nothing is missing, repeats have their ids, and it is said meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from time import monotonic
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from pydantic import SecretStr

from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.children import Child
from streamer.local.redis import RedisServer

from .change_readers import ResumingReader, ServeProcess, by_shard
from .hooks import Hooks, Receiver, crowd

END_S = 10  # what is promised of SIGTERM, whatever is away


@pytest.fixture
async def hooks(kafka: ApacheKafka | ExternalKafka, fresh_name: str, tmp_path: Path) -> AsyncIterator[Hooks]:
    """Topics of one test; its processes end with it."""
    made = Hooks(kafka, fresh_name, tmp_path)
    await made.prepare()
    yield made
    made.close()


def page(port: int, name: str) -> str:
    """What a page for operators says, whatever its status."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/{name}", timeout=5) as answer:
            return answer.read().decode()
    except HTTPError as error:
        return error.read().decode()


def figure(port: int, name: str) -> float:
    [line] = [line for line in page(port, "metrics").splitlines() if line.startswith(f"{name} ")]
    return float(line.rpartition(" ")[2])


def is_ready(port: int) -> bool:
    return json.loads(page(port, "readyz"))["status"] == "ready"


async def ended(child: Child) -> None:
    """A process ends in time that is asked to."""
    asked = monotonic()
    child.process.terminate()
    while child.alive:
        assert monotonic() - asked < END_S, child.log_tail(30)
        await asyncio.sleep(0.05)
    assert child.process.returncode == 0, child.log_tail(30)


def places(ids: list[str]) -> list[str]:
    """Ids of changes, by the places in the story that they are of."""
    return sorted(ids, key=lambda one: [int(part) for part in one.split("-")])


async def test_readers_miss_nothing_when_kafka_comes_back(
    hooks: Hooks, kafka: ApacheKafka | ExternalKafka, own_redis: RedisServer, tmp_path: Path
) -> None:
    """Streams stay open and go on. Deliveries that could not be noted may come again, under their ids. Who is asked to end does."""
    if isinstance(kafka, ExternalKafka):
        pytest.fail("this test kills its broker; run it without STREAMER_KAFKA")
    settings = hooks.settings.model_copy(update={"store": SecretStr(own_redis.url), "namespace": hooks.settings.topic_prefix})
    serve, leaving = (ServeProcess(settings, tmp_path, name=name) for name in ("serve", "leaving"))
    reader = ResumingReader(serve.url)
    async with AsyncExitStack() as stack:
        for process in (serve, leaving):
            stack.callback(process.kill)
            await process.until_ready()
        reading = asyncio.create_task(reader.run())
        stack.callback(reading.cancel)
        await reader.connected.wait()
        receiver = await stack.enter_async_context(Receiver())
        subscription = hooks.subscription(receiver.url)
        await hooks.subscribe(subscription)
        for _ in range(2):
            hooks.start()
            await hooks.until(hooks.is_ready, "it is ready")
        await hooks.write(crowd(300, 1))
        await hooks.until(lambda: len(receiver.arrivals) > 50 and len(reader.ids) > 50, "changes are on their way")

        pid = kafka.pid
        kafka.kill()
        try:
            for port, words in ((hooks.ports[0], "Kafka at"), (serve.web_port, "Kafka has not said")):
                await hooks.until(lambda port=port, words=words: words in page(port, "readyz"), f"{port} says that Kafka is away")
            assert figure(hooks.ports[0], "webhook_kafka_silent_seconds") > 5, "the alert has nothing to fire on"
            assert figure(serve.web_port, "server_kafka_silent_seconds") > 10, "the alert has nothing to fire on"
            await asyncio.gather(ended(hooks.children[1]), ended(leaving.child))
        finally:
            kafka.restart()
        assert kafka.pid != pid

        await hooks.write(crowd(200, 2))
        await hooks.until(lambda: receiver.delivered() == hooks.written(), "everything is delivered in order")
        await hooks.until(lambda: len(reader.ids) >= 500, "the stream goes on")
        for port in (hooks.ports[0], serve.web_port):
            await hooks.until(lambda port=port: is_ready(port), f"{port} says that all is well")
        await hooks.until_done(subscription)
    assert reader.cuts == 0, "the stream was cut"
    ids = {one.webhook_id: (one.customer, one.sequence) for one in receiver.arrivals}
    assert len(ids) == 500, "a repeat has another id"
    changes = [webhook_id.rpartition("-")[0] for webhook_id in ids]
    assert by_shard(reader.ids) == by_shard(places(changes)), "the stream has a gap, a repetition, or another order"
