"""The life of a process that delivers: checked, connected, at work, and ended within its ten seconds with what is done noted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import SystemRandom
from time import time
from typing import Final

import structlog
from aiohttp import web
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.deployment.connecting import CLOSE_SECONDS
from streamer.deployment.listening import Place, listening
from streamer.errors import SettingsError
from streamer.settings import Settings
from streamer.stopping import Stopping, at_most, run_until_asked
from streamer.telemetry.webhook_metrics import WebhookMetrics
from streamer.transports.kafka.broker_watch import ASK_SECONDS, BrokerWatch
from streamer.transports.kafka.event_writer import EventWriter, event_producer
from streamer.transports.kafka.topics import ensure_webhook_topics

from .addresses import Guard
from .deliverer import Deliverer, SharedTools
from .delivery import DeliveryClock
from .feed import ChangeFeed
from .journal import DeliveryJournal
from .pages import WebhookPages
from .sending import sending

END_SECONDS: Final = 6.5  # for requests that are under way, and for the groups to hear what is done

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.webhooks")


async def run_webhooks(settings: Settings, stopping: Stopping) -> None:
    """Deliver until ``stopping`` begins. SettingsError where something is not as it must be."""
    await run_until_asked(_work(settings, stopping), stopping)


def guard_of(settings: Settings) -> Guard:
    """Which endpoints the settings allow."""
    return Guard(settings.webhook_allow)


def now_ms() -> int:
    """UTC milliseconds."""
    return int(time() * 1_000)


async def _work(settings: Settings, stopping: Stopping) -> None:
    metrics = WebhookMetrics()
    async with AsyncExitStack() as stack:
        producer, feed = event_producer(settings), ChangeFeed(settings, metrics)
        for client in (producer, feed):
            stack.push_async_callback(_closed, client)
        try:
            await ensure_webhook_topics(settings)
            await producer.start()
            await feed.start()
        except KafkaError as error:
            raise SettingsError(f"STREAMER_KAFKA: no broker at {settings.kafka} ({type(error).__name__})") from None
        journal = DeliveryJournal(EventWriter(settings, producer), metrics)
        sender = await stack.enter_async_context(sending(guard_of(settings), now_ms))
        deliverer = Deliverer(settings, SharedTools(sender, feed, journal, producer, DeliveryClock(now_ms, SystemRandom().random), metrics))
        brokers = BrokerWatch(settings.kafka)
        server = web.Server(WebhookPages(deliverer, brokers, metrics).handle)
        await stack.enter_async_context(listening(server, Place(settings.web_host, settings.webhook_web_port, "STREAMER_WEBHOOK_WEB_PORT")))
        helpers = [await stack.enter_async_context(_beside(work)) for work in (journal.run(), feed.run(), _watch(brokers, feed))]
        await _run(deliverer, helpers, stopping)


async def _run(deliverer: Deliverer, helpers: Sequence[asyncio.Task[None]], stopping: Stopping) -> None:
    """Until this is cancelled; or until one of them ends, which is a fault, and raised: without it nothing would be delivered."""
    running = asyncio.create_task(deliverer.run())
    stopping.left = lambda: [] if running.done() else ["requests under way, which go out again"]
    try:
        ended, _ = await asyncio.wait({running, *helpers}, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        running.cancel()
        await at_most(END_SECONDS, _ended(running))


async def _watch(brokers: BrokerWatch, feed: ChangeFeed) -> None:
    while True:
        await brokers.look(feed.ask_brokers)
        await asyncio.sleep(ASK_SECONDS)


async def _ended(running: asyncio.Task[None]) -> None:
    await running


async def _closed(client: AIOKafkaProducer | ChangeFeed) -> None:
    await at_most(CLOSE_SECONDS, client.stop())


@asynccontextmanager
async def _beside(work: Coroutine[None, None, None]) -> AsyncGenerator[asyncio.Task[None]]:
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
