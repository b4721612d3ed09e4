"""The loop of an ingest: fetch, translate, write, and only then move the group's position.

Whatever ends it in between, the messages whose records were written are read again, and their events have the ids that they had: the log
holds them twice, and the step counts them once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.errors import NotWrittenError
from streamer.telemetry.ingest_metrics import IngestMetrics
from streamer.transports.kafka.event_writer import Record
from streamer.transports.kafka.source_consumer import SourceMessage

from .translation import Translation

FETCH_RECORDS: Final = 2_000
CHUNK_RECORDS: Final = 2_000  # written at a time, and the bytes of them: a message may hold hundreds of events
CHUNK_BYTES: Final = 4 << 20
PAUSE_SECONDS: Final = 1.0  # after an error of Kafka

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.ingest")


class MessageSource(Protocol):
    """Where messages come from: ``transports.kafka.source_consumer.SourceConsumer``."""

    async def fetch(self, max_records: int) -> list[SourceMessage]:
        """The next messages, in hand until ``finish``. KafkaError where they cannot be read now."""
        ...

    async def commit(self, behind: Mapping[TopicPartition, int]) -> None:
        """What lies before these offsets is done with."""
        ...

    def finish(self) -> None:
        """Nothing is in hand any more."""
        ...


class EventSink(Protocol):
    """Where records go: ``transports.kafka.event_writer.EventWriter``."""

    async def write(self, records: Iterable[Record]) -> None:
        """Return when each record is safe. ``NotWrittenError`` otherwise."""
        ...


class _Chunk(NamedTuple):
    """Messages that are written together, and what becomes of them."""

    records: list[Record]
    behind: dict[TopicPartition, int]
    messages: Counter[str]  # by topic
    events: Counter[str]
    reasons: list[str]


class IngestLoop:
    """Runs until ``is_stopping``; what is in hand then is written and committed, unless Kafka does not take it."""

    def __init__(self, source: MessageSource, sink: EventSink, translation: Translation, metrics: IngestMetrics) -> None:
        self.is_stopping = False
        self.problem = ""  # why messages cannot be read, or the group not be told; empty while all is well
        self._source = source
        self._sink = sink
        self._translation = translation
        self._metrics = metrics

    async def run(self) -> None:
        """Take messages, for ever."""
        while not self.is_stopping:
            try:
                await self._turn()
                self.problem = ""
            except ConsumerStoppedError:
                return
            except KafkaError as error:
                self._say(type(error).__name__)
                await asyncio.sleep(PAUSE_SECONDS)

    async def _turn(self) -> None:
        messages = await self._source.fetch(FETCH_RECORDS)
        try:
            for chunk in self._chunks(messages):
                if not await self._written(chunk.records):
                    return
                await self._source.commit(chunk.behind)
                self._count(chunk)
        finally:
            self._source.finish()

    def _chunks(self, messages: Sequence[SourceMessage]) -> Iterator[_Chunk]:
        chunk, size = _empty(), 0
        for message in messages:
            found = self._translation.of(message)
            chunk.records.extend(found.records)
            chunk.behind[message.place] = message.offset + 1
            chunk.messages[message.topic] += 1
            chunk.events[message.topic] += found.events
            chunk.reasons.extend(found.reasons)
            size += sum(len(record.value) for record in found.records)
            if len(chunk.records) >= CHUNK_RECORDS or size >= CHUNK_BYTES:
                yield chunk
                chunk, size = _empty(), 0
        if chunk.behind:
            yield chunk

    async def _written(self, records: Sequence[Record]) -> bool:
        """Whether all of them are in the log. The same ones are tried again until they are: nothing is passed over; or until the end."""
        while True:
            try:
                await self._sink.write(records)
            except NotWrittenError:  # the writer has said why
                self._metrics.retries.inc()
                if self.is_stopping:
                    return False
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return True

    def _count(self, chunk: _Chunk) -> None:
        for topic, number in chunk.messages.items():
            self._metrics.messages.labels(topic).inc(number)
        for topic, number in chunk.events.items():
            self._metrics.events.labels(topic).inc(number)
        self._metrics.refuse(chunk.reasons)

    def _say(self, why: str) -> None:
        if self.problem != why:
            log.error("messages cannot be read", action="ingest", why=why)
        self.problem = why


def _empty() -> _Chunk:
    return _Chunk([], {}, Counter(), Counter(), [])


__all__ = ["IngestLoop"]
