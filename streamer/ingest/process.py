"""The life of an ingest: checked, connected, at work, and ended within its ten seconds with what it had in hand written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from time import time
from typing import Final

import structlog
from aiohttp import web
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.deployment.listening import Place, listening
from streamer.deployment.writing import writing
from streamer.errors import SettingsError
from streamer.settings import Settings
from streamer.stopping import Stopping, at_most, run_until_asked
from streamer.telemetry.ingest_metrics import IngestMetrics
from streamer.transports.kafka.broker_watch import ASK_SECONDS, BrokerWatch
from streamer.transports.kafka.source_consumer import SourceConsumer

from .loop import IngestLoop
from .message_reader import format_of, message_reader
from .pages import IngestPages
from .sources import check_sources, group_of
from .translation import Translation

FINISH_SECONDS: Final = 5.5  # for what is in hand: a write is held for five
LEAVE_SECONDS: Final = 1.0  # for the group to hear that this member goes

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.ingest")


async def run_ingest(settings: Settings, stopping: Stopping) -> None:
    """Take messages until ``stopping`` begins. SettingsError where something is not as it must be; a start that is interrupted is given
    up."""
    await run_until_asked(_work(settings, stopping), stopping)


async def _work(settings: Settings, stopping: Stopping) -> None:
    translation = Translation(settings, message_reader(settings), _now_ms)
    metrics = IngestMetrics()
    async with AsyncExitStack() as stack:
        writer = await stack.enter_async_context(writing(settings))
        await check_sources(settings)
        consumer = _consumer(settings, metrics)
        loop = IngestLoop(consumer, writer, translation, metrics)
        brokers = BrokerWatch(settings.kafka)
        server = web.Server(IngestPages(loop, consumer, writer, brokers, metrics).handle)
        await stack.enter_async_context(listening(server, Place(settings.web_host, settings.ingest_web_port, "STREAMER_INGEST_WEB_PORT")))
        await stack.enter_async_context(_joined(settings, consumer))
        watching = asyncio.create_task(_watch(brokers, consumer))
        stack.callback(watching.cancel)
        log.info("ingests", action="ingest", topics=list(settings.ingest_topics), format=format_of(settings), group=group_of(settings))
        await _run(loop, stopping)


async def _run(loop: IngestLoop, stopping: Stopping) -> None:
    """Run the loop until this is cancelled; then let it finish what it has in hand."""
    running = asyncio.create_task(loop.run())
    stopping.left = lambda: [] if running.done() else ["messages in hand, which are read again"]
    try:
        await asyncio.shield(running)
    finally:
        loop.is_stopping = True
        await at_most(FINISH_SECONDS, _ended(running))


async def _watch(brokers: BrokerWatch, consumer: SourceConsumer) -> None:
    """Ask them for ever: while a broker is away, neither a fetch nor a commit of the client's says so."""

    async def answered() -> Mapping[int, int]:
        await consumer.ask_brokers()
        return {}

    while True:
        await brokers.look(answered)
        await asyncio.sleep(ASK_SECONDS)


async def _ended(running: asyncio.Task[None]) -> None:
    await running


def _consumer(settings: Settings, metrics: IngestMetrics) -> SourceConsumer:
    def since_ms() -> int:
        return _now_ms() - settings.lateness  # what is older would be refused as late

    def lost(place: TopicPartition, records: int) -> None:
        metrics.out_of_range.labels(place.topic).inc()
        metrics.lost.labels(place.topic).inc(records)

    return SourceConsumer(settings, settings.ingest_topics, group_of(settings), since_ms, lost)


@asynccontextmanager
async def _joined(settings: Settings, consumer: SourceConsumer) -> AsyncGenerator[None]:
    try:
        await consumer.start()
    except KafkaError as error:
        raise SettingsError(f"STREAMER_KAFKA: cannot join the group {group_of(settings)} ({type(error).__name__})") from None
    try:
        yield
    finally:
        await at_most(LEAVE_SECONDS, consumer.stop())


def _now_ms() -> int:
    return int(time() * 1_000)
