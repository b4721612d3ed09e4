"""Drives the step of a lane: as any other, but for stretches of plain events, which it hands over whole where no model learns."""

from __future__ import annotations

from collections.abc import Sequence

from streamer.flow.amendments import Journal
from streamer.flow.driver import RecordSpan, ShardDriver
from streamer.flow.machine import Limits, MachineSource
from streamer.flow.record_reader import Item
from streamer.flow.rules import Rules
from streamer.flow.store_session import StoreSession

from .lane_reader import LaneReader
from .lane_step import LaneStep


class LaneDriver(ShardDriver[LaneStep]):
    """See ``ShardDriver``. While something is suspected records are applied one by one, as everywhere."""

    def __init__(
        self, session: StoreSession, source: MachineSource[LaneStep], machine: LaneStep, rules: Rules, limits: Limits, journal: Journal
    ) -> None:
        super().__init__(session, source, machine, rules, limits, journal)
        self._reader = LaneReader(session.shard, rules, journal, machine.plan)

    def _apply_next(self, items: Sequence[Item], index: int, span: RecordSpan) -> int:
        """See ``ShardDriver``."""
        plain = self.machine.plain
        if self.machine.scoring is not None:  # an event of a customer says something then, and so does the end of a minute
            return super()._apply_next(items, index, span)
        try:
            after = plain.apply(items, index, span, self._slicing.limits)
        except Exception:
            self._at = plain.offset
            raise
        if after == index:
            return super()._apply_next(items, index, span)
        self._begin(items[after - 1][0])
        return after
