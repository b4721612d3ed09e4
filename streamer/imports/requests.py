"""History that comes by requests, once the log has begun: each is written behind what the topic of history has.

A lane reads that topic in the order in which it lies, so it must lie in the order of time: what happened before the newest of its shard is
refused. Within a request the order does not matter. Other processes may write there too. So where the topic ends is asked before and after
each write; where somebody else wrote at the same moment, what came to lie out of order is named.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from time import monotonic, time
from typing import Final, NamedTuple, Protocol

from streamer.errors import RefusedError, StreamerError, TooMuchError
from streamer.events.codec import decode
from streamer.flow.replay import Arrival
from streamer.transports.kafka.answering import answering
from streamer.transports.kafka.event_writer import Record
from streamer.wire import ARRIVED_HEADER, HISTORY, LogRecord, arrived_text, read_arrived, shard_of

from .importer import BEFORE
from .overlap import LogOverlap
from .sifting import Sifter

DISPLACED: Final = "out_of_order"  # it is written, but behind later history of somebody else
BROUGHT_BY: Final = blake2b(b"requests", digest_size=8).hexdigest()  # one name for all of them: none is an import that goes on
REMEMBERED_IDS: Final = 5_000  # of each shard: a request that is sent again has 2,500
OVERLAP_SECONDS: Final = 60.0  # after which it is asked again which logs have begun
WAIT_SECONDS: Final = 4.0  # for requests that came before
FAIR_EVENTS: Final = 200
BEFORE_SECONDS: Final = 8.0  # for all that is asked of Kafka before a write
AFTER_SECONDS: Final = 3.0  # and behind it
AGAIN: Final = "send all of it again"


class LogNotBegunError(StreamerError):
    """There is no log yet beside which history could lie."""


class HistoryTopic(Protocol):
    """What of the log and of its history is asked. Each raises KafkaError, TimeoutError."""

    async def has_begun(self) -> bool:
        """Whether anything but history lies in the log. The topic of history is there then."""
        ...

    async def overlap(self) -> LogOverlap:
        """Where the logs of the shards begin."""
        ...

    async def ends(self, shards: Iterable[int]) -> Mapping[int, int]:
        """The offsets behind the last record of history of these shards."""
        ...

    async def tail(self, shard: int) -> Sequence[LogRecord]:
        """The last records of history of a shard."""
        ...


class RecordWriter(Protocol):
    """Where records go."""

    async def write(self, records: Iterable[Record]) -> None:
        """Return when each record is safe, in the order of each partition. NotWrittenError otherwise."""
        ...


class NotTaken(NamedTuple):
    """An event that was left out, and why."""

    event: Arrival
    error: RefusedError


@dataclass(slots=True)
class Taken:
    """What became of a request's events: ``written``, ``was_there`` (by message id of a customer), and those that were left out."""

    written: int = 0
    was_there: int = 0
    left_out: list[NotTaken] = field(default_factory=list[NotTaken])

    def refuse(self, event: Arrival, error: RefusedError) -> None:
        """Leave an event out."""
        self.left_out.append(NotTaken(event, error))


@dataclass(slots=True)
class _NewestHistory:
    """The newest of the history in a shard: where its topic ends, when the newest happened, and the ids of the last records."""

    end: int
    last_ms: int = -1
    ids: dict[bytes, None] = field(default_factory=dict[bytes, None])  # the oldest first

    def add(self, key: bytes, at_ms: int) -> None:
        self.last_ms = max(self.last_ms, at_ms)
        self.ids[key] = None
        if len(self.ids) > REMEMBERED_IDS:
            del self.ids[next(iter(self.ids))]


class _Unwritten(NamedTuple):
    """An event to be written."""

    shard: int
    key: bytes
    event: Arrival

    @property
    def record(self) -> Record:
        arrived = (ARRIVED_HEADER, arrived_text(self.event.arrival_ms, BROUGHT_BY))
        return Record(HISTORY, self.shard, self.event.key, self.event.value, (arrived,))


