"""Drives the step of a lane: as any other, but for stretches of plain events, which it hands over whole where it tells no model; and before
each record what of its history had happened by then. It pauses in between.

A record of history counts as a part of the record before which it comes: the position says up to where the log was folded, the checkpoint's
body up to where history was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from streamer.errors import RefusedError, ReleasedError, StoreError
from streamer.flow.amendments import Journal
from streamer.flow.driver import RecordSpan, ShardDriver
from streamer.flow.machine import Limits, MachineSource
from streamer.flow.record_reader import Item
from streamer.flow.rules import Rules
from streamer.flow.store_session import StoreSession
from streamer.stores.base import Position
from streamer.wire import COMPARED_HEADER, NO_LINK_HEADER, LogRecord, read_arrived

from .lane_reader import LaneReader
from .lane_step import LaneStep

KEPT: Final = frozenset({COMPARED_HEADER, NO_LINK_HEADER})  # the headers of history that say something to the step
RECORDS_AT_ONCE: Final = 500  # where nobody says how many: 5 ms of work


class Breather(Protocol):
    """Says how much a lane may do at once, for whoever shares the loop with it."""

    def begin(self) -> int:
        """Work begins; how many records it may do before it pauses."""
        ...

    async def pause(self, done: int) -> None:
        """So many records are done: let others go on."""
        ...


class LoopBreather:
    """Lets whatever is ready go on, every so many records."""

    def begin(self) -> int:
        """See ``Breather``."""
        return RECORDS_AT_ONCE

    async def pause(self, done: int) -> None:  # noqa: ARG002 - however many
        """See ``Breather``."""
        await asyncio.sleep(0)


class LaneDriver(ShardDriver[LaneStep]):
    """See ``ShardDriver``. While something is suspected records are applied one by one, as everywhere.

    A commit of a lane has many records, as each has its price, and other work is not to wait for all of them: ``breather`` says when to
    pause.
    """

    def __init__(
        self,
        session: StoreSession,
        source: MachineSource[LaneStep],
        machine: LaneStep,
        rules: Rules,
        limits: Limits,
        journal: Journal,
        breather: Breather,
    ) -> None:
        super().__init__(session, source, machine, rules, limits, journal)
        self._reader = LaneReader(session.shard, rules, journal, machine.plan)
        self._history: Sequence[int] = ()  # the offsets of the records of history in hand, as they lie in its log
        self._breather = breather

    async def _read_all(self, records: Sequence[LogRecord]) -> Sequence[Item]:
        """See ``ShardDriver``."""
        items: list[Item] = []
        while len(items) < len(records):
            begin = len(items)
            items += self._read_piece(records[begin : begin + self._breather.begin()])
            await self._breather.pause(len(items) - begin)
        return items

    def _read_piece(self, records: Sequence[LogRecord]) -> Iterator[Item]:
        read = self._reader.read
        for record in records:
            self._at = record.offset
            yield read(record)

    async def _apply_span(self, items: Sequence[Item], span: RecordSpan) -> tuple[int, bool]:
        """See ``ShardDriver``."""
        index = span.at
        while True:
            end = min(span.end, index + self._breather.begin())
            reached, is_cut = self._apply_from(items, index, span._replace(end=end))
            await self._breather.pause(reached - index)
            if is_cut or reached < end or end == span.end or self.machine.is_full(self._slicing.limits):
                return reached, is_cut
            index = reached

    def _apply_next(self, items: Sequence[Item], index: int, span: RecordSpan) -> int:
        """See ``ShardDriver``."""
        if self._history:
            self.machine.note_place(self._history[index])
        after = self._apply_plain(items, index, span)
        if self._history and after > index:
            self.machine.body.recalled = self._history[after - 1] + 1
        return after

    def _apply_plain(self, items: Sequence[Item], index: int, span: RecordSpan) -> int:
        plain = self.machine.plain
        if self.machine.tells or self.machine.may_leave_out:  # what is to be learned is said of events, and of the end of a minute
            return super()._apply_next(items, index, span)
        try:
            after = plain.apply(items, index, span, self._slicing.limits)
        except Exception:
            self._at = plain.offset
            raise
        if after == index:
            return super()._apply_next(items, index, span)
        self.machine.count_recalled(after - index)
        self._begin(items[after - 1][0])
        return after

    async def recall(self, history: Sequence[LogRecord], before: int) -> None:
        """Apply records of history before the record at the offset ``before``, the next one. Raises what ``process`` does."""
        while todo := [record for record in history if record.offset >= self.machine.body.recalled]:
            self._at = before  # should one fail as it is read
            items = await self._read_history(todo, before)
            self._history = [record.offset for record in todo]
            self.machine.take_up_history(self._history)
            try:
                await self._process(items)
            except (StoreError, ReleasedError):
                raise
            except Exception as error:
                await self.probe()
                await self._isolate(error)
            finally:
                self._history = ()
                self.machine.take_up_history(())

    async def _read_history(self, history: Sequence[LogRecord], before: int) -> list[Item]:
        self._reader.begin()
        items: list[Item] = []
        while len(items) < len(history):
            begin = len(items)
            items += [self._of_history(record, before) for record in history[begin : begin + self._breather.begin()]]
            await self._breather.pause(len(items) - begin)
        return items

    def _of_history(self, record: LogRecord, before: int) -> Item:
        _, arrival_ms, value, control, key, headers, _ = record
        kept = tuple([header for header in headers if header[0] in KEPT])
        placed = LogRecord(before, arrival_ms, value, control, key, kept, broker_time=True)
        if record.control:
            return placed, RefusedError("bad_control", detail="history has no control records")
        if read_arrived(record.headers) is None:
            return placed, RefusedError("bad_control", detail="nothing says when it happened")
        try:
            return placed, self._reader.event(record.value)
        except RefusedError as error:
            return placed, error

    def _behind(self, record: LogRecord) -> Position:
        return self._within(record.offset) if self._history else super()._behind(record)
