"""Drives the step of a lane: as any other, but for stretches of plain events, which it hands over whole where no model learns; and before
each record what of its history had happened by then.

A record of history counts as a part of the record before which it comes: the position says up to where the log was folded, the checkpoint's
body up to where history was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

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


class LaneDriver(ShardDriver[LaneStep]):
    """See ``ShardDriver``. While something is suspected records are applied one by one, as everywhere."""

    def __init__(
        self, session: StoreSession, source: MachineSource[LaneStep], machine: LaneStep, rules: Rules, limits: Limits, journal: Journal
    ) -> None:
        super().__init__(session, source, machine, rules, limits, journal)
        self._reader = LaneReader(session.shard, rules, journal, machine.plan)
        self._history: Sequence[int] = ()  # the offsets of the records of history in hand, as they lie in its log

    def _apply_next(self, items: Sequence[Item], index: int, span: RecordSpan) -> int:
        """See ``ShardDriver``."""
        after = self._apply_plain(items, index, span)
        if self._history and after > index:
            self.machine.body.recalled = self._history[after - 1] + 1
        return after

    def _apply_plain(self, items: Sequence[Item], index: int, span: RecordSpan) -> int:
        plain = self.machine.plain
        is_learning = self.machine.scoring is not None  # an event of a customer says something then, and so does the end of a minute
        if is_learning or self.machine.may_leave_out:
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
            self._reader.begin()
            items = [self._of_history(record, before) for record in todo]
            self._history, self.machine.is_recalling = [record.offset for record in todo], True
            try:
                at = 0
                while at < len(items):
                    at = await self._span(items, at)
            except (StoreError, ReleasedError):
                raise
            except Exception as error:
                await self.probe()
                await self._isolate(error)
            finally:
                self._history, self.machine.is_recalling = (), False

    def _of_history(self, record: LogRecord, before: int) -> Item:
        kept = tuple(header for header in record.headers if header[0] in KEPT)
        placed = record._replace(offset=before, broker_time=True, headers=kept)
        if record.control:
            return placed, RefusedError("bad_control", detail="history has no control records")
        if read_arrived(record.headers) is None:
            return placed._replace(arrival_ms=0), RefusedError("bad_control", detail="nothing says when it happened")
        try:
            return placed, self._reader.event(record.value)
        except RefusedError as error:
            return placed, error

    def _behind(self, record: LogRecord) -> Position:
        return self._within(record.offset) if self._history else super()._behind(record)
