"""The same step over a file: no Kafka, no server of a store, no clock; time comes from the events.

A replay is one shard. Its story begins with the definitions at offset 0; each line of the input that is an event is one record after that.
What such a record has written to the log (a login ties two ids together: see ``identity``) comes next, before the next line: nothing takes
any time here. So where the work is cut into batches changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from streamer.customers.state import State
from streamer.customers.tombstone import is_tombstone
from streamer.errors import ReleasedError, StoreUnavailableError
from streamer.language.definitions import Definitions
from streamer.learning.reports.model_card import Card
from streamer.learning.reports.outputs import Alert, ModelPublished
from streamer.segments.plan.plan import Plan
from streamer.stores.base import Store
from streamer.units import HOUR_MS
from streamer.wire import EVENTS, EXAMPLES, TICK, Headers, LogRecord, Output, definitions_control

from .catalog import Plans
from .checkpoint import CheckpointBody
from .driver import Entry
from .lookup import KnownAs, look_up
from .machine import Limits
from .published import GivenVersions
from .rules import Rules
from .shard import Shard
from .training import TrainingLog
from .training_order import read_training_record


class Arrival(NamedTuple):
    """A record of the input: the line it stood in, when it arrived (UTC milliseconds), the event's bytes, and the file of the line.

    ``key`` and ``headers`` are those of what the shard itself has written to the log, on account of that line. ``control``:
    it is a record of ours, as a log has them.
    """

    line: int
    arrival_ms: int
    value: bytes
    file: str = ""
    key: bytes = b""
    headers: Headers = ()
    control: bool = False

    @property
    def place(self) -> tuple[int, str]:
        """The line and its file."""
        return self.line, self.file


@dataclass(frozen=True, slots=True)
class ReplayOutput:
    """One output, and the line that brought it about (0: none, it was time)."""

    line: int
    output: Output
    file: str = ""


class Replay:
    """A log that is read from somewhere, and the shard that it makes."""

    def __init__(self, shard: Shard, store: Store) -> None:
        self._shard = shard
        self._store = store
        self._training: TrainingLog | None = None
        self._hour = -1
        self.published: list[ModelPublished] = []
        self.alerts: list[Alert] = []

    @classmethod
    async def begin(cls, definitions: Definitions, store: Store, rules: Rules, *, batch: int, learns: bool = True) -> Replay:
        """A fresh shard under ``definitions``. ``learns``: whether models learn on the way; if not, the log has their scorers."""
        plans = Plans(store, rules)
        shard = await Shard.acquire(0, store, plans, rules, limits=Limits(records=batch, until_sent=True), pause=_never)
        first = LogRecord(0, 0, definitions_control(definitions.content(), definitions.digest, 1), control=True)
        await shard.process([first])
        run = cls(shard, store)
        if definitions.models and learns:
            run._training = await TrainingLog.acquire(store, GivenVersions({1: definitions.content()}), 1)
        return run

    def lack_before(self, moment_ms: int) -> None:
        """Say, before the first record, that what lay before a moment (UTC) is lost: clauses that look further back are warming."""
        self.body.since_ms = {memory.key: moment_ms for memory in self.plan.memories}

    @property
    def body(self) -> CheckpointBody:
        """Log time and counters."""
        return self._shard.body

    @property
    def output_digest(self) -> bytes:
        """The digest of the story so far."""
        return self._shard.checkpoint.output_digest

    @property
    def plan(self) -> Plan:
        """The definitions in force."""
        return self._shard.plan

    async def feed(self, arrivals: Iterable[Arrival], *, batch: int) -> AsyncIterator[ReplayOutput]:
        """Apply records and yield what readers get to see of what they say, in order."""
        for chunk in self._cut(arrivals, batch):
            await self._learn(chunk[0].arrival_ms)
            pending = Pending(chunk)
            while some := pending.next():
                start, sent = self._shard.position.offset, list[Arrival]()
                async for output in self._process([_record(start + index, arrival) for index, arrival in enumerate(some)]):
                    line, file = some[output.offset - start].place
                    if output.topic == EVENTS:
                        sent.append(Arrival(line, self.body.log_time_ms, output.value, file, output.key, output.headers))
                    else:
                        yield ReplayOutput(line, output, file)
                pending.done(self._shard.position.offset - start, sent)

    async def until(self, time_ms: int) -> AsyncIterator[ReplayOutput]:
        """Let time pass without events."""
        async for output in self._process([LogRecord(self._shard.position.offset, time_ms, TICK, control=True)]):
            yield ReplayOutput(0, output)

    async def _process(self, records: list[LogRecord]) -> AsyncIterator[Output]:
        """What the records say, up to the first that has something written to the log."""
        for place, outputs in await _until_sent(self._shard, records):
            if self._training is not None:
                self._training.order.add(
                    [read_training_record(0, example_record(output)) for output in outputs if output.topic == EXAMPLES]
                )
            for output in outputs:
                if output.topic != EXAMPLES:
                    yield output
            await self._store.trim(0, upto=place)

    # learning

    def _cut(self, arrivals: Iterable[Arrival], batch: int) -> Iterator[list[Arrival]]:
        """Batches; where there are models none reaches over a full hour, since only there a new scorer may take over."""
        if self._training is None:
            source = iter(arrivals)
            while chunk := list(islice(source, batch)):
                yield chunk
            return
        chunk, hour, newest_ms = list[Arrival](), -1, 0
        for arrival in arrivals:
            newest_ms = max(newest_ms, arrival.arrival_ms)
            if chunk and (len(chunk) >= batch or newest_ms // HOUR_MS != hour):
                yield chunk
                chunk = []
            chunk.append(arrival)
            hour = newest_ms // HOUR_MS
        if chunk:
            yield chunk

    async def _learn(self, arrival_ms: int) -> None:
        """At the first record of an hour: learn from what was said before it, and switch to what was published.

        In a deployment this takes as long as it takes; here it takes until the hour is over, so that the same file gives the same story.
        """
        hour = max(arrival_ms, self.body.log_time_ms) // HOUR_MS
        if self._training is None or hour <= self._hour:
            return
        self._hour = hour
        batch = await self._training.take(self._training.order.ready())
        self.alerts += batch.alerts
        self.published += batch.published
        for raw in await self._training.news():
            await self._shard.process([LogRecord(self._shard.position.offset, self.body.log_time_ms, raw, control=True)])

    @property
    def cards(self) -> dict[str, Card]:
        """How good the models are by now; empty where there are none."""
        return self._training.cards() if self._training is not None else {}

    def in_words(self, state: State, model: str, now: int) -> list[str]:
        """What moved a model's answer most for a customer."""
        return self._shard.reasons(state, model, now)

    async def states(self) -> AsyncIterator[tuple[str, State]]:
        """All customers in the order of their ids, each under the id by which they go."""
        names: list[str] = []
        bucket: int | None = 0
        while bucket is not None:
            page = await self._store.customers(0, bucket, limit=1_000)
            names += page.customers
            bucket = page.next_bucket
        for chunk in _chunks(sorted(names), 1_000):
            fetched = await self._store.fetch(0, chunk, until_ms=0, limit=0)
            for customer, blob in zip(chunk, fetched.states, strict=True):
                if blob is not None and not is_tombstone(blob):
                    yield customer, self._shard.state(blob)

    async def look_up(self, customer: str) -> tuple[KnownAs, State | None]:
        """One customer by any of their ids."""
        found = await look_up(self._store, customer, shards=1)
        return found, None if found.state is None else self._shard.state(found.state)


