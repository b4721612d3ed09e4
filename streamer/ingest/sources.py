"""The topics that an ingest reads, and the group in which it does: looked at before anything is read."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streamer.errors import SettingsError
from streamer.settings import Settings
from streamer.suggest import did_you_mean
from streamer.transports.kafka.clients import connection
from streamer.wire import SINGLE_TOPICS, TOPICS, WEBHOOK_TOPICS

from .message_reader import format_of

OURS: Final = (*TOPICS, *SINGLE_TOPICS, *WEBHOOK_TOPICS)


def group_of(settings: Settings) -> str:
    """The consumer group: one a format, since members of one group share out the topics of all of them."""
    return f"{settings.group}-ingest-{format_of(settings)}"


async def check_sources(settings: Settings) -> None:
    """SettingsError unless there are topics to read, and the cluster has them. Changes nothing."""
    try:
        admin = AIOKafkaAdminClient(**connection(settings))
        await admin.start()
        try:
            existing = set(await admin.list_topics())  # all: asking for one by name would make it on a broker that creates topics
        finally:
            await admin.close()
    except KafkaError as error:
        raise SettingsError(f"STREAMER_KAFKA: cannot look at the topics at {settings.kafka} ({type(error).__name__})") from None
    for problem in source_problems(settings, existing):
        raise SettingsError(f"STREAMER_INGEST_TOPICS: {problem}")


def source_problems(settings: Settings, existing: Collection[str]) -> Iterator[str]:
    """What is wrong with the topics of the settings, of which the cluster has ``existing``."""
    if not settings.ingest_topics:
        yield "at least one topic is needed"
    ours = {settings.topic(suffix) for suffix in OURS}
    for topic in settings.ingest_topics:
        if topic in ours:
            yield f"{topic} is a topic of ours; what is read there would be written there again"
        elif topic not in existing:
            hint = did_you_mean(topic, sorted(set(existing) - ours))
            yield f"there is no topic {topic} at {settings.kafka}{f' ({hint})' if hint else ''}"
