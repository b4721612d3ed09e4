"""The life of a collector: checked, connected, listening, and ended within its ten seconds with everything that it took in written."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import structlog
from aiohttp import web
from structlog.typing import FilteringBoundLogger

from streamer.deployment.connecting import CLOSE_SECONDS, start_producer
from streamer.errors import SettingsError
from streamer.settings import Settings
from streamer.stopping import Stopping, at_most
from streamer.telemetry.collector_metrics import CollectorMetrics
from streamer.transports.kafka.event_writer import EventWriter, event_producer

from .key_watch import KeyWatch, load_keys
from .limits import LIMITS, CollectorLimits
from .pages import Pages
from .server import Collector
from .web_server import BACKLOG, BoundedServer, connections_allowed

SHUTDOWN_SECONDS: Final = 6.5  # for requests that are being answered: a write is held for five
DRAIN_SECONDS: Final = 1.0  # for records whose requests were not answered

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.collector")


async def run_collector(settings: Settings, stopping: Stopping, *, share_port: bool = False, limits: CollectorLimits = LIMITS) -> None:
    """Listen until ``stopping`` begins. SettingsError where something is not as it must be; a start that is interrupted is given up."""
    work, asked = asyncio.create_task(_work(settings, stopping, limits, share_port=share_port)), asyncio.create_task(stopping.asked())
    await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    work.cancel()  # does nothing when it has ended by itself
    with suppress(asyncio.CancelledError):
        await work


async def _work(settings: Settings, stopping: Stopping, limits: CollectorLimits, *, share_port: bool) -> None:
    keys = load_keys(settings)
    metrics = CollectorMetrics()
    async with AsyncExitStack() as stack:
        writer = await stack.enter_async_context(_writing(settings))
        collector = Collector(settings, writer, keys, metrics, limits)
        watch = KeyWatch(settings, collector.use_keys, metrics.keys_refused.inc)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, watch.look_now)
        watching = asyncio.create_task(watch.run())
        stack.callback(watching.cancel)
        server = BoundedServer(collector.handle, connections_allowed(limits.connections), limits, metrics)
        pages = Pages(writer, collector, lambda: server.open)
        await stack.enter_async_context(_listening(web.Server(pages.handle), settings.web_host, settings.collect_web_port, "WEB_PORT"))
        stopping.left = lambda: ["requests"] if collector.room.bytes else []
        await stack.enter_async_context(_listening(server, settings.collect_host, settings.collect_port, "PORT", share_port=share_port))
        _say_it_listens(settings, collector)
        pages.is_listening = True
        await asyncio.get_running_loop().create_future()  # until it is cancelled


@asynccontextmanager
async def _writing(settings: Settings) -> AsyncGenerator[EventWriter]:
    client = event_producer(settings)
    try:
        await start_producer(client, settings, may_begin=False)
        writer = EventWriter(settings, client)
        yield writer
        await at_most(DRAIN_SECONDS, writer.drain())
    finally:
        await at_most(CLOSE_SECONDS, client.stop())


@asynccontextmanager
async def _listening(server: web.Server, host: str, port: int, name: str, *, share_port: bool = False) -> AsyncGenerator[None]:
    """Listen; at the end take no new connection, let requests end, and close the rest."""
    runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG, reuse_port=share_port or None).start()
    except OSError as error:
        await runner.cleanup()
        raise SettingsError(f"STREAMER_COLLECT_{name}: cannot listen on {host}:{port} ({error.strerror})") from None
    try:
        yield
    finally:
        await runner.cleanup()


def _say_it_listens(settings: Settings, collector: Collector) -> None:
    keys = [key.name for key in collector.keys.all]
    log.info("listening", action="collect", host=settings.collect_host, port=settings.collect_port, keys=keys)
    if collector.keys.is_open:
        log.warning("no write key is needed: whoever is on this machine may write events; see STREAMER_COLLECT_KEYS", action="collect")
