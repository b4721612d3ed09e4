"""Redis is a checkpoint: emptied, or robbed of single keys, it is filled again from Kafka alone, and no reader notices."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis import Redis

from streamer.deployment.connecting import starting
from streamer.deployment.manifest import check_manifest
from streamer.deployment.publishing import publish_definitions
from streamer.errors import SettingsError
from streamer.flow.checkpoint import decode_body
from streamer.local.redis import RedisServer
from streamer.transports.kafka.definitions_topic import DefinitionsTopic

from .deployment import DEFINITIONS, SHARDS, Deployment

OLD = "segments: {old: {for: what holds at the start, when: 'did(\"Product Viewed\")'}}"
NEWER = DEFINITIONS.replace(">= 4", ">= 3")


async def versions(shop: Deployment) -> list[int]:
    """The version in force, by shard."""
    return [decode_body(checkpoint.body).version if checkpoint.body else 0 for checkpoint in await shop.checkpoints()]


async def test_emptied_with_a_start_up_file_the_newest_definitions_stay_in_force(
    shop: Deployment, own_redis: RedisServer, tmp_path: Path
) -> None:
    """The old file was published over the newer one, and everybody left for good."""
    (tmp_path / "old.yaml").write_text(OLD)
    (tmp_path / "newer.yaml").write_text(NEWER)
    start_up = {"STREAMER_SEGMENTS": str(tmp_path / "old.yaml")}
    shop.start_worker(**start_up)
    await shop.load(3)
    async with starting(shop.settings) as (client, store):
        assert (await publish_definitions(shop.settings, client, store, tmp_path / "newer.yaml"))[0].version == 2
        assert (await publish_definitions(shop.settings, client, store, tmp_path / "newer.yaml"))[1] is False
    await shop.load(2)
    await shop.until_caught_up()
    assert await versions(shop) == [2] * SHARDS
    assert set(await shop.stop_all()) == {0}, shop.logs()

    with Redis.from_url(own_redis.url) as admin:
        admin.flushall()
    assert await versions(shop) == [0] * SHARDS
    other = shop.settings.model_copy(update={"lateness": 1_000})
    async with shop.producer() as client:
        with pytest.raises(SettingsError, match="lateness_ms was 86400000, is 1000"):
            await check_manifest(other, DefinitionsTopic(other, client))
    shop.start_worker(**start_up)
    await shop.load(2)
    await shop.until_caught_up()
    assert await versions(shop) == [2] * SHARDS
    assert set(await shop.stop_all()) == {0}, shop.logs()
    assert (await shop.reckon()).changes > 50, "too little happened to prove anything"


async def test_keys_that_are_lost_under_load_are_noticed_and_told_anew(shop: Deployment, own_redis: RedisServer) -> None:
    """134 breaks of alternation, and a worker that called itself ready."""
    shop.start_worker()
    await shop.load(3)
    await shop.until_caught_up()
    epochs = [checkpoint.epoch for checkpoint in await shop.checkpoints()]
    load = asyncio.create_task(shop.load(6))
    namespace = shop.settings.namespace
    with Redis.from_url(own_redis.url) as admin:
        await asyncio.sleep(1)
        assert admin.delete(next(admin.scan_iter(f"{{{namespace}:0}}:customers:*"))) == 1
        assert admin.zremrangebyrank(f"{{{namespace}:1}}:wakes", 0, 2) == 3
    await load
    await shop.until(lambda found: all(found[shard].epoch > epochs[shard] for shard in (0, 1)))
    await shop.until_caught_up()
    said = shop.logs()
    assert said.count("told anew from the log") >= 2, said
    assert set(await shop.stop_all()) == {0}, shop.logs()
    assert (await shop.reckon()).changes > 50, "too little happened to prove anything"
