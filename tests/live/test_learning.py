"""The learner on real servers: a worker learns, is killed, and the next one learns on as if nothing had been.

The log's times are the test's: events carry them (the topic is made with ``CreateTime``, workers do not tick), so that half a day of a
shop passes in seconds and what is learned is the same at every run.
"""

from __future__ import annotations

import asyncio
import random
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic, time
from typing import Any, cast

import msgspec
import pytest

from streamer.customers.features import measure
from streamer.customers.profile import profile_of
from streamer.customers.state import decode_state
from streamer.flow.learner_checkpoint import LearnerCheckpoint, decode_learner
from streamer.flow.published import GivenVersions
from streamer.flow.training import TrainingLog
from streamer.flow.training_order import MinuteOrder, TrainingRecord, read_training_record
from streamer.learning.scorers.decode import Groups, Scorer, decode_scorer
from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.redis import RedisServer
from streamer.segments.plan.model_memories import PROFILE_KEY, score_key
from streamer.segments.plan.plan import Plan
from streamer.stores.documents import LEARNER_SHARD, published_scorer_document
from streamer.stores.memory import MemoryStore
from streamer.transports.kafka.clients import log_record
from streamer.transports.kafka.control import CONTROL
from streamer.wire import EVENTS, EXAMPLES, TICK, decode_control, shard_of

from .deployment import SHARDS, Deployment

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
CUSTOMERS, FIRST_PART = 2_000, 700  # groups take 1,000 profiles, and so none is there yet when the worker dies
DEFINITIONS = """
models:
  purchase: {kind: purchase, horizon: 30m, window: 10m}
  behaviour: {kind: groups, groups: 3}
segments:
  likely: {for: will buy within half an hour, when: 'score("purchase") >= 0.3'}
  unlikely: {for: will not buy soon, when: 'score("purchase") < 0.2'}
  buyer: {for: bought today, when: 'did("Order Completed", within="1d")'}
"""


