"""SIGTERM ends a worker within ten seconds, whatever is away: orchestrators kill what takes longer, and a hang holds a machine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path
from time import monotonic, sleep

import pytest

from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.children import Child
from streamer.local.redis import RedisServer

from .deployment import Deployment

WITHIN_SECONDS = 10.0


@pytest.fixture
async def shop(shop: Deployment) -> Deployment:
    """One worker that owns all shards."""
    shop.start_worker()
    await shop.until_owned()
    return shop


async def ends(child: Child) -> float:
    """Seconds from SIGTERM to the exit; the exit code must be 0."""
    began = monotonic()
    child.process.send_signal(signal.SIGTERM)
    while child.alive:
        assert monotonic() - began < WITHIN_SECONDS, f"still there after {WITHIN_SECONDS} s\n{child.log_tail(30)}"
        await asyncio.sleep(0.05)
    assert child.process.returncode == 0, child.log_tail(30)
    return monotonic() - began


def unready(shop: Deployment, wanted: str, *, within_seconds: float = 30) -> list[str]:
    """The problems of the first worker, once one of them has ``wanted`` in it."""
    address = f"http://127.0.0.1:{shop.ports[0]}/readyz"
    deadline = monotonic() + within_seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as answer:
            found = json.load(answer)
        if any(wanted in problem for problem in found["problems"]):
            return found["problems"]
        assert monotonic() < deadline, f"{found}\n{shop.logs()}"
        sleep(0.2)


async def test_with_kafka_away_and_then_with_redis_away_too(
    shop: Deployment, kafka: ApacheKafka | ExternalKafka, own_redis: RedisServer
) -> None:
    """Faust's own consumer looks for its group for ever, and the producer holds ticks that nobody will take."""
    if isinstance(kafka, ExternalKafka):
        pytest.fail("this test kills its broker; run it without STREAMER_KAFKA")
    shop.start_worker()
    before = [checkpoint.epoch for checkpoint in await shop.checkpoints()]
    await shop.until(lambda found: any(new.epoch > old for new, old in zip(found, before, strict=True)))  # both have shards
    kafka.kill()
    try:
        problems = await asyncio.to_thread(unready, shop, "has not answered")
        assert any("Kafka at" in problem for problem in problems)
        await ends(shop.workers[0])
        lines = [json.loads(line) for line in shop.workers[0].log_tail(10_000).splitlines()]  # each of them JSON
        assert all({"timestamp", "level", "event", "action"} <= line.keys() for line in lines)
        assert sum(line["event"] == "kafka is away" for line in lines) == 1
        assert len(lines) < 60, "a flood"
        own_redis.kill()
        await ends(shop.workers[1])
    finally:
        kafka.restart()


async def test_with_redis_that_does_not_answer(shop: Deployment, own_redis: RedisServer) -> None:
    """Half open is worse than away: nothing refuses, and the commit in hand waits."""
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(1)  # each tick is a commit: by now one waits for its reply
        await ends(shop.workers[0])
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)


async def test_at_the_start_with_a_broker_that_never_answers(own_redis: RedisServer, tmp_path: Path) -> None:
    """A load balancer without a broker behind it accepts the connection and says nothing."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        environment = {**os.environ, "STREAMER_KAFKA": f"127.0.0.1:{silent.getsockname()[1]}", "STREAMER_STORE": own_redis.url}
        child = Child([sys.executable, "-m", "streamer", "worker"], log=tmp_path / "worker.log", env=environment)
        try:
            silent.settimeout(30)
            connection, _ = silent.accept()  # it has begun to wait
            with connection:
                await ends(child)
        finally:
            child.kill()
