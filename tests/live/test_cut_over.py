"""A version in shadow, compared, cut over to and taken back on real servers: no lock, no gap for readers, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from streamer.cli.segment_difference import SegmentDifference, read_difference
from streamer.deployment.connecting import starting
from streamer.deployment.publishing import cut_over, publish_definitions, roll_back
from streamer.flow.checkpoint import decode_body
from streamer.segments.merge import Merge, decode_change_or_merge
from streamer.stores.base import Checkpoint
from streamer.wire import CHANGES, EVENTS, FORWARD_HEADER

from .change_readers import ResumingReader, ServeProcess, by_shard
from .deployment import DEFINITIONS, SHARDS, Deployment
from .test_born_old import fill

if TYPE_CHECKING:
    from pathlib import Path

EVENTS_BEFORE = 1_500
OFTEN = 5  # purchases
LOYAL = f"  loyal: {{for: has bought often, when: 'count(\"Order Completed\") >= {OFTEN}'}}\n"
SHADOW_SECONDS = 90


async def purchases(shop: Deployment) -> Counter[str]:
    """How often each customer has bought, by the log alone: whatever was sent twice counts once."""
    bought: dict[str, str] = {}
    for shard in range(SHARDS):
        for record in await shop.read(EVENTS, shard):
            if not any(name == FORWARD_HEADER for name, _ in record.headers):
                found: dict[str, Any] = json.loads(record.value)
                if found.get("event") == "Order Completed":
                    bought[found["messageId"]] = found["userId"]
    return Counter(bought.values())


async def differences(shop: Deployment) -> dict[str, SegmentDifference]:
    """What ``segments diff`` says once every shard has folded what the log has, by segment."""
    async with asyncio.timeout(SHADOW_SECONDS):
        while (found := await read_difference(shop.settings)).left_out:
            assert not set(found.compared) & set(found.left_out)
            await asyncio.sleep(0.2)
    return {one.segment: one for one in found.segments}


async def said_once(shop: Deployment) -> list[Any]:
    """What a reader of the topic keeps of all shards: merges are none of it here."""
    found: list[Any] = []
    for shard in range(SHARDS):
        highest = (-1, -1)
        for record in await shop.read(CHANGES, shard):
            one = decode_change_or_merge(record.value)
            assert not isinstance(one, Merge)
            place = (one.data.position.offset, one.data.position.ordinal)
            if place > highest:
                found.append(one)
                highest = place
    return found


def versions(found: list[Checkpoint]) -> set[int]:
    """Which definitions the shards obey."""
    return {decode_body(one.body).version if one.body else 0 for one in found}


async def test_a_shadow_is_compared_cut_over_to_and_rolled_back_while_workers_are_killed(shop: Deployment, tmp_path: Path) -> None:
    """Under load, with a reader on a stream that must get each change once."""
    first = shop.start_worker()
    serve = ServeProcess(shop.settings, tmp_path)
    try:
        await serve.until_ready()
        reader = ResumingReader(serve.url)
        reading = asyncio.create_task(reader.run())
        await asyncio.wait_for(reader.connected.wait(), 60)
        await fill(shop, EVENTS_BEFORE)
        await shop.until_caught_up()
        file = tmp_path / "newer.yaml"
        file.write_text(DEFINITIONS + LOYAL)
        async with starting(shop.settings) as (client, store):
            await publish_definitions(shop.settings, client, store, file, shadow=True)
        loyal = {customer for customer, times in (await purchases(shop)).items() if times >= OFTEN}
        found = (await differences(shop))["loyal"]
        assert (found.now, found.then, found.enter, found.leave) == (0, len(loyal), len(loyal), 0)
        assert 5 < len(loyal) < 40, "everybody or nobody proves little"
        assert versions(await shop.checkpoints()) == {1}, "a shadow says nothing"
        load = asyncio.create_task(shop.load(10))
        async with starting(shop.settings) as (client, store):
            await cut_over(shop.settings, client, store)
        first.kill()
        shop.start_worker()
        await shop.until(lambda now: versions(now) == {2}, deadline_s=90)
        serve.kill()
        serve.start()
        await load
        await shop.until_caught_up()
        async with starting(shop.settings) as (client, store):
            await roll_back(shop.settings, client, store)
        await shop.until(lambda now: versions(now) == {3}, deadline_s=90)
        await shop.until_caught_up()
        assert set(await shop.stop_all()) == {0}, shop.logs()
        said = await said_once(shop)
        async with asyncio.timeout(60):
            while len(reader.ids) < len(said):
                assert not reading.done(), reading.exception()
                await asyncio.sleep(0.05)
        reading.cancel()
    finally:
        serve.child.kill()
    assert reader.cuts > 0, "nobody was cut"
    assert by_shard(reader.ids) == by_shard([one.id for one in said])
    inside: Counter[str] = Counter()
    for one in said:
        inside[one.data.segment] += 1 if one.type == "segment.entered" else -1
    by_definitions = Counter(one.type for one in said if one.data.segment == "loyal" and one.data.cause.kind == "definitions")
    assert by_definitions["segment.entered"] >= len(loyal), "who was loyal before the cut-over enters at it"
    assert inside["loyal"] == 0, "who goes back takes everybody out"
    assert (await shop.reckon()).changes > 50, "too little happened to prove anything"
