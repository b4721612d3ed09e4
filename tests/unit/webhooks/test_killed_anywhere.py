"""A deliverer is killed between any two of its waits: each change arrives, in order for each customer, and repeats have its id."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Collection, Mapping
from typing import Final, NamedTuple

import pytest
from aiokafka.structs import ConsumerRecord

from streamer.settings import load_settings
from streamer.telemetry.webhook_metrics import WebhookMetrics
from streamer.transports.kafka.noted_consumer import Noted, Owner
from streamer.webhooks import lanes, schedule, subscriber
from streamer.webhooks.delivery import DeliveryClock, Endpoint, Notebook
from streamer.webhooks.feed import ChangeFeed
from streamer.webhooks.sending import WebhookAttempt, WebhookRequest, WebhookSender
from streamer.webhooks.signatures import Signatory, new_secret
from streamer.webhooks.subscriber import Subscriber
from streamer.webhooks.subscription import Start, Subscription
from tests.killed import Reaper, run_at_once, run_until

SHARDS: Final = 2
CHANGES: Final = 30
CUSTOMERS: Final = 3  # of a shard
POLL_S: Final = 0.01
KILLS_MIN: Final = 100  # fewer, and the process does not do what it should
SUBSCRIPTION: Final = Subscription(name="shop", id="0a1b2c3d", url="https://shop.example/", secrets=("env:S",), start=Start())


class Arrival(NamedTuple):
    """A request at the endpoint."""

    webhook_id: str
    customer: str
    sequence: int
    status: int


class World:
    """What outlives a process: the topic, what the group knows, what came to the endpoint, and how often each change was refused."""

    def __init__(self) -> None:
        self.shards: list[list[ConsumerRecord[bytes, bytes]]] = [[] for _ in range(SHARDS)]
        self.noted: dict[int, Noted] = {}
        self.arrivals: list[Arrival] = []
        self.refusals = Counter[str]()
        self.notes = 0
        self._sequences = Counter[str]()

    def grow(self) -> None:
        """One more change, in each shard in turn; every fourth place is written twice, as by a relay that died before it trimmed."""
        number = self._sequences.total()
        if number == CHANGES:
            return
        shard, customer = number % SHARDS, f"c-{number % SHARDS}-{number // SHARDS % CUSTOMERS}"
        self._sequences[customer] += 1
        position = {"generation": 1, "shard": shard, "offset": number, "ordinal": 0}
        data = {"segment": "buyer", "sequence": self._sequences[customer], "position": position}
        body = json.dumps({"id": f"1-{shard}-{number}-0", "type": "segment.entered", "subject": customer, "data": data}).encode()
        for _ in range(2 if number % 4 == 0 else 1):
            offset = len(self.shards[shard])
            self.shards[shard].append(ConsumerRecord("changes", shard, offset, 0, 0, None, body, None, 0, len(body), ()))

    def delivered(self) -> dict[str, list[int]]:
        """The sequences that were answered with 2xx, by customer, as they came; repeats left out."""
        found: dict[str, list[int]] = defaultdict(list)
        for one in self.arrivals:
            if one.status == 204 and one.sequence not in found[one.customer]:
                found[one.customer].append(one.sequence)
        return dict(found)

    def is_done(self) -> bool:
        """Everything is delivered, and the group knows it."""
        ends = {shard: len(records) for shard, records in enumerate(self.shards)}
        told = {shard: noted.offset for shard, noted in self.noted.items()}
        return self._sequences.total() == CHANGES and sum(map(len, self.delivered().values())) == CHANGES and told == ends


class FeedInMemory(ChangeFeed):
    """Reads the topic from where it ends now."""

    def __init__(self, world: World, reaper: Reaper, metrics: WebhookMetrics) -> None:
        super().__init__(load_settings(shards=SHARDS), metrics)
        self._world = world
        self._reaper = reaper
        self._next = {shard: len(records) for shard, records in enumerate(world.shards)}

    async def first_kept(self, shard: int) -> int:
        await self._reaper.wait()
        return 0

    def behind(self, shard: int) -> int:
        return 0

    async def run(self) -> None:
        while True:
            await self._reaper.wait()
            for shard, records in enumerate(self._world.shards):
                if fresh := records[self._next[shard] : self._next[shard] + 3]:
                    for record in fresh:
                        self._give(record)
                    self._reach(shard, fresh[-1].offset + 1)
            await asyncio.sleep(POLL_S)


class GroupOfOne:
    """``NotedConsumer`` where the group has this member alone."""

    def __init__(self, world: World, reaper: Reaper, owner: Owner) -> None:
        self.is_dealt = False
        self._world = world
        self._reaper = reaper
        self._owner = owner

    async def start(self) -> None:
        await self._reaper.wait()

    async def attend(self) -> None:
        await self._reaper.wait()
        if not self.is_dealt:
            self.is_dealt = True
            for shard in range(SHARDS):
                self._owner.dealt(shard, self._world.noted.get(shard, Noted(0, "")))
        await asyncio.sleep(POLL_S)

    async def commit(self, notes: Mapping[int, Noted]) -> bool:
        await self._reaper.wait()
        self._world.noted.update(notes)
        self._world.notes += 1
        await self._reaper.wait()
        return True

    async def stop(self) -> None:
        await self._reaper.wait()


class EndpointOfShop(WebhookSender):
    """Refuses each fifth change twice, and takes time to answer."""

    def __init__(self, world: World, reaper: Reaper) -> None:
        self._world = world
        self._reaper = reaper

    async def post(self, request: WebhookRequest, signatory: Signatory) -> WebhookAttempt:
        await self._reaper.wait()
        told = json.loads(request.body)
        is_refused = told["data"]["position"]["offset"] % 5 == 0 and self._world.refusals[request.webhook_id] < 2
        self._world.refusals[request.webhook_id] += is_refused
        status = 500 if is_refused else 204
        self._world.arrivals.append(Arrival(request.webhook_id, told["subject"], told["data"]["sequence"], status))
        await self._reaper.wait()
        return WebhookAttempt("failed" if is_refused else "delivered", status, "", 1)


async def one_process(world: World, reaper: Reaper, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deliverer at work on the one subscription, until it is killed or all is done."""

    async def read_again(_settings: object, _topic: str, shard: int, *, begin: int, max_records: int) -> AsyncGenerator[Collection[object]]:
        for first in range(begin, end := len(world.shards[shard]), 3):
            await reaper.wait()
            yield world.shards[shard][first : min(first + 3, end)]

    async def buried(_change: object, line: object) -> None:
        raise AssertionError(f"given up: {line}")

    def disable(why: str) -> None:
        raise AssertionError(why)

    monkeypatch.setattr(subscriber, "NotedConsumer", lambda _settings, _topic, _group, _start, owner: GroupOfOne(world, reaper, owner))
    monkeypatch.setattr(subscriber, "read_partition", read_again)
    metrics, loop = WebhookMetrics(), asyncio.get_running_loop()
    clock = DeliveryClock(lambda: 1_764_408_000_000 + int(loop.time() * 1_000), lambda: 0.0)
    notebook = Notebook(lambda _line: None, buried, disable, metrics)
    endpoint = Endpoint(SUBSCRIPTION, EndpointOfShop(world, reaper), Signatory([new_secret()]), clock, notebook)
    feed = FeedInMemory(world, reaper, metrics)
    work = Subscriber(load_settings(shards=SHARDS), SUBSCRIPTION, endpoint, feed, metrics)
    await run_until(world.is_done, feed.run(), work.run(), reaper=reaper)


