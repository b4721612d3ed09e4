"""The sink behind the relay on Kafka: whole batches to named partitions, and the place of the newest output."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from streamer.errors import HaltError
from streamer.settings import Settings
from streamer.stores.base import OutputPosition
from streamer.transports.signed import headers_of
from streamer.wire import CHANGES, CONTENT_TYPE, LANE_HEADER, POSITION_HEADER, Output, position_text, read_position

from .clients import signer
from .partition import read_partition

TAIL_RECORDS: Final = 200  # a zombie may have appended old outputs behind newer ones; the highest of so many is the tail


class KafkaSink:
    """Publishes outputs: ``flow.relay.Sink`` on Kafka."""

    def __init__(self, settings: Settings, client: AIOKafkaProducer) -> None:
        self._settings = settings
        self._generation = settings.rules.log_generation
        self._signer = signer(settings)
        self._producer = client

    async def tail(self, topic: str, shard: int) -> OutputPosition | None:
        """The highest place of this generation of the log among the newest ``TAIL_RECORDS`` of a partition."""
        return max([place async for place in self._last_places(topic, shard)], default=None)

    async def _last_places(self, topic: str, shard: int) -> AsyncIterator[OutputPosition]:
        async with aclosing(read_partition(self._settings, topic, shard, newest=TAIL_RECORDS)) as batches:
            async for records in batches:
                for record in records:
                    place = _place(record.headers, self._generation)
                    if place is not None:
                        yield place

    async def send(self, outputs: Sequence[Output]) -> None:
        """Publish in order; whole batches, each acknowledged before the call returns."""
        waiting = [await self._producer.send_batch(batch, name, partition=partition) for name, partition, batch in self._batches(outputs)]
        for acknowledged in waiting:
            await acknowledged

    def _batches(self, outputs: Sequence[Output]) -> Iterable[tuple[str, int, BatchBuilder]]:
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

    def _append(self, batch: BatchBuilder, output: Output) -> bool:
        headers = [(POSITION_HEADER, position_text(self._generation, output.offset, output.ordinal)), *headers_of(output, self._signer)]
        if output.topic == CHANGES:
            headers.append(CONTENT_TYPE)
        return batch.append(timestamp=None, key=output.key, value=output.value, headers=headers) is not None


def _place(headers: Iterable[tuple[str, bytes]], generation: int) -> OutputPosition | None:
    """Where a record stands in the story of its shard; None for what has another story: a lane's, an older generation's."""
    found: OutputPosition | None = None
    for name, value in headers:
        if name == LANE_HEADER:
            return None
        if name == POSITION_HEADER and (place := read_position(value)) is not None and place[0] == generation:
            found = OutputPosition(*place[1:])
    return found


__all__ = ["KafkaSink"]
