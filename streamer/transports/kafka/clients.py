"""Clients of Kafka: how each reaches the cluster, what a reader and a producer promise, and a record as the shard reads it.

Whoever writes to the log may use transactions: only committed records are read, and the markers between them are no records.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from functools import lru_cache
from secrets import token_hex
from time import time_ns
from typing import Final, NotRequired, Protocol, TypedDict, Unpack, cast

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streamer.settings import Settings
from streamer.signing import Keyring, Signer
from streamer.tls import tls_context
from streamer.wire import CONTROL_HEADER, Headers, LogRecord, arrival_of

RETRY_MS: Final = 400  # a client tries again so often while its broker is away: by its default ten times a second
METADATA_MS: Final = 3_000  # how soon a topic is seen that was given partitions, went, or came back
LOG_APPEND_TIME: Final = 1  # the timestamp type of records whose time is the broker's

NO_ADMIN_CALLS: Final = (AttributeError, NotImplementedError)  # what a broker says that has none, such as the embedded one


class Connection(TypedDict):
    """What every client is told of the cluster."""

    bootstrap_servers: str
    security_protocol: str
    retry_backoff_ms: int
    ssl_context: NotRequired[ssl.SSLContext]
    sasl_mechanism: NotRequired[str]
    sasl_plain_username: NotRequired[str]
    sasl_plain_password: NotRequired[str]


class ReaderOptions(TypedDict, total=False):
    """What a consumer may be told besides, as aiokafka names it."""

    group_id: str | None
    auto_offset_reset: str
    enable_auto_commit: bool
    fetch_max_wait_ms: int
    fetch_min_bytes: int
    fetch_max_bytes: int
    max_poll_records: int | None
    max_partition_fetch_bytes: int
    request_timeout_ms: int
    metadata_max_age_ms: int
    session_timeout_ms: int
    heartbeat_interval_ms: int
    max_poll_interval_ms: int
    rebalance_timeout_ms: int
    partition_assignment_strategy: Sequence[type]


class ProducerOptions(TypedDict, total=False):
    """What a producer may be told besides, as aiokafka names it."""

    transactional_id: str
    transaction_timeout_ms: int
    request_timeout_ms: int
    linger_ms: int


def connection(settings: Settings) -> Connection:
    """What every client needs to reach the cluster."""
    found: Connection = {
        "bootstrap_servers": settings.kafka,
        "security_protocol": settings.kafka_security_protocol,
        "retry_backoff_ms": RETRY_MS,
    }
    if "SSL" in settings.kafka_security_protocol:
        found["ssl_context"] = ssl_context(settings)
    if settings.kafka_username is not None:
        password = settings.kafka_password.get_secret_value() if settings.kafka_password else ""
        found["sasl_mechanism"] = settings.kafka_sasl_mechanism
        found["sasl_plain_username"] = settings.kafka_username
        found["sasl_plain_password"] = password
    return found


def ssl_context(settings: Settings) -> ssl.SSLContext:
    """What TLS trusts, and the client certificate that it shows. SettingsError when a file cannot be used."""
    password = settings.kafka_key_password.get_secret_value() if settings.kafka_key_password is not None else None
    return tls_context("KAFKA", settings.kafka_ca_file, settings.kafka_cert_file, settings.kafka_key_file, password)


def producer(settings: Settings, **more: Unpack[ProducerOptions]) -> AIOKafkaProducer:
    """A producer that waits for all replicas and repeats nothing within a session."""
    return AIOKafkaProducer(
        **connection(settings), acks="all", enable_idempotence=True, compression_type="lz4", max_batch_size=262_144, **more
    )


def reader(settings: Settings, *topics: str, **more: Unpack[ReaderOptions]) -> AIOKafkaConsumer:
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


def take_errors(client: AIOKafkaProducer) -> None:
    """Take the errors that a fenced producer keeps for nobody: asyncio would print each one as never retrieved when it is forgotten."""
    # The client has no public way to either.
    batches = client._message_accumulator._batches.values()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    kept = [batch._drain_waiter for waiting in batches for batch in waiting]  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    if client._txn_manager is not None:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        kept.append(client._txn_manager.wait_for_transaction_end())  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    for future in kept:
        if future is not None and future.done() and not future.cancelled():
            future.exception()


class Readable(Protocol):
    """A record as aiokafka reads it, from a consumer or out of a batch."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def timestamp_type(self) -> int | None: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


def log_record(record: Readable) -> LogRecord:
    """The record as the shard reads it."""
    headers = cast("Headers", tuple(record.headers))
    control = bool(headers) and any(name == CONTROL_HEADER for name, _ in headers)
    broker_time = record.timestamp_type == LOG_APPEND_TIME
    arrival_ms = arrival_of(headers, record.timestamp)
    return LogRecord(record.offset, arrival_ms, record.value or b"", control, record.key or b"", headers, broker_time)


__all__ = [
    "LOG_APPEND_TIME",
    "METADATA_MS",
    "connection",
    "is_dead",
    "log_record",
    "producer",
    "reader",
    "signer",
    "ssl_context",
    "take_errors",
]
