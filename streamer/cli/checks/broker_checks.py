"""Checks of Kafka as a whole: whether a broker answers, who may write what rules the log, and transactions that hold it up."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping
from time import time
from typing import Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streamer.errors import HaltError
from streamer.flow.published import Published
from streamer.settings import Settings
from streamer.transports.kafka import open_transactions
from streamer.transports.kafka.clients import connection
from streamer.transports.kafka.definitions_topic import read_published
from streamer.transports.kafka.journal import refused_amendments
from streamer.transports.kafka.log_ends import LogEnds, read_log_ends
from streamer.values import time_text
from streamer.wire import AMENDMENTS, DEFINITIONS, EVENTS, TOPICS

from .finding import CheckResult, ok, shard_numbers, warning, wrong
from .topic_checks import check_events_topic, check_partitions

KAFKA_SECONDS: Final = 15.0


class KafkaChecks(NamedTuple):
    """Results of all checks of Kafka, with what the other checks need of it.

    ``ends``: the logs by shard, empty where they are not known. ``published``: None where it cannot be read.
    """

    results: list[CheckResult]
    ends: Mapping[int, LogEnds]
    published: Published | None


async def check_kafka(settings: Settings, *, begun: bool) -> KafkaChecks:
    """Look at brokers and topics for ``KAFKA_SECONDS`` at most. ``begun``: some shard has read from the log already."""
    try:
        return await asyncio.wait_for(_look(settings, begun=begun), KAFKA_SECONDS)
    except (TimeoutError, KafkaError, OSError, ValueError) as error:
        why = f"no answer in {KAFKA_SECONDS:g} s" if isinstance(error, TimeoutError) else _reason(error)
        remedy = "see whether it runs and STREAMER_KAFKA, STREAMER_KAFKA_SECURITY_PROTOCOL and the credentials are those of its listener"
        return KafkaChecks([wrong("kafka", f"no broker at {settings.kafka}: {why}", remedy)], {}, None)


def _reason(error: Exception) -> str:
    """What went wrong, without the texts of libraries in which credentials may stand."""
    if isinstance(error, FileNotFoundError):
        return "the file of STREAMER_KAFKA_CA_FILE is not there"
    return type(error).__name__


async def _look(settings: Settings, *, begun: bool) -> KafkaChecks:
    admin = AIOKafkaAdminClient(**connection(settings), request_timeout_ms=5_000)
    try:
        await admin.start()
        # All topics at once: asking for one by name would make it on a broker that creates topics by itself.
        existing = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
        found = [ok("kafka", f"a broker answers at {settings.kafka}, {len(existing)} topics")]
        found += [check_partitions(settings, suffix, existing.get(settings.topic(suffix)), begun=begun) for suffix in TOPICS]
        try:
            published, amended = await _read_control(settings, existing)
        except HaltError as error:
            remedy = "add it to STREAMER_SIGNING_KEYS, here and for every worker"
            return KafkaChecks([*found, wrong("signing keys", str(error), remedy)], {}, None)
        found += check_signatures(published, amended)
        if (partitions := existing.get(settings.topic(EVENTS))) is None:
            return KafkaChecks(found, {}, published)
        found += await check_events_topic(settings, admin)
    finally:
        await admin.close()
    found += await check_transactions(settings, partitions)
    return KafkaChecks(found, await read_log_ends(settings, range(partitions)), published)


async def _read_control(settings: Settings, existing: Collection[str]) -> tuple[Published, Mapping[int, int]]:
    """What was published, and how many amendments of each shard are refused. HaltError where a key is missing here."""
    published = await read_published(settings) if settings.topic(DEFINITIONS) in existing else Published()
    amended = await refused_amendments(settings) if settings.topic(AMENDMENTS) in existing and published.keys else {}
    return published, amended


def check_signatures(published: Published, amended: Mapping[int, int]) -> Iterator[CheckResult]:
    """Records that somebody wrote who has no key that holds, where people and workers rule the log."""
    remedy = "nobody obeys them; see who may write into these topics, and whether STREAMER_SIGNING_KEYS is the same everywhere"
    if published.refused:
        yield warning("definitions", f"{len(published.refused)} records of their topic are not signed as they must be", remedy)
    if amended:
        where = f"{sum(amended.values())} records of {shard_numbers(sorted(amended))}"
        yield warning("amendments", f"{where} are not signed as they must be", remedy)


async def check_transactions(settings: Settings, partitions: int) -> list[CheckResult]:
    """Transactions that somebody left open in the log."""
    now_ms = int(time() * 1_000)
    remedy = open_transactions.FIND.format(kafka=settings.kafka, topic=settings.topic(EVENTS))
    return [
        wrong(
            f"shard {shard}",
            f"an open transaction holds its log at offset {offset} since {time_text(at_ms)}: nothing behind it is read, ticks too",
            remedy,
        )
        for shard, (offset, at_ms) in sorted((await open_transactions.open_since(settings, partitions)).items())
        if now_ms - at_ms > open_transactions.HELD_SECONDS * 1_000
    ]
