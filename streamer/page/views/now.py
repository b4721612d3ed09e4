"""*Now*: how far the answers are exact, how fast records come, and what changes."""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

from streamer.page.change_history import ChangeHistory, SeenChange
from streamer.page.sources import PageSources
from streamer.page.view import PageView, ViewFacts, ViewQuestion
from streamer.page.workers_state import shard_lines
from streamer.units import DAY_MS, MINUTE_MS
from streamer.values import parse_time_ms, time_text

LOOKED_AT: Final = 200  # of the newest changes; shards say theirs in turn, so the newest is not the last that came
SHOWN_MOMENTS: Final = 12
READ_MS: Final = 5_000  # who reads that many in less time is not there
SHOWN_DECISIONS: Final = 8
SHOWN_SEGMENTS: Final = 8
SHOWN_ALERTS: Final = 5


class ChangedMoment(NamedTuple):
    """All that changed for one customer at one instant. ``first`` stands for them where there is room for one reason."""

    at: str
    customer: str
    changes: list[SeenChange]

    @property
    def first(self) -> SeenChange:
        """One in which time alone let somebody in, if there is one: what nothing else says; else one that lets in."""
        return max(self.changes, key=lambda one: (one.enters, one.cause == "timer", -one.number))

    def segments(self, *, enters: bool) -> list[str]:
        """Those entered, or left."""
        return [one.segment for one in self.changes if one.enters == enters]


def view(sources: PageSources) -> PageView:
    """The first page."""
    return PageView("now", "/", partial(_show, sources), live_seconds=1.0, is_in_menu=True)


async def _show(sources: PageSources, _asked: ViewQuestion) -> ViewFacts:
    views, now_ms = await sources.shards(), sources.now_ms()
    lags = [sources.answers.ages.lag_records(view) for view in views]
    begun = [view.log_time_ms for view in views if view.log_time_ms]
    hour = sources.history.flows(now_ms - 60 * MINUTE_MS)
    newest, is_sampled = what_to_read(sources.history, max(begun, default=0))
    busiest = sorted(hour.items(), key=lambda one: (-(one[1].entered + one[1].left), one[0]))
    return {
        "exact_ms": min(begun, default=0),
        "lag_records": None if None in lags else sum(lag or 0 for lag in lags),
        "rate": sources.pulse.rate(),
        "customers": sum(sum(view.body.customers) - view.body.tombstones for view in views if view.body is not None),
        "day": _total(sources, now_ms),
        "busiest": [(name, flow) for name, flow in busiest if flow.entered or flow.left][:SHOWN_SEGMENTS],
        "newest": newest,
        "is_sampled": is_sampled,
        "decisions": sources.decisions.latest(SHOWN_DECISIONS),
        "reading": sources.history.reading,
        "alerts": sources.alerts.since(time_text(now_ms - DAY_MS))[:SHOWN_ALERTS],
        "troubled": [line for line in await shard_lines(sources) if not line.is_at_work],
    }


def what_to_read(history: ChangeHistory, log_time_ms: int) -> tuple[list[ChangedMoment], bool]:
    """The newest moments; where all are of the last seconds, and so gone before somebody has read them, one of each second, and True."""
    newest = newest_moments(history.newest(LOOKED_AT))[:SHOWN_MOMENTS]
    if len(newest) < SHOWN_MOMENTS or log_time_ms - (parse_time_ms(newest[-1].at) or 0) >= READ_MS:
        return newest, False
    picks = history.picks.newest(SHOWN_MOMENTS)
    return [ChangedMoment(one.at, one.customer, _beside(history, one)) for one in picks], True


def _beside(history: ChangeHistory, pick: SeenChange) -> list[SeenChange]:
    """All that changed for the same customer at the same instant, as far as it is kept."""
    return [one for one in history.of_customer(pick.customer) if one.at == pick.at] or [pick]


def newest_moments(changes: list[SeenChange]) -> list[ChangedMoment]:
    """What belongs together, together; the newest first by log time, then what came last."""
    found: dict[tuple[str, str], ChangedMoment] = {}
    for one in sorted(changes, key=lambda one: one.number):
        found.setdefault((one.at, one.customer), ChangedMoment(one.at, one.customer, [])).changes.append(one)
    return sorted(found.values(), key=lambda one: (one.at, one.changes[-1].number), reverse=True)


def _total(sources: PageSources, now_ms: int) -> tuple[int, int]:
    flows = sources.history.flows(now_ms - DAY_MS).values()
    return sum(flow.entered for flow in flows), sum(flow.left for flow in flows)
