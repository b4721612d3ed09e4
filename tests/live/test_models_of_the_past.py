"""Models that are published over a log of years: ready within seconds, by what lies there, on real servers."""

from __future__ import annotations

import asyncio
import json
import random
from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from time import monotonic, time
from typing import Any

import pytest

from streamer.customers.state import decode_state
from streamer.flow.checkpoint import decode_body
from streamer.flow.learner_checkpoint import LearnerCheckpoint, decode_learner
from streamer.flow.published import GivenVersions
from streamer.flow.training import TrainingLog
from streamer.flow.training_order import read_training_record
from streamer.language.definitions import parse_definitions
from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.redis import RedisServer
from streamer.segments.plan.plan import Plan
from streamer.stores.base import Checkpoint
from streamer.stores.documents import LEARNER_SHARD
from streamer.stores.memory import MemoryStore
from streamer.transports.kafka.clients import log_record
from streamer.transports.kafka.control import CONTROL
from streamer.units import DAY_MS
from streamer.wire import EVENTS, EXAMPLES, TICK, LogRecord, lane_of, shard_of

from .deployment import SHARDS, Deployment

FIRST = """
models:
  purchase: {kind: purchase, horizon: 30m, window: 10m}
segments:
  likely: {for: will buy within half an hour, when: 'score("purchase") >= 0.3'}
"""
SECOND = FIRST.replace("segments:", "  behaviour: {kind: groups, groups: 3}\nsegments:")
THIRD = SECOND + "  scored: {for: the model has said something of them, when: 'score(\"purchase\") >= 0'}\n"
VISITS, STEP_MS = 1_450, 40_000
SCORED = [f"s{number}" for number in range(12)]


