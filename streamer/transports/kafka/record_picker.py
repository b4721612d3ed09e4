"""Picks single records out of the log by their offsets, as folding one customer anew wants them: few, and far from each other.

A consumer reads on from where it is told to and fetches ahead, so a jump costs it several questions. Here each question is one fetch of the
batch in which a record lies, and some are under way at once; whatever else was wanted of the batch comes with it, and of the next few
where something wanted is near. What is asked for was
read before as committed, so nothing is left out as aborted.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Final, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CorruptRecordException, NotLeaderForPartitionError, OffsetOutOfRangeError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record import MemoryRecords

from streamer.settings import Settings
from streamer.wire import EVENTS, HISTORY, LogRecord

from .clients import METADATA_MS, Readable, log_record, reader

PICK_SECONDS: Final = 30.0
AT_ONCE: Final = 8  # questions under way: the broker answers one after the other, and so none of them waits for us
BATCH_BYTES: Final = 1  # the broker gives one batch whole all the same
NEAR_BYTES: Final = 131_072  # where the next one wanted is thought to be no further away, several batches come by one question
NEAR: Final = 600  # so many offsets, before it is known how long records are there
WAIT_MS: Final = 100
UNCOMMITTED: Final = 0  # as Kafka numbers it


class RecordPicker:
    """Keeps the promises of ``flow.folding.Picker`` over the topics of events and of history. Connects when it is first asked."""

    def __init__(self, settings: Settings) -> None:
        self._log = _TopicPicker(settings, EVENTS)
        self._history = _TopicPicker(settings, HISTORY)

    async def stop(self) -> None:
        """Close the connections."""
        await self._log.stop()
        await self._history.stop()

    async def pick(self, shard: int, offsets: Sequence[int]) -> Mapping[int, LogRecord]:
        """See ``Picker``."""
        return await self._log.pick(shard, offsets)

    async def pick_history(self, shard: int, offsets: Sequence[int]) -> Mapping[int, LogRecord]:
        """See ``Picker``."""
        return await self._history.pick(shard, offsets)


class _TopicPicker:
    """Picks records out of one topic, by a consumer without a group that is started when asked."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings = settings
        self._topic = settings.topic(topic)
        self._consumer: AIOKafkaConsumer | None = None
        self._starting = asyncio.Lock()

    async def stop(self) -> None:
        """Close the connections."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def pick(self, shard: int, offsets: Sequence[int]) -> Mapping[int, LogRecord]:
        """The records at these ascending offsets, as far as the log has them. Raises KafkaError, TimeoutError, OSError."""
        found: dict[int, LogRecord] = {}
        share = max(1, -(-len(offsets) // AT_ONCE))
        async with asyncio.timeout(PICK_SECONDS):
            consumer = await self._started()
            parts = [offsets[start : start + share] for start in range(0, len(offsets), share)]  # neighbours lie in one batch
            await asyncio.gather(*[self._pick_part(consumer, shard, part, found) for part in parts])
        return {offset: found[offset] for offset in offsets if offset in found}

    async def _pick_part(self, consumer: AIOKafkaConsumer, shard: int, offsets: Sequence[int], found: dict[int, LogRecord]) -> None:
        at, near = TopicPartition(self._topic, shard), NEAR
        for offset, following in zip(offsets, [*offsets[1:], None], strict=True):
            if offset not in found:
                is_near = following is not None and following - offset <= near
                raw = await self._batches(consumer, at, offset, NEAR_BYTES if is_near else BATCH_BYTES)
                end = _take(raw, offsets, offset, found)
                near = NEAR_BYTES * (end - offset) // len(raw) if end > offset else near  # by how long records are here

    async def _batches(self, consumer: AIOKafkaConsumer, at: TopicPartition, offset: int, max_bytes: int) -> bytes:
        """The batch in which an offset lies, or the next one, and those behind it up to so many bytes; empty where the log reaches no
        further, or not that far back."""
        try:
            return await self._fetch(consumer, at, offset, max_bytes)
        except NotLeaderForPartitionError:
            await consumer._client.force_metadata_update()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - no public way to one fetch
            return await self._fetch(consumer, at, offset, max_bytes)

    async def _fetch(self, consumer: AIOKafkaConsumer, at: TopicPartition, offset: int, max_bytes: int) -> bytes:
        client = consumer._client  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        leader = client.cluster.leader_for_partition(at)
        if leader is None or leader < 0:
            raise NotLeaderForPartitionError
        asked = FetchRequest(WAIT_MS, 1, max_bytes, UNCOMMITTED, [(at.topic, [(at.partition, offset, max_bytes)])])
        [(_, [(_, code, *_, raw)])] = (await client.send(leader, asked)).topics
        if code and (error := for_code(code)) is not OffsetOutOfRangeError:
            raise error
        return b"" if code else raw

    async def _started(self) -> AIOKafkaConsumer:
        async with self._starting:
            if self._consumer is None:
                consumer = reader(self._settings, enable_auto_commit=False, auto_offset_reset="none", metadata_max_age_ms=METADATA_MS)
                try:
                    await consumer.start()
                    client = consumer._client  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
                    await client.set_topics([self._topic])  # so that it knows who leads the partitions
                except BaseException:
                    await consumer.stop()
                    raise
                self._consumer = consumer
            return self._consumer


def _take(raw: bytes, wanted: Sequence[int], first: int, found: dict[int, LogRecord]) -> int:
    """Put those of the wanted ones (ascending) that lie in these batches, from ``first`` on, into ``found``; return where the batches end.

    A batch that has none of them is not unpacked, and one that has some no further than to the last.
    """
    batches, end = MemoryRecords(raw), first
    while batches.has_next():
        batch = batches.next_batch()
        if batch is None:
            raise CorruptRecordException
        begin, end = end, batch.next_offset
        here = wanted[bisect_left(wanted, begin) : bisect_left(wanted, end)]
        if not here or batch.is_control_batch:
            continue
        if not batch.validate_crc():
            raise CorruptRecordException
        records = chain(cast("Iterable[Readable]", batch))  # only those of brokers before 0.10 may be without a time
        record = next(records, None)
        for offset in here:
            if record is not None and record.offset < offset:  # what lies between is passed over without a loop of ours
                record = next(islice(records, offset - record.offset - 1, None), None)
            if record is not None and record.offset == offset:
                found[offset] = log_record(record)
    return end


__all__ = ["RecordPicker"]
