"""The life of a collector: checked, connected, listening, and ended within its ten seconds with everything that it took in written."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from typing import Final

import structlog
from aiohttp import web
from structlog.typing import FilteringBoundLogger

from streamer.deployment.listening import Place, listening
from streamer.deployment.writing import writing
from streamer.imports.process import KafkaHistoryTopic
from streamer.settings import Settings
from streamer.stopping import Stopping, run_until_asked
from streamer.telemetry.collector_metrics import CollectorMetrics
from streamer.web.bounded_server import BACKLOG, BoundedServer, connections_allowed

from .answers import NO_HTTP
from .key_watch import KeyWatch, load_keys
from .limits import LIMITS, CollectorLimits
from .pages import Pages
from .server import Collector

SHUTDOWN_SECONDS: Final = 6.5  # for requests that are being answered: a write is held for five

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.collector")


async def run_collector(settings: Settings, stopping: Stopping, *, share_port: bool = False, limits: CollectorLimits = LIMITS) -> None:
    """Listen until ``stopping`` begins. SettingsError where something is not as it must be; a start that is interrupted is given up."""
    await run_until_asked(_work(settings, stopping, limits, share_port=share_port), stopping)


async def _work(settings: Settings, stopping: Stopping, limits: CollectorLimits, *, share_port: bool) -> None:
    keys = load_keys(settings)
    metrics = CollectorMetrics()
    async with AsyncExitStack() as stack:
        writer = await stack.enter_async_context(writing(settings))
        collector = Collector(settings, writer, keys, metrics, limits, KafkaHistoryTopic(settings))
        watch = KeyWatch(settings, collector.use_keys, metrics.keys_refused.inc)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, watch.look_now)
        watching = asyncio.create_task(watch.run())
        stack.callback(watching.cancel)
        server = BoundedServer(
            collector.handle,
            connections_allowed(limits.connections),
            metrics.turned_away.inc,
            idle_seconds=limits.idle_seconds,
            header_bytes=limits.header_bytes,
            no_http=NO_HTTP,
        )
        pages = Pages(writer, collector, lambda: server.open)
        inner = web.Server(pages.handle)
        await stack.enter_async_context(listening(inner, Place(settings.web_host, settings.collect_web_port, "STREAMER_COLLECT_WEB_PORT")))
        stopping.left = lambda: ["requests"] if collector.room.bytes else []
        place = Place(settings.collect_host, settings.collect_port, "STREAMER_COLLECT_PORT", share_port=share_port, backlog=BACKLOG)
        await stack.enter_async_context(listening(server, place, shutdown_seconds=SHUTDOWN_SECONDS))
        _say_it_listens(settings, collector)
        pages.is_listening = True
        await asyncio.get_running_loop().create_future()  # until it is cancelled


def _say_it_listens(settings: Settings, collector: Collector) -> None:
    keys = [key.name for key in collector.keys.all]
    log.info("listening", action="collect", host=settings.collect_host, port=settings.collect_port, keys=keys)
    if collector.keys.is_open:
        log.warning("no write key is needed: whoever is on this machine may write events; see STREAMER_COLLECT_KEYS", action="collect")
