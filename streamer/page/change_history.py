"""What has changed lately, for charts and time lines: read from the topic of changes at the start, then from the server's feed.

It is bounded: how many changes come and go is counted by the minute for a day, and the newest changes are kept whole. Nothing of it is
written anywhere; a server that starts reads it again.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter, defaultdict, deque
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger

from streamer.errors import UnansweredError
from streamer.segments.change import CauseKind, Clause
from streamer.server.feed import Feed
from streamer.server.stream_position import ShardPosition, StreamPosition
from streamer.settings import Settings
from streamer.transports.kafka.change_records import ChangeRecord, ChangeRecords
from streamer.units import DAY_MS, MINUTE_MS

from .change_picks import ChangePicks
from .reading import ReadingState, reading_of

READ_AT_START: Final = 100_000  # of the newest changes in the topic
KEPT_WHOLE: Final = 20_000
CLAUSES_MAX: Final = 200  # that are counted for a segment
AGAIN_SECONDS: Final = 2.0  # after an error of Kafka's
WAIT_SECONDS: Final = 5.0

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.page")


class _CauseKindOnly(msgspec.Struct):
    kind: CauseKind


class _SeenPlace(msgspec.Struct):
    shard: int
    offset: int


class _SeenData(msgspec.Struct):
    segment: str
    at: str
    sequence: int
    cause: _CauseKindOnly
    because: list[Clause]
    position: _SeenPlace


class _SeenEvent(msgspec.Struct):
    subject: str
    data: _SeenData


_decode: Final = msgspec.json.Decoder(_SeenEvent).decode


class SeenChange(NamedTuple):
    """A customer entered a segment or left it at ``at`` (RFC 3339), because of these clauses. ``number`` counts what was seen.
    ``sequence`` is that of the change, ``place`` the shard and the offset of the record at which it was said."""

    number: int
    customer: str
    segment: str
    enters: bool
    at: str
    cause: CauseKind
    because: tuple[Clause, ...]
    sequence: int = 0
    place: tuple[int, int] = (-1, -1)

    @property
    def trigger(self) -> str:
        """How a decision says that this change began it."""
        return f"{'entered' if self.enters else 'left'} {self.segment}"


class Flow(NamedTuple):
    """How many customers entered and left."""

    entered: int = 0
    left: int = 0


class ChangeHistory:
    """The changes of the last day. ``is_ready``: all that is to be read at the start has been. ``whole_since_ms``: from then on nothing is
    missing; None: from the beginning of the topic on."""

    def __init__(self, settings: Settings, feed: Feed) -> None:
        self.is_ready = False
        self._is_failing = False
        self.whole_since_ms: int | None = None
        self.picks = ChangePicks()
        self.clauses: dict[str, Counter[tuple[bool, str]]] = defaultdict(Counter)
        self.causes: dict[str, Counter[tuple[bool, CauseKind]]] = defaultdict(Counter)
        self._settings = settings
        self._feed = feed
        self._seen = 0
        self._cut = set[int]()  # shards of which something older was left out, and nothing has been read yet
        self._newest = deque[SeenChange]()
        self._by_customer: dict[str, deque[SeenChange]] = {}
        self._minutes: dict[str, dict[int, Flow]] = defaultdict(dict)
        self._net = Counter[str]()
        self._is_whole = False

    @property
    def reading(self) -> ReadingState:
        """Whether it was read."""
        return reading_of(is_ready=self.is_ready, is_failing=self._is_failing or self._feed.is_failing)

    def count_from_the_beginning(self) -> None:
        """What is added from now on are all changes that there ever were."""
        self._is_whole = True

    def newest(self, most: int) -> list[SeenChange]:
        """The last changes that were seen, the newest first."""
        return list(islice(reversed(self._newest), most))

    def of_customer(self, customer: str) -> list[SeenChange]:
        """Those of one id among the newest changes, the newest first."""
        return list(reversed(self._by_customer.get(customer, ())))

    def flow(self, segment: str, since_ms: int) -> Flow:
        """How many entered and left since the minute of ``since_ms``, by log time."""
        first = since_ms // MINUTE_MS
        found = [flow for minute, flow in self._minutes.get(segment, {}).items() if minute >= first]
        return Flow(sum(flow.entered for flow in found), sum(flow.left for flow in found))

    def flows(self, since_ms: int) -> dict[str, Flow]:
        """The same of all segments of which there is anything."""
        return {segment: self.flow(segment, since_ms) for segment in self._minutes}

    def size(self, segment: str) -> int | None:
        """How many are in by the changes alone; None where the topic does not have all of them any more."""
        return self._net[segment] if self._is_whole else None

    def by_step(self, segment: str, since_ms: int, step_ms: int, steps: int) -> list[Flow]:
        """The same for each of so many steps of time from ``since_ms`` on."""
        starts = [since_ms + step * step_ms for step in range(steps)]
        entered, left = [0] * steps, [0] * steps
        for minute, flow in self._minutes.get(segment, {}).items():
            step = bisect_left(starts, minute * MINUTE_MS + 1) - 1
            if step >= 0 and minute * MINUTE_MS < since_ms + steps * step_ms:
                entered[step] += flow.entered
                left[step] += flow.left
        return [Flow(*pair) for pair in zip(entered, left, strict=True)]

    def why(self, segment: str, *, enters: bool) -> list[tuple[str, int]]:
        """Which clauses stand under the changes that were seen, the most frequent first."""
        found = [
            (clause, times) for (way, clause), times in self.clauses.get(segment, Counter[tuple[bool, str]]()).items() if way == enters
        ]
        return sorted(found, key=lambda one: (-one[1], one[0]))

    def add(self, record: ChangeRecord) -> None:
        """Count a change. Whatever is no change of a segment is passed over."""
        try:
            event = _decode(record.value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        data = event.data
        self._seen += 1
        place, enters = (data.position.shard, data.position.offset), data.sequence % 2 == 1
        change = SeenChange(
            self._seen, event.subject, data.segment, enters, data.at, data.cause.kind, tuple(data.because), data.sequence, place
        )
        self._keep(change)
        self.picks.note(change)
        self._count(change)

    def _keep(self, change: SeenChange) -> None:
        self._newest.append(change)
        self._by_customer.setdefault(change.customer, deque()).append(change)
        if len(self._newest) > KEPT_WHOLE:
            oldest = self._newest.popleft()
            of_theirs = self._by_customer[oldest.customer]
            of_theirs.popleft()
            if not of_theirs:
                del self._by_customer[oldest.customer]

    def _count(self, change: SeenChange) -> None:
        minute = minute_of(change.at)
        minutes = self._minutes[change.segment]
        flow = minutes.get(minute, Flow())
        minutes[minute] = Flow(flow.entered + change.enters, flow.left + (not change.enters))
        if len(minutes) > DAY_MS // MINUTE_MS + 2:
            del minutes[min(minutes)]
        self._net[change.segment] += 1 if change.enters else -1
        self.causes[change.segment][change.enters, change.cause] += 1
        clauses = self.clauses[change.segment]
        for clause in change.because:
            if (change.enters, clause.clause) in clauses or len(clauses) < CLAUSES_MAX:
                clauses[change.enters, clause.clause] += 1

    async def read_once(self) -> None:
        """All that there is by now, for somebody who does not follow it. UnansweredError where Kafka does not do its part."""
        async with ChangeRecords.opened(self._settings) as records:
            _, ends = await records.bounds()
            at = await self._begin(records)
            records.seek({shard: one.kafka_offset for shard, one in enumerate(at.shards)})
            while any(one.kafka_offset < ends[shard] for shard, one in enumerate(at.shards)):
                await self._read(records, at)
        self.is_ready = True

    async def run(self) -> None:
        """Until cancelled."""
        await self._feed.ready.wait()
        at: StreamPosition | None = None
        while True:
            try:
                at = await self._catch_up(at)
                self.is_ready, self._is_failing = True, False
                await self._follow(at)
            except UnansweredError as error:
                self._is_failing = True
                log.warning("history not read", action="page", error=str(error))
                await asyncio.sleep(AGAIN_SECONDS)

    async def _catch_up(self, at: StreamPosition | None) -> StreamPosition:
        """From Kafka what the feed does not have (any more); then we stand where the feed goes on."""
        async with ChangeRecords.opened(self._settings) as records:
            if at is None:
                at = await self._begin(records)
            records.seek({shard: one.kafka_offset for shard, one in enumerate(at.shards)})
            while not self._feed.covers(at):
                await self._read(records, at)
        return at

    async def _read(self, records: ChangeRecords, at: StreamPosition) -> None:
        for record in await records.take():
            self._take(at, record)
        for shard, offset in (await records.positions()).items():
            at.move(shard, ShardPosition(max(offset, at.shards[shard].kafka_offset), at.shards[shard].place))

    async def _begin(self, records: ChangeRecords) -> StreamPosition:
        begins, ends = await records.bounds()
        each = READ_AT_START // self._settings.shards
        firsts = {shard: max(begins[shard], ends[shard] - each) for shard in begins}
        if not any(firsts.values()):
            self.count_from_the_beginning()
        self._cut = {shard for shard, first in firsts.items() if first > begins[shard]}
        return StreamPosition([ShardPosition(firsts[shard]) for shard in range(self._settings.shards)])

    def _take(self, at: StreamPosition, record: ChangeRecord) -> None:
        if not at.take(record):
            return
        self.add(record)
        if record.shard in self._cut and self._newest:
            self._cut.discard(record.shard)
            self.whole_since_ms = max(self.whole_since_ms or 0, (minute_of(self._newest[-1].at) + 1) * MINUTE_MS)

    async def _follow(self, at: StreamPosition) -> None:
        """What the feed gets, until it has dropped something that we have not seen."""
        number = self._feed.first
        while not self._feed.is_closed and number >= self._feed.first:
            while self._feed.first <= number < self._feed.end:
                self._take(at, self._feed.entry(number).record)
                number += 1
            if number >= self._feed.end:
                await self._feed.changed(WAIT_SECONDS)


def minute_of(at: str) -> int:
    """The minute since 1970 of a moment as outputs write it."""
    return int(datetime.fromisoformat(at).timestamp()) // 60
