"""One customer folded anew by where their records lie, without reading those of others: as of a position, or of a moment before it.

A shard in memory is told the customer's records and those that concern everybody, each at the log time that the whole log had there. In
between nothing but time passes. So it comes to the state that the shard came to, to the byte, as a fold over the whole log does
(``flow.refold``). Of history that was imported its lanes are told what is the customer's, likewise.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from math import inf
from typing import Final, NamedTuple, Protocol

from streamer.customers.offsets import RecordOffsets, RecordPlace, history_places, places
from streamer.errors import StreamerError
from streamer.stores.memory import MemoryStore
from streamer.wire import ARRIVED_HEADER, NO_LINK_HEADER, TICK, LogRecord, arrived_text

from .amendments import Amendment, Amendments, Journal
from .driver import Entry
from .machine import Limits
from .same_log import View
from .shard import Shard

RECORDS_AT_ONCE: Final = 40  # about 2 ms of work between two looks at the event loop
BYTES_AT_ONCE: Final = 65_536  # and so do a few scorers
NOBODY: Final = "0" * 16  # instead of the name of an import
ONE_CUSTOMER: Final = Limits(records=RECORDS_AT_ONCE, wakes=1_000_000)  # timers are those of one customer


class FoldError(StreamerError):
    """The records do not tell the story of this customer: some are gone, or are not theirs. The text names nobody."""


class TooManyRecordsError(FoldError):
    """There are more records than were to be read."""


class Picker(Protocol):
    """Single records of a log, by their offsets."""

    async def pick(self, shard: int, offsets: Sequence[int]) -> Mapping[int, LogRecord]:
        """The records at these ascending offsets, as far as the log has them. Raises KafkaError, TimeoutError, OSError."""
        ...

    async def pick_history(self, shard: int, offsets: Sequence[int]) -> Mapping[int, LogRecord]:
        """The same of the shard's history."""
        ...


class FoldUntil(NamedTuple):
    """The offset below which records count, and log time up to which time passes: that of the last record, or a moment before it."""

    offset: int
    log_time_ms: int


class FoldRecords(NamedTuple):
    """Where the records of a customer lie, those that concern all customers of the shard, and those of the customer in its history."""

    own: Sequence[RecordPlace]
    controls: Sequence[RecordPlace]
    history: Sequence[RecordPlace] = ()

    @classmethod
    def of(cls, offsets: RecordOffsets, controls: Sequence[RecordPlace]) -> FoldRecords:
        """Those of a customer with these offsets. ValueError for what is none."""
        return cls(places(offsets), controls, history_places(offsets))


async def fold(
    twin: Shard,
    store: MemoryStore,
    customer: str,
    places: FoldRecords,
    until: FoldUntil,
    picker: Picker,
    decided: Amendments,
    log: ToldLog,
) -> None:
    """Tell ``twin``, a fresh shard over ``store``, everything of a customer up to ``until``.

    ``decided`` are the amendments of the shard; those of them that move it or its time are in ``places`` already, and ``twin`` obeys the
    others (``Settled``). ``log`` is over what its lanes fold. FoldError where the log does not have it all any more.
    """

    log.records = await _told(twin, customer, places, until, picker, decided)
    log.past = await told_history(twin, customer, places.history, picker)
    await tell(twin, store, log.records)


async def tell(twin: Shard, store: MemoryStore, records: Sequence[LogRecord]) -> None:
    """Tell ``twin`` these records, and drop what it says."""

    async def forget(entry: Entry) -> None:
        await store.trim(twin.shard, upto=entry[0])

    twin.walk_customers = lambda: inf  # as of when a customer is done at other definitions is the same for all
    for piece in _pieces(records):
        await twin.process(piece, forget)
        await asyncio.sleep(0)  # the heartbeats share the loop


def _pieces(records: Sequence[LogRecord]) -> Iterator[Sequence[LogRecord]]:
    """The records, as many at a time as are a few milliseconds of work."""
    begin = size = 0
    for at, record in enumerate(records):
        if at > begin and (at - begin >= RECORDS_AT_ONCE or size + len(record.value) > BYTES_AT_ONCE):
            yield records[begin:at]
            begin, size = at, 0
        size += len(record.value)
    if records:
        yield records[begin:]


async def _told(twin: Shard, customer: str, places: FoldRecords, until: FoldUntil, picker: Picker, decided: Amendments) -> list[LogRecord]:
    wanted = {place.offset: place.ahead_ms for place in (*places.own, *places.controls) if place.offset < until.offset}
    found = await picker.pick(twin.shard, sorted(wanted))
    _check(twin, customer, places, found, wanted)
    told = {  # at these offsets time passed a moment at which our code failed
        offset: _time_passes(offset, due_ms)
        for offset, aside, due_ms in decided.aside
        if aside == customer and offset < until.offset and due_ms <= until.log_time_ms
    }
    newest = -1
    for offset, ahead_ms in sorted(wanted.items()):
        record = found[offset]
        arrival_ms = decided.arrival_ms(offset, record.arrival_ms)
        if arrival_ms + ahead_ms > until.log_time_ms:
            break
        if (ahead_ms or not record.broker_time) and 0 <= offset - 1 != newest:  # records of others had brought log time there
            told[offset - 1] = _time_passes(offset - 1, arrival_ms + ahead_ms)
        told[offset] = record._replace(arrival_ms=arrival_ms)
        newest = offset
    records = [told[offset] for offset in sorted(told)]
    last = records[-1].offset if records else -1
    if last < until.offset - 1 or newest != last:
        records.append(_time_passes(max(until.offset - 1, last + 1), until.log_time_ms))
    return records


