"""A broker without transactions, as of the demo: the same ledger and the same events, with less of a promise, which is said."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from streamer.events.codec import decode
from streamer.local.children import free_port
from streamer.local.mock_kafka import MockKafkaProcess
from streamer.local.redis import RedisServer
from streamer.sender.kafka_ledger import KafkaSendLog
from streamer.sender.ledger import GoOn, SendEntry
from streamer.sender.outcomes import Sent, outcome_events
from streamer.sender.process import run_sender
from streamer.settings import Settings
from streamer.stopping import Stopping
from streamer.transports.kafka.partition import read_partition
from streamer.values import time_text
from streamer.wire import EVENTS, MESSAGES, SENDS
from tests.unit.sender.decisions import NOON_MS, a_decision


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    """Of a deployment with one shard on the mock cluster."""
    plain = Settings.model_construct()
    topics = {plain.topic(suffix): 1 for suffix in (EVENTS, MESSAGES, SENDS)}
    with MockKafkaProcess(topics) as mock:
        yield plain.model_copy(update={"kafka": mock.bootstrap, "shards": 1, "transactions": False})


def entry(state: str, number: int, decision: int) -> SendEntry:
    return SendEntry(state, time_text(NOON_MS), GoOn(decision, 0), f"{number:032x}", "cart_reminder", "email", number, 1)  # type: ignore[arg-type]


async def test_what_was_begun_and_what_became_of_it_is_found_by_the_next_sender(settings: Settings) -> None:
    """The first one ends between two messages: one is known as sent, of the other nobody can tell."""
    ledger = await KafkaSendLog.open(settings, 0)
    assert ledger.book.newest == {}
    await ledger.begin([entry("attempting", 1, 0), entry("attempting", 2, 0)])
    await ledger.settle([entry("sent", 1, 1)], outcome_events(a_decision(1), Sent("250"), NOON_MS))
    await ledger.close()
    following = await KafkaSendLog.open(settings, 0)
    try:
        found = {key: one.state for key, one in following.book.newest.items()}
        assert found == {f"{1:032x}": "sent", f"{2:032x}": "attempting"}
        assert following.book.go_on.decision == 1
        assert following.end == ledger.end == 3
    finally:
        await following.close()
    events: list[str] = []
    async with aclosing(read_partition(settings, EVENTS, 0)) as batches:
        async for records in batches:
            events += [decode(record.value or b"").message_id for record in records]
    assert events == [f"out:{1:032x}:sent"]


async def test_a_sender_without_transactions_says_so(settings: Settings, redis_server: RedisServer, tmp_path: Path) -> None:
    """Two that both believe to have a shard may send one message twice: an operator must know."""
    stopping = Stopping()
    place = tmp_path / "thanks" / "en"
    place.mkdir(parents=True)
    for part in ("subject", "text"):
        (place / f"{part}.liquid").write_text("Thank you")
    changed = {"store": SecretStr(redis_server.url), "templates": tmp_path, "sender_web_port": free_port()}
    with capture_logs() as said:
        running = asyncio.create_task(run_sender(settings.model_copy(update=changed), stopping, lambda _: None))
        async with asyncio.timeout(20):
            while not any("no transactions" in one["event"] for one in said):
                assert not running.done(), running
                await asyncio.sleep(0.02)
        stopping.begin()
        await running
    [warning] = [one for one in said if "no transactions" in one["event"]]
    assert warning["log_level"] == "warning"
