"""A shop that begins with its orders of two years: history, a preview, the first publication, on real servers."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from time import time
from typing import Any

import msgspec
import pytest

from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.redis import RedisServer
from streamer.previews.result import Preview
from streamer.transports.kafka.record_picker import RecordPicker
from streamer.units import DAY_MS
from streamer.wire import EVENTS

from .deployment import Deployment
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
    assert "the log has begun" in await new_shop.command("import", str(history))
    assert set(await new_shop.stop_all()) == {0}, new_shop.logs()
