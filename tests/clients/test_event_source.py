"""Changes in a browser: Chromium's own EventSource, which comes back by itself and says what it got last."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from time import monotonic

import pytest
from playwright.async_api import Page, Route

from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.redis import RedisServer
from tests.clients import pages
from tests.clients.conftest import needs
from tests.clients.installed import chromium
from tests.live.change_readers import ChangeWriter, ServeProcess, by_shard
from tests.live.deployment import Deployment

KILLS = 2
CHANGES = 60  # between two of them
LIMIT_S = 80
POLL_S = 0.05
PAGE = """<!doctype html><script>
const got = [], opened = []
const source = new EventSource("/v1/changes")
source.onopen = () => opened.push(Date.now())
source.addEventListener("segment.entered", event => got.push(JSON.parse(event.data).id))
</script>"""


async def until(page: Page, holds: str) -> None:
    """Wait for something to hold in the page."""
    deadline = monotonic() + 30
    while not await page.evaluate(holds):
        assert monotonic() < deadline, f"{holds}: {await page.evaluate('[got.length, opened.length, source.readyState]')}"
        await asyncio.sleep(POLL_S)


async def test_an_event_source_gets_each_change_once_while_the_server_is_killed(
    kafka: ApacheKafka | ExternalKafka, redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page in a shop's back office has no code of ours: what the standard says of ids and reconnecting must be enough."""
    needs(chromium)
    monkeypatch.setenv("STREAMER_CREATE", "true")  # a log of its own beside the others
    name = f"event-source-{uuid.uuid4().hex[:8]}"
    async with asyncio.timeout(LIMIT_S), Deployment(kafka.bootstrap, redis_server.url, name, tmp_path) as shop:
        await shop.prepare()
        serve = ServeProcess(shop.settings, tmp_path)
        try:
            await serve.until_ready()
            async with pages.browser() as browser, shop.producer() as client:
                page, writer = await browser.new_page(), ChangeWriter(shop.settings, client)
                await page.route("**/page", show)
                await page.goto(f"{serve.url}/page")
                await until(page, "opened.length == 1")
                for kill in range(KILLS):
                    await writer.write(CHANGES)
                    await until(page, f"got.length > {len(writer.written) - CHANGES}")  # in the middle of what it sends
                    serve.child.kill()
                    await writer.write(CHANGES)  # while nobody serves: a stream that began anew would not have them
                    serve.start()
                    await until(page, f"opened.length == {kill + 2}")
                await writer.write(CHANGES)
                await until(page, f"got.length >= {len(writer.written)}")
                got = await page.evaluate("got")
        finally:
            serve.child.kill()
    assert writer.repeated > 50, "the topic repeats nothing"
    assert by_shard(got) == by_shard(writer.written)


async def show(route: Route) -> None:
    """A page of the server's own origin, as a proxy would make it one."""
    await route.fulfill(body=PAGE, content_type="text/html")