class Pending:
    """Records still to be applied: first what the shard itself has sent, in the order of its sending, then the rest of the input."""

    def __init__(self, arrivals: Sequence[Arrival]) -> None:
        self._arrivals = deque(arrivals)
        self._sent = 0  # how many at the front were sent
        self._stretch = len(arrivals)

    def next(self) -> list[Arrival]:
        """Those to try now: fewer where those before had to stop, since what lies behind is read again."""
        return list(islice(self._arrivals, self._stretch))

    def done(self, count: int, sent: Sequence[Arrival]) -> None:
        """The first ``count`` were applied, the last of which has sent these."""
        for _ in range(count):
            self._arrivals.popleft()
        self._stretch = count if sent else 2 * self._stretch
        self._sent = max(0, self._sent - count)
        for arrival in sent:
            self._arrivals.insert(self._sent, arrival)
            self._sent += 1


async def _until_sent(shard: Shard, records: Sequence[LogRecord]) -> list[Entry]:
    """Apply records, none behind the first that has something written to the log; return what was committed, in order."""
    entries = list[Entry]()

    async def take(entry: Entry) -> None:
        entries.append(entry)
        if any(output.topic == EVENTS for output in entry[1]):
            raise ReleasedError

    with suppress(ReleasedError):
        await shard.process(records, take)
    return entries


def _record(offset: int, arrival: Arrival) -> LogRecord:
    return LogRecord(offset, arrival.arrival_ms, arrival.value, arrival.control, arrival.key, arrival.headers)


def example_record(output: Output) -> LogRecord:
    """An example as the learner would have read it."""
    return LogRecord(output.offset, 0, output.value)


def _chunks(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


async def _never(_seconds: float) -> None:
    raise StoreUnavailableError("the memory of a replay does not come and go")
