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
from streamer.server import change_stream
from streamer.server.stream_position import ShardPosition, StreamPosition
from streamer.transports.kafka.change_records import ChangeRecord
from tests.clients import pages
from tests.clients.conftest import needs
from tests.clients.installed import chromium
from tests.live.change_readers import ChangeWriter, ServeProcess, by_shard, change
from tests.live.deployment import Deployment
from tests.unit.flow.persons import segments
from tests.unit.server.desk import reading

KILLS = 2
CHANGES = 60  # between two of them
LIMIT_S = 80
POLL_S = 0.05
PAGE = """<!doctype html><script>
const got = [], opened = []
const source = new EventSource("/v1/changes")
source.onopen = () => opened.push(Date.now())
const unavailable = []
source.addEventListener("unavailable", event => unavailable.push(JSON.parse(event.data)))
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


async def test_an_event_source_that_cannot_be_served_comes_back_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard says that it gives up for ever at any status but 200: a page would stand still after a minute without Kafka."""
    needs(chromium)
    monkeypatch.setattr(change_stream, "READY_SECONDS", 0.1)
    monkeypatch.setattr(change_stream, "UNAVAILABLE_RETRY_MS", 100)
    async with asyncio.timeout(LIMIT_S), reading(segments(buyer='did("A")')) as desk, pages.browser() as browser:
        page = await browser.new_page()
        await page.route("**/page", show)
        await page.goto(str(desk.client.make_url("/page")))
        await until(page, "unavailable.length >= 2")  # its feed reads nothing yet: Kafka is away
        assert await page.evaluate("unavailable[0].code") == "kafka_away"
        desk.feed.begin(StreamPosition([ShardPosition(0), ShardPosition(0)]))
        for offset in range(100):  # it gets those that come behind its coming back
            if await page.evaluate("got.length") >= 3:
                break
            desk.feed.add([ChangeRecord(0, offset, (1, offset, 0), change(0, offset, 0, "buyer"))])
            await asyncio.sleep(POLL_S)
        got: list[str] = await page.evaluate("got")
        first = int(got[0].split("-")[2])
        assert got == [f"1-0-{first + number}-0" for number in range(len(got))]
