"""The ledger on Kafka: a topic with a partition a shard, written in transactions of one id a shard.

To open it is to take that id: a sender that had the shard before and has not noticed yet cannot write any more, neither entries nor events,
so what is read afterwards is whole. What became of messages, the events that say so and the group's position are one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import InvalidProducerEpoch, KafkaError, OffsetOutOfRangeError, ProducerFenced
from structlog.typing import FilteringBoundLogger

from streamer.errors import FencedError, NotWrittenError, RefusedError
from streamer.events.event import Event
from streamer.settings import Settings
from streamer.transports.kafka.clients import producer, take_errors
from streamer.transports.kafka.event_writer import Records
from streamer.transports.kafka.partition import read_partition
from streamer.wire import MESSAGES, SENDS

from .ledger import Book, SendEntry, encode_entry, read_entry

OPEN_SECONDS: Final = 30.0
WRITE_SECONDS: Final = 15.0
TRANSACTION_MS: Final = 10_000  # a sender that dies in the middle holds readers of the log no longer than that
LOOKS: Final = (50, 5_000, None)  # how many offsets before the end the newest entry is looked for in; None: all

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.sender")


class KafkaSendLog:
    """The ledger of one shard, open for writing until ``close``. ``book`` is what it said when it was opened."""

    def __init__(self, settings: Settings, shard: int, client: AIOKafkaProducer) -> None:
        self.book = Book()
        self.end = 0
        self._settings = settings
        self._shard = shard
        self._producer = client
        self._records = Records(settings.shards)

    @classmethod
    async def open(cls, settings: Settings, shard: int) -> KafkaSendLog:
        """Take the shard's transactional id, then read what is needed of its ledger. KafkaError or TimeoutError; nothing is open then."""
        client = _writer(settings, shard)
        made = cls(settings, shard, client)
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await client.start()
            await made._read()
        except BaseException:
            await client.stop()
            raise
        return made

    async def begin(self, entries: Sequence[SendEntry]) -> None:
        """See ``SendLog``."""
        await self._write(entries, [], settles=False)

    async def settle(self, entries: Sequence[SendEntry], events: Sequence[Event]) -> None:
        """See ``SendLog``."""
        await self._write(entries, events, settles=True)

    async def close(self) -> None:
        """Let go of the connection; the id stays the next owner's to take."""
        with suppress(KafkaError, TimeoutError, OSError):
            async with asyncio.timeout(1):
                await self._producer.stop()

    async def _read(self) -> None:
        newest = await self._newest()
        if newest is None:
            return
        try:
            await self._take(newest.go_on.ledger)
        except OffsetOutOfRangeError:  # the beginning is not kept any more, and what it was about neither
            await self._take(None)

    async def _newest(self) -> SendEntry | None:
        """The newest entry. The last offsets may be marks of transactions, or of such as were aborted: then more of them are looked at."""
        for look in LOOKS:
            found: SendEntry | None = None
            async with aclosing(read_partition(self._settings, SENDS, self._shard, newest=look)) as batches:
                async for records in batches:
                    for record in records:
                        self.end = record.offset + 1
                        found = self._entry(record.offset, record.value or b"") or found
            if found is not None:
                return found
        return None

    async def _take(self, begin: int | None) -> None:
        self.book = Book()
        async with aclosing(read_partition(self._settings, SENDS, self._shard, begin=begin)) as batches:
            async for records in batches:
                for record in records:
                    if (entry := self._entry(record.offset, record.value or b"")) is not None:
                        self.book.take(entry)

    def _entry(self, offset: int, raw: bytes) -> SendEntry | None:
        try:
            return read_entry(raw)
        except RefusedError:
            log.error("no entry of the ledger", action="send", shard=self._shard, offset=offset)
            return None

    async def _write(self, entries: Sequence[SendEntry], events: Sequence[Event], *, settles: bool) -> None:
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                if self._settings.transactions:
                    async with self._producer.transaction():
                        await self._send(entries, events)
                        if settles:
                            group = sender_group(self._settings)
                            await self._producer.send_offsets_to_transaction(self._position(entries), group)
                else:
                    await self._send(entries, events)
        except (ProducerFenced, InvalidProducerEpoch):
            take_errors(self._producer)
            raise FencedError(f"shard {self._shard}: another sender has it now") from None
        except (KafkaError, TimeoutError, OSError) as error:
            raise NotWrittenError(type(error).__name__) from None

    async def _send(self, entries: Sequence[SendEntry], events: Sequence[Event]) -> None:
        """Events first: where there are no transactions an outcome without its event would be one that nobody hears of."""
        sent = [await self._send_event(event) for event in events]
        await asyncio.gather(*sent)
        topic = self._settings.topic(SENDS)
        told = [await self._producer.send(topic, encode_entry(one), key=one.key.encode(), partition=self._shard) for one in entries]
        for acknowledged in await asyncio.gather(*told):
            self.end = max(self.end, acknowledged.offset + 1)

    async def _send_event(self, event: Event) -> asyncio.Future[object]:
        record = self._records.of_event(event)
        topic = self._settings.topic(record.topic)
        return await self._producer.send(topic, record.value, key=record.key, partition=record.partition, headers=[*record.headers])  # pyright: ignore[reportReturnType]

    def _position(self, entries: Sequence[SendEntry]) -> dict[TopicPartition, int]:
        """For those who look at the group's lag; where a sender goes on says the ledger."""
        return {TopicPartition(self._settings.topic(MESSAGES), self._shard): entries[-1].go_on.decision}


def sender_group(settings: Settings) -> str:
    """The consumer group that shares out the shards among senders."""
    return f"{settings.group}-send"


def _writer(settings: Settings, shard: int) -> AIOKafkaProducer:
    if not settings.transactions:
        return producer(settings)
    return producer(settings, transactional_id=f"{settings.topic_prefix}-send-{shard}", transaction_timeout_ms=TRANSACTION_MS)


__all__ = ["KafkaSendLog", "sender_group"]