@pytest.fixture
async def shop(kafka: ApacheKafka | ExternalKafka, own_redis: RedisServer, fresh_name: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    """Topics and definitions, no worker yet."""
    async with Deployment(
        kafka.bootstrap, own_redis.url, fresh_name, tmp_path, definitions=DEFINITIONS, tick=0, trust_producer_time=True
    ) as deployment:
        # Kept for ever, as our own topics are: the definitions are of 1970, and every five minutes the broker looks for what is too old.
        kafka.create_topic(deployment.settings.topic(EVENTS), SHARDS, {"message.timestamp.type": "CreateTime", "retention.ms": "-1"})
        await deployment.prepare(at_ms=0)
        yield deployment


class Traffic:
    """Visits one after another: who begins with the cart buys more often than not, who looks around hardly ever."""

    def __init__(self, shop: Deployment) -> None:
        self._shop = shop
        self._random = random.Random(5)
        self.start_ms = int(time() * 1_000) - 13 * HOUR_MS
        self.sent = 0

    def visits(self, first: int, end: int) -> list[tuple[int, str, str]]:
        """Time, customer and event of the visits of some customers, in order of time."""
        draw, found = self._random, list[tuple[int, str, str]]()
        for number in range(first, end):
            at = self.start_ms + number * 20_000
            carts = draw.random() < 0.4
            buys = draw.random() < (0.6 if carts else 0.03)
            names = ["Product Added"] if carts else ["Product Viewed"] * draw.randrange(1, 9)
            names += ["Products Searched"] * draw.choice([0, 0, 1, 4]) + ["Order Completed"] * buys
            found += [(at + step * 40_000, f"c{number}", name) for step, name in enumerate(names)]
        return sorted(found)

    async def send(self, visits: list[tuple[int, str, str]]) -> int:
        """Write them, and let two minutes pass in every shard after the last; return that time."""
        async with self._shop.producer() as client:
            topic, waiting = self._shop.settings.topic(EVENTS), list[Any]()
            for at, customer, name in visits:
                self.sent += 1
                body = {"event": name, "messageId": f"m{self.sent}", "userId": customer, "timestamp": at, "properties": {"total": 20}}
                shard = shard_of(customer, SHARDS)
                waiting.append(await client.send(topic, msgspec.json.encode(body), partition=shard, timestamp_ms=at))
            last = visits[-1][0] + 2 * MINUTE_MS
            for shard in range(SHARDS):
                waiting.append(await client.send(topic, TICK, partition=shard, headers=CONTROL, timestamp_ms=last))
            await asyncio.gather(*waiting)
        return last


async def until_taught(shop: Deployment, what: str, holds: Any) -> LearnerCheckpoint:
    """Wait for something to hold of what the learner has committed."""
    deadline = monotonic() + 120
    async with shop.store() as store:
        while True:
            checkpoint = await store.checkpoint(LEARNER_SHARD)
            body = decode_learner(checkpoint.body) if checkpoint.body else LearnerCheckpoint()
            if holds(body):
                return body
            if monotonic() > deadline:
                raise AssertionError(
                    f"not within two minutes: {what}; {body.current} {body.cards}\n{await whereabouts(shop, body)}\n{shop.logs()}"
                )
            await asyncio.sleep(0.3)


async def whereabouts(shop: Deployment, body: LearnerCheckpoint) -> str:
    """Who of the shards, their relays and the learner has come how far."""
    events, examples, shards = await shop.ends(EVENTS), await shop.ends(EXAMPLES), await shop.checkpoints()
    each = zip(events, shards, examples, body.offsets, strict=False)
    return "\n".join(
        f"shard {number}: read to {found.position.offset} of {log}, epoch {found.epoch}; of {said} examples {learned} are learned"
        for number, (log, found, said, learned) in enumerate(each)
    )


async def until_in_the_log(shop: Deployment, models: set[str]) -> None:
    """Wait until every shard is told to switch to a scorer of each model."""
    deadline = monotonic() + 30
    for shard in range(SHARDS):
        found = set[str]()
        while found != models:
            assert monotonic() < deadline, f"shard {shard} was told of {found or 'nothing'}\n{shop.logs()}"
            records = [log_record(record) for record in await shop.read(EVENTS, shard)]
            controls = [decode_control(record.value) for record in records if record.control]
            found = {control.model for control in controls if control.control == "model"}


async def learned_anew(shop: Deployment, body: LearnerCheckpoint) -> TrainingLog:
    """A learner in memory over the same examples, undisturbed; it asserts that what was taken is a beginning of the order."""
    memory, definitions = MemoryStore(), shop.definitions
    order, items = MinuteOrder(SHARDS), list[TrainingRecord]()
    for shard in reversed(range(SHARDS)):  # another order of fetches than the worker's
        items = [read_training_record(shard, log_record(record)) for record in await shop.read(EXAMPLES, shard)]
        order.add(items)
    items = order.ready()
    taken = [item for item in items if item.record.offset < body.offsets[item.shard]]
    assert taken == items[: len(taken)]
    training = await TrainingLog.acquire(memory, GivenVersions({1: definitions.content()}), SHARDS)
    await training.take(taken)
    await training.commit()
    for model, (version, _) in training.body.current.items():
        async with shop.store() as store:
            for number in range(1, version + 1):
                name = published_scorer_document(model, number)
                assert await store.get_document(name) == await memory.get_document(name) is not None
    return training


async def check_answers(shop: Deployment, customers: list[str], at_ms: int) -> set[str]:
    """What Redis has of customers who first came at ``at_ms`` are the scorers' own answers; return their groups."""
    plan, groups = Plan(shop.definitions, lateness_ms=shop.settings.rules.lateness_ms), set[str]()
    async with shop.store() as store:
        for customer in customers:
            blob = (await store.fetch(shard_of(customer, SHARDS), [customer], until_ms=0, limit=0)).states[0]
            assert blob is not None
            state = decode_state(blob)
            x = measure(profile_of(state.slots[plan.slots[PROFILE_KEY]]), at_ms, plan.zone_of(state))
            name, number, version = state.slots[plan.slots[score_key("behaviour")]]
            found = cast("Groups", decode_scorer(await store.get_document(published_scorer_document("behaviour", version)) or b""))
            assert (number, name) == (found.assign(x, None), found.names[number])
            score, share, version = state.slots[plan.slots[score_key("purchase")]]
            scorer = cast("Scorer", decode_scorer(await store.get_document(published_scorer_document("purchase", version)) or b""))
            assert (score, share) == (scorer.score(x), scorer.percentile(score))
            groups.add(name)
    return groups


async def test_a_killed_learner_is_followed_by_one_that_publishes_the_same(shop: Deployment) -> None:
    """What a model has become must not depend on who died while it learned."""
    traffic = Traffic(shop)
    first = shop.start_worker()
    await traffic.send(traffic.visits(0, FIRST_PART))
    half = await until_taught(shop, "half learned", lambda body: body.learned > 1_000)
    assert half.current == {}, "it was to die before it had published anything"
    first.kill()
    assert first.process.returncode == -signal.SIGKILL
    await traffic.send(traffic.visits(FIRST_PART, CUSTOMERS))
    async with shop.store() as store:
        assert decode_learner((await store.checkpoint(LEARNER_SHARD)).body) == half, "it was dead when the rest came"
    shop.start_worker()
    await until_taught(shop, "both published", lambda body: len(body.current) == 2)
    await shop.until_caught_up()
    await until_in_the_log(shop, {"behaviour", "purchase"})
    now = int(time() * 1_000) + 5 * MINUTE_MS  # above every time that a worker has written
    fresh = [f"n{number}" for number in range(120)]
    kinds = ("Product Viewed", "Product Added", "Products Searched", "Order Completed")
    await traffic.send([(now, customer, kinds[at % 4]) for at, customer in enumerate(fresh)])
    await shop.until_caught_up()
    assert set(await shop.stop_all()) == {0}, shop.logs()

    async with shop.store() as store:
        body = decode_learner((await store.checkpoint(LEARNER_SHARD)).body)
    assert body.learned > half.learned
    anew = await learned_anew(shop, body)
    assert anew.body.learner == body.learner
    assert anew.body == body
    assert len(await check_answers(shop, fresh, now)) > 1, "everybody in one group proves nothing"
    reckoning = await shop.reckon()
    assert reckoning.changes > 500


async def serving(shop: Deployment) -> set[int]:
    """The newest version of the purchase model that each shard was told of."""
    found = set[int]()
    for shard in range(SHARDS):
        controls = [decode_control(record.value) for record in map(log_record, await shop.read(EVENTS, shard)) if record.control]
        found.add([control.version for control in controls if control.control == "model" and control.model == "purchase"][-1])
    return found


async def test_a_model_is_pinned_rolled_back_and_let_go_by_commands(shop: Deployment) -> None:
    """The learner that runs obeys, the shards are told, and the answer is the worker's."""
    traffic = Traffic(shop)
    shop.start_worker()
    await traffic.send(traffic.visits(0, CUSTOMERS))
    await until_taught(shop, "a second version", lambda body: body.current.get("purchase", (0, ""))[0] > 1)
    assert "purchase has no version 99" in await shop.command("models", "pin", "purchase", "99")
    said = re.match(r"purchase stays at version (\d+)", await shop.command("models", "rollback", "purchase"))
    assert said is not None
    assert await serving(shop) == {int(said[1])}
    assert "purchase stays at version 1" in await shop.command("models", "pin", "purchase", "1")
    assert await serving(shop) == {1}
    assert "purchase goes on as it learns" in await shop.command("models", "unpin", "purchase")
    examples = [decode_control(record.value) for record in map(log_record, await shop.read(EXAMPLES, 0)) if record.control]
    assert [control.control for control in examples if control.model == "purchase"] == ["pin", "pin", "unpin"]
    assert set(await shop.stop_all()) == {0}, shop.logs()
