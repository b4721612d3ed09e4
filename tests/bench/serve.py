"""``streamer serve`` before a real Kafka and Redis: one customer a request, at a steady rate over two processes; and a thousand readers of
changes of one process.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import perf_counter, time
from typing import Final

import orjson
from aiohttp import ClientConnectionError, ClientSession, TCPConnector
from aiokafka import AIOKafkaProducer

from streamer.local.children import Child, free_port
from streamer.settings import Settings
from streamer.transports.kafka.clients import producer
from streamer.wire import CHANGES, POSITION_HEADER, position_text

from .deployment import SHARDS, Deployment, Servers
from .library import twenty
from .report import Report, percentile
from .shop import events
from .usage import cpu_s_of

PART: Final = "serve"
CUSTOMERS: Final = 5_000
EVENTS: Final = 20_000
RATE: Final = 1_000.0  # requests a second, of both processes together
STEADY_S: Final = 10.0
WARM_S: Final = 1.0
READERS: Final = 1_000
CHANGE_RATE: Final = 10.0  # a second: ten thousand are sent
Server = tuple[Child, str]


async def measure(report: Report, servers: Servers, *, quick: bool) -> None:
    """Answers about one customer, then changes."""
    report.begin(PART, f"{RATE:g} requests a second for one of {CUSTOMERS:,} customers, two processes; then {READERS:,} readers of one")
    deployment = Deployment(servers, "bench-serve", log_time=True)
    seconds = STEADY_S / (2 if quick else 1)
    try:
        await _fill(deployment)
        async with AsyncExitStack() as stack:
            both = [await stack.enter_async_context(serving(servers.folder, deployment.settings, number)) for number in range(2)]
            cpu_s = -sum(cpu_s_of(child.pid) for child, _ in both)
            waits = await _ask_steadily([address for _, address in both], seconds)
            cpu_s += sum(cpu_s_of(child.pid) for child, _ in both)
            report.add(PART, "one customer, half within", percentile(waits, 0.5), "ms", f"of {len(waits):,}")
            report.add(PART, "99 of 100 within", percentile(waits, 0.99), "ms")
            report.add(PART, "processor time of an answer", cpu_s / (seconds * RATE) * 1e6, "us")
            await _measure_readers(report, deployment.settings, both[0], seconds)
        report.add(PART, "load of the machine in the last minute", os.getloadavg()[0], "")
    finally:
        await deployment.close()


async def _fill(deployment: Deployment) -> None:
    """Customers with a past."""
    await deployment.define(twenty())
    start_ms = int(time() * 1_000) - EVENTS * 1_000
    await deployment.write(events(EVENTS, customers=CUSTOMERS, start_ms=start_ms, gap_ms=CUSTOMERS * 1_000))
    deployment.start_worker()
    await deployment.work_off()
    deployment.stop_worker()


@asynccontextmanager
async def serving(folder: Path, settings: Settings, number: int) -> AsyncGenerator[Server]:
    """Once it is ready."""
    port, web_port = free_port(), free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")},
        "STREAMER_KAFKA": settings.kafka,
        "STREAMER_STORE": settings.store.get_secret_value(),
        "STREAMER_TOPIC_PREFIX": settings.topic_prefix,
        "STREAMER_NAMESPACE": settings.namespace,
        "STREAMER_SHARDS": str(settings.shards),
        "STREAMER_SERVE_PORT": str(port),
        "STREAMER_SERVE_WEB_PORT": str(web_port),
    }
    child = Child([sys.executable, "-m", "streamer", "serve"], log=folder / f"serve-{number}.log", env=environment)
    try:
        async with asyncio.timeout(30), ClientSession() as session:
            while not await _is_ready(session, f"http://127.0.0.1:{web_port}/readyz"):
                assert child.alive, child.log_tail()
                await asyncio.sleep(0.1)
        yield child, f"http://127.0.0.1:{port}"
    finally:
        child.stop()


async def _is_ready(session: ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except ClientConnectionError:
        return False


async def _ask_steadily(addresses: list[str], seconds: float) -> list[float]:
    """Ascending milliseconds from when a request was due, not from when there was time to send it; each customer in turn."""
    waits: list[float] = []

    async def ask(session: ClientSession, number: int, due_s: float) -> None:
        customer = number * 7 % CUSTOMERS
        async with session.get(f"{addresses[number % 2]}/v1/customers/c-{customer:06d}") as response:
            raw = await response.read()
            assert response.status in (200, 404), raw  # a few had no event yet
        if due_s - begin >= WARM_S:
            waits.append((perf_counter() - due_s) * 1e3)

    async with ClientSession(connector=TCPConnector(limit=0)) as session, asyncio.TaskGroup() as tasks:
        begin = perf_counter()
        for number in range(int(seconds * RATE)):
            due_s = begin + number / RATE
            await asyncio.sleep(max(0.0, due_s - perf_counter()))
            tasks.create_task(ask(session, number, due_s))
    return sorted(waits)


async def _measure_readers(report: Report, settings: Settings, server: Server, seconds: float) -> None:
    child, address = server
    readers = [Reader(int(address.rpartition(":")[2])) for _ in range(READERS)]
    reading = [asyncio.create_task(reader.run()) for reader in readers]
    try:
        async with asyncio.timeout(30):
            await asyncio.gather(*(reader.connected.wait() for reader in readers))
        cpu_s = -cpu_s_of(child.pid)
        async with producer(settings) as client:
            written = await _write_steadily(settings, client, seconds)
        await asyncio.sleep(2)
        cpu_s += cpu_s_of(child.pid)
        waits = sorted(wait for reader in readers for wait in reader.waits)
        said = f"{READERS:,} readers, {CHANGE_RATE:g} changes a second, half within"
        report.add(PART, said, percentile(waits, 0.5), "ms", f"of {len(waits):,}")
        report.add(PART, "a change at a reader, 99 of 100 within", percentile(waits, 0.99), "ms")
        report.add(PART, "not come", written * READERS - len(waits), "")
        report.add(PART, "processor time of a change at a reader", cpu_s / len(waits) * 1e6, "us")
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


class Reader:
    """One stream. ``waits`` are milliseconds from when a change was written."""

    def __init__(self, port: int) -> None:
        self.waits: list[float] = []
        self.connected = asyncio.Event()
        self._port = port

    async def run(self) -> None:
        """Until cancelled, or cut."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(b"GET /v1/changes HTTP/1.0\r\nHost: localhost\r\n\r\n")
            async for line in reader:
                if line.startswith(b"id: "):
                    self.connected.set()
                elif line.startswith(b"data: "):
                    self.waits.append((time() - orjson.loads(line[6:])["written"]) * 1e3)
        finally:
            writer.close()


async def _write_steadily(settings: Settings, client: AIOKafkaProducer, seconds: float) -> int:
    """Changes at the rate, behind all that the worker said; how many."""
    begin, number = time(), int(seconds * CHANGE_RATE)
    for count in range(number):
        await asyncio.sleep(max(0.0, begin + count / CHANGE_RATE - time()))
        shard, offset = count % SHARDS, 10**9 + count
        data = {"segment": "loyal", "definitions": 1, "sequence": 1, "position": {"generation": 1, "shard": shard, "offset": offset}}
        head = {"specversion": "1.0", "id": f"1-{shard}-{offset}-0", "type": "segment.entered", "subject": f"c-{count}"}
        await client.send_and_wait(
            settings.topic(CHANGES),
            orjson.dumps({**head, "written": time(), "data": data}),
            partition=shard,
            headers=[(POSITION_HEADER, position_text(1, offset, 0))],
        )
    return number
