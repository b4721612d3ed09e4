"""A server for readers over a shop in memory, asked by HTTP. Each answer is held against the document that describes the API."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import jsonschema_rs
from aiohttp.test_utils import RawTestServer, TestClient
from yarl import URL

from streamer.deployment.past import PastCustomers
from streamer.flow.amendments import Amendments
from streamer.flow.catalog import Plans
from streamer.flow.committed import CommittedCustomers
from streamer.flow.customer_folder import CustomerFolder
from streamer.language.definitions import Definitions
from streamer.server.change_stream import ChangeStreams
from streamer.server.feed import Feed
from streamer.server.limits import LIMITS, ServerLimits
from streamer.server.openapi import OPENAPI
from streamer.server.past_member_answers import FindPastMembers
from streamer.server.process import answers_over
from streamer.server.routes import find_route
from streamer.server.server import ReaderServer
from streamer.server.tokens import Tokens
from streamer.settings import load_settings
from streamer.signing import NO_KEYS
from streamer.stores.base import Checkpoint, Committed, Fetched, Page
from streamer.stores.memory import MemoryStore
from streamer.telemetry.server_metrics import ServerMetrics
from streamer.wire import EVENTS, LogRecord
from tests.unit.flow.persons import Persons

SHARDS: Final = 2


class StoreOfShops(MemoryStore):
    """The stores of a shop's shards as the one store that a server reads."""

    def __init__(self, stores: Sequence[MemoryStore]) -> None:
        super().__init__()
        self.stores = stores
        self.error: Exception | None = None

    def _of(self, shard: int) -> MemoryStore:
        if self.error is not None:
            raise self.error
        return self.stores[shard]

    async def checkpoint(self, shard: int) -> Checkpoint:
        return await self._of(shard).checkpoint(shard)

    async def committed(self, shard: int, customers: Sequence[str]) -> Committed:
        return await self._of(shard).committed(shard, customers)

    async def fetch(
        self, shard: int, customers: Sequence[str], *, until_ms: int, limit: int, expected: Checkpoint | None = None
    ) -> Fetched:
        return await self._of(shard).fetch(shard, customers, until_ms=until_ms, limit=limit, expected=expected)

    async def customers(self, shard: int, bucket: int, *, limit: int, expected: Checkpoint | None = None) -> Page:
        return await self._of(shard).customers(shard, bucket, limit=limit, expected=expected)

    async def get_document(self, name: str, *, shard: int | None = None) -> bytes | None:
        return await (super().get_document(name) if shard is None else self._of(shard).get_document(name, shard=shard))


class EndsOfShop:
    """Where the logs of a shop end."""

    def __init__(self, shop: Persons) -> None:
        self.shop = shop
        self.is_silent = False

    def end(self, shard: int) -> int | None:
        return None if self.is_silent else self.shop.log.end(EVENTS, shard)


class LogOfShop:
    """Single records of a shop's log; of nothing that lies in it anything was decided."""

    def __init__(self, shop: Persons) -> None:
        self._shop = shop

    async def pick_history(self, shard: int, offsets: Sequence[int]) -> Mapping[int, LogRecord]:
        return {}

    async def pick(self, shard: int, offsets: Sequence[int]) -> Mapping[int, LogRecord]:
        records = {record.offset: record for record in self._shop.log.fetch(shard, 0, 1_000_000)}
        return {offset: records[offset] for offset in offsets if offset in records}

    async def amendments(self, shard: int) -> Amendments:
        return Amendments()


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: Any
    headers: Any


class ReaderDesk(NamedTuple):
    """The server, the shop behind it, and a client."""

    client: TestClient[Any, Any]
    server: ReaderServer
    shop: Persons
    ends: EndsOfShop
    store: StoreOfShops
    feed: Feed

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, headers=headers)

    async def ask(self, method: str, path: str, *, data: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        named = {name.replace("_", "-"): text for name, text in (headers or {}).items()}
        async with self.client.request(method, URL(path, encoded=True), data=data, headers=named) as response:
            raw = await response.read()
            answer = Answer(response.status, json.loads(raw) if raw else None, response.headers)
        _conforms(method, path, answer)
        return answer


def _conforms(method: str, path: str, answer: Answer) -> None:
    """The answer is one of those that the document has for this path and status."""
    match = find_route(path.partition("?")[0])
    if match is None or match.route.method != method:
        schema: Any = {"$ref": "#/components/schemas/ErrorBody"}
    else:
        responses = OPENAPI["paths"][match.route.template][method.lower()]["responses"]
        assert str(answer.status) in responses, f"{answer.status} is not described: {answer.body}"
        content = responses[str(answer.status)].get("content")
        if content is None:
            assert answer.body is None
            return
        schema = content["application/json"]["schema"]
        if answer.status >= 400:
            assert answer.body["code"] in responses[str(answer.status)]["description"].split(", ")
    jsonschema_rs.Draft202012Validator({**schema, "components": OPENAPI["components"]}).validate(answer.body)


@asynccontextmanager
async def reading(
    definitions: Definitions, *, tokens: Tokens | None = None, limits: ServerLimits = LIMITS, find: FindPastMembers | None = None
) -> AsyncGenerator[ReaderDesk]:
    """A server over a fresh shop."""
    shop = Persons(definitions, SHARDS, keeps_offsets=True)
    ends, store = EndsOfShop(shop), StoreOfShops(shop.stores)
    settings = load_settings(shards=SHARDS, tick=30_000)
    plans, log = Plans(store, settings.rules), LogOfShop(shop)
    folder = CustomerFolder(store, settings.rules, plans, NO_KEYS, log, log.amendments)
    pasts = PastCustomers(folder, CommittedCustomers(store, settings.rules, plans))
    answers = answers_over(settings, store, ends, lambda: shop.now_ms, pasts, find=find)
    metrics = ServerMetrics()
    feed = Feed(settings, metrics)
    server = ReaderServer(answers, ChangeStreams(settings, feed, metrics, limits.streams), tokens or Tokens(), metrics, limits)
    client = TestClient(RawTestServer(server.handle))
    await client.start_server()
    try:
        yield ReaderDesk(client, server, shop, ends, store, feed)
    finally:
        await client.close()
