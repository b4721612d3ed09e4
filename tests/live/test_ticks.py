"""Time passes on a quiet shard when something is due there, and its log stays short."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from streamer.segments.change import decode_change
from streamer.wire import CHANGES, EVENTS, TICK, shard_of

from .deployment import SHARDS, Deployment

if TYPE_CHECKING:
    from pathlib import Path

    from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
    from streamer.local.redis import RedisServer

DEFINITIONS = 'segments: {quiet: {for: Nothing for a moment., when: idle("*") >= "1500ms"}}'
NO_HEARTBEAT_MS = 3_600_000


async def test_a_timer_on_a_quiet_shard_is_passed_by_a_tick_of_its_own(
    kafka: ApacheKafka | ExternalKafka, own_redis: RedisServer, fresh_name: str, tmp_path: Path
) -> None:
    """No event comes and no heartbeat: what lets time pass is a tick that was aimed at the timer."""
    async with Deployment(kafka.bootstrap, own_redis.url, fresh_name, tmp_path, definitions=DEFINITIONS, tick=NO_HEARTBEAT_MS) as shop:
        await shop.prepare()
        shop.start_worker()
        await shop.until_owned()  # with the first tick, which tells what the broker's clock shows
        customer, raw = shop.event()
        shard = shard_of(customer, SHARDS)
        before = (await shop.ends(EVENTS))[shard]
        async with shop.producer() as client:
            await client.send_and_wait(shop.settings.topic(EVENTS), raw, key=customer.encode(), partition=shard)
        await shop.until(lambda found: found[shard].position.offset >= before + 2)
        assert await shop.stop_all() == [0], shop.logs()

        [change] = [decode_change(record.value) for record in await shop.read(CHANGES, shard)]
        _, *others = (await shop.read(EVENTS, shard))[before:]
        assert (change.data.segment, change.data.cause.kind) == ("quiet", "timer")
        assert [record.value for record in others] == [TICK], "one, and none too early"
        assert others[0].timestamp >= msgspec.json.decode(raw)["timestamp"] + 1_500
        assert change.data.position.offset == others[0].offset
        assert (await shop.reckon()).changes == 1
