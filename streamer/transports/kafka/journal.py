"""Amendments on Kafka: ``flow.amendments.Journal`` over the topic of amendments, one partition a shard.

They are written in transactions of one id per shard. To open a journal is to take that id: a former owner of the shard that has not noticed
yet cannot write any more, so what is read afterwards is whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from time import time
from typing import Final, Protocol

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced
from aiokafka.structs import ConsumerRecord
from structlog.typing import FilteringBoundLogger

from streamer.errors import FencedError, HaltError, RefusedError
from streamer.flow.amendments import Amendment, Amendments, Journal, Reading, amendment_place, encode_amendment
from streamer.settings import Settings
from streamer.transports.this_worker import this_worker
from streamer.values import time_text
from streamer.wire import AMENDMENTS, Headers, LogRecord

from .clients import log_record, producer, signer, take_errors
from .partition import read_partition

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.journal")

OPEN_SECONDS: Final = 30.0
WRITE_SECONDS: Final = 15.0
TRANSACTION_MS: Final = 10_000  # a writer that dies in the middle holds readers of the topic no longer than that


class OpenJournal(Journal, Protocol):
    """A journal that holds a connection."""

    async def close(self) -> None:
        """Let go of it; harmless when repeated."""
        ...


class KafkaJournal:
    """The journal of one shard, open for writing until ``close``."""

    def __init__(
        self, settings: Settings, reading: Reading, shard: int, client: AIOKafkaProducer, found: list[Amendment], who: str
    ) -> None:
        self.amendments = Amendments(found)
        self._reading = reading
        self._settings = settings
        self._shard = shard
        self._producer = client
        self._who = who

    @classmethod
    async def open(cls, settings: Settings, shard: int, who: str = "") -> KafkaJournal:
        """Take the shard's transactional id, then read its amendments whole. Raises KafkaError or TimeoutError, HaltError
        where a key is lacking; nothing is open then."""
        client, reading = _writer(settings, shard), reading_of(settings, shard)
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await client.start()
            found = [amendment async for amendment in read_amendments(settings, shard, reading)]
        except BaseException:
            await client.stop()
            raise
        return cls(settings, reading, shard, client, found, who or this_worker())

    async def write(self, amendment: Amendment) -> None:
        """See ``Journal``; says who and when besides, and signs it. HaltError where nobody would obey what this process signs."""
        stamped = msgspec.structs.replace(amendment, who=amendment.who or self._who, when=time_text(int(time() * 1_000)))
        raw = encode_amendment(stamped)
        headers = self._signed(raw)
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._write(raw, headers)
        except (ProducerFenced, InvalidProducerEpoch):
            take_errors(self._producer)
            raise FencedError(f"shard {self._shard}: another owner writes its amendments now") from None
        self.amendments.add(stamped)

    def _signed(self, raw: bytes) -> Headers:
        by = signer(self._settings)
        headers = by.sign(amendment_place(self._shard), raw) if by is not None else ()
        try:
            self._reading.take(LogRecord(0, 0, raw, headers=headers))
        except RefusedError as error:
            raise HaltError(
                f"the amendment for shard {self._shard} would not be obeyed: {error.detail}; see STREAMER_SIGNING_KEYS"
            ) from None
        return headers

    async def _write(self, raw: bytes, headers: Headers) -> None:
        topic, more = self._settings.topic(AMENDMENTS), [*headers]
        if self._settings.transactions:
            async with self._producer.transaction():
                await self._producer.send_and_wait(topic, raw, partition=self._shard, headers=more)
        else:
            await self._producer.send_and_wait(topic, raw, partition=self._shard, headers=more)

    async def close(self) -> None:
        """Let go of the connection; the id stays the next owner's to take."""
        try:
            async with asyncio.timeout(1):
                await self._producer.stop()
        except (KafkaError, TimeoutError, OSError) as error:
            log.debug("journal not closed in order", action="close", why=type(error).__name__)


def _writer(settings: Settings, shard: int) -> AIOKafkaProducer:
    if not settings.transactions:
        return producer(settings)
    return producer(settings, transactional_id=f"{settings.topic_prefix}-shard-{shard}", transaction_timeout_ms=TRANSACTION_MS)


def reading_of(settings: Settings, shard: int) -> Reading:
    """Of a shard's amendments from their beginning, with the keys of these settings."""
    return Reading(shard, settings.log_generation, settings.keyring)


async def read_amendments(settings: Settings, shard: int, reading: Reading | None = None) -> AsyncIterator[Amendment]:
    """Those of a shard in this generation of the log, oldest first. What is no amendment is passed over with a line in the log.

    HaltError where a key that holds is not in the settings.
    """
    reading = reading or reading_of(settings, shard)
    async with aclosing(read_partition(settings, AMENDMENTS, shard)) as batches:
        async for records in batches:
            for record in records:
                if (found := _readable(reading, record, shard)) is not None:
                    yield found


async def amendments_of(settings: Settings, shard: int) -> Amendments:
    """All of a shard, for whoever does not own it. HaltError where a key that holds is not in the settings."""
    return Amendments([amendment async for amendment in read_amendments(settings, shard)])


async def refused_amendments(settings: Settings) -> dict[int, int]:
    """How many records nobody obeys since they are not signed as they must be, by shard where there are any."""
    found: dict[int, int] = {}
    for shard in range(settings.shards):
        reading = reading_of(settings, shard)
        async for _ in read_amendments(settings, shard, reading):
            pass
        found[shard] = reading.refused
    return {shard: count for shard, count in found.items() if count}


def _readable(reading: Reading, record: ConsumerRecord[bytes, bytes], shard: int) -> Amendment | None:
    try:
        return reading.take(log_record(record))
    except RefusedError as error:
        log.error("no amendment", action="amendments", shard=shard, offset=record.offset, reason=error.reason, why=error.detail)
        return None
