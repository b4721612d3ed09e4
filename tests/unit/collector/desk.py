"""A collector over a log in memory, asked by HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import ClientResponse
from aiohttp.test_utils import RawTestServer, TestClient

from streamer.collector.keys import Keys, read_keys
from streamer.collector.limits import LIMITS, CollectorLimits
from streamer.collector.server import Collector
from streamer.errors import NotWrittenError
from streamer.events.codec import decode
from streamer.events.dead_letter import read_dead_letter
from streamer.events.event import Event
from streamer.imports.overlap import LogOverlap
from streamer.settings import Settings
from streamer.telemetry.collector_metrics import CollectorMetrics
from streamer.transports.kafka.event_writer import Record
from streamer.web.secret_tables import hash_of
from streamer.wire import DEAD_LETTERS, EVENTS, HISTORY, DeadLetter, LogRecord

PAGE = "https://shop.example"
BROWSER, SERVER = "bk_browser", "sk_server"
KEYS = f"""
[keys.web]
kind = "browser"
hash = "{hash_of(BROWSER)}"
origins = ["{PAGE}", "https://*.shop.example"]
snowplow_app_ids = ["shop"]

[keys.back]
kind = "server"
hash = "{hash_of(SERVER)}"
"""
SHARDS = 12


class MemorySink:
    """A log in memory that takes everything, until it is told otherwise."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.in_flight_records = 0
        self.in_flight_bytes = 0
        self.failing_seconds = 0.0
        self.fails = False
        self.gate: asyncio.Event | None = None  # writes wait for it
        self.waiting = asyncio.Event()

    async def write(self, records: Iterable[Record]) -> None:
        found = [*records]
        self.in_flight_records += len(found)
        try:
            if self.gate is not None:
                self.waiting.set()
                await self.gate.wait()
            if self.fails:
                raise NotWrittenError("no answer from Kafka for 5 s")
            self.records += found
        finally:
            self.in_flight_records -= len(found)

    @property
    def events(self) -> list[Event]:
        return [decode(record.value) for record in self.records if record.topic == EVENTS]

    @property
    def letters(self) -> list[DeadLetter]:
        return [read_dead_letter(record.value) for record in self.records if record.topic == DEAD_LETTERS]


class MemoryHistory:
    """The topic of history in a log of memory, and where each shard's log begins; None: the log has not begun."""

    def __init__(self, sink: MemorySink, begins_ms: int | None) -> None:
        self._sink = sink
        self._begins_ms = begins_ms
        self.fails = False

    async def has_begun(self) -> bool:
        return self._begins_ms is not None

    async def overlap(self) -> LogOverlap:
        return LogOverlap({} if self._begins_ms is None else dict.fromkeys(range(SHARDS), self._begins_ms))

    async def ends(self, shards: Iterable[int]) -> Mapping[int, int]:
        if self.fails:
            raise TimeoutError
        return {shard: len(self._of(shard)) for shard in shards}

    async def tail(self, shard: int) -> Sequence[LogRecord]:
        found = self._of(shard)
        return [LogRecord(at, 0, one.value, key=one.key, headers=one.headers) for at, one in enumerate(found)]

    def _of(self, shard: int) -> list[Record]:
        return [one for one in self._sink.records if (one.topic, one.partition) == (HISTORY, shard)]


class Desk(NamedTuple):
    """The collector, its log, and a client of it."""

    client: TestClient[Any, Any]
    sink: MemorySink
    collector: Collector
    history: MemoryHistory

    async def post(self, path: str, body: object, *, key: str = "", **headers: str) -> ClientResponse:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        if key:
            named["X-Write-Key"] = key
        response = await self.client.post(path, data=raw, headers=named)
        await response.read()
        return response


@asynccontextmanager
async def opened(
    *, keys: str = "", limits: CollectorLimits = LIMITS, begins_ms: int | None = None, **settings: Any
) -> AsyncGenerator[Desk]:
    """A collector with these keys (a TOML text; none are needed without) and settings, and a log that began at ``begins_ms``."""
    sink = MemorySink()
    history = MemoryHistory(sink, begins_ms)
    found = read_keys(keys, "keys.toml") if keys else Keys()
    collector = Collector(Settings(shards=SHARDS, **settings), sink, found, CollectorMetrics(), limits, history)
    server = RawTestServer(collector.handle)
    await server.start_server(auto_decompress=False)
    client = TestClient(server)
    try:
        yield Desk(client, sink, collector, history)
    finally:
        await client.close()


def track(name: str = "Product Viewed", number: int = 1, **more: object) -> dict[str, object]:
    """A track event as an SDK of Segment sends it."""
    return {"type": "track", "event": name, "messageId": f"m-{number}", "anonymousId": "an-1", "timestamp": "2026-11-29T03:00:00Z", **more}
