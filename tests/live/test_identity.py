"""One person under several ids, on real servers: whoever was a visitor is the same customer after the login, whatever is killed."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from time import monotonic, time
from typing import Any, Final

import aiohttp
import msgspec
import pytest
import yaml
from aiokafka import AIOKafkaProducer

from streamer.commands import UnmergeIds
from streamer.customers.tombstone import Tombstone, decode_tombstone, is_tombstone
from streamer.deployment.asking import ask
from streamer.flow.checkpoint import decode_body
from streamer.flow.forwards import forward_of
from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.redis import RedisServer
from streamer.segments.change import Change
from streamer.segments.merge import Merge, decode_change_or_merge
from streamer.segments.unmerge import Unmerge
from streamer.stores.base import Checkpoint
from streamer.transports.kafka.changes import read_changes
from streamer.transports.kafka.clients import log_record
from streamer.values import time_text
from streamer.wire import ANSWERS, CHANGES, EVENTS, LogRecord, decode_outputs, shard_of
from tests.oracle.persons import PersonStory, Post, tell_all
from tests.property.town import changes_of, record_of

from .change_readers import ServeProcess
from .deployment import SHARDS, Deployment

DEFINITIONS: Final = """
segments:
  cart_left: {for: left a cart, when: 'idle("*") >= "2s" and last("Product Added") > last("Order Completed")'}
  bought_from_cart: {for: added and bought, when: 'sequence("Product Added", "Order Completed", within="1d")'}
  viewer: {for: looks around, when: 'count("Product Viewed", within="1h") >= 3'}
  buyer: {for: bought lately, when: 'did("Order Completed", within="4s")'}
