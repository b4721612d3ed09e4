"""The log that a collector under test writes to: its topics, and who is in it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition

from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.mock_kafka import MockKafka
from streamer.settings import Settings
from streamer.transports.kafka.clients import reader
from streamer.transports.kafka.topics import ensure_topics
from streamer.wire import EVENTS, SINGLE_TOPICS, TOPICS


async def make_topics(settings: Settings, broker: ApacheKafka | ExternalKafka | MockKafka) -> None:
    """All topics of a log. The mock makes none by request, so it is told."""
    if broker.real:
        await ensure_topics(settings)
        return
    for suffix in TOPICS:
        broker.create_topic(settings.topic(suffix), settings.shards)
    for suffix in SINGLE_TOPICS:
        broker.create_topic(settings.topic(suffix), 1)


async def events(settings: Settings) -> list[dict[str, Any]]:
    """Every event in the log, shard by shard."""
    consumer = reader(settings, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        found: list[dict[str, Any]] = []
        for shard in range(settings.shards):
            partition = TopicPartition(settings.topic(EVENTS), shard)
            consumer.assign([partition])
            end = (await consumer.end_offsets([partition]))[partition]
            await consumer.seek_to_beginning(partition)
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += [json.loads(record.value) for record in records if record.value]
        return [event for event in found if "messageId" in event]
    finally:
        await consumer.stop()


async def ids_by_user(settings: Settings) -> Mapping[str, Counter[str]]:
    """How often each message id lies in the log, by the customer that the client named."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for event in await events(settings):
        found[event.get("userId") or event.get("anonymousId") or ""][event["messageId"]] += 1
    return found
