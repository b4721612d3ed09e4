"""Real workers on real servers, hurt in every way that operators see. Each test asserts that the fault really happened."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
from pathlib import Path

import pytest
from redis import Redis

from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.redis import RedisServer

from .deployment import SHARDS, Deployment


async def finish(shop: Deployment) -> int:
    """Catch up, stop everything in order, reckon; return the number of changes."""
    await shop.until_caught_up()
    codes = await shop.stop_all()
    assert codes, "no worker was left"
    assert set(codes) == {0}, shop.logs()
    reckoning = await shop.reckon()
    assert reckoning.changes > 50, "too little happened to prove anything"
    return reckoning.changes


async def test_two_workers_share_the_shards_and_end_on_sigterm_within_ten_seconds(shop: Deployment) -> None:
    """The plain case: what an operator sees on an ordinary day, up to the exit code."""
    shop.start_worker()
    shop.start_worker()
    await shop.until_owned()
    await shop.load(6)
    await finish(shop)


async def test_workers_killed_at_random_moments_change_nothing_in_the_story(shop: Deployment) -> None:
    """``kill -9`` between any two instructions: the next owner goes on from the checkpoint and says the same."""
    shop.start_worker()
    shop.start_worker()
    await shop.until_owned()
    before = [checkpoint.epoch for checkpoint in await shop.checkpoints()]
    draw = random.Random(7)
    load = asyncio.create_task(shop.load(14))
    for _ in range(4):
        await asyncio.sleep(draw.uniform(1.5, 3))
        victim = draw.choice([child for child in shop.workers if child.alive])
        victim.kill()
        assert victim.process.returncode == -signal.SIGKILL
        shop.start_worker()
    await load
    await shop.until_caught_up(deadline_s=40)
    after = [checkpoint.epoch for checkpoint in await shop.checkpoints()]
    assert all(new > old for new, old in zip(after, before, strict=True)), "no shard changed hands"
    await finish(shop)


async def test_a_worker_frozen_past_its_session_writes_nothing_when_it_wakes(shop: Deployment) -> None:
    """The zombie: it still believes it owns its shards. The epoch stops its commits, readers skip what it repeats."""
    zombie = shop.start_worker()
    await shop.until_owned()
    heir = shop.start_worker()
    load = asyncio.create_task(shop.load(16))
    await asyncio.sleep(2)
    epochs = [checkpoint.epoch for checkpoint in await shop.checkpoints()]
    zombie.pause()
    await shop.until(lambda found: all(new.epoch > old for new, old in zip(found, epochs, strict=True)), deadline_s=30)
    assert heir.alive
    zombie.resume()
    await load
    await finish(shop)


async def test_a_killed_redis_comes_back_and_the_shards_go_on(shop: Deployment, own_redis: RedisServer) -> None:
    """The store may be away for seconds: nothing is skipped, nothing is said twice to a reader who follows the rule."""
    shop.start_worker()
    await shop.until_owned()
    load = asyncio.create_task(shop.load(8))
    for _ in range(2):
        await asyncio.sleep(2)
        pid = own_redis.pid
        own_redis.kill()
        await asyncio.sleep(0.7)
        own_redis.restart()
        assert own_redis.pid != pid
    await load
    await finish(shop)


async def test_a_killed_kafka_comes_back_and_the_shards_go_on(shop: Deployment, kafka: ApacheKafka | ExternalKafka) -> None:
    """Events wait at their producers, outputs in the outbox."""
    if isinstance(kafka, ExternalKafka):
        pytest.fail("this test kills its broker; run it without STREAMER_KAFKA")
    shop.start_worker()
    await shop.until_owned()
    load = asyncio.create_task(shop.load(12))
    await asyncio.sleep(3)
    pid = kafka.pid
    kafka.kill()
    kafka.restart()
    assert kafka.pid != pid
    await load
    await finish(shop)


async def test_a_redis_that_came_back_older_is_noticed_and_the_lost_part_said_again(
    kafka: ApacheKafka | ExternalKafka, fresh_name: str, tmp_path: Path
) -> None:
    """Failover to a lagging replica, or power loss: state and position are old together, and the log still has the rest."""
    with RedisServer(appendonly=False, options={"save": '""'}) as server:
        shop = Deployment(kafka.bootstrap, server.url, fresh_name, tmp_path)
        await shop.prepare()
        worker = shop.start_worker()
        await shop.until_owned()
        await shop.load(3)
        with Redis.from_url(server.url) as client:
            client.save()
        snapshot = tmp_path / "old.rdb"
        shutil.copy(server.directory / "dump.rdb", snapshot)
        old = await shop.checkpoints()
        await shop.load(3)
        await shop.until(lambda found: all(new.position > before.position for new, before in zip(found, old, strict=True)))
        newest = await shop.checkpoints()
        server.kill()
        shutil.copy(snapshot, server.directory / "dump.rdb")
        server.restart()
        back = await shop.checkpoints()
        assert any(now.position < before.position for now, before in zip(back, newest, strict=True)), "nothing was lost"
        await shop.load(2)
        assert worker.alive
        await finish(shop)


async def test_an_emptied_redis_is_rebuilt_from_the_log(shop: Deployment, own_redis: RedisServer) -> None:
    """Full loss is recovery, not a new shard: the story is told again from the beginning, and nothing is published twice."""
    first = shop.start_worker()
    await shop.until_owned()
    await shop.load(4)
    await shop.until_caught_up()
    first.kill()
    own_redis.kill()
    own_redis.restart(empty=True)
    assert {checkpoint.epoch for checkpoint in await shop.checkpoints()} == {0}
    shop.start_worker()
    await shop.load(2)
    await finish(shop)
    assert len(await shop.checkpoints()) == SHARDS
