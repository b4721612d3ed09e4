"""The examples under "Send events" of the README, run as they stand there; only the port is another."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Final

import pytest
from aiohttp import web

from streamer.local.children import free_port
from streamer.settings import Settings
from tests.clients import pages
from tests.clients.conftest import needs, needs_browsers
from tests.clients.door import Door
from tests.clients.installed import node_clients, python_clients
from tests.clients.readme import example
from tests.clients.shop_log import events
from tests.lacking import missing

THEIRS: Final = "localhost:8080"
LIMIT_S: Final = 20


def sending(language: str, word: str, door: Door) -> str:
    """The one example in a language with that word, sent to a collector of ours."""
    return example("Send events", language, word, **{THEIRS: door.address.removeprefix("http://")})


@pytest.fixture(scope="module")
def open_door(shop_log: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A collector as ``streamer collect`` begins it: without keys."""
    found = Door(shop_log, tmp_path_factory.mktemp("open-collector"), None)
    yield found
    assert found.stop() == 0, found.child.log_tail(40)


async def test_the_example_for_a_browser_sends_a_cart_and_a_login(open_door: Door, shop_log: Settings) -> None:
    """It is what a shop copies into its pages."""
    needs_browsers()
    async with asyncio.timeout(LIMIT_S), _site(sending("html", "analytics", open_door)) as site, pages.browser() as browser:
        page = await browser.new_page()
        async with page.expect_response(lambda answer: "/v1/b" in answer.url and answer.request.method == "POST") as answer:
            await page.goto(site)
        assert (await (await answer.value).json())["success"] is True
    sent = [event for event in await events(shop_log) if event.get("properties", {}).get("product_id") == "tea-1"]
    [added] = sent
    assert (added["event"], added["properties"]["price"]) == ("Product Added", 12)
    visitor = added["anonymousId"]
    login = [event for event in await events(shop_log) if event["type"] == "identify" and event.get("anonymousId") == visitor]
    assert [event["userId"] for event in login] == ["c-17"]


async def test_the_example_in_python_sends_an_order(open_door: Door, shop_log: Settings) -> None:
    """It returns when all is sent, so the log has it then."""
    needs(python_clients)
    path = os.pathsep.join([str(python_clients()), os.environ.get("PYTHONPATH", "")])
    await _run([sys.executable, "-c", sending("python", "segment", open_door)], PYTHONPATH=path)
    [order] = [event for event in await events(shop_log) if event.get("event") == "Order Completed" and event.get("userId") == "c-17"]
    assert order["properties"] == {"order_id": "o-1", "total": 12}


async def test_the_example_with_curl_sends_a_view(open_door: Door, shop_log: Settings) -> None:
    """The shortest way to see whether a collector is there."""
    if shutil.which("curl") is None:
        missing("needs curl")
    assert '"success":true' in await _run(["sh", "-c", sending("sh", "curl", open_door)])
    [view] = [event for event in await events(shop_log) if event["messageId"] == "view-1"]
    assert (view["event"], view["userId"]) == ("Product Viewed", "c-17")


async def _run(command: list[str], **environment: str) -> str:
    """What a program says that ends well."""

    def run() -> str:
        found = subprocess.run(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert found.returncode == 0, found.stdout + found.stderr
        return found.stdout

    return await asyncio.to_thread(run)


@asynccontextmanager
async def _site(page: str) -> AsyncGenerator[str]:
    """A shop that has the page, and the SDK beside it; its address."""

    async def shop(_: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html")

    async def sdk(_: web.Request) -> web.FileResponse:
        return web.FileResponse(node_clients() / "@segment/analytics-next/dist/umd/index.js")

    application = web.Application()
    application.add_routes([web.get("/", shop), web.get("/analytics.js", sdk)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    port = free_port()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://localhost:{port}/"
    finally:
        await runner.cleanup()
