"""Segments with what is known of each: the view of all of them, and ``streamer segments sizes``."""

from __future__ import annotations

from typing import NamedTuple

from streamer.server.answers import SegmentAnswer
from streamer.units import DAY_MS

from .change_history import Flow
from .forecast import Forecast
from .sources import PageSources
from .standing import SegmentReadiness, Standing, standing_of


class SegmentRow(NamedTuple):
    """One line. ``leaves`` and ``enters`` are those of the coming hour, None while nobody knows. ``churn`` is how many came and went in a
    day for each who is in."""

    name: str
    purpose: str
    size: int
    flow: Flow
    leaves: int | None
    enters: int | None
    readiness: SegmentReadiness

    @property
    def churn(self) -> float | None:
        """None where nobody is in."""
        return (self.flow.entered + self.flow.left) / self.size if self.size else None


async def segment_rows(sources: PageSources, forecast: Forecast | None) -> tuple[int, list[SegmentRow]]:
    """The version of the definitions, and all segments in force, by name."""
    answer, views, now_ms = await sources.answers.members.segments(), await sources.shards(), sources.now_ms()
    standing = standing_of(await sources.newest_plan(views), views, now_ms)
    flows = sources.history.flows(now_ms - DAY_MS)
    return answer.definitions, [_row(one, flows.get(one.name, Flow()), forecast, standing) for one in answer.segments]


def _row(one: SegmentAnswer, flow: Flow, forecast: Forecast | None, standing: Standing) -> SegmentRow:
    leaves = None if forecast is None else forecast.leaves.get(one.name, 0)
    enters = None if forecast is None else forecast.enters.get(one.name, 0)
    return SegmentRow(one.name, one.purpose, one.size, flow, leaves, enters, standing.of(one.name))
