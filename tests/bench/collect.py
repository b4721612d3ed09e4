"""``streamer collect`` before a real Kafka, beside a handler that only reads JSON.

Processor time of an event and of a request, and how long an answer takes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from itertools import count
from time import perf_counter, time
from typing import Final

import orjson
from aiohttp import ClientConnectionError, ClientSession, TCPConnector

from streamer.local.children import Child, free_port
from streamer.settings import Settings
from streamer.transports.kafka.topics import ensure_topics
from streamer.values import time_text

from .deployment import SHARDS, Servers
from .report import Report, percentile
from .usage import cpu_s_of

PART: Final = "collect"
BATCH: Final = 100
AT_ONCE: Final = 16
RATE: Final = 500.0  # requests a second, of the latency
STEADY_S: Final = 10.0
ROUNDS: Final = 3  # of both servers by turns; the median counts
Body = Callable[[], bytes]


async def measure(report: Report, servers: Servers, *, quick: bool) -> None:
    """Batches, single events, and answers at a steady rate."""
    report.begin(PART, f"batches of {BATCH} and single events, {AT_ONCE} requests at once; answers after acks=all")
    ids = count()
    prefix = "bench-collect"
    settings = Settings(kafka=servers.kafka.bootstrap, topic_prefix=prefix, shards=SHARDS, create=True)  # pyright: ignore[reportCallIssue]
    await ensure_topics(settings)
    scale = 4 if quick else 1
    async with _collector(servers, prefix) as ours, _bare(servers) as bare:
        both = {"collector": ours, "bare handler": bare}
        batched = await _by_turns(both, lambda: _batch(ids), 400 // scale, path="/v1/batch")
        for name, cpu_s in batched.items():
            report.add(PART, f"batches, {name}, an event", cpu_s / BATCH * 1e6, "us")
        report.add(PART, "batches, events a second and core", BATCH / batched["collector"], "")
        single = await _by_turns(both, lambda: _single(ids), 6_000 // scale, path="/v1/track")
        for name, cpu_s in single.items():
            report.add(PART, f"single events, {name}, a request", cpu_s * 1e6, "us")
        report.add(PART, "single events, collector against bare", single["collector"] / single["bare handler"], "x")
        waits = await _steadily(ours[1], lambda: _single(ids), STEADY_S / scale)
        report.add(PART, f"answers at {RATE:g} requests a second, half within", percentile(waits, 0.5), "ms", f"of {len(waits):,}")
        report.add(PART, "99 of 100 within", percentile(waits, 0.99), "ms")


Server = tuple[Child, str]


@asynccontextmanager
async def _collector(servers: Servers, prefix: str) -> AsyncGenerator[Server]:
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")},
        "STREAMER_KAFKA": servers.kafka.bootstrap,
        "STREAMER_TOPIC_PREFIX": prefix,
        "STREAMER_SHARDS": str(SHARDS),
        "STREAMER_COLLECT_PORT": str(port),
        "STREAMER_COLLECT_WEB_PORT": str(free_port()),
    }
    child = Child([sys.executable, "-m", "streamer", "collect"], log=servers.folder / "collect.log", env=environment)
    async with _running(child, port) as it:
        yield it


@asynccontextmanager
async def _bare(servers: Servers) -> AsyncGenerator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.bare_handler", str(port)]
    async with _running(Child(command, log=servers.folder / "bare.log"), port) as it:
        yield it


@asynccontextmanager
async def _running(child: Child, port: int) -> AsyncGenerator[Server]:
    """Once it takes an event."""
    address = f"http://127.0.0.1:{port}"
    try:
        async with ClientSession() as session:
            async with asyncio.timeout(30):
                while True:
                    try:
                        async with session.post(f"{address}/v1/track", data=_single(count(10**9))) as response:
                            if response.status == 200:
                                break
                    except ClientConnectionError:
                        pass
                    assert child.alive, child.log_tail()
                    await asyncio.sleep(0.1)
        yield child, address
    finally:
        child.stop()


def _event(number: int) -> dict[str, object]:
    """As an SDK sends it."""
    now = time_text(int(time() * 1_000))
    return {
        "type": "track",
        "event": "Product Viewed",
        "messageId": f"ajs-next-{number:016d}",
        "anonymousId": f"7f3c9a52-{number % 5_000:08d}",
        "timestamp": now,
        "context": {
            "library": {"name": "analytics.js", "version": "npm:next-1.84.3"},
            "locale": "en-US",
            "page": {"path": "/shirts", "title": "Shirts", "url": "https://shop.example/shirts"},
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
        },
        "properties": {"product_id": f"p-{number % 300}", "category": "shirts", "price": 19.9, "currency": "EUR"},
    }


def _single(ids: count[int]) -> bytes:
    return orjson.dumps({**_event(next(ids)), "sentAt": time_text(int(time() * 1_000))})


def _batch(ids: count[int]) -> bytes:
    return orjson.dumps({"batch": [_event(next(ids)) for _ in range(BATCH)], "sentAt": time_text(int(time() * 1_000))})


async def _by_turns(servers: dict[str, Server], body: Body, requests: int, *, path: str) -> dict[str, float]:
    """Median seconds of processor time a request, by server."""
    found: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(ROUNDS):
        for name, (child, address) in servers.items():
            begin = cpu_s_of(child.pid)
            await _send(address + path, body, requests)
            found[name].append((cpu_s_of(child.pid) - begin) / requests)
    return {name: sorted(times)[len(times) // 2] for name, times in found.items()}


async def _send(url: str, body: Body, requests: int) -> None:
    left = iter(range(requests))

    async def client(session: ClientSession) -> None:
        for _ in left:
            async with session.post(url, data=body()) as response:
                await response.read()
                assert response.status == 200, await response.text()

    async with ClientSession(connector=TCPConnector(limit=AT_ONCE)) as session:
        await asyncio.gather(*(client(session) for _ in range(AT_ONCE)))


async def _steadily(address: str, body: Body, seconds: float) -> list[float]:
    """Ascending milliseconds from when a request was due, not from when there was time to send it."""
    waits: list[float] = []

    async def ask(session: ClientSession, due_s: float) -> None:
        async with session.post(f"{address}/v1/track", data=body()) as response:
            await response.read()
            assert response.status == 200, await response.text()
        waits.append((perf_counter() - due_s) * 1e3)

    async with ClientSession(connector=TCPConnector(limit=0)) as session, asyncio.TaskGroup() as tasks:
        begin = perf_counter()
        for number in range(int(seconds * RATE)):
            due_s = begin + number / RATE
            await asyncio.sleep(max(0.0, due_s - perf_counter()))
            tasks.create_task(ask(session, due_s))
    return sorted(waits)
