"""What topics have of one customer: records by their key, and events that are of them by what they say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from typing import Final, Protocol

import msgspec

from streamer.errors import RefusedError
from streamer.events.codec import decode, encode
from streamer.events.event import Event
from streamer.sender.ledger import SendState, read_entry
from streamer.settings import Settings
from streamer.transports.kafka.answering import answering
from streamer.transports.kafka.log_ends import read_log_ends
from streamer.transports.kafka.partition import read_partition
from streamer.transports.kafka.topics import check_topic
from streamer.values import time_text
from streamer.wire import CHANGES, CONTROL_HEADER, DEAD_LETTERS, LEDGER, MESSAGES, Headers, arrival_of

ENDS_SECONDS: Final = 30.0

KEYED: Final = (  # (name in the document, topic): records whose key is the customer's id and whose value is JSON
    ("changes", CHANGES),
    ("decisions", LEDGER),
    ("messages", MESSAGES),
    ("dead_letters", DEAD_LETTERS),
)


class StoredRecord(Protocol):
    """A record of a topic: aiokafka's, or one in memory."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class TopicReader(Protocol):
    """Reads partitions of the deployment's topics to their ends. Raises UnansweredError; SettingsError for a topic that is not there."""

    async def begin(self, topic: str, shard: int) -> int:
        """The offset of the first record that is kept."""
        ...

    def read(self, topic: str, shard: int) -> AsyncGenerator[Sequence[StoredRecord]]:
        """All records that are kept."""
        ...


class KafkaReader:
    """See ``TopicReader``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def begin(self, topic: str, shard: int) -> int:
        """See ``TopicReader``."""
        with answering():
            async with asyncio.timeout(ENDS_SECONDS):
                await check_topic(self._settings, topic)
                return (await read_log_ends(self._settings, [shard], topic=topic))[shard].begin

    async def read(self, topic: str, shard: int) -> AsyncGenerator[Sequence[StoredRecord]]:
        """See ``TopicReader``."""
        with answering():
            async with aclosing(read_partition(self._settings, topic, shard)) as batches:
                async for records in batches:
                    yield records


class FoundEvent(msgspec.Struct, frozen=True):
    """An event as it lies in the log. ``arrived`` is when it counts as arrived."""

    shard: int
    offset: int
    arrived: str
    event: msgspec.Raw


class FoundRecord(msgspec.Struct, frozen=True):
    """A record of another topic."""

    shard: int
    offset: int
    at: str
    value: msgspec.Raw


class FoundAttempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a sender wrote down of a message of theirs; ``key`` is that of the decision."""

    key: str
    at: str
    state: SendState
    reason: str = ""
    detail: str = ""


class EventsOfIds:
    """Which records of the log are events of one of these ids."""

    def __init__(self, ids: Collection[str]) -> None:
        self._ids = frozenset(ids)
        self._keys = frozenset(one.encode() for one in ids)

    def event(self, record: StoredRecord) -> Event | None:
        """The event; None for one of somebody else, and for what is no event."""
        value = record.value or b""
        is_theirs = record.key in self._keys
        if not is_theirs and b"\\" not in value and not any(key in value for key in self._keys):
            return None  # without a backslash JSON has one way alone to write an id
        if any(name == CONTROL_HEADER for name, _ in record.headers):
            return None
        try:
            found = decode(value)
        except RefusedError:
            return None
        return found if is_theirs or found.customer in self._ids or found.anonymous_id in self._ids else None


def event_entry(shard: int, record: StoredRecord, event: Event) -> FoundEvent:
    """What is said of an event."""
    headers: Headers = tuple(record.headers)
    return FoundEvent(shard, record.offset, time_text(arrival_of(headers, record.timestamp)), msgspec.Raw(encode(event)))


def record_entry(shard: int, record: StoredRecord) -> FoundRecord | None:
    """What is said of a record of ours; None where its value is no JSON, which nobody of ours writes."""
    try:
        value = msgspec.json.decode(record.value or b"", type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return FoundRecord(shard, record.offset, time_text(record.timestamp), value)


def attempt_entry(record: StoredRecord, keys: Collection[str]) -> FoundAttempt | None:
    """What is said of an attempt, where it is of one of these decisions."""
    try:
        entry = read_entry(record.value or b"")
    except RefusedError:
        return None
    return FoundAttempt(entry.key, entry.at, entry.state, entry.reason, entry.detail) if entry.key in keys else None


__all__ = ["KEYED", "EventsOfIds", "KafkaReader", "StoredRecord", "TopicReader", "attempt_entry", "event_entry", "record_entry"]
