"""Kafka at its edges: topics, the producer behind the relay, ticks, and reading changes back.

Topics have one partition per shard and are always written to a named partition. The input is created with ``LogAppendTime`` and not
compacted. Whoever writes to it may use transactions: only committed records are read, and the markers between them are no records.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from functools import lru_cache
from secrets import token_hex
from time import time_ns
from typing import Any, Final
from weakref import WeakKeyDictionary

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from streamer.errors import HaltError, SettingsError
from streamer.flow.reader import Deduplicator
from streamer.segments.change import Change, decode_change
from streamer.settings import Settings, tls_context
from streamer.signing import SIGNATURE_HEADER, Keyring, Signer
from streamer.stores.base import Place
from streamer.wire import (
    CHANGES,
    CONTENT_TYPE,
    CONTROL_HEADER,
    EVENTS,
    POSITION_HEADER,
    SINGLE_TOPICS,
    TICK,
    TOPICS,
    Headers,
    LogRecord,
    Output,
    position_text,
    read_position,
)

from .signed import control_headers, headers_of

TAIL_RECORDS: Final = 200  # a zombie may have appended old outputs behind newer ones; the highest of so many is the tail
TAIL_SECONDS: Final = 30.0
RETENTION: Final = "-1"  # the log is the truth; what a shop may forget it decides itself
PREFIXES_SHOWN: Final = 5
RETRY_MS: Final = 400  # a client tries again so often while its broker is away: by its default ten times a second
CONTROL: Final = [(CONTROL_HEADER, b"1")]
METADATA_MS: Final = 3_000  # how soon a topic is seen that was given partitions, went, or came back
LOG_APPEND_TIME: Final = 1  # the timestamp type of records whose time is the broker's


def connection(settings: Settings) -> dict[str, Any]:
    """What every client needs to reach the cluster."""
    found: dict[str, Any] = {
        "bootstrap_servers": settings.kafka,
        "security_protocol": settings.kafka_security_protocol,
        "retry_backoff_ms": RETRY_MS,
    }
    if "SSL" in settings.kafka_security_protocol:
        found["ssl_context"] = ssl_context(settings)
    if settings.kafka_username is not None:
        password = settings.kafka_password.get_secret_value() if settings.kafka_password else ""
        found |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": password,
        }
    return found


def ssl_context(settings: Settings) -> ssl.SSLContext:
    """What TLS trusts, and the client certificate that it shows. SettingsError when a file cannot be used."""
    password = settings.kafka_key_password.get_secret_value() if settings.kafka_key_password is not None else None
    return tls_context("KAFKA", settings.kafka_ca_file, settings.kafka_cert_file, settings.kafka_key_file, password)


def producer(settings: Settings, **more: Any) -> AIOKafkaProducer:
    """A producer that waits for all replicas and repeats nothing within a session."""
    return AIOKafkaProducer(
        **connection(settings), acks="all", enable_idempotence=True, compression_type="lz4", max_batch_size=262_144, **more
    )


def reader(settings: Settings, *topics: str, **more: Any) -> AIOKafkaConsumer:
    """A consumer of what is committed: what a transaction wrote that was aborted did not happen."""
    return AIOKafkaConsumer(*topics, **connection(settings), isolation_level="read_committed", **more)


def signer(settings: Settings) -> Signer | None:
    """Who signs for this process, by the first of its keys; None when it has none."""
    keyring = settings.keyring
    return _signer(keyring.prefix, tuple(keyring.secrets.items())) if keyring.secrets else None


@lru_cache(maxsize=4)  # one for all who sign in this process: what is remembered of signers is bounded
def _signer(prefix: str, secrets: tuple[tuple[str, bytes], ...]) -> Signer:
    return Signer(Keyring(prefix, dict(secrets)), secrets[0][0], token_hex(8), lambda: time_ns() // 1_000)


def is_dead(client: AIOKafkaProducer) -> bool:
    """Whether a producer has given up for good: after an error that breaks its numbering it refuses everything, and never recovers."""
    task = client._sender.sender_task  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - there is no other sign of it
    return task is not None and task.done() and not client._closed  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def topic_configs(suffix: str) -> dict[str, str]:
    """How a topic is created."""
    base = {"cleanup.policy": "delete", "retention.ms": RETENTION}
    return {**base, "message.timestamp.type": "LogAppendTime"} if suffix == EVENTS else base


async def ensure_topics(settings: Settings, *, may_begin: bool = True) -> list[str]:
    """Create the topics that are missing; their names. Topics that are there need no right to create.

    Without ``may_begin`` a log that is not there is not begun, and beside another log of the cluster only with ``settings.create``: a
    misspelt prefix would begin a second one in silence. SettingsError for both, and where the broker creates nothing.
    """
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
            _check_created(await admin.create_topics([topic]))
    finally:
        await admin.close()
    return [settings.topic(suffix) for suffix in missing]


def _check_beginning(settings: Settings, existing: Collection[str], *, may_begin: bool) -> None:
    """SettingsError unless the log of these settings, which is not there, may be begun."""
    mine = settings.topic(EVENTS)
    if not may_begin:
        raise SettingsError(f"STREAMER_TOPIC_PREFIX: there is no topic {mine} at {settings.kafka}; {_logs_there(existing)}")
    if logs_among(existing) and not settings.create:
        raise SettingsError(
            f"STREAMER_TOPIC_PREFIX: there is no topic {mine} at {settings.kafka}; {_logs_there(existing)}. "
            "Correct the prefix, or begin another log with --create (or STREAMER_CREATE=true)"
        )


def logs_among(topics: Collection[str]) -> list[str]:
    """The prefixes of the logs whose topics are among these.

    >>> logs_among(["streamer.events", "streamer.segment-changes", "shop.events"])
    ['streamer']
    """
    prefixes = (name.removesuffix(f".{EVENTS}") for name in topics if name.endswith(f".{EVENTS}"))
    return sorted(prefix for prefix in prefixes if f"{prefix}.{CHANGES}" in topics)


def _logs_there(existing: Collection[str]) -> str:
    prefixes = logs_among(existing)
    shown = ", ".join(prefixes[:PREFIXES_SHOWN]) + (", …" if len(prefixes) > PREFIXES_SHOWN else "")
    return f"logs are there under the prefix {shown}" if prefixes else "no log is there under any prefix"


def _check_created(response: Any) -> None:
    """The client raises nothing by itself. A topic that is there already is fine: its partitions are counted afterwards."""
    for name, code, *more in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise SettingsError(
                f"topic {name}: the broker did not create it: {error.__name__}{f' ({more[0]})' if more and more[0] else ''}"
            )


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


class KafkaSink:
    """Publishes outputs: ``flow.relay.Sink`` on Kafka."""

    def __init__(self, settings: Settings, client: AIOKafkaProducer) -> None:
        self._settings = settings
        self._generation = settings.rules.log_generation
        self._signer = signer(settings)
        self._producer = client

    async def tail(self, topic: str, shard: int) -> Place | None:
        """The highest place of this generation of the log among the newest ``TAIL_RECORDS`` of a partition."""
        async with asyncio.timeout(TAIL_SECONDS):  # a partition without a leader would keep us for ever
            places = [place async for place in self._last_places(topic, shard)]
        return max(places, default=None)

    async def _last_places(self, topic: str, shard: int) -> AsyncIterator[Place]:
        consumer = reader(self._settings, enable_auto_commit=False, auto_offset_reset="earliest")
        try:
            await consumer.start()
            partition = TopicPartition(self._settings.topic(topic), shard)
            consumer.assign([partition])
            end = (await consumer.end_offsets([partition]))[partition]
            begin = (await consumer.beginning_offsets([partition]))[partition]
            if end == begin:
                return
            consumer.seek(partition, max(begin, end - TAIL_RECORDS))
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(timeout_ms=1_000)).values():
                    for record in records:
                        place = _place(record.headers, self._generation)
                        if place is not None:
                            yield place
        finally:
            await consumer.stop()

    async def send(self, outputs: Sequence[Output]) -> None:
        """Publish in order; whole batches, each acknowledged before the call returns."""
        waiting = [await self._producer.send_batch(batch, name, partition=partition) for name, partition, batch in self._batches(outputs)]
        for acknowledged in waiting:
            await acknowledged

    def _batches(self, outputs: Sequence[Output]) -> Iterable[tuple[str, int, Any]]:
        """Consecutive batches per partition; an output that does not fit begins the next."""
        by_place: dict[tuple[str, int], list[Output]] = {}
        for output in outputs:
            by_place.setdefault((self._settings.topic(output.topic), output.partition), []).append(output)
        for (name, partition), found in by_place.items():
            batch = self._producer.create_batch()
            for output in found:
                if not self._append(batch, output):
                    yield name, partition, batch
                    batch = self._producer.create_batch()
                    if not self._append(batch, output):
                        raise HaltError(f"an output of {len(output.value)} bytes does not fit into a batch for {name}")
            yield name, partition, batch

    def _append(self, batch: Any, output: Output) -> bool:
        headers = [(POSITION_HEADER, position_text(self._generation, output.offset, output.ordinal)), *headers_of(output, self._signer)]
        if output.topic == CHANGES:
            headers.append(CONTENT_TYPE)
        return batch.append(timestamp=None, key=output.key, value=output.value, headers=headers) is not None


def _place(headers: Iterable[tuple[str, bytes]], generation: int) -> Place | None:
    for name, value in headers:
        if name == POSITION_HEADER and (found := read_position(value)) is not None and found[0] == generation:
            return Place(*found[1:])
    return None


def log_record(record: Any) -> LogRecord:
    """A consumer's record as the shard reads it."""
    headers = tuple(record.headers)
    control = bool(headers) and any(name == CONTROL_HEADER for name, _ in headers)
    broker_time = record.timestamp_type == LOG_APPEND_TIME
    return LogRecord(record.offset, record.timestamp, record.value or b"", control, record.key or b"", headers, broker_time)


