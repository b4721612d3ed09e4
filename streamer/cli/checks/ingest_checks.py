"""Checks of an ingest: what its settings say, whether its topics are there, and how far its group has read them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streamer.errors import DefinitionError, SettingsError
from streamer.ingest.message_reader import message_reader
from streamer.ingest.sources import check_sources, group_of
from streamer.settings import Settings
from streamer.transports.kafka.source_positions import SourcePosition, read_positions

from .finding import CheckResult, ok, warning, wrong

INGEST_SECONDS: Final = 15.0
NAME: Final = "ingest"


async def check_ingest(settings: Settings) -> list[CheckResult]:
    """Results where ``ingest_topics`` names topics; nothing otherwise. Reads nothing of them, and joins no group."""
    if not settings.ingest_topics:
        return []
    try:
        message_reader(settings)
        await asyncio.wait_for(check_sources(settings), INGEST_SECONDS)
        positions = await asyncio.wait_for(read_positions(settings, settings.ingest_topics, group_of(settings)), INGEST_SECONDS)
    except (SettingsError, DefinitionError) as error:
        return [wrong(NAME, str(error), "correct the setting; `streamer ingest --help` says what it may be")]
    except (TimeoutError, KafkaError) as error:
        remedy = "see whether this user may describe the topics and the group"
        return [wrong(NAME, f"cannot see how far group {group_of(settings)} has read: {type(error).__name__}", remedy)]
    return list(check_positions(group_of(settings), positions))


def check_positions(group: str, positions: Mapping[TopicPartition, SourcePosition]) -> Iterator[CheckResult]:
    """What the positions of a group say, topic by topic."""
    for topic in dict.fromkeys(place.topic for place in positions):
        mine = {place.partition: found for place, found in positions.items() if place.topic == topic}
        name = f"{NAME} of topic {topic}"
        unread = [partition for partition, found in mine.items() if found.offset is None]
        gone = [partition for partition, found in mine.items() if found.offset is not None and not found.begin <= found.offset <= found.end]
        if gone:
            said = f"group {group} is at offsets that partitions {', '.join(map(str, gone))} do not have: records were deleted unread"
            yield wrong(name, said, "an ingest goes on where the topic begins; keep its records longer than an outage may last")
        elif unread:
            said = f"group {group} has never read {len(unread)} of {len(mine)} partitions"
            yield warning(name, said, "start `streamer ingest` with these settings")
        else:
            behind = sum(max(0, found.end - found.offset) for found in mine.values() if found.offset is not None)
            yield ok(name, f"group {group} is {behind:,} records behind in {len(mine)} partitions")
