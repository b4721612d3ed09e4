"""The page over a shop in memory, asked by HTTP as a browser asks."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import pytest
from aiohttp.test_utils import RawTestServer, TestClient
from yarl import URL

from streamer.commands import Action, Answer
from streamer.language.definitions import Definitions
from streamer.page import asking_workers
from streamer.page.assembly import PeoplePage, page_over
from streamer.page.visitors import COOKIE, ProxyTrust
from streamer.server.change_stream import ChangeStreams
from streamer.server.feed import Feed
from streamer.server.limits import LIMITS
from streamer.server.page_door import PageParts
from streamer.server.process import answers_over
from streamer.server.server import ReaderServer
from streamer.server.tokens import Tokens
from streamer.settings import load_settings
from streamer.telemetry.server_metrics import ServerMetrics
from streamer.transports.kafka.change_records import ChangeRecord
from streamer.transports.kafka.topic_tail import TailRecord
from streamer.wire import CHANGES, DEAD_LETTERS, EVENTS, LEDGER, LogRecord
from tests.unit.flow.persons import Persons
from tests.unit.server.desk import SHARDS, EndsOfShop, StoreOfShops

PAGES: Final = (
    "/",
    "/segments",
    "/customers",
    "/try",
    "/messages",
    "/templates",
    "/ledger",
    "/deliveries",
    "/sources",
    "/dead-letters",
    "/models",
    "/workers",
)


class Shown(NamedTuple):
    """What a browser got. ``text`` is the page as somebody reads it: without tags, entities resolved."""

    status: int
    html: str
    headers: Any

    @property
    def text(self) -> str:
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", self.html)).split())

    @property
    def form_key(self) -> str:
        """That of the first form."""
        found = re.search(r'name="form_key" value="([0-9a-f]{64})"', self.html)
        assert found is not None, "there is no form"
        return found[1]


class RecordsOfShop:
    """The log of a shop, in the place of Kafka's. ``error``: raised instead; ``asked`` says what was."""

    def __init__(self, shop: Persons) -> None:
        self.shop = shop
        self.error: Exception | None = None
        self.asked: list[tuple[str, int]] = []

    async def at(self, shard: int, offsets: Sequence[int]) -> list[LogRecord]:
        self.asked.append(("at", len(offsets)))
        if self.error is not None:
            raise self.error
        return [record for record in self._all(shard) if record.offset in offsets]

    async def newest(self, shard: int, number: int) -> AsyncGenerator[Sequence[LogRecord]]:
        self.asked.append(("newest", number))
        if self.error is not None:
            raise self.error
        yield self._all(shard)[-number:]

    async def stop(self) -> None: ...

    def _all(self, shard: int) -> list[LogRecord]:
        return self.shop.log.fetch(shard, 0, 10_000)


class EndsOfLogs:
    """The newest records of a shop, as a look at them has them."""

    def __init__(self, shop: Persons) -> None:
        self.shop = shop
        self.error: Exception | None = None
        self.seen = [0] * SHARDS
        self.stops = 0

    async def take(self, most: int) -> list[tuple[int, LogRecord]]:
        if self.error is not None:
            raise self.error
        found = [(shard, one) for shard in range(SHARDS) for one in self.shop.log.fetch(shard, self.seen[shard], 10_000)][-most:]
        self.seen = [self.shop.log.end(EVENTS, shard) for shard in range(SHARDS)]
        return found

    async def stop(self) -> None:
        self.stops += 1


class PageDesk(NamedTuple):
    """The page, the shop behind it, and a browser."""

    browser: TestClient[Any, Any]
    server: ReaderServer
    page: PeoplePage
    shop: Persons
    ends: EndsOfShop
    store: StoreOfShops
    seen: dict[tuple[str, int], int]  # how many records of each topic and shard the page has

    async def look(self, path: str, **headers: str) -> Shown:
        return await self.ask("GET", path, headers=headers)

    async def ask(self, method: str, path: str, *, form: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> Shown:
        named = {name.replace("_", "-"): text for name, text in (headers or {}).items()}
        async with self.browser.request(method, URL(path, encoded=True), data=form, headers=named, allow_redirects=False) as response:
            return Shown(response.status, await response.text(), response.headers)

    async def settle(self) -> None:
        """Process what was written, and have the page see what has changed."""
        await self.shop.settle()
        history, decisions, letters = self.page.sources.history, self.page.sources.decisions, self.page.sources.letters
        history.is_ready = True
        for shard in range(SHARDS):
            for offset, value in self._new(CHANGES, shard):
                history.add(ChangeRecord(shard, offset, (1, offset, 0), value))
            for offset, value in self._new(LEDGER, shard):
                decisions.take(TailRecord(LEDGER, shard, offset, value))
            for offset, value in self._new(DEAD_LETTERS, shard):
                letters.take(TailRecord(DEAD_LETTERS, shard, offset, value, self.shop.log.records(DEAD_LETTERS, shard)[offset].key or b""))

    def _new(self, topic: str, shard: int) -> list[tuple[int, bytes]]:
        """What the page has not seen of a topic yet."""
        records = self.shop.log.records(topic, shard)
        begin, self.seen[topic, shard] = self.seen.get((topic, shard), 0), len(records)
        return [(offset, records[offset].value) for offset in range(begin, len(records))]

    @property
    def address(self) -> str:
        """Of the page, without a slash at the end."""
        return str(self.browser.make_url("/")).rstrip("/")

    @property
    def cookie(self) -> str:
        """What the browser keeps of its visit."""
        found = self.browser.session.cookie_jar.filter_cookies(self.browser.make_url("/")).get(COOKIE)
        return "" if found is None else found.value


def answering(monkeypatch: pytest.MonkeyPatch, answer: Answer | Exception) -> list[Action]:
    """In the place of the workers; what they are asked for."""
    asked: list[Action] = []

    async def ask(_settings: object, action: Action, *, wait_seconds: float) -> Answer:
        assert wait_seconds > 0
        asked.append(action)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(asking_workers, "ask", ask)
    return asked


@asynccontextmanager
async def looking(
    definitions: Definitions,
    *,
    tokens: Tokens | None = None,
    proxy: ProxyTrust | None = None,
    spoil: Callable[[PeoplePage], None] | None = None,
) -> AsyncGenerator[PageDesk]:
    """A page over a fresh shop. ``spoil`` is done to it before anybody looks."""
    shop = Persons(definitions, SHARDS)
    ends, store = EndsOfShop(shop), StoreOfShops(shop.stores)
    settings, metrics = load_settings(shards=SHARDS, tick=30_000), ServerMetrics()
    answers = answers_over(settings, store, ends, lambda: shop.now_ms)
    feed = Feed(settings, metrics)
    page = page_over(PageParts(settings, store, answers, ends, feed, lambda: shop.now_ms))
    page.sources.events.records = RecordsOfShop(shop)
    page.sources.tail.records = EndsOfLogs(shop)
    if proxy is not None:
        page.site.use_proxy(proxy)
    if spoil is not None:
        spoil(page)
    streams = ChangeStreams(settings, feed, metrics, LIMITS.streams)
    server = ReaderServer(answers, streams, tokens or Tokens(), metrics, LIMITS, page)
    browser = TestClient(RawTestServer(server.handle))
    await browser.start_server()
    try:
        yield PageDesk(browser, server, page, shop, ends, store, {})
    finally:
        page.close()
        await browser.close()
