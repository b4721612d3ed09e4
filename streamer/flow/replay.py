"""The same step over a file: no Kafka, no Redis, no clock; time comes from the events.

A replay is one shard. Its story begins with the definitions at offset 0; each line of the input that is an event is one record after that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from streamer.customers.state import State, decode_state
from streamer.errors import StoreUnavailableError
from streamer.segments.definitions import Definitions
from streamer.segments.plan import Plan
from streamer.stores.base import Store
from streamer.wire import TICK, LogRecord, Output, definitions_control

from .shard import Limits, Plans, Shard
from .step import Body, Rules


class Arrival(NamedTuple):
    """A record of the input: the line it stood in, when it arrived (UTC milliseconds), the event's bytes, and the file of the line."""

    line: int
    arrival_ms: int
    value: bytes
    file: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """One output, and the line that brought it about (0: none, it was time)."""

    line: int
    output: Output
    file: str = ""


class Replay:
    """A log that is read from somewhere, and the shard that it makes."""

    def __init__(self, shard: Shard, store: Store) -> None:
        self._shard = shard
        self._store = store

    @classmethod
    async def begin(cls, definitions: Definitions, store: Store, rules: Rules, *, batch: int) -> Replay:
        """A fresh shard under ``definitions``."""
        plans = Plans(store, rules)
        shard = await Shard.acquire(0, store, plans, rules, limits=Limits(records=batch), pause=_never)
        first = LogRecord(0, 0, definitions_control(definitions.content(), definitions.digest, 1), control=True)
        await shard.process([first])
        return cls(shard, store)

    @property
    def body(self) -> Body:
        """Log time and counters."""
        return self._shard.step.body

    @property
    def head(self) -> bytes:
        """The digest of the story so far."""
        return self._shard.checkpoint.head

    @property
    def plan(self) -> Plan:
        """The definitions in force."""
        return self._shard.step.plan

    async def feed(self, arrivals: Iterable[Arrival], *, batch: int) -> AsyncIterator[Said]:
        """Apply records and yield what they say, in order."""
        source = iter(arrivals)
        while chunk := list(islice(source, batch)):
            start = self._shard.position.offset
            places = {start + index: (arrival.line, arrival.file) for index, arrival in enumerate(chunk)}
            records = [LogRecord(start + index, arrival.arrival_ms, arrival.value) for index, arrival in enumerate(chunk)]
            async for output in self._process(records):
                line, file = places[output.offset]
                yield Said(line, output, file)

    async def until(self, time_ms: int) -> AsyncIterator[Said]:
        """Let time pass without events."""
        async for output in self._process([LogRecord(self._shard.position.offset, time_ms, TICK, control=True)]):
            yield Said(0, output)

    async def _process(self, records: list[LogRecord]) -> AsyncIterator[Output]:
        for place, outputs in await self._shard.process(records):
            for output in outputs:
                yield output
            await self._store.trim(0, upto=place)

    async def states(self) -> AsyncIterator[tuple[str, State]]:
        """All customers in the order of their ids."""
        customers = await self._store.customers(0)
        for chunk in _chunks(customers, 1_000):
            fetched = await self._store.fetch(0, chunk, until_ms=0, limit=0)
            for customer, blob in zip(chunk, fetched.states, strict=True):
                if blob is not None:
                    yield customer, decode_state(blob)

    async def state(self, customer: str) -> State | None:
        """One customer."""
        blob = (await self._store.fetch(0, [customer], until_ms=0, limit=0)).states[0]
        return None if blob is None else decode_state(blob)


def _chunks(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


async def _never(_seconds: float) -> None:
    raise StoreUnavailableError("the memory of a replay does not come and go")
