"""A shop that begins with its orders of two years: history, a preview, the first publication, on real servers."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from time import time
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, ClientTimeout

from streamer.flow.checkpoint import decode_body
from streamer.language.definitions import load_definitions
from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.redis import RedisServer
from streamer.previews.result import Preview
from streamer.segments.change import Change
from streamer.segments.merge import decode_change_or_merge
from streamer.segments.plan.plan import Plan
from streamer.transports.kafka.record_picker import RecordPicker
from streamer.units import DAY_MS
from streamer.wire import CHANGES, EVENTS, HISTORY
from tests.clients.door import Door

from .acknowledged import AUTHORIZATION
from .deployment import SHARDS, Deployment
from .test_born_old import SLOW, fill, folded, publish, states
from .test_folding import records_folded
from .test_preview import members_of

NEW = """
segments:
  buyer: {for: has bought, when: did("Order Completed")}
  regular: {for: bought twice, when: count("Order Completed") >= 2}
  recent: {for: bought this year, when: 'did("Order Completed", within="365d")'}
"""
PEOPLE = 80


@pytest.fixture
async def new_shop(
    kafka: ApacheKafka | ExternalKafka, own_redis: RedisServer, fresh_name: str, tmp_path: Path
) -> AsyncIterator[Deployment]:
    """Settings of a log that is not there yet."""
    async with Deployment(kafka.bootstrap, own_redis.url, fresh_name, tmp_path) as deployment:
        yield deployment


def orders(seed: int = 3) -> list[dict[str, Any]]:
    """Two years, in no order."""
    draw, now_ms = random.Random(seed), int(time() * 1_000)
    found = [
        {
            "event": "Order Completed",
            "messageId": f"order-{number}",
            "userId": f"u{draw.randrange(PEOPLE)}",
            "timestamp": now_ms - DAY_MS - draw.randrange(700) * DAY_MS,
        }
        for number in range(240)
    ]
    draw.shuffle(found)
    return found


async def test_a_new_shop_knows_its_customers_of_two_years(new_shop: Deployment, tmp_path: Path) -> None:
    """From the file to who is in which segment; the same import twice adds nothing, and a log that has begun takes none."""
    history, definitions, rejects = tmp_path / "orders.ndjson", tmp_path / "new.yaml", tmp_path / "rejects.ndjson"
    events = orders()
    history.write_text("".join(json.dumps(event) + "\n" for event in events) + '{"event": "no event"}\n', encoding="utf-8")
    definitions.write_text(NEW, encoding="utf-8")
    told = await new_shop.command("import", str(history), "--rejects", str(rejects))
    assert "240 events brought in" in told
    assert "1 left out" in told
    assert json.loads(rejects.read_text(encoding="utf-8"))["line"] == 241
    ends = await new_shop.ends(EVENTS)
    assert sum(ends) == 240
    again = await new_shop.command("import", str(history))
    assert "0 events brought in; 240 were there before" in again
    assert await new_shop.ends(EVENTS) == ends
    bought = Counter(event["userId"] for event in events)
    now_ms = int(time() * 1_000)
    recent = {event["userId"] for event in events if event["timestamp"] > now_ms - 365 * DAY_MS}
    sizes = {"buyer": len(bought), "recent": len(recent), "regular": sum(count > 1 for count in bought.values())}
    found = msgspec.json.decode(await new_shop.command("segments", "preview", str(definitions), "--json"), type=Preview)
    assert {one.name: one.members.count for one in found.segments} == sizes
    assert found.begins is not None
    assert found.begins < found.at
    assert "published version 1" in await new_shop.command("segments", "publish", str(definitions))
    new_shop.start_worker()
    await new_shop.until(lambda shards: all(shard.position.offset > end for shard, end in zip(shards, ends, strict=True)))
    await new_shop.until(lambda shards: members_of(shards) == sum(sizes.values()))
    explained = await new_shop.command("explain", min(recent), "--segment", "recent")
    assert "in     recent" in explained
    assert "warming" not in explained
    picker = RecordPicker(new_shop.settings)
    async with new_shop.store() as store:
        assert await records_folded(new_shop, store, picker) > 240, "what the log says of each is what the worker has"
    await picker.stop()
    once_more = await new_shop.command("import", str(history))
    assert "240 left out, log_has_begun" in once_more
    assert set(await new_shop.stop_all()) == {0}, new_shop.logs()


OFTEN = "  often: {for: has bought often, when: 'count(\"Order Completed\") >= 5'}\n"


def orders_before(seed: int = 5) -> list[dict[str, Any]]:
    """Orders of customers of the shop and of others, of months before it began."""
    draw, now_ms = random.Random(seed), int(time() * 1_000)
    return [
        {
            "event": "Order Completed",
            "messageId": f"before-{number}",
            "userId": draw.choice([f"customer-{draw.randrange(40)}", f"former-{draw.randrange(200)}"]),
            "timestamp": now_ms - 3 * DAY_MS - draw.randrange(600) * DAY_MS,
            "properties": {"total": 10, "order_id": number},
        }
        for number in range(3_000)
    ]


async def test_history_is_brought_into_a_log_that_has_begun_while_a_worker_is_killed(shop: Deployment, tmp_path: Path) -> None:
    """Killed while it folds, with events all the while: who bought often before is inside, and the log told anew says the same."""
    slow, file, history = tmp_path / "slow.py", tmp_path / "often.yaml", tmp_path / "before.ndjson"
    slow.write_text(SLOW, encoding="utf-8")
    events = orders_before()
    history.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    worker = shop.start_worker(str(slow))
    await fill(shop, 300)
    await shop.until_caught_up()
    assert await publish(shop, file, OFTEN) == 2
    await shop.until(lambda found: all(decode_body(one.body).version == 2 for one in found))
    load = asyncio.create_task(shop.load(8))
    told = await shop.command("import", str(history))
    assert "3,000 events brought in" in told
    assert "becomes a part of the past with version 3" in told
    async with asyncio.timeout(60):
        while not 0 < await folded(shop) < len(events):  # noqa: ASYNC110 - notes of another process
            await asyncio.sleep(0.1)
    worker.kill()
    shop.start_worker()
    await shop.until(lambda found: all(decode_body(one.body).history > 0 for one in found))
    await load
    await shop.until_caught_up()
    again = await shop.command("import", str(history))
    assert "0 events brought in; 3,000 were there before" in again
    previewed = msgspec.json.decode(await shop.command("segments", "preview", str(file), "--samples", "0", "--json"), type=Preview)
    assert set(await shop.stop_all()) == {0}, shop.logs()
    bought = Counter(event["userId"] for event in events)
    often = {one for one, count in bought.items() if count >= 5}
    known, inside = await who_is_inside(shop, file, "often")
    assert known >= bought.keys()
    assert {one for one in inside if one.startswith("former")} == {one for one in often if one.startswith("former")}
    assert often <= inside
    [shown] = [one for one in previewed.segments if one.name == "often"]
    assert shown.difference is not None
    assert (shown.members.count, shown.difference.enter.count, shown.difference.leave.count) == (len(inside), 0, 0), "with history"
    said = [decode_change_or_merge(one.value) for shard in range(SHARDS) for one in await shop.read(CHANGES, shard)]
    causes = Counter(one.data.cause.kind for one in said if isinstance(one, Change) and one.data.segment == "often")
    assert causes["backfill"] >= len({one for one in often if one.startswith("former")})
    await known_one_by_one(shop, min(one for one in often if one.startswith("former")))
    assert (await shop.reckon()).changes > 50, "too little happened to prove anything"


async def known_one_by_one(shop: Deployment, former: str) -> None:
    """Each customer is what their records and those of their history come to; before the log had begun history says who they were."""
    picker = RecordPicker(shop.settings)
    async with shop.store() as store:
        await records_folded(shop, store, picker)
    await picker.stop()
    explained = await shop.command("explain", former, "--segment", "often", "--at", "2d")
    assert "imported history says it" in explained
    assert "in     often" in explained


async def test_history_that_a_collector_took_becomes_a_part_of_the_past_when_it_is_finished(shop: Deployment, tmp_path: Path) -> None:
    """Sent in the order of time, the collector killed between two requests, one sent twice: nothing is known of it until it is finished,
    and then who bought often is inside."""
    file, events = tmp_path / "often.yaml", sorted(orders_before(), key=lambda event: int(event["timestamp"]))
    requests = [[{"type": "track", **event} for event in events[at : at + 500]] for at in range(0, len(events), 500)]
    door = await asyncio.to_thread(Door, shop.settings, tmp_path, ["http://127.0.0.1:1"])
    try:
        shop.start_worker()
        await fill(shop, 300)
        await shop.until_caught_up()
        assert await publish(shop, file, OFTEN) == 2
        await shop.until(lambda found: all(decode_body(one.body).version == 2 for one in found))
        taken = [await answer_of(door, one) for one in requests[:3]]
        door.kill()
        await asyncio.to_thread(door.start)
        taken += [await answer_of(door, one) for one in requests[2:]]
        too_early = await answer_of(door, [{**requests[0][0], "messageId": "another"}])
        assert [(one["accepted"], one.get("was_there", 0)) for one in taken] == [(500, 0)] * 3 + [(0, 500)] + [(500, 0)] * 3
        assert (too_early["success"], too_early["code"]) == (False, "before_head")
        assert sum(await shop.ends(HISTORY)) == len(events)
        assert not any(decode_body(one.body).history for one in await shop.checkpoints()), "it is no part of the past yet"
        assert "becomes a part of the past with version 3" in await shop.command("import", "--finish")
        await shop.until(lambda found: all(decode_body(one.body).history > 0 for one in found))
        assert "is a part of the past already" in await shop.command("import", "--finish")
    finally:
        door.kill()
    assert set(await shop.stop_all()) == {0}, shop.logs()
    bought = Counter(event["userId"] for event in events)
    often = {one for one, count in bought.items() if count >= 5}
    known, inside = await who_is_inside(shop, file, "often")
    assert known >= bought.keys()
    assert {one for one in inside if one.startswith("former")} == {one for one in often if one.startswith("former")}
    assert len(often) > 20, "too little happened to prove anything"
    assert often <= inside
    await shop.reckon()


async def answer_of(door: Door, events: list[dict[str, Any]]) -> dict[str, Any]:
    """What a collector says of history."""
    headers = {"Authorization": AUTHORIZATION}
    async with (
        ClientSession(timeout=ClientTimeout(total=60)) as client,
        client.post(f"{door.address}/v1/import", json={"batch": events}, headers=headers) as response,
    ):
        found: dict[str, Any] = await response.json()
        return found


async def who_is_inside(shop: Deployment, file: Path, segment: str) -> tuple[set[str], set[str]]:
    """Everybody who is known, and who is in a segment."""
    plan = Plan(load_definitions(file), lateness_ms=shop.settings.rules.lateness_ms)
    known, inside = set[str](), set[str]()
    async with shop.store() as store:
        for shard in range(SHARDS):
            for customer, state in (await states(store, shard)).items():
                known.add(customer)
                if state.is_inside(plan.numbers[segment]):
                    inside.add(customer)
    return known, inside
