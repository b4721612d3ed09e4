"""From the outbox to the output topics, in order, each output once as far as a reader is concerned.

What a shard commits is in its outbox until the broker has acknowledged it. A relay that starts reads how far the output partitions are and
goes on behind that; should a former owner still publish, readers drop what is not above the highest position they have seen.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from streamer.stores.base import OutputPosition, Store
from streamer.wire import OUTPUTS, Output, decode_outputs

ENTRIES_AT_ONCE: Final = 100
BACKLOG_MAX: Final = 10_000  # outputs waiting for the broker; beyond it the shard stops fetching
BACKLOG_BYTES_MAX: Final = 32_000_000  # the same in bytes: a dead letter may have 600,000 of them


class Sink(Protocol):
    """Where outputs go. ``tests/contract`` holds implementations to this."""

    async def tail(self, topic: str, shard: int) -> OutputPosition | None:
        """The highest place among the last outputs of a topic's partition that are no lane's; None if there is none."""
        ...

    async def send(self, outputs: Sequence[Output]) -> None:
        """Publish in order and return when all are acknowledged; on an error any first part of them may have been published."""
        ...


class Relay:
    """Publishes the outbox of one shard. Of ``topics`` it goes on behind what stands there; of others it repeats what is in the outbox."""

    def __init__(self, shard: int, store: Store, sink: Sink, *, topics: Sequence[str] = OUTPUTS) -> None:
        self.shard = shard
        self._topics = topics
        self.published = 0
        self._store = store
        self._sink = sink
        self._tails: dict[str, OutputPosition] = {}
        self._queue: deque[tuple[OutputPosition, Sequence[Output]]] = deque()
        self._queued: OutputPosition | None = None
        self._turning = asyncio.Lock()  # a revocation may want the rest published while the worker's own loop publishes
        self.backlog = 0
        self._backlog_bytes = 0
        self.upto: OutputPosition | None = None  # everything up to here is acknowledged
        self._trimmed: OutputPosition | None = None

    async def start(self) -> None:
        """Find out what is published already, and take up what the former owner left."""
        for topic in self._topics:
            tail = await self._sink.tail(topic, self.shard)
            if tail is not None:
                self._tails[topic] = tail
        while True:
            entries = await self._store.outbox(self.shard, after=self._queued, limit=ENTRIES_AT_ONCE)
            self.add([(place, decode_outputs(blob)) for place, blob in entries])
            if len(entries) < ENTRIES_AT_ONCE:
                return

    def add(self, entries: Sequence[tuple[OutputPosition, Sequence[Output]]]) -> None:
        """Queue what was just committed."""
        for place, outputs in entries:
            self._queue.append((place, outputs))
            self._queued = place
            self.backlog += len(outputs)
            self._backlog_bytes += _size(outputs)

    @property
    def is_full(self) -> bool:
        """Whether the shard should wait for the broker."""
        return self.backlog > BACKLOG_MAX or self._backlog_bytes > BACKLOG_BYTES_MAX

    async def turn(self) -> bool:
        """Publish what is queued, then trim it; False if there was nothing. After an error the same is tried again by the next call.

        Calls at the same time take turns.
        """
        has_published = await self.publish()
        return await self.trim() or has_published

    @property
    def has_to_trim(self) -> bool:
        """Whether the outbox still has what the broker has acknowledged."""
        return self.upto != self._trimmed

    async def trim(self) -> bool:
        """Forget what the broker has; False if that is done already. It may come late: whoever starts reads how far the topics are."""
        upto = self.upto
        if upto is None or upto == self._trimmed:
            return False
        await self._store.trim(self.shard, upto=upto)
        self._trimmed = upto
        return True

    async def publish(self) -> bool:
        """Publish what is queued and leave the trimming for later; else as ``turn``."""
        async with self._turning:
            return await self._publish()

    async def _publish(self) -> bool:
        if not self._queue:
            return False
        batch = [self._queue[index] for index in range(min(len(self._queue), ENTRIES_AT_ONCE))]
        outputs = [output for _, entry in batch for output in entry if self._is_new(output)]
        if outputs:
            await self._sink.send(outputs)
        for output in outputs:
            self._tails[output.topic] = OutputPosition(output.offset, output.ordinal)
        self.published += len(outputs)
        self.upto = batch[-1][0]
        for _ in batch:
            _, done = self._queue.popleft()
            self.backlog -= len(done)
            self._backlog_bytes -= _size(done)
        return True

    def _is_new(self, output: Output) -> bool:
        tail = self._tails.get(output.topic)
        return tail is None or (output.offset, output.ordinal) > tail


def _size(outputs: Sequence[Output]) -> int:
    return sum([len(output.value) for output in outputs])
