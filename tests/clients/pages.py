"""Clients that run in a page: one Chromium, a context of its own for each run, so that no store is shared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Final
from urllib.parse import urlencode

from aiohttp import web
from playwright.async_api import Browser, Page, Request, Response, async_playwright

from tests.clients.installed import chromium, node_clients
from tests.clients.outcomes import Client, Told, run_name
from tests.clients.way import Way, ids_of

HERE: Final = Path(__file__).parent / "senders"
ROUNDS: Final = 2
EVENTS: Final = 3
LIMIT_S: Final = 20.0
QUIET_S: Final = 3.0  # after this long without a request nothing is repeated any more
POLL_S: Final = 0.05


@asynccontextmanager
async def browser() -> AsyncGenerator[Browser]:
    """The machine's Chromium without a window; nothing is downloaded."""
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            yield found
        finally:
            await found.close()


@asynccontextmanager
async def shop_site(port: int) -> AsyncGenerator[str]:
    """A shop's own web server with the pages and the clients' files; its origin."""
    application = web.Application()
    application.router.add_static("/pages", HERE)
    application.router.add_static("/node_modules", node_clients())
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def send(found: Browser, site: str, client: Client, way: Way) -> Told:
    """What the page's client learnt of its events: delivered is what it saw answered with success."""
    context = await found.new_context()
    page = await context.new_page()
    seen = _Seen(page, client)
    kind, _, how = client.name.partition("_")
    query = {"address": way.address, "run": run_name(client, way.fault), "beacon": "yes" if how == "beacon" else "no"}
    await page.goto(f"{site}/pages/{kind}_browser.html?{urlencode(query)}")
    for number in range(1, ROUNDS + 1):
        await page.evaluate(f"send({EVENTS})")
        await seen.settled(1 + number * EVENTS, way)  # with the identify before the first
    await context.close()
    return seen.told() if client.sees_answers else Told(frozenset(_sent(way)), frozenset())


class _Seen:
    """What a page has asked with events in it, and how that ended for the page."""

    def __init__(self, page: Page, client: Client) -> None:
        self._client = client
        self._delivered: set[str] = set()
        self._failed: set[str] = set()
        self._given_up = 0
        self._open = 0
        self._news_s = monotonic()
        page.on("request", self._asked)
        page.on("response", self._answered)
        page.on("requestfinished", self._over)
        page.on("requestfailed", self._no_answer)

    def told(self) -> Told:
        return Told(frozenset(self._delivered), frozenset(self._failed - self._delivered))

    async def settled(self, events: int, way: Way) -> None:
        """Wait until all of so many events went well but for those already given up.

        Where the client is expected to give some up: until nothing has happened for a while.
        """
        end = monotonic() + LIMIT_S
        while monotonic() < end:
            await asyncio.sleep(POLL_S)
            if len(self._done(way)) + self._given_up >= events:
                return
            quiet = not self._open and monotonic() - self._news_s > QUIET_S
            if (way.refuses or not self._client.repeats) and quiet and len(_sent(way)) >= events:
                self._given_up = len(_sent(way) - self._done(way))
                return
        raise AssertionError(f"{len(_sent(way))} of {events} events came within {LIMIT_S} s: {way.passed}")

    def _done(self, way: Way) -> set[str]:
        """What the page knows to have gone well; of beacons it knows nothing, so what the collector got."""
        if self._client.sees_answers:
            return self._delivered
        return {name for request in way.passed if request.arrived for name in request.ids}

    def _asked(self, _: Request) -> None:
        self._open += 1

    def _answered(self, answer: Response) -> None:
        (self._delivered if answer.status < 400 else self._failed).update(_ids_in(answer.request))

    def _over(self, _: Request) -> None:
        self._open -= 1
        self._news_s = monotonic()

    def _no_answer(self, request: Request) -> None:
        """None came, or the page was not allowed to see it."""
        ids = _ids_in(request)
        self._delivered -= ids
        self._failed |= ids
        self._over(request)


def _ids_in(request: Request) -> frozenset[str]:
    return ids_of(request.post_data_buffer or b"")


def _sent(way: Way) -> set[str]:
    return {name for request in way.passed for name in request.ids}
