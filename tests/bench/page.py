"""The page over a real Kafka and Redis: first paint in a browser, what a view costs the server, and what fifty who look cost it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import perf_counter, time
from typing import Final

from aiohttp import ClientSession, ClientTimeout, TCPConnector
from playwright.async_api import Page, async_playwright

from streamer.errors import SettingsError
from tests.clients.installed import NotInstalledError, chromium

from .deployment import Deployment, Servers
from .report import Report, percentile
from .scaling import by_value
from .serve import serving
from .shop import events
from .usage import cpu_s_of

PART: Final = "page"
SEGMENTS: Final = 1_000
EVENTS_EACH: Final = 2  # of a customer, before anybody looks
RATE: Final = 50  # events a second while somebody looks
STEADY_S: Final = 40.0
WARM_S: Final = 10.0  # what is asked of the store for all who look comes first
PAINTS: Final = 7
PAINTED: Final = ("/", "/segments", "/segments/s00000", "/customers", "/ledger", "/workers")
ASKED: Final = 200
VIEWERS: Final = (
    "/",
    "/segments",
    "/workers",
    "/ledger",
    "/sources",
    *(f"/segments/s{number:05d}" for number in range(15)),
    *(f"/customers/c-{number:06d}" for number in range(30)),
)
PAINT: Final = """new Promise((done) => new PerformanceObserver((seen) => {
    const [found] = seen.getEntriesByName("first-contentful-paint");
    if (found) done(found.startTime);
}).observe({ type: "paint", buffered: true }))"""


async def measure(report: Report, servers: Servers, *, customers: int) -> None:
    """Nobody looks, then one in a browser, then one who asks for customers, then fifty."""
    report.begin(PART, f"{SEGMENTS:,} segments, {customers:,} customers, {RATE} events a second while somebody looks")
    deployment = Deployment(servers, "bench-page", log_time=True)
    try:
        await _fill(deployment, customers)
        async with serving(servers.folder, deployment.settings, 0) as (child, address), _business(deployment, customers):
            await _measure_paints(report, address)
            await _measure_customers(report, address, child.pid, customers)
            idle = await _share_of(child.pid)
            worker_idle = await _share_of(deployment.worker.pid)
            async with _looking(address) as said:
                await asyncio.sleep(WARM_S)
                before = sum(said)
                busy = await _share_of(child.pid)
                report.add(PART, "pieces that came to them", (sum(said) - before) / STEADY_S, "1/s", f"to {len(VIEWERS)}")
                worker_busy = await _share_of(deployment.worker.pid)
            report.add(PART, "server, nobody looks", 100 * idle, "% of core")
            report.add(PART, "server, fifty look at fifty different pages", 100 * busy, "% of core", f"{100 * (busy - idle):+.2f}")
            report.add(PART, "worker, nobody looks", 100 * worker_idle, "% of core")
            report.add(PART, "worker, fifty look", 100 * worker_busy, "% of core", f"{100 * (worker_busy - worker_idle):+.2f}")
        report.add(PART, "load of the machine in the last minute", os.getloadavg()[0], "")
    finally:
        await deployment.close()


async def _fill(deployment: Deployment, customers: int) -> None:
    """Customers with a past that ends now; the worker goes on."""
    await deployment.define(by_value(SEGMENTS))
    number = EVENTS_EACH * customers
    await deployment.write(events(number, customers=customers, start_ms=int(time() * 1_000) - 3_600_000, gap_ms=3_600_000 // EVENTS_EACH))
    deployment.start_worker()
    await deployment.work_off()


@asynccontextmanager
async def _business(deployment: Deployment, customers: int) -> AsyncGenerator[None]:
    """Events of the moment, while it is open."""

    async def sell() -> None:
        for seed in range(2, 10_000):
            await deployment.write(events(RATE, customers=customers, start_ms=int(time() * 1_000), gap_ms=1_000, seed=seed))
            await asyncio.sleep(1.0)

    selling = asyncio.create_task(sell())
    try:
        yield
    finally:
        selling.cancel()
        await asyncio.gather(selling, return_exceptions=True)


async def _measure_paints(report: Report, address: str) -> None:
    try:
        program = chromium()
    except NotInstalledError as error:
        raise SettingsError(str(error)) from None
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = await browser.new_page()
        await page.goto(address)
        for path in PAINTED:
            times = sorted([await _paint(page, address + path) for _ in range(PAINTS)])
            report.add(
                PART, f"first paint of {path}, half within", percentile(times, 0.5), "ms", f"the slowest of {PAINTS}: {times[-1]:.0f}"
            )
        await browser.close()


async def _paint(page: Page, address: str) -> float:
    """Milliseconds from the click to the first text."""
    await page.goto(address)
    return await page.evaluate(PAINT)


async def _measure_customers(report: Report, address: str, pid: int, customers: int) -> None:
    waits: list[float] = []
    used_s = -cpu_s_of(pid)
    async with ClientSession() as session:
        for number in range(ASKED):
            began = perf_counter()
            async with session.get(f"{address}/customers/c-{number * 7_919 % customers:06d}") as response:
                await response.read()
                assert response.status in (200, 404)
            waits.append((perf_counter() - began) * 1e3)
    used_s += cpu_s_of(pid)
    waits.sort()
    report.add(PART, "a customer's view, processor time of the server", used_s / ASKED * 1e3, "ms", "with that of the feed meanwhile")
    report.add(PART, "a customer's view, half within", percentile(waits, 0.5), "ms", f"99 of 100 within {percentile(waits, 0.99):.1f}")


@asynccontextmanager
async def _looking(address: str) -> AsyncGenerator[list[int]]:
    """Fifty who look, each at another page; how often each was sent something."""
    said = [0] * len(VIEWERS)

    async def look(session: ClientSession, number: int) -> None:
        async with session.get(f"{address}/live{VIEWERS[number]}") as response:
            assert response.status == 200, VIEWERS[number]
            before = b""
            async for line in response.content:
                said[number] += line == b"\n" and before.startswith(b"data:")  # and no heartbeat
                before = line

    async with ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(total=None), read_bufsize=2**20) as session:
        looking = [asyncio.create_task(look(session, number)) for number in range(len(VIEWERS))]
        try:
            yield said
            assert not any(one.done() for one in looking), "somebody saw no more"
        finally:
            for one in looking:
                one.cancel()
            await asyncio.gather(*looking, return_exceptions=True)


async def _share_of(pid: int) -> float:
    """Of a core, for a while."""
    used_s, began = cpu_s_of(pid), perf_counter()
    await asyncio.sleep(STEADY_S)
    return (cpu_s_of(pid) - used_s) / (perf_counter() - began)