@pytest.fixture
async def shop(kafka: ApacheKafka | ExternalKafka, own_redis: RedisServer, fresh_name: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    """A log that is empty. Its times are its producers', and no worker ticks: what lies a minute behind need not be waited for."""
    async with Deployment(kafka.bootstrap, own_redis.url, fresh_name, tmp_path, tick=0, trust_producer_time=True) as deployment:
        kafka.create_topic(deployment.settings.topic(EVENTS), SHARDS, {"message.timestamp.type": "CreateTime", "retention.ms": "-1"})
        yield deployment


async def pass_time(shop: Deployment, minutes: int) -> None:
    """From so many minutes after now on, in every shard, with records enough to bring all customers under other definitions."""
    at_ms = int(time() * 1_000) + minutes * 60_000
    async with shop.producer() as client:
        for number in range(VISITS // 100 * SHARDS):
            shard = number % SHARDS
            await client.send_and_wait(
                shop.settings.topic(EVENTS), TICK, partition=shard, headers=CONTROL, timestamp_ms=at_ms + number * 10_000
            )


def history() -> list[dict[str, Any]]:
    """Visits of a year and more, few at first: who fills a cart buys more often than not."""
    draw, at_ms = random.Random(5), int(time() * 1_000) - 400 * DAY_MS
    found: list[dict[str, Any]] = []
    for number in range(VISITS):
        carts = draw.random() < 0.4
        names = ["Product Added"] if carts else ["Product Viewed"] * draw.randrange(1, 9)
        names += ["Products Searched"] * draw.choice([0, 0, 1, 4]) + ["Order Completed"] * (draw.random() < (0.6 if carts else 0.03))
        at_ms += DAY_MS if number < 390 else 240_000
        for step, name in enumerate(names):
            found.append({"event": name, "messageId": f"h{number}-{step}", "userId": f"c{number}", "timestamp": at_ms + step * STEP_MS})
    return found


async def until_taught(shop: Deployment, what: str, models: set[str]) -> LearnerCheckpoint:
    """Wait until models serve, by what the learner has committed."""
    deadline = monotonic() + 120
    async with shop.store() as store:
        while True:
            checkpoint = await store.checkpoint(LEARNER_SHARD)
            body = decode_learner(checkpoint.body) if checkpoint.body else LearnerCheckpoint()
            if {name for name, (_, digest) in body.current.items() if digest} >= models and not body.pasts:
                return body
            assert monotonic() < deadline, f"not within two minutes: {what}; {body.current} {body.cards}\n{shop.logs()}"
            await asyncio.sleep(0.3)


def version_of(checkpoint: Checkpoint) -> int:
    """Of the definitions that a shard is under."""
    return decode_body(checkpoint.body).version if checkpoint.body else 0


class Topic:
    """The examples as they lie there, for a learner in memory."""

    def __init__(self, shards: Sequence[Sequence[LogRecord]]) -> None:
        self.shards = shards

    async def batch(self, shard: int, offset: int) -> Sequence[LogRecord]:
        records = self.shards[shard]
        at = bisect_left(records, offset, key=lambda record: record.offset)
        return records[at : at + 1_000]


async def learned_anew(shop: Deployment, body: LearnerCheckpoint) -> LearnerCheckpoint:
    """What a learner comes to that takes the same examples in one go."""
    topic = Topic([[log_record(record) for record in await shop.read(EXAMPLES, shard)] for shard in range(SHARDS)])
    versions = GivenVersions({number: parse_definitions(text).content() for number, text in enumerate((FIRST, SECOND, THIRD), 1)})
    training = await TrainingLog.acquire(MemoryStore(), versions, SHARDS, topic=topic)
    for shard, records in enumerate(topic.shards):
        training.order.add([read_training_record(shard, record) for record in records if not lane_of(record.headers)])
    ready = training.order.ready()
    await training.take([item for item in ready if item.record.offset < body.offsets[item.shard]])
    await training.commit()
    return training.body


async def visit(shop: Deployment, customers: Sequence[str], at_ms: int) -> None:
    """One event of each of these customers."""
    async with shop.producer() as client:
        for number, customer in enumerate(customers):
            body = {"event": "Product Viewed", "messageId": f"v{number}", "userId": customer, "timestamp": at_ms}
            shard = shard_of(customer, SHARDS)
            await client.send_and_wait(shop.settings.topic(EVENTS), json.dumps(body).encode(), partition=shard, timestamp_ms=at_ms)


async def inside_since(shop: Deployment, segment: str, customers: Sequence[str]) -> set[int | None]:
    """When these customers have entered a segment of the third definitions; None: who is outside."""
    number, found = Plan(parse_definitions(THIRD), lateness_ms=shop.settings.rules.lateness_ms).numbers[segment], set[int | None]()
    async with shop.store() as store:
        for customer in customers:
            [blob] = (await store.fetch(shard_of(customer, SHARDS), [customer], until_ms=0, limit=0)).states
            assert blob is not None
            state = decode_state(blob)
            found.add(state.members[number].at_ms + state.origin_ms if state.is_inside(number) else None)
    return found


async def ask_later(shop: Deployment, third: Path) -> None:
    """A segment that asks the first model has those inside who were scored before anybody asked, since then."""
    at_ms = int(time() * 1_000) + 30 * 60_000
    await visit(shop, SCORED, at_ms)
    await pass_time(shop, 31)
    await shop.until_caught_up()
    await shop.command("segments", "publish", str(third), "--wait")
    await pass_time(shop, 40)
    await shop.until_caught_up()
    assert await inside_since(shop, "scored", SCORED) == {at_ms}


async def test_a_shop_that_starts_with_its_history_has_models_that_are_ready(shop: Deployment, tmp_path: Path) -> None:
    """The first worker's, and one that is published later; what was learned is a function of the examples."""
    events, (first, second, third) = tmp_path / "history.ndjson", (tmp_path / f"{name}.yaml" for name in ("first", "second", "third"))
    events.write_text("".join(json.dumps(event) + "\n" for event in history()), encoding="utf-8")
    first.write_text(FIRST, encoding="utf-8")
    second.write_text(SECOND, encoding="utf-8")
    third.write_text(THIRD, encoding="utf-8")
    assert "events brought in" in await shop.command("import", str(events))
    await shop.command("segments", "publish", str(first))
    shop.start_worker()
    await shop.until(lambda shards: all(version_of(shard) == 1 for shard in shards))
    await pass_time(shop, 2)
    await until_taught(shop, "the first model", {"purchase"})
    shown = await shop.command("models", "show", "purchase")
    assert "ready, version" in shown
    assert "learned from customers as they were since" in shown
    assert "when it was published, from the log" in shown
    await shop.command("segments", "publish", str(second), "--wait")
    await pass_time(shop, 20)
    body = await until_taught(shop, "the second model", {"purchase", "behaviour"})
    await ask_later(shop, third)
    assert set(await shop.stop_all()) == {0}, shop.logs()
    async with shop.store() as store:
        body = decode_learner((await store.checkpoint(LEARNER_SHARD)).body)
    purchase, behaviour = body.cards["purchase"], body.cards["behaviour"]
    assert behaviour.joined_ms > purchase.joined_ms > (purchase.from_ms or 0) > 0
    anew = await learned_anew(shop, body)
    assert (anew.learner, anew.current) == (body.learner, body.current)
