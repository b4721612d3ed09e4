"""The whole way, from a click in a browser to who is reminded: page, collector, Kafka, worker."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.async_api import Browser, Page, expect

from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.redis import RedisServer
from streamer.segments.change import ENTERED, Change
from streamer.segments.merge import Merge, decode_change_or_merge
from streamer.segments.unmerge import Unmerge
from streamer.wire import CHANGES, EVENTS
from tests.clients import pages
from tests.clients.conftest import needs_browsers
from tests.clients.door import Door
from tests.live.deployment import SHARDS, Deployment

CUSTOMER = "c-17"
REMIND_MS = 5_000  # a visitor here logs in and buys within it, also on a slow machine
LIMIT_S = 80
POLL_S = 0.2
DEFINITIONS = f"""
segments:
  cart_left:
    for: Left a cart and has not bought; is reminded.
    when: since(last("Product Added")) >= "{REMIND_MS}ms" and last("Product Added") > last("Order Completed")
  cart_bought:
    for: Filled a cart and bought it.
    when: did("Product Added", within="1h") and did("Order Completed", within="1h")
"""


async def test_who_fills_a_cart_logs_in_and_buys_is_one_person_and_is_not_reminded(
    kafka: ApacheKafka | ExternalKafka, redis_server: RedisServer, site_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commonest way through a shop begins before the shop knows who it is. Who only fills a cart is reminded, so reminders are sent."""
    needs_browsers()
    monkeypatch.setenv("STREAMER_CREATE", "true")  # a log of its own beside the others
    name = f"visitor-{uuid.uuid4().hex[:8]}"
    async with asyncio.timeout(LIMIT_S), Deployment(kafka.bootstrap, redis_server.url, name, tmp_path, definitions=DEFINITIONS) as shop:
        await shop.prepare()
        shop.start_worker()
        door = await asyncio.to_thread(Door, shop.settings, tmp_path, [f"http://127.0.0.1:{site_port}"])
        async with pages.shop_site(site_port) as site, pages.browser() as browser:
            await shop.until_owned()
            buyer, leaver = await asyncio.gather(*(visit(browser, site, door, buys=buys) for buys in (True, False)))
            await until_reminders_are_due(shop)
        assert await asyncio.to_thread(door.stop) == 0, door.child.log_tail(40)
        assert await shop.stop_all() == [0], shop.logs()
        await shop.reckon()

        said = [decode_change_or_merge(record.value) for shard in range(SHARDS) for record in await shop.read(CHANGES, shard)]
        assert entered(said, "cart_left") == [leaver]
        assert entered(said, "cart_bought") == [CUSTOMER]  # though the cart was filled before the login
        assert [(merge.data.from_, merge.subject) for merge in said if isinstance(merge, Merge)] == [(buyer, CUSTOMER)]


async def visit(browser: Browser, site: str, door: Door, *, buys: bool) -> str:
    """A visitor with a browser of their own; the id by which the page knows them."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{site}/pages/shop.html?{urlencode({'address': door.address})}")
    await click(page, "Add to cart", "in the cart")
    visitor: str = await page.evaluate("analytics.instance.user().anonymousId()")
    if buys:
        await page.get_by_label("Customer number").fill(CUSTOMER)
        await click(page, "Log in", "logged in")
        await click(page, "Buy", "bought")
    return visitor


async def click(page: Page, button: str, said: str) -> None:
    """Press a button, and wait for what the page says then."""
    await page.get_by_role("button", name=button).click()
    await expect(page.get_by_role("status")).to_have_text(said)


async def until_reminders_are_due(shop: Deployment) -> None:
    """Wait until the log has all that the two visitors did, and the time in each shard is past any reminder of it."""
    while (done_ms := await last_deed_ms(shop)) is None:  # noqa: ASYNC110 - other processes have no event
        await asyncio.sleep(POLL_S)
    for shard in range(SHARDS):
        while (await shop.read(EVENTS, shard))[-1].timestamp <= done_ms + REMIND_MS:  # noqa: ASYNC110 - ticks let time pass
            await asyncio.sleep(POLL_S)
    await shop.until_caught_up()


async def last_deed_ms(shop: Deployment) -> int | None:
    """When the last of what the two visitors did came to the log; None while something is missing."""
    records = [record for shard in range(SHARDS) for record in await shop.read(EVENTS, shard)]
    names = Counter(json.loads(record.value).get("event") for record in records if record.value)
    is_all = names["Product Added"] >= 2 and names["Order Completed"] >= 1
    return max(record.timestamp for record in records) if is_all else None


def entered(said: list[Change | Merge | Unmerge], segment: str) -> list[str]:
    """Who has come into a segment."""
    return [change.subject for change in said if isinstance(change, Change) and (change.data.segment, change.type) == (segment, ENTERED)]
