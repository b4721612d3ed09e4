"""A producer and a store that fit the settings: the first thing that a worker does, and any command that writes to Kafka."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.errors import HaltError, SettingsError, StoreUnavailableError
from streamer.settings import Settings
from streamer.stopping import at_most
from streamer.stores.base import Store
from streamer.transports.kafka.clients import NO_ADMIN_CALLS, producer
from streamer.transports.kafka.definitions_topic import DefinitionsTopic
from streamer.transports.kafka.events_topic import check_events_topic
from streamer.transports.kafka.topics import check_topics, ensure_topics
from streamer.wire import DEFINITIONS

from .manifest import check_manifest

log: FilteringBoundLogger = structlog.get_logger("streamer.connecting")

CLOSE_SECONDS: Final = 0.5  # for a client to close: one whose server is away would wait for it


def log_topics(names: list[str]) -> None:
    """Say in the worker's log that topics were made."""
    log.info("topics made", action="topics", topics=names)


@asynccontextmanager
async def starting(
    settings: Settings, *, may_begin: bool = True, made: Callable[[list[str]], None] = log_topics, new_log: bool = False
) -> AsyncGenerator[tuple[AIOKafkaProducer, Store]]:
    """A producer and a store that fit the settings, closed at the end. Raises SettingsError.

    ``may_begin``: whether a log that is not there is begun, see ``ensure_topics``; ``made`` is told the topics that were made.
    ``new_log``: whether the next generation of the log is begun, see ``check_manifest``.
    """
    store = settings.open_store()
    client = producer(settings)
    try:
        if names := await start_producer(client, settings, may_begin=may_begin):
            made(names)
        await check_store(settings, store)
        await check_log(settings, DefinitionsTopic(settings, client), new_log=new_log)
        yield client, store
    finally:
        for closed in (client.stop(), store.close()):
            await at_most(CLOSE_SECONDS, closed)


async def check_store(settings: Settings, store: Store) -> None:
    """SettingsError unless the store answers and may be trusted with state."""
    try:
        problems = (await store.health()).problems
    except StoreUnavailableError as error:
        raise SettingsError(f"STREAMER_STORE: no answer from {settings.shown()['store']} ({error})") from None
    if problems:
        raise SettingsError(f"STREAMER_STORE: {'; '.join(problem.in_words() for problem in problems)}")


async def start_producer(client: AIOKafkaProducer, settings: Settings, *, may_begin: bool) -> list[str]:
    """Connect; return the names of the topics that were made. SettingsError where Kafka or its topics are not as they must be."""
    names: list[str] = []
    try:
        await client.start()
    except Exception as error:
        raise SettingsError(f"STREAMER_KAFKA: no broker at {settings.kafka} ({type(error).__name__})") from None
    try:
        names = await ensure_topics(settings, may_begin=may_begin)
    except NO_ADMIN_CALLS:  # its topics were made beforehand
        log.debug("no admin calls", action="topics")
    except KafkaError as error:
        raise SettingsError(f"STREAMER_KAFKA: cannot make topics at {settings.kafka} ({type(error).__name__})") from None
    try:
        await check_topics(settings, client)
        await check_events_topic(settings)
    except KafkaError as error:
        raise SettingsError(f"STREAMER_KAFKA: cannot look at the topics at {settings.kafka} ({type(error).__name__})") from None
    return names


async def check_log(settings: Settings, topic: DefinitionsTopic, *, new_log: bool = False) -> None:
    """``check_manifest``, with SettingsError for whatever goes wrong."""
    try:
        await check_manifest(settings, topic, new_log=new_log)
    except HaltError as error:
        raise SettingsError(str(error)) from None
    except (KafkaError, TimeoutError) as error:
        raise SettingsError(f"STREAMER_KAFKA: cannot read the topic {settings.topic(DEFINITIONS)} ({type(error).__name__})") from None
