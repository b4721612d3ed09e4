"""What tests against real servers need besides the servers (which are in ``tests/conftest.py``): a deadline and names of their own."""

from __future__ import annotations

import signal
import uuid
from typing import TYPE_CHECKING

import pytest

from streamer.local.redis import RedisServer

from .deployment import Deployment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path
    from types import FrameType

    from streamer.local.apache_kafka import ApacheKafka, ExternalKafka

DEADLINE_S = 120  # a live test waits for other processes; without a bound one that hangs would hold the whole run


@pytest.fixture(autouse=True)
def deadline(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a live test that takes longer than two minutes, at the line where it waits."""

    def too_late(_number: int, _frame: FrameType | None) -> None:
        pytest.fail(f"{request.node.nodeid} took longer than {DEADLINE_S} s")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(DEADLINE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def begins_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a log of its own beside those of the others on one broker."""
    monkeypatch.setenv("STREAMER_CREATE", "true")


@pytest.fixture
def fresh_name(request: pytest.FixtureRequest) -> str:
    """A name for a topic, a group or a key prefix that no other test has."""
    return f"{request.node.name.partition('[')[0][:60]}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis of one test's own: to be killed, paused or emptied."""
    with RedisServer() as server:
        yield server


@pytest.fixture
async def shop(kafka: ApacheKafka | ExternalKafka, own_redis: RedisServer, fresh_name: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    """Topics and definitions on real servers, no worker yet; workers that a test starts end with it."""
    async with Deployment(kafka.bootstrap, own_redis.url, fresh_name, tmp_path) as deployment:
        await deployment.prepare()
        yield deployment


@pytest.fixture
def topic(kafka: ApacheKafka | ExternalKafka, fresh_name: str) -> str:
    """A topic of four partitions on the real broker, stamped by the broker as ours are."""
    kafka.create_topic(fresh_name, 4, {"message.timestamp.type": "LogAppendTime"})
    return fresh_name