class RequestImporter:
    """Takes the events of one request after the other."""

    def __init__(self, topic: HistoryTopic, writer: RecordWriter, shards: int, placeholder_ids: Iterable[str]) -> None:
        self._topic = topic
        self._writer = writer
        self._shards = shards
        self._placeholders = frozenset(placeholder_ids)
        self._lock = asyncio.Lock()
        self._has_begun = False
        self._overlap = LogOverlap({})
        self._overlap_until = -1.0  # by the clock of this process
        self._standing: dict[int, _NewestHistory] = {}

    async def take(self, events: Iterable[Arrival], *, is_strict: bool = False) -> Taken:
        """Write all that is history, comes in order and is not there yet; a strict request writes nothing where any of it is refused.

        LogNotBegunError; TooMuchError where the requests before it take too long; UnansweredError, NotWrittenError where Kafka does not do
        its part: some of it may be written, and the same request again adds only what is missing.
        """
        await self._wait()
        try:
            return await self._take(events, is_strict=is_strict)
        finally:
            self._lock.release()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._lock.acquire()
        except TimeoutError:
            raise TooMuchError("other requests bring history in; send one after the other") from None

    async def _take(self, events: Iterable[Arrival], *, is_strict: bool) -> Taken:
        taken = Taken()
        sifter = Sifter(self._placeholders, int(time() * 1_000), taken.refuse)
        history = sorted([event async for event in _fairly(sifter.sift(events))], key=_time_of)
        with answering(AGAIN):
            async with asyncio.timeout(BEFORE_SECONDS):
                await self._look_at_log()
                await self._look_at_history({self._shard_of(event) for event in history})
        chosen = await self._choose(history, taken)
        if chosen and not (is_strict and taken.left_out):
            await self._write(chosen, taken)
        return taken

    async def _look_at_log(self) -> None:
        if not self._has_begun and not await self._topic.has_begun():
            raise LogNotBegunError("the log has not begun: bring history in with `streamer import FILES` before anything else")
        self._has_begun = True
        if monotonic() >= self._overlap_until:
            self._overlap = await self._topic.overlap()
            self._overlap_until = monotonic() + OVERLAP_SECONDS

    async def _look_at_history(self, shards: set[int]) -> None:
        """Read the tail where it is not known, or somebody else has written."""
        if not shards:
            return
        ends = await self._topic.ends(shards)
        for shard in sorted(shards):
            known = self._standing.get(shard)
            if known is None or known.end != ends[shard]:
                self._standing[shard] = _standing_of(await self._topic.tail(shard), ends[shard])

    async def _choose(self, history: Iterable[Arrival], taken: Taken) -> list[_Unwritten]:
        found: dict[bytes, _Unwritten] = {}
        async for event in _fairly(history):
            shard, key = self._shard_of(event), _key_of(event.key, event.value)
            standing = self._standing[shard]
            if key in standing.ids or key in found:
                taken.was_there += 1
                continue
            try:
                if event.arrival_ms < standing.last_ms:
                    raise RefusedError(BEFORE, path="$.timestamp", detail="history of later is there already: send it in the order of time")
                self._overlap.is_compared(event, shard)
            except RefusedError as error:
                taken.refuse(event, error)
                continue
            found[key] = _Unwritten(shard, key, event)
        return list(found.values())

    async def _write(self, chosen: Sequence[_Unwritten], taken: Taken) -> None:
        shards = {one.shard for one in chosen}
        before = {shard: self._standing.pop(shard) for shard in shards}  # nothing is known of them unless all goes well
        await self._writer.write([one.record for one in chosen])
        for one in chosen:
            before[one.shard].add(one.key, one.event.arrival_ms)
            before[one.shard].end += 1
        with answering(AGAIN):
            async with asyncio.timeout(AFTER_SECONDS):
                ends = await self._topic.ends(shards)
                for shard in shards:
                    if ends[shard] != before[shard].end:
                        self._refuse_displaced(await self._topic.tail(shard), [one for one in chosen if one.shard == shard], taken)
        self._standing |= {shard: standing for shard, standing in before.items() if ends[shard] == standing.end}
        taken.written = len(chosen) - sum(one.error.reason == DISPLACED for one in taken.left_out)

    def _refuse_displaced(self, tail: Sequence[LogRecord], ours: Iterable[_Unwritten], taken: Taken) -> None:
        """Name what of ours lies behind later history of somebody else."""
        latest_ms, displaced = -1, dict[bytes, bool]()
        for record in tail:
            arrived = read_arrived(record.headers)
            if arrived is not None:
                displaced.setdefault(_key_of(record.key, record.value), arrived[0] < latest_ms)
                latest_ms = max(latest_ms, arrived[0])
        for one in ours:
            if displaced.get(one.key, False):
                detail = "somebody else brought later history in at the same moment; behind it this counts as late"
                taken.refuse(one.event, RefusedError(DISPLACED, path="$.timestamp", detail=detail))

    def _shard_of(self, event: Arrival) -> int:
        return shard_of(event.key.decode(), self._shards)


async def _fairly(events: Iterable[Arrival]) -> AsyncGenerator[Arrival]:
    """The same; others that share the loop get their turn."""
    for number, event in enumerate(events):
        if number % FAIR_EVENTS == FAIR_EVENTS - 1:
            await asyncio.sleep(0)
        yield event


def _standing_of(tail: Sequence[LogRecord], end: int) -> _NewestHistory:
    found = _NewestHistory(tail[-1].offset + 1 if tail else end)
    for record in tail:
        arrived = read_arrived(record.headers)
        if arrived is not None:
            found.add(_key_of(record.key, record.value), arrived[0])
    return found


def _key_of(customer: bytes, value: bytes) -> bytes:
    """What two deliveries of the same event have in common: the customer and the message id."""
    try:
        message_id = decode(value).message_id
    except RefusedError:  # somebody else wrote it, and it is like no other
        return blake2b(value, digest_size=12).digest()
    return blake2b(customer + b"\0" + message_id.encode(), digest_size=12).digest()


def _time_of(event: Arrival) -> int:
    return event.arrival_ms


__all__ = [
    "BROUGHT_BY",
    "DISPLACED",
    "HistoryTopic",
    "LogNotBegunError",
    "NotTaken",
    "RequestImporter",
    "Taken",
]
