"""*Segments*: how large each is, who came and went in a day, and who will within the hour by time alone."""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

from streamer.page.change_history import Flow
from streamer.page.forecast import Forecast
from streamer.page.sources import PageSources
from streamer.page.standing import SegmentReadiness, Standing, standing_of
from streamer.page.view import PageView, ViewFacts, ViewQuestion
from streamer.printable import printable
from streamer.server.answers import SegmentAnswer
from streamer.units import DAY_MS

SORTS: Final = ("name", "size", "entered", "left", "leaves")


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


def view(sources: PageSources) -> PageView:
    """The list."""
    return PageView("segments", "/segments", partial(_show, sources), live_seconds=2.0, is_in_menu=True)


async def _show(sources: PageSources, asked: ViewQuestion) -> ViewFacts:
    answer, forecast = await sources.answers.members.segments(), await sources.forecasts.get()
    views, now_ms = await sources.shards(), sources.now_ms()
    standing = standing_of(await sources.newest_plan(views), views, now_ms)
    flows = sources.history.flows(now_ms - DAY_MS)
    wanted = asked.query.get("q", "").strip().lower()
    rows = [_row(one, flows.get(one.name, Flow()), forecast, standing) for one in answer.segments]
    found = [row for row in rows if wanted in row.name or wanted in row.purpose.lower()]
    sort = asked.query.get("sort", "name")
    return {
        "rows": sorted(found, key=lambda row: _key(row, sort)),
        "all": len(rows),
        "wanted": printable(wanted),
        "sort": sort if sort in SORTS else "name",
        "sorts": SORTS,
        "version": answer.definitions,
        "is_read": sources.history.is_ready,
        "whole_since_ms": sources.history.whole_since_ms,
        "is_bounded": forecast is not None and forecast.is_bounded,
    }


def _row(one: SegmentAnswer, flow: Flow, forecast: Forecast | None, standing: Standing) -> SegmentRow:
    leaves = None if forecast is None else forecast.leaves.get(one.name, 0)
    enters = None if forecast is None else forecast.enters.get(one.name, 0)
    return SegmentRow(one.name, one.purpose, one.size, flow, leaves, enters, standing.of(one.name))


def _key(row: SegmentRow, sort: str) -> tuple[int, str]:
    match sort:
        case "size":
            return -row.size, row.name
        case "entered":
            return -row.flow.entered, row.name
        case "left":
            return -row.flow.left, row.name
        case "leaves":
            return -(row.leaves or 0), row.name
        case _:
            return 0, row.name