async def send_tick(client: AIOKafkaProducer, settings: Settings, shard: int) -> Any:
    """Let time pass in a shard; returns the future of the acknowledgement."""
    return await client.send(settings.topic(EVENTS), TICK, partition=shard, headers=CONTROL)


_sending: Final[WeakKeyDictionary[AIOKafkaProducer, asyncio.Lock]] = WeakKeyDictionary()


async def send_control(client: AIOKafkaProducer, settings: Settings, raw: bytes, shards: Iterable[int], topic: str = EVENTS) -> None:
    """Write a control record into shards, signed for each, and wait for the acknowledgements. ``topic`` is a suffix."""
    by, name = signer(settings), settings.topic(topic)
    async with _sending.setdefault(client, asyncio.Lock()):  # numbers must lie in the log in the order in which they were given
        sent = [await client.send(name, raw, partition=shard, headers=[*control_headers(by, shard, raw, topic)]) for shard in shards]
    for acknowledged in sent:
        await acknowledged


async def pass_on(client: AIOKafkaProducer, settings: Settings, raw: bytes, shard: int, headers: Headers) -> None:
    """Write a control record into a shard for somebody else, with their signature if there is one and never our own."""
    theirs = [(name, value) for name, value in headers if name == SIGNATURE_HEADER]
    await client.send_and_wait(settings.topic(EVENTS), raw, partition=shard, headers=[*CONTROL, *theirs])


