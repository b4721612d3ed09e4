"""The topics of a log: created when they are missing, and checked to have one partition per shard.

The input is created with ``LogAppendTime`` and not compacted.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from streamer.commands import ANSWERS_KEPT_MS
from streamer.errors import SettingsError
from streamer.language.message_specs import EXPIRY_MS_MAX
from streamer.settings import Settings
from streamer.suggest import did_you_mean
from streamer.units import DAY_MS
from streamer.wire import (
    ANSWERS,
    CHANGES,
    COMMANDS,
    EVENTS,
    MESSAGES,
    SENDS,
    SINGLE_TOPICS,
    SUBSCRIPTIONS,
    TOPICS,
    WEBHOOK_DEAD,
    WEBHOOK_LOG,
    WEBHOOK_TOPICS,
)

from .clients import connection

RETENTION: Final = "-1"  # the log is the truth; what a shop may forget it decides itself
DECISIONS_KEPT_MS: Final = EXPIRY_MS_MAX + 7 * DAY_MS  # they hold addresses: no longer than one may be sent, and a week to look at it
_KEPT_MS: Final = {
    COMMANDS: ANSWERS_KEPT_MS,  # an erasure names a customer
    ANSWERS: ANSWERS_KEPT_MS,
    MESSAGES: DECISIONS_KEPT_MS,
    SENDS: DECISIONS_KEPT_MS,
    WEBHOOK_LOG: 7 * DAY_MS,
    WEBHOOK_DEAD: 30 * DAY_MS,
}
PREFIXES_SHOWN: Final = 5


def topic_configs(suffix: str) -> dict[str, str]:
    """How a topic is created."""
    if suffix == SUBSCRIPTIONS:
        return {"cleanup.policy": "compact"}
    base = {"cleanup.policy": "delete", "retention.ms": str(_KEPT_MS.get(suffix, RETENTION))}
    return {**base, "message.timestamp.type": "LogAppendTime"} if suffix == EVENTS else base


async def ensure_topics(settings: Settings, *, may_begin: bool = True) -> list[str]:
    """Create the topics that are missing; the names of those that were made. Topics that are there need no right to create.

    Without ``may_begin`` a log that is not there is not begun, and beside another log of the cluster only with ``settings.create``: a
    misspelt prefix would begin a second one in silence. SettingsError for both, and where the broker creates nothing.
    """
    made = list[str]()
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        missing = [suffix for suffix in (*TOPICS, *SINGLE_TOPICS) if settings.topic(suffix) not in existing]
        if EVENTS in missing:
            _check_beginning(settings, existing, may_begin=may_begin)
        for suffix in missing:
            partitions = 1 if suffix in SINGLE_TOPICS else settings.shards
            topic = NewTopic(settings.topic(suffix), partitions, settings.replication, topic_configs=topic_configs(suffix))
            made += _created(await admin.create_topics([topic]))
    finally:
        await admin.close()
    return made


async def ensure_webhook_topics(settings: Settings) -> list[str]:
    """Create the topics of webhooks where they are missing, beside a log that is there; the names of those that were made. SettingsError
    where there is no log, or the broker creates nothing; raises KafkaError."""
    made = list[str]()
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        if settings.topic(CHANGES) not in existing:
            raise SettingsError(_no_topic(settings, CHANGES, existing))
        for suffix in WEBHOOK_TOPICS:
            if settings.topic(suffix) not in existing:
                topic = NewTopic(settings.topic(suffix), 1, settings.replication, topic_configs=topic_configs(suffix))
                made += _created(await admin.create_topics([topic]))
    finally:
        await admin.close()
    return made


async def ensure_topic(settings: Settings, suffix: str) -> bool:
    """Create a topic with a partition a shard beside a log that is there, unless it is there too; whether it was made.

    It is for whoever needs one that no worker does. SettingsError where the broker creates nothing; raises KafkaError.
    """
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await admin.start()
        if settings.topic(suffix) in await admin.list_topics():
            return False
        topic = NewTopic(settings.topic(suffix), settings.shards, settings.replication, topic_configs=topic_configs(suffix))
        return bool(_created(await admin.create_topics([topic])))
    finally:
        await admin.close()


def _check_beginning(settings: Settings, existing: Collection[str], *, may_begin: bool) -> None:
    """SettingsError unless the log of these settings, which is not there, may be begun."""
    message = _no_topic(settings, EVENTS, existing)
    if not may_begin:
        raise SettingsError(message)
    if logs_among(existing) and not settings.create:
        raise SettingsError(f"{message}. Correct the prefix, or begin another log with --create (or STREAMER_CREATE=true)")


async def check_topic(settings: Settings, suffix: str) -> None:
    """SettingsError with the prefixes that are there, unless the cluster has the topic. Changes nothing; raises KafkaError."""
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await admin.start()
        existing = set(await admin.list_topics())
    finally:
        await admin.close()
    if settings.topic(suffix) not in existing:
        raise SettingsError(_no_topic(settings, suffix, existing))


def _no_topic(settings: Settings, suffix: str, existing: Collection[str]) -> str:
    return f"STREAMER_TOPIC_PREFIX: there is no topic {settings.topic(suffix)} at {settings.kafka}; {_logs_there(settings, existing)}"


def logs_among(topics: Collection[str]) -> list[str]:
    """The prefixes of the logs whose topics are among these.

    >>> logs_among(["streamer.events", "streamer.segment-changes", "shop.events"])
    ['streamer']
    """
    prefixes = (name.removesuffix(f".{EVENTS}") for name in topics if name.endswith(f".{EVENTS}"))
    return sorted(prefix for prefix in prefixes if f"{prefix}.{CHANGES}" in topics)


def _logs_there(settings: Settings, existing: Collection[str]) -> str:
    prefixes = logs_among(existing)
    if not prefixes:
        return "no log is there under any prefix"
    question = did_you_mean(settings.topic_prefix, prefixes)
    shown = ", ".join(prefixes[:PREFIXES_SHOWN]) + (", …" if len(prefixes) > PREFIXES_SHOWN else "")
    return f"logs are there under the prefix {shown}{f' ({question})' if question else ''}"


def _created(response: Any) -> list[str]:
    """The topics that were made; the client raises nothing by itself.

    A topic that is there already is fine, and its partitions are counted afterwards: another one may have made it meanwhile, and a broker
    may not list yet what it has just made.
    """
    made = list[str]()
    for name, code, *more in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise SettingsError(
                f"topic {name}: the broker did not create it: {error.__name__}{f' ({more[0]})' if more and more[0] else ''}"
            )
        if not code:
            made.append(name)
    return made


async def check_topics(settings: Settings, client: AIOKafkaProducer) -> None:
    """SettingsError unless every topic has one partition per shard."""
    for suffix in TOPICS:
        name = settings.topic(suffix)
        found = await client.partitions_for(name)
        if len(found) != settings.shards:
            raise SettingsError(
                f"topic {name}: expected {settings.shards} partitions (STREAMER_SHARDS), found {len(found)}; "
                "the number of shards is fixed for the life of the log"
            )


def partitions_problems(settings: Settings, partitions: int) -> list[str]:
    """What is wrong with the number of partitions that the events topic has by now."""
    name = settings.topic(EVENTS)
    if not partitions:
        return [f"the topic {name} is not there any more"]
    if partitions == settings.shards:
        return []
    counts = f"the topic {name} has {partitions} partitions, and the log has {settings.shards} shards"
    return [f"{counts}: what is written into others is read by nobody; the number of shards is fixed for the life of the log"]


__all__ = [
    "check_topic",
    "check_topics",
    "ensure_topic",
    "ensure_topics",
    "ensure_webhook_topics",
    "logs_among",
    "partitions_problems",
    "topic_configs",
]
