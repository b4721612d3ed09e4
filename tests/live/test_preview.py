"""A preview of a running deployment: read from real Kafka and Redis, and nothing written."""

from __future__ import annotations

import asyncio
import multiprocessing
from pathlib import Path
from time import time

import msgspec
import pytest

import streamer
from streamer.errors import TooMuchError
from streamer.flow.checkpoint import decode_body
from streamer.previews import deployment
from streamer.previews.aside import PreviewsAside
from streamer.previews.bounds import Bounds
from streamer.previews.conclusion import Wishes
from streamer.previews.deployment import fitting_share, preview_deployment
from streamer.previews.result import Preview
from streamer.stores.base import Checkpoint
from streamer.values import time_text
from streamer.wire import CHANGES, EVENTS, shard_of

from .deployment import SHARDS, Deployment
from .test_identity import until_settled

NOW = """
segments:
  buyer: {for: has bought, when: did("Order Completed")}
  looker: {for: has looked, when: did("Product Viewed")}
"""
NEW = """
segments:
  looker: {for: has looked twice, when: count("Product Viewed") >= 2}
  shy: {for: never bought, when: never("Order Completed")}
"""
PEOPLE = 60


async def test_publishing_is_previewed_on_the_log_and_against_what_is_committed(shop: Deployment, tmp_path: Path) -> None:
    """Whoever publishes sees first who would enter and leave, over all shards, with logins across them; and the log is as it was."""
    now, new = tmp_path / "now.yaml", tmp_path / "new.yaml"
    now.write_text(NOW, encoding="utf-8")
    new.write_text(NEW, encoding="utf-8")
    shop.start_worker()
    await shop.until_owned()
    assert "published version 2" in await shop.command("segments", "publish", str(now))
    await _write(shop)
    await until_settled(shop)
    before = await shop.ends(CHANGES)
    same = msgspec.json.decode(await shop.command("segments", "preview", str(now), "--json"), type=Preview)
    found = msgspec.json.decode(await shop.command("segments", "preview", str(new), "--json", "--samples", "1"), type=Preview)
    # Person n views n % 3 times and, of every fourth, buys; every fifth does it all as a visitor, and logs in.
    viewers, twice = sum(n % 3 > 0 for n in range(PEOPLE)), sum(n % 3 > 1 for n in range(PEOPLE))
    buyers = sum(n % 4 == 0 for n in range(PEOPLE))
    assert [(one.name, one.members.count) for one in same.segments] == [("buyer", buyers), ("looker", viewers)]
    for segment in same.segments:
        assert segment.difference is not None
        assert (segment.difference.enter.count, segment.difference.leave.count) == (0, 0), "what holds already changes nothing"
    assert [(one.name, one.members.count) for one in found.segments] == [("looker", twice), ("shy", PEOPLE - buyers)]
    assert found.customers.count == PEOPLE
    assert not found.is_cut
    assert all(one.samples for one in found.segments)
    told = await shop.command("segments", "publish", str(new), "--dry-run")
    assert f"looker: {viewers} in force now, 0 would enter, {viewers - twice} would leave, {twice} then" in told
    assert f"shy: 0 in force now, {PEOPLE - buyers} would enter" in told
    assert f"buyer: is gone, all {buyers} would leave" in told
    part = msgspec.json.decode(await shop.command("segments", "preview", str(new), "--json", "--share", "50%"), type=Preview)
    assert part.customers.low <= PEOPLE <= part.customers.high
    assert part.customers.low < part.customers.high
    await _check_aside(shop)
    bounded = msgspec.json.decode(await shop.command("segments", "preview", str(new), "--json", "--within", "100"), type=Preview)
    assert bounded.share < 1
    assert "further back" not in await shop.command("segments", "check", str(new), "--log")
    late = msgspec.json.decode(await shop.command("segments", "preview", str(new), "--json", "--since", "2100-01-01"), type=Preview)
    assert (late.events, late.is_cut) == (0, True)
    assert await shop.ends(CHANGES) == before, "a preview says nothing to readers"
    assert "already published as version 2" in await shop.command("segments", "publish", str(now))
    assert "published version 3" in await shop.command("segments", "publish", str(new))
    await shop.until(lambda shards: members_of(shards) == sum(one.members.count for one in found.segments))
    assert set(await shop.stop_all()) == {0}, shop.logs()


def members_of(shards: list[Checkpoint]) -> int:
    """Of all segments and shards, by what is committed."""
    return sum(sum(decode_body(shard.body).sizes) for shard in shards if shard.body)


async def _check_aside(shop: Deployment) -> None:
    """A process of its own says the same; it ends with its answer, at its bounds, and when nobody waits for it any more."""
    aside, definitions = PreviewsAside(shop.settings), streamer.parse_definitions(NEW)
    assert await fitting_share(shop.settings, 10**9) == 1.0
    assert 0 < await fitting_share(shop.settings, 10) < 1
    found = await aside.preview(definitions, Wishes(samples=0), events_max=10_000, seconds_max=30)
    direct = await preview_deployment(shop.settings, definitions, Wishes(samples=0), Bounds())
    assert [one.members for one in found.segments] == [one.members for one in direct.segments]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deployment, "WORTH_IT_EVENTS", 0)
        divided = await preview_deployment(shop.settings, definitions, Wishes(samples=0), Bounds(), processes=3)
    assert divided == msgspec.structs.replace(direct, at=divided.at), "three processes that divide the customers say the same"
    with pytest.raises(TooMuchError, match="more than 5 events"):
        await aside.preview(definitions, Wishes(), events_max=5, seconds_max=30)
    waiting = asyncio.create_task(aside.preview(definitions, Wishes(), events_max=10_000, seconds_max=30))
    while not multiprocessing.active_children():  # noqa: ASYNC110 - processes have no event
        await asyncio.sleep(0)
    assert aside.is_busy
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not multiprocessing.active_children()
    assert not aside.is_busy


async def _write(shop: Deployment) -> None:
    """What the people do."""
    topic, number = shop.settings.topic(EVENTS), 0
    async with shop.producer() as client:
        for person in range(PEOPLE):
            user, visitor = f"u{person}", f"v{person}"
            ids: dict[str, str] = {"anonymousId": visitor} if person % 5 == 0 else {"userId": user}
            names = ["Product Viewed"] * (person % 3) + ["Order Completed"] * (person % 4 == 0) + ["Page Viewed"]
            todo = [(name, ids) for name in names]
            if person % 5 == 0:
                todo.append(("Logged In", {"anonymousId": visitor, "userId": user}))
            for name, by in todo:
                number += 1
                body = {"event": name, "messageId": f"m{number}", "timestamp": time_text(int(time() * 1_000)), **by}
                customer = by.get("userId") or by["anonymousId"]
                await client.send(topic, msgspec.json.encode(body), key=customer.encode(), partition=shard_of(customer, SHARDS))
        await client.flush()
