"""How the topic of events has to be set up, and the refusal of one that is not: its times are the log's clock, its records the story."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol, cast

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from streamer.errors import SettingsError
from streamer.settings import Settings
from streamer.wire import EVENTS

from .clients import NO_ADMIN_CALLS, connection

TIME_TYPE: Final = "message.timestamp.type"
CLEANUP: Final = "cleanup.policy"
NAMES: Final = (TIME_TYPE, CLEANUP, "retention.ms", "retention.bytes")


async def check_events_topic(settings: Settings) -> None:
    """SettingsError when the topic of events cannot be a log. A broker that does not describe its topics is taken at its records' word:
    each says whose time it has."""
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await admin.start()
        found = await describe(admin, settings.topic(EVENTS))
    except (KafkaError, *NO_ADMIN_CALLS):
        return
    finally:
        await admin.close()
    for problem in problems(settings, found or {}):
        raise SettingsError(problem)


def problems(settings: Settings, found: Mapping[str, str]) -> list[str]:
    """Why a topic with these settings is no log; settings that are not known are none."""
    said: list[str] = []
    name = settings.topic(EVENTS)
    if found.get(TIME_TYPE, "LogAppendTime") != "LogAppendTime" and not settings.trust_producer_time:
        said.append(
            f"topic {name}: {TIME_TYPE} is {found[TIME_TYPE]}, so that one producer with a wrong clock moves the time of all customers; "
            f"set it to LogAppendTime: {alter(settings, f'{TIME_TYPE}=LogAppendTime')} (with a managed Kafka it is a setting of the topic "
            "in the provider's console or command line), or trust the producers with STREAMER_TRUST_PRODUCER_TIME=true"
        )
    if "compact" in found.get(CLEANUP, "delete"):
        said.append(
            f"topic {name}: {CLEANUP} is {found[CLEANUP]}, and compaction takes records out of the story; "
            f"set it to delete: {alter(settings, f'{CLEANUP}=delete')}"
        )
    return said


def alter(settings: Settings, configs: str) -> str:
    """The command that changes settings of the topic of events."""
    topic = settings.topic(EVENTS)
    return f"kafka-configs.sh --bootstrap-server {settings.kafka} --alter --entity-type topics --entity-name {topic} --add-config {configs}"


class _Description(Protocol):
    """Of each topic an error code, its text, what it is and its name, and settings: each begins with name and value."""

    resources: Sequence[tuple[int, object, object, object, Sequence[tuple[str, str]]]]


async def describe(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str] | None:
    """The settings of a topic that matter here; None when the broker does not say."""
    try:
        found = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic, dict.fromkeys(NAMES))])
    except (KafkaError, *NO_ADMIN_CALLS):
        return None
    for answer in cast("list[_Description]", found):
        for error_code, _, _, _, entries in answer.resources:
            return None if error_code else {entry[0]: entry[1] for entry in entries}
    return None