"""
STAGES: Final = ("linked", "drained", "linked", "adopted")  # one a round: once some ids have come so far, all workers are killed
LOGINS: Final = 40  # in each round
PAIRS: Final = 4  # of people who are parted
DEADLINE_S: Final = 60


class Visitors:
    """Writes what people do, as their SDKs would."""

    def __init__(self, shop: Deployment, client: AIOKafkaProducer) -> None:
        self.written = 0
        self._shop = shop
        self._client = client

    async def write(self, event: str, **fields: Any) -> str:
        """An event of now, acknowledged; its message id."""
        self.written += 1
        id_ = f"m{self.written}"
        body = {"type": "track", "event": event, "messageId": id_, "timestamp": time_text(int(time() * 1_000)), **fields}
        customer: str = body.get("userId") or body["anonymousId"]
        topic = self._shop.settings.topic(EVENTS)
        sent = await self._client.send(topic, msgspec.json.encode(body), key=customer.encode(), partition=shard_of(customer, SHARDS))
        await sent
        return id_


@pytest.fixture
async def shop(kafka: ApacheKafka | ExternalKafka, own_redis: RedisServer, fresh_name: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    """Segments of visitors who log in."""
    async with Deployment(kafka.bootstrap, own_redis.url, fresh_name, tmp_path, definitions=DEFINITIONS) as deployment:
        await deployment.prepare()
        yield deployment


async def test_a_visitor_who_logs_in_and_buys_is_sent_no_reminder(shop: Deployment) -> None:
    """The commonest flow of any shop, from producers to a reader. Others who left a cart behind after them say that time has passed."""
    shop.start_worker()
    shop.start_worker()
    await shop.until_owned()
    visitor, user, canaries = named("an", 0), named("u", 1), [named("left", 0), named("left", 1)]
    async with shop.producer() as client:
        people = Visitors(shop, client)
        await people.write("Product Added", anonymousId=visitor, properties={"price": 20})
        login = await people.write("", type="identify", anonymousId=visitor, userId=user)
        await people.write("Order Completed", anonymousId=visitor, userId=user, properties={"total": 20})
        for canary in canaries:
            await people.write("Product Added", anonymousId=canary)
    said: list[Change | Merge | Unmerge] = []
    async with asyncio.timeout(DEADLINE_S):
        async for each in read_changes(shop.settings, merges=True):
            said.append(each)
            if {change.subject for change in said if isinstance(change, Change) and change.data.segment == "cart_left"} >= {*canaries}:
                break
    of_us = [each for each in said if each.subject in (visitor, user)]
    [merge] = [each for each in of_us if isinstance(each, Merge)]
    assert (merge.data.from_, merge.data.to, merge.data.cause) == (visitor, user, login)
    changes = {(change.subject, change.data.segment, change.type) for change in of_us if isinstance(change, Change)}
    assert changes >= {(user, "bought_from_cart", "segment.entered"), (user, "buyer", "segment.entered")}
    assert "cart_left" not in {segment for _, segment, _ in changes}
    assert set(await shop.stop_all()) == {0}, shop.logs()
    await shop.reckon()
    await judge(shop)


async def test_two_customers_are_merged_by_a_command(shop: Deployment) -> None:
    """Who has two accounts: the command writes the alias, and a second one finds that nothing is to be done."""
    shop.start_worker()
    await shop.until_owned()
    before, after = named("old", 0), named("new", 1)
    async with shop.producer() as client:
        people = Visitors(shop, client)
        for customer in (before, after, after):
            await people.write("Product Viewed", userId=customer)
    await shop.until_caught_up()
    assert "the merge is in the log" in await shop.command("customers", "merge", before, after)
    shown = await shop.until_said("in viewer since", "customers", "show", before)
    assert f"also {before}, linked" in shown
    assert "one person already" in await shop.command("customers", "merge", before, after)
    await until_settled(shop)
    assert set(await shop.stop_all()) == {0}, shop.logs()
    await judge(shop)


async def test_two_customers_are_parted_by_a_command(shop: Deployment, tmp_path: Path) -> None:
    """They were merged by mistake, and both go on meanwhile: each is what it would be, in the store and when it is told anew."""
    shop.start_worker()
    await shop.until_owned()
    old, new = named("old", 0), named("new", 1)
    async with shop.producer() as client:
        people = Visitors(shop, client)
        for customer in (old, old, new):
            await people.write("Product Viewed", userId=customer)
        await shop.until_caught_up()
        await shop.command("customers", "merge", old, new)
        await shop.until_said("in viewer since", "customers", "show", new, deadline_s=DEADLINE_S)
        await people.write("Product Viewed", userId=old)
        await shop.until_caught_up()
        foreseen = await shop.command("customers", "unmerge", old, "--dry-run")
        joined_ms = max(log_times(await shop.checkpoints()))
        await shop.until(lambda checkpoints: min(log_times(checkpoints)) >= joined_ms, deadline_s=120)
        assert foreseen.count("in viewer since") == 2, foreseen
        assert "two customers again" in await shop.command("customers", "unmerge", old, "--from", new, "--why", "a mistake")
        shown = await shop.until_said("in viewer since", "customers", "show", old, deadline_s=DEADLINE_S)
        assert old in shown
        assert "in no segment" in await shop.command("customers", "show", new)
        assert (await shop.command("segments", "members", "viewer", "--at", time_text(joined_ms))).splitlines()[1:] == [new]
        assert (await shop.command("segments", "members", "viewer")).splitlines()[1:] == [old]
        assert await past_viewers(shop, joined_ms, tmp_path) == [new], "and over HTTP"
        assert await shop.exit_code("customers", "unmerge", old) != 0, "they are two already"
        await people.write("Product Viewed", userId=new)
        await people.write("Product Viewed", userId=new)
    await shop.until_said("in viewer since", "customers", "show", new, deadline_s=DEADLINE_S)
    await shop.until_caught_up()
    assert set(await shop.stop_all()) == {0}, shop.logs()
    await shop.reckon()


async def test_workers_killed_while_they_part_two_lose_neither(shop: Deployment) -> None:
    """``kill -9`` of the worker that reads the logs for it, and of the next one once the first is parted and the other not back yet: what
    was asked for is done once, and both are what they would be, in the store and when they are told anew."""
    pairs = [(named(f"old{number}", number % SHARDS), named(f"new{number}", (number + 1) % SHARDS)) for number in range(PAIRS)]
    shop.start_worker()
    await shop.until_owned()
    async with shop.producer() as client:
        people = Visitors(shop, client)
        for old, new in pairs:
            for customer in (old, old, new):
                await people.write("Product Viewed", userId=customer)
            await people.write("", type="alias", userId=new, properties={"previousId": old})
        await until_counted(shop, "adopted", PAIRS)
        for old, new in pairs:
            await people.write("Product Viewed", userId=old)
            await people.write("Product Viewed", userId=new)
        await until_settled(shop)
        met, stages = Counter[str](), iter(("asked", "parted", "parted"))
        for old, new in pairs:
            asked = asyncio.create_task(ask(shop.settings, UnmergeIds(old, new, "a mistake"), wait_seconds=DEADLINE_S))
            if (stage := next(stages, None)) is not None:
                await (until_begun(shop, 1) if stage == "asked" else until_counted(shop, stage, met["asked"] + met["parted"] + 1))
                shop.workers[-1].kill()
                assert shop.workers[-1].process.returncode == -signal.SIGKILL
                met[stage] += 1
                met["before it could answer"] += not asked.done()
                shop.start_worker()
            assert (await asked).outcome == "done", shop.logs()
        await until_counted(shop, "restored", PAIRS)
    assert (met["asked"], met["parted"]) == (1, 2)
    assert met["before it could answer"]
    await until_settled(shop)
    assert [await counted(shop, what) for what in ("parted", "restored")] == [PAIRS, PAIRS]
    for old, new in pairs:
        assert "in viewer since" in await shop.command("customers", "show", old), "three of its own"
        assert "in no segment" in await shop.command("customers", "show", new), "two of its own"
    assert set(await shop.stop_all()) == {0}, shop.logs()
    await shop.reckon()


async def until_begun(shop: Deployment, times: int) -> None:
    """Until workers have said so often that they began something."""
    deadline = monotonic() + DEADLINE_S
    while sum(b'"begun"' in record.value for record in await shop.read(ANSWERS, 0)) < times:
        assert monotonic() < deadline, f"nobody began\n{shop.logs()}"


async def test_workers_killed_between_link_drain_and_adopt_lose_no_past(shop: Deployment) -> None:
    """``kill -9`` of all workers while links and pasts are on their way: the next owners go on, and all that is said is what the oracle
    says of the logs."""
    draw, met = random.Random(9), Counter[str]()
    for _ in range(2):
        shop.start_worker()
    await shop.until_owned()
    async with shop.producer() as client:
        people = Visitors(shop, client)
        for number, what in enumerate(STAGES):
            await visits(people, number, draw)
            await shop.until_caught_up()
            before = await counted(shop, what)
            burst = asyncio.create_task(logins(people, number, draw))
            await until_counted(shop, what, before + draw.randrange(1, LOGINS // 4))
            for child in shop.workers[-2:]:
                child.kill()
                assert child.process.returncode == -signal.SIGKILL
            await burst
            met += await on_their_way(shop)
            for _ in range(2):
                shop.start_worker()
    assert met["link"], "no worker died between a link and its drain"
    assert met["adopt"], "no worker died between a drain and its adopt"
    await until_settled(shop)
    assert set((await shop.stop_all())[-2:]) == {0}, shop.logs()
    reckoning = await shop.reckon()
    assert reckoning.changes > 2 * LOGINS, "too little happened to prove anything"
    await judge(shop)
    for number in range(len(STAGES)):
        for at in range(LOGINS):
            left = await entry(shop, visitor(number, at))
            assert isinstance(left, Tombstone), f"{visitor(number, at)} has no tombstone"
            assert (left.to, left.earlier) == (user(number, at), ())
            assert left.offsets.is_kept, "where the records lie of who it was"


async def past_viewers(shop: Deployment, at_ms: int, folder: Path) -> list[str]:
    """Who was in a segment at a moment, as a server for readers says it."""
    serve = ServeProcess(shop.settings, folder)
    try:
        await serve.until_ready()
        async with asyncio.timeout(DEADLINE_S), aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{serve.url}/v1/segments/viewer/past-members?at={time_text(at_ms)}") as response:
                    if response.status == 200:
                        return (await response.json())["members"]
                    assert response.status == 503, await response.text()  # it is still being found out
                await asyncio.sleep(1)
    finally:
        serve.kill()


def log_times(checkpoints: Sequence[Checkpoint]) -> list[int]:
    """How far the logs of all shards have come."""
    return [decode_body(checkpoint.body).log_time_ms for checkpoint in checkpoints]


def visitor(number: int, at: int) -> str:
    """Who looks around in a round."""
    return f"an-{number}-{at}"


def user(number: int, at: int) -> str:
    """Who that is."""
    return f"u-{number}-{at}"


async def visits(people: Visitors, number: int, draw: random.Random) -> None:
    """Everybody does something nobody knows them by; of some something is known already."""
    for at in range(LOGINS):
        for _ in range(draw.randrange(1, 4)):
            await people.write(draw.choice(["Product Viewed", "Product Viewed", "Product Added"]), anonymousId=visitor(number, at))
        if draw.random() < 0.5:
            await people.write("Product Viewed", userId=user(number, at))


async def logins(people: Visitors, number: int, draw: random.Random) -> None:
    """All log in at once; some buy."""
    async with asyncio.TaskGroup() as group:
        for at in range(LOGINS):
            ids = {"anonymousId": visitor(number, at), "userId": user(number, at)}
            group.create_task(people.write(draw.choice(["Order Completed", "Product Viewed"]), **ids))


async def counted(shop: Deployment, what: str) -> int:
    """How often something became of linked ids, as it is committed."""
    return sum(decode_body(checkpoint.body).identity.get(what, 0) for checkpoint in await shop.checkpoints())


async def until_counted(shop: Deployment, what: str, times: int) -> None:
    """Until it is committed that it was so often."""
    deadline = monotonic() + DEADLINE_S
    while await counted(shop, what) < times:
        assert monotonic() < deadline, f"not {times} {what}\n{shop.logs()}"


async def on_their_way(shop: Deployment) -> Counter[str]:
    """The kinds of records from shard to shard that are committed and not applied yet: in an outbox, or in the log."""
    found = Counter[str]()
    async with shop.store() as store:
        for shard, checkpoint in enumerate(await shop.checkpoints()):
            records = [log_record(record) for record in await shop.read(EVENTS, shard)]
            unread = [record.headers for record in records if record.offset >= checkpoint.position.offset]
            entries = await store.outbox(shard, after=None, limit=1_000)
            unread += [output.headers for _, blob in entries for output in decode_outputs(blob)]
            found.update(forward.kind for headers in unread if (forward := forward_of(LogRecord(0, 0, b"", headers=headers))))
    return found


async def until_settled(shop: Deployment) -> None:
    """Until shards have nothing left to tell each other: what they wrote up to some moment is applied, and wrote nothing more."""
    while True:
        await shop.until_caught_up(deadline_s=DEADLINE_S)
        if not await on_their_way(shop):
            return


async def entry(shop: Deployment, customer: str) -> Tombstone | None:
    """The tombstone under an id."""
    async with shop.store() as store:
        shard = shard_of(customer, SHARDS)
        blob = (await store.fetch(shard, [customer], until_ms=0, limit=0)).states[0]
    return decode_tombstone(blob) if blob is not None and is_tombstone(blob) else None


async def judge(shop: Deployment) -> None:
    """All that was said is what the oracle says of the logs of all shards. Call with all workers stopped."""
    logs: dict[int, Sequence[LogRecord]] = {}
    for shard, checkpoint in enumerate(await shop.checkpoints()):
        records = [log_record(record) for record in await shop.read(EVENTS, shard)]
        logs[shard] = [record for record in records if 0 < record.offset < checkpoint.position.offset]
    post, rules = Post(), shop.settings.rules
    source = yaml.safe_load(DEFINITIONS)
    stories = [PersonStory(shard, home, post, source, lateness_ms=rules.lateness_ms, skew_ms=rules.skew_ms) for shard in range(SHARDS)]
    tell_all(stories, {shard: [record_of(record) for record in records] for shard, records in logs.items()})
    assert not post.undelivered()
    for shard, story in enumerate(stories):
        said = [decode_change_or_merge(record.value) for record in await shop.read(CHANGES, shard)]
        highest, changes = (-1, -1), list[Change]()
        for each in said:
            place = (each.data.position.offset, each.data.position.ordinal)
            if place > highest and isinstance(each, Change):
                changes.append(each)
            highest = max(highest, place)
        assert changes_of(changes, shard) == story.changes


def home(customer: str) -> int:
    """The shard of a customer."""
    return shard_of(customer, SHARDS)


def named(begin: str, shard: int) -> str:
    """An id that begins so and lives in this shard."""
    return next(name for number in range(999) if home(name := f"{begin}-{number}") == shard)