async def read_changes(
    settings: Settings, *, group: str | None = None, from_start: bool = True, wait_ms: int = 500
) -> AsyncIterator[Change]:
    """Segment changes as a downstream service should read them: each once, in order per shard.

    A repeated position (a relay that crashed between publishing and trimming, a former owner) is dropped: ``skip what is not above the
    highest position seen in this shard``. With a ``group`` offsets are committed as changes are handed out, and a restart may repeat the
    last few: then keep ``(shard, generation, offset, ordinal)`` beside your own result and drop likewise. ``wait_ms`` is how long the
    broker may hold a request while there is nothing new; the embedded one holds it so long whatever comes.
    """
    consumer = reader(
        settings,
        settings.topic(CHANGES),
        group_id=group,
        auto_offset_reset="earliest" if from_start else "latest",
        fetch_max_wait_ms=wait_ms,
    )
    highest = Deduplicator()
    await consumer.start()
    try:
        async for record in consumer:
            change = decode_change(record.value or b"")
            position = change.data.position
            if highest.is_new(position.shard, position.generation, position.offset, position.ordinal):
                yield change
    finally:
        await consumer.stop()


__all__ = [
    "METADATA_MS",
    "KafkaError",
    "KafkaSink",
    "check_topics",
    "connection",
    "ensure_topics",
    "is_dead",
    "log_record",
    "logs_among",
    "partitions_problems",
    "pass_on",
    "producer",
    "read_changes",
    "reader",
    "send_control",
    "send_tick",
    "ssl_context",
]
