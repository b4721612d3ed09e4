"""The life of a sender: checked, connected, at work, and ended within its ten seconds with what it had in hand written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from time import time
from typing import Final

import structlog
from aiohttp import web
from aiokafka.errors import KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.deployment.connecting import check_store
from streamer.deployment.listening import Place, listening
from streamer.errors import SettingsError
from streamer.flow.catalog import Plans
from streamer.settings import Settings
from streamer.stopping import Stopping, at_most, run_until_asked
from streamer.stores.base import Store
from streamer.telemetry.sender_metrics import SenderMetrics
from streamer.transports.kafka.clients import NO_ADMIN_CALLS
from streamer.transports.kafka.topics import check_topic, ensure_topic
from streamer.wire import MESSAGES, SENDS

from .channels import SendingChannel
from .channels.opening import open_channels
from .gate import StoreGate
from .judging import MessageJudge
from .kafka_ledger import KafkaSendLog
from .log_tail import KafkaLogTail
from .loop import OpenSendLog, SendLoop
from .pages import SenderPages
from .rates import SendRates
from .shard_sender import Means, ShardSender
from .templates.folder import Templates

FINISH_SECONDS: Final = 6.0  # for attempts that are under way
CLOSE_SECONDS: Final = 0.5

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.sender")


async def run_sender(settings: Settings, stopping: Stopping, write: Callable[[str], None]) -> None:
    """Send until ``stopping`` begins. SettingsError where something is not as it must be. ``write`` is where the channel console writes."""
    await run_until_asked(_work(settings, stopping, write), stopping)


async def _work(settings: Settings, stopping: Stopping, write: Callable[[str], None]) -> None:
    templates = read_templates(settings)
    metrics = SenderMetrics()
    async with AsyncExitStack() as stack:
        channels = await stack.enter_async_context(_opened_channels(settings, write))
        check_links(settings, channels)
        store = await stack.enter_async_context(_opened_store(settings))
        await ensure_sends(settings)
        tail = await stack.enter_async_context(_started_tail(settings))
        plans = Plans(store, settings.rules, compile_by=asyncio.to_thread)
        gate = StoreGate(store, plans, tail, MessageJudge())
        rates = SendRates(settings.sender_rate, settings.sender_domain_rate)
        room = asyncio.Semaphore(settings.sender_at_once)
        means = Means(
            channels,
            templates,
            settings.message_links,
            gate,
            rates,
            _now_ms,
            room=room,
            counts_opens=settings.sender_counts_opens,
            tell_age=metrics.look.observe,
        )

        def make_sender(shard: int, ledger: OpenSendLog) -> ShardSender:
            return ShardSender(shard, ledger.book, ledger, means)

        async def open_ledger(shard: int) -> KafkaSendLog:
            return await KafkaSendLog.open(settings, shard)

        loop = SendLoop(settings, open_ledger, make_sender, metrics)
        server = web.Server(SenderPages(loop, gate, metrics, _now_ms).handle)
        await stack.enter_async_context(listening(server, Place(settings.web_host, settings.sender_web_port, "STREAMER_SENDER_WEB_PORT")))
        _say_it_sends(settings, channels, templates)
        await _run(loop, stopping)


async def _run(loop: SendLoop, stopping: Stopping) -> None:
    running = asyncio.create_task(loop.run())
    stopping.left = lambda: [] if running.done() else ["messages in hand, of which nobody may know whether they left"]
    try:
        await asyncio.shield(running)
    except KafkaError as error:
        raise SettingsError(f"STREAMER_KAFKA: cannot join the group of the senders ({type(error).__name__})") from None
    finally:
        running.cancel()
        await at_most(FINISH_SECONDS, _ended(running))


async def _ended(running: asyncio.Task[None]) -> None:
    await asyncio.wait({running})


def read_templates(settings: Settings) -> Templates:
    """The templates of the settings. SettingsError where there is no folder, or none in it that can be used; of each that cannot the log
    says why."""
    if settings.templates is None or not settings.templates.is_dir():
        raise SettingsError("STREAMER_TEMPLATES: expected a folder of templates, NAME/LANGUAGE/subject.liquid and text.liquid")
    found = Templates(settings.templates, settings.sender_language, settings.linked_hosts)
    for name, problem in found.problems.items():
        log.error("a template cannot be used", action="send", template=name, why=problem)
    if not found.names:
        what = next((f"none can be used; {problem}" for problem in found.problems.values()), f"there is none in {settings.templates}")
        raise SettingsError(f"STREAMER_TEMPLATES: {what}")
    return found


def check_links(settings: Settings, channels: dict[str, SendingChannel]) -> None:
    """SettingsError for e-mails from which nobody could unsubscribe."""
    if "email" in channels and not settings.message_links.can_sign:
        raise SettingsError(
            "STREAMER_LINK_KEYS and STREAMER_COLLECT_URL: e-mails need both, for the link to unsubscribe; `streamer keys new` draws a key"
        )


async def ensure_sends(settings: Settings) -> None:
    """Make the topic of the senders' ledger where it is missing. SettingsError where there is no topic of decisions."""
    try:
        await check_topic(settings, MESSAGES)
        await ensure_topic(settings, SENDS)
    except NO_ADMIN_CALLS:  # its topics were made beforehand
        log.debug("no admin calls", action="topics")
    except KafkaError as error:
        raise SettingsError(f"STREAMER_KAFKA: cannot look at the topics at {settings.kafka} ({type(error).__name__})") from None


@asynccontextmanager
async def _opened_channels(settings: Settings, write: Callable[[str], None]) -> AsyncGenerator[dict[str, SendingChannel]]:
    channels = open_channels(settings, write, _now_ms)
    try:
        yield channels
    finally:
        for channel in channels.values():
            await at_most(CLOSE_SECONDS, channel.close())


@asynccontextmanager
async def _opened_store(settings: Settings) -> AsyncGenerator[Store]:
    store = settings.open_store()
    try:
        await check_store(settings, store)
        yield store
    finally:
        await at_most(CLOSE_SECONDS, store.close())


@asynccontextmanager
async def _started_tail(settings: Settings) -> AsyncGenerator[KafkaLogTail]:
    tail = KafkaLogTail(settings)
    try:
        await tail.start()
        yield tail
    except KafkaError as error:
        raise SettingsError(f"STREAMER_KAFKA: no broker at {settings.kafka} ({type(error).__name__})") from None
    finally:
        await at_most(CLOSE_SECONDS, tail.stop())


def _say_it_sends(settings: Settings, channels: dict[str, SendingChannel], templates: Templates) -> None:
    log.info("sends", action="send", channels=sorted(channels), templates=templates.names, group=f"{settings.group}-send")
    if not settings.transactions:
        log.warning(
            "this broker has no transactions: two senders that both believe to have a shard may both send a message, and what became of it "
            "may be told twice, under one id",
            action="send",
        )


def _now_ms() -> int:
    return int(time() * 1_000)


__all__ = ["check_links", "ensure_sends", "read_templates", "run_sender"]