async def tell(at: int, monkeypatch: pytest.MonkeyPatch) -> tuple[World, bool]:
    """Two processes that are killed at their ``at``-th wait, and one that is not; whether any was killed."""
    world, was_killed = World(), False
    for _ in range(8):
        world.grow()
    for process in range(3):
        reaper = Reaper(at if process < 2 else 0, world.grow)
        await one_process(world, reaper, monkeypatch)
        was_killed = was_killed or reaper.waits == at
        if world.is_done():
            break
    return world, was_killed


def check(world: World, at: int) -> None:
    """Everything arrived in order, and nothing before what comes before it."""
    everything = {customer: list(range(1, max(found) + 1)) for customer, found in world.delivered().items()}
    assert world.delivered() == everything, f"killed at wait {at}"
    assert sum(map(len, everything.values())) == CHANGES, f"killed at wait {at}: something is missing"
    done = Counter[str]()
    for one in world.arrivals:
        assert one.sequence <= done[one.customer] + 1, f"killed at wait {at}: {one} came before an earlier change was taken"
        if one.status == 204:
            done[one.customer] = max(done[one.customer], one.sequence)
    assert len({one.webhook_id for one in world.arrivals}) == CHANGES, f"killed at wait {at}: a repeat has another id"


def test_killed_between_any_two_waits_it_misses_nothing_and_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few changes fit into memory that lanes fall behind and are filled from Kafka, too; some changes are refused at first."""
    monkeypatch.setattr(schedule, "WAITS_MS", (20,) * 9)
    monkeypatch.setattr(subscriber, "NOTE_SECONDS", 0.003)
    monkeypatch.setattr(lanes, "QUEUE_MAX", 2)
    monkeypatch.setattr(lanes, "SHARD_MAX", 4)
    monkeypatch.setattr(lanes, "RECENT_MAX", 4)
    kills = again = 0
    while True:

        async def story(at: int = kills + 1) -> None:
            nonlocal found, was_killed
            found, was_killed = await tell(at, monkeypatch)

        found, was_killed = World(), False
        run_at_once(story())
        check(found, kills + 1)
        if not was_killed:
            break
        kills += 1
        again += len(found.arrivals) > CHANGES + found.refusals.total()
    assert kills > KILLS_MIN, f"only {kills} waits: the process did not do what it should"
    assert found.notes > 5, "what is done is noted only at the end"
    assert again > 10, "hardly anything was delivered twice: kills came to nothing"
