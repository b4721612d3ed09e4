"""Where the logs of the shards end, asked many times a second over one connection.

Marks of transactions have offsets and are no records, and a sender makes some itself at each turn: so what lies before the end is read.
Questions about several shards are answered by the same fetches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from streamer.settings import Settings
from streamer.transports.kafka.clients import reader
from streamer.wire import EVENTS

REQUEST_MS: Final = 5_000
ANSWER_SECONDS: Final = 2.0
FETCH_WAIT_MS: Final = 1  # what is asked for is there already
READ_STEP_MS: Final = 5  # the client waits for a record all the time it is given, also where it has read nothing but marks by then
LOOKS: Final = (64, 4_096)  # how many offsets before the end a record is looked for in, before all of them are read


class _Question:
    """Behind which offset the last record from ``begin`` on before ``end`` lies; ``begin`` where there is none."""

    def __init__(self, begin: int, end: int) -> None:
        self.begin = self.behind = begin
        self.end = end
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self, offset: int) -> None:
        """A record was read."""
        if self.behind <= offset < self.end:
            self.behind = offset + 1

    def answers(self, begin: int, end: int) -> bool:
        """Whether the answer to this one is that to another."""
        return end == self.end and (begin >= self.begin or self.behind > self.begin)


class KafkaLogTail:
    """See ``gate.LogTail``. ``start`` before anything, ``stop`` at the end."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.topic(EVENTS)
        self._places = [TopicPartition(self._topic, shard) for shard in range(settings.shards)]
        self._client: AIOKafkaConsumer = reader(
            settings, enable_auto_commit=False, auto_offset_reset="earliest", request_timeout_ms=REQUEST_MS, fetch_max_wait_ms=FETCH_WAIT_MS
        )
        self._asked: dict[TopicPartition, _Question] = {}
        self._one_each = [asyncio.Lock() for _ in self._places]
        self._known: dict[int, _Question] = {}  # by shard, the newest that was answered
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect. Raises KafkaError."""
        await self._client.start()
        self._client.assign(self._places)
        self._client.pause(*self._places)

    async def stop(self) -> None:
        """Close the connections."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
        await self._client.stop()

    async def end(self, shard: int) -> int:
        """See ``LogTail``; what open transactions hold is not acknowledged yet."""
        try:
            return (await self._client.end_offsets([self._places[shard]]))[self._places[shard]]
        except KafkaError as error:
            raise TimeoutError(type(error).__name__) from None

    async def behind_last(self, shard: int, begin: int, end: int) -> int:
        """See ``LogTail``."""
        async with self._one_each[shard]:
            known = self._known.get(shard)
            if known is None or not known.answers(begin, end):
                known = self._known[shard] = await self._ask(shard, begin, end)
        return max(begin, known.behind)

    async def _ask(self, shard: int, begin: int, end: int) -> _Question:
        for look in (*LOOKS, end - begin):
            question = _Question(max(begin, end - look), end)
            await self._read(self._places[shard], question)
            if question.behind > question.begin or question.begin == begin:
                return question
        raise AssertionError("the last look begins where it was asked for")

    async def _read(self, place: TopicPartition, question: _Question) -> None:
        """Return when the question is answered. TimeoutError."""
        self._asked[place] = question
        self._client.seek(place, question.begin)
        self._client.resume(place)
        try:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read_on())
            async with asyncio.timeout(ANSWER_SECONDS):
                await question.answered
        finally:
            del self._asked[place]
            self._client.pause(place)

    async def _read_on(self) -> None:
        """Fetch for as long as there are questions."""
        while self._asked:
            try:
                # Of all places, so what was fetched and is not wanted any more keeps the client from nothing.
                found = await self._client.getmany(timeout_ms=READ_STEP_MS)
                await self._answer(found)
            except KafkaError as error:
                self._fail(TimeoutError(type(error).__name__))
                return

    async def _answer(self, found: Mapping[TopicPartition, Sequence[ConsumerRecord[bytes, bytes]]]) -> None:
        for place, question in [*self._asked.items()]:
            for record in found.get(place, ()):
                question.take(record.offset)
            if await self._client.position(place) >= question.end and not question.answered.done():
                question.answered.set_result(None)
        await asyncio.sleep(0)  # those who asked take their questions away

    def _fail(self, error: TimeoutError) -> None:
        for question in self._asked.values():
            if not question.answered.done():
                question.answered.set_exception(error)
