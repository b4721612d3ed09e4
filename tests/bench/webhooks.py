"""``streamer webhooks run`` before a real Kafka: how long after its change a delivery arrives, while one endpoint of a hundred hangs.

Each endpoint has a subscription of its own to one segment, so each change is read a hundred times and delivered once.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import time
from typing import Final

import orjson
from aiohttp import web
from aiokafka import AIOKafkaProducer

from streamer.local.children import Child, free_port
from streamer.settings import Settings
from streamer.transports.kafka.clients import producer
from streamer.transports.kafka.topics import ensure_topics, ensure_webhook_topics
from streamer.webhooks.signatures import new_secret
from streamer.webhooks.subscription import Filter, Start, Subscription
from streamer.webhooks.subscriptions import write_subscription
from streamer.wire import CHANGES, shard_of

from .deployment import SHARDS, Servers
from .report import Report, percentile
from .usage import cpu_s_of

PART: Final = "webhooks"
ENDPOINTS: Final = 100
FAILING: Final = 0  # the number of the one that hangs
RATE: Final = 200.0  # changes a second
STEADY_S: Final = 20.0
WARM_S: Final = 3.0  # of the run, which are not counted
CUSTOMERS: Final = 5_000
JOIN_S: Final = 60.0  # for a hundred groups
VARIABLE: Final = "BENCH_WEBHOOK"  # where the deliverer finds the secret


async def measure(report: Report, servers: Servers, *, quick: bool) -> None:
    """From a change in Kafka to its arrival, at the endpoints that do not fail."""
    seconds = STEADY_S / (2 if quick else 1)
    report.begin(PART, f"{ENDPOINTS} endpoints, one of which hangs; {RATE:g} changes a second, each for one of them; one process")
    prefix = "bench-webhooks"
    settings = Settings(kafka=servers.kafka.bootstrap, topic_prefix=prefix, group=prefix, shards=SHARDS, create=True)  # pyright: ignore[reportCallIssue]
    await ensure_topics(settings)
    await ensure_webhook_topics(settings)
    async with Endpoints() as endpoints, producer(settings) as client:
        for number in range(ENDPOINTS):
            one = _subscription(number, endpoints.address)
            await write_subscription(settings, client, one.name, one)
        async with _deliverer(servers, settings) as child:
            await _warm(settings, client, endpoints)
            began = cpu_s_of(child.pid)
            written = await _write_steadily(settings, client, seconds)
            await asyncio.sleep(2)
            cpu_s = cpu_s_of(child.pid) - began
    waits = sorted(wait for wait, second in endpoints.waits if second >= WARM_S)
    assert waits, "nothing was delivered"
    report.add(PART, "half of the deliveries within", percentile(waits, 0.5), "ms", f"of {len(waits):,}")
    report.add(PART, "99 of 100 within", percentile(waits, 0.99), "ms")
    report.add(PART, "all within", waits[-1], "ms")
    report.add(PART, "not delivered, of endpoints that do not fail", written - endpoints.delivered, "")
    report.add(PART, "processor time of the deliverer", cpu_s / seconds * 100, "%", "of one core")


class Endpoints:
    """A hundred endpoints on one port. ``waits`` are milliseconds after a change, with the second of the run at which it was written."""

    def __init__(self) -> None:
        self.waits: list[tuple[float, float]] = []
        self.all_warm = asyncio.Event()
        self._warmed: set[str] = set()
        self.delivered = 0
        self.address = ""

    async def __aenter__(self) -> Endpoints:
        port = free_port()
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port, backlog=1_024).start()
        self.address = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        told = orjson.loads(await request.read())
        if request.path == f"/{FAILING}":
            await asyncio.sleep(60)
        elif "written" in told:
            self.waits.append(((time() - told["written"]) * 1e3, told["second"]))
            self.delivered += 1
        else:
            self._warmed.add(request.path)
            if len(self._warmed) == ENDPOINTS - 1:
                self.all_warm.set()
        return web.Response(status=204)


def _subscription(number: int, address: str) -> Subscription:
    return Subscription(
        name=f"endpoint-{number}",
        id=f"{number:08x}",
        url=f"{address}/{number}",
        secrets=(f"env:{VARIABLE}",),
        start=Start(),
        wants=Filter(segments=(f"segment_{number}",)),
    )


@asynccontextmanager
async def _deliverer(servers: Servers, settings: Settings) -> AsyncGenerator[Child]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")},
        "STREAMER_KAFKA": settings.kafka,
        "STREAMER_TOPIC_PREFIX": settings.topic_prefix,
        "STREAMER_GROUP": settings.group,
        "STREAMER_SHARDS": str(SHARDS),
        "STREAMER_WEBHOOK_WEB_PORT": str(free_port()),
        "STREAMER_WEBHOOK_ALLOW": "127.0.0.0/8",
        VARIABLE: new_secret(),
    }
    child = Child([sys.executable, "-m", "streamer", "webhooks", "run"], log=servers.folder / "webhooks.log", env=environment)
    try:
        yield child
        assert child.alive, child.log_tail()
    finally:
        child.stop()


async def _warm(settings: Settings, client: AIOKafkaProducer, endpoints: Endpoints) -> None:
    """Return when each group is at work: each endpoint has had a change."""
    for number in range(ENDPOINTS):
        await _write(settings, client, number, number, {})
    await asyncio.wait_for(endpoints.all_warm.wait(), JOIN_S)


async def _write_steadily(settings: Settings, client: AIOKafkaProducer, seconds: float) -> int:
    """Changes at the rate; how many were for endpoints that do not fail."""
    begin, written = time(), 0
    for number in range(int(seconds * RATE)):
        due = begin + number / RATE
        await asyncio.sleep(max(0.0, due - time()))
        await _write(settings, client, number % ENDPOINTS, 1_000 + number, {"written": time(), "second": due - begin})
        written += number % ENDPOINTS != FAILING
    return written


async def _write(settings: Settings, client: AIOKafkaProducer, endpoint: int, offset: int, more: dict[str, float]) -> None:
    customer = f"c-{offset % CUSTOMERS}"
    shard = shard_of(customer, SHARDS)
    at = "2026-02-23T22:58:55.387Z"
    position = {"generation": 1, "shard": shard, "offset": offset, "ordinal": 0}
    data = {"segment": f"segment_{endpoint}", "definitions": 1, "at": at, "sequence": 1, "cause": {"kind": "event", "id": "m-1"}}
    clauses = [{"clause": 'since(last("Product Added")) >= "30m"', "holds": True, "value": 1_800_000}] * 2
    head = {"specversion": "1.0", "id": f"1-{shard}-{offset}-0", "source": "/streamer", "type": "segment.entered", "subject": customer}
    raw = orjson.dumps({**head, "time": at, **more, "data": {**data, "because": clauses, "position": position}})
    await client.send(settings.topic(CHANGES), raw, key=customer.encode(), partition=shard)