def _check(twin: Shard, customer: str, places: FoldRecords, found: Mapping[int, LogRecord], wanted: Mapping[int, int]) -> None:
    """FoldError unless all that is wanted was found, and what is noted as the customer's is. Whom history brought began with a record for
    all."""
    own = {place.offset for place in places.own} - {place.offset for place in places.controls}
    for offset in wanted:
        record = found.get(offset)
        if record is None:
            raise FoldError(f"the log of shard {twin.shard} has no record at offset {offset:,} any more, or has none there yet")
        if offset in own and twin.concerns(record) != customer:
            raise FoldError(f"the record of shard {twin.shard} at offset {offset:,} is not of the customer in whose state it is noted")


def _time_passes(offset: int, log_time_ms: int) -> LogRecord:
    return LogRecord(offset, log_time_ms, TICK, control=True)


async def told_history(twin: Shard, customer: str, places: Sequence[RecordPlace], picker: Picker) -> list[LogRecord]:
    """The records of a customer in the history of the shard, as its lanes are to be told them: where the time that history had come to was
    ahead, a record of somebody else had brought it there. FoldError where they are not all there, or not all theirs."""
    if not places:
        return []
    found = await picker.pick_history(twin.shard, [place.offset for place in places])
    told: list[LogRecord] = []
    for offset, ahead_ms in places:
        record = found.get(offset)
        if record is None:
            raise FoldError(f"the history of shard {twin.shard} has no record at offset {offset:,} any more")
        if twin.customer_in_history(record) != customer:
            raise FoldError(f"the record of history of shard {twin.shard} at offset {offset:,} is not of whom it is noted for")
        if ahead_ms and not (told and told[-1].offset == offset - 1):
            told.append(_history_passes(offset - 1, record.arrival_ms + ahead_ms))
        told.append(record)
    return told


def as_it_happened(past: Sequence[LogRecord], until_ms: int) -> list[LogRecord]:
    """Records of history as those of a log from offset 1 on, up to those of ``until_ms`` (UTC), to which time passes. They tie no ids
    together: that they do where they were brought in."""
    told: list[LogRecord] = []
    now_ms = 0
    for offset, record in enumerate(past, 1):
        now_ms = max(now_ms, record.arrival_ms)
        if now_ms > until_ms:
            break
        if record.value:
            told.append(LogRecord(offset, now_ms, record.value, key=record.key, headers=((NO_LINK_HEADER, b"1"),)))
    return [*told, _time_passes(len(past) + 1, until_ms)]


def _history_passes(offset: int, time_ms: int) -> LogRecord:
    """A record of history that says nothing but when it happened."""
    return LogRecord(offset, time_ms, b"", headers=((ARRIVED_HEADER, arrived_text(time_ms, NOBODY)),))


class ToldLog:
    """What a twin is told, as the log over which its lanes fold what is new in definitions. See ``shard_log.Log``."""

    def __init__(self) -> None:
        self.records: Sequence[LogRecord] = ()
        self.past: Sequence[LogRecord] = ()

    async def look(self, shard: int, offset: int) -> View:  # noqa: ARG002 - there is one, and nobody knows it by its records
        """See ``Log``."""
        return View(0, self.records[-1].offset + 1 if self.records else 0)

    async def read(self, shard: int, offset: int, limit: int) -> AsyncGenerator[Sequence[LogRecord]]:  # noqa: ARG002
        """See ``Log``: never so many that the heartbeats have to wait."""
        for records in _pieces([record for record in self.records if record.offset >= offset]):
            yield records

    async def history(self, shard: int, begin: int, end: int, limit: int) -> Sequence[LogRecord]:  # noqa: ARG002
        """See ``Log``."""
        return [record for record in self.past if begin <= record.offset < end][:limit]

    async def pause(self, _seconds: float) -> None:
        """FoldError: what is not there will not come."""
        raise FoldError("a side lane waits for what is not noted as the customer's")


class Settled(Journal):
    """The amendments of a shard for its twin: those of what is passed over; arrivals and places to go on at are settled by ``RecordPlace``.

    It is not written to: at what the shard did not fail at before, its twin must not be passed over.
    """

    def __init__(self, decided: Amendments) -> None:
        self.amendments = decided.about_records()

    async def write(self, amendment: Amendment) -> None:
        """FoldError: the twin would come to another state than the shard did."""
        raise FoldError(f"our own code fails at offset {amendment.offset:,} ({amendment.detail})")
