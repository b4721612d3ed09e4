"""*Now*: how far the answers are exact, how fast records come, and what changes."""

from __future__ import annotations

from functools import partial
from typing import Final

from streamer.page.sources import PageSources
from streamer.page.view import PageView, ViewFacts, ViewQuestion
from streamer.page.workers_state import shard_lines
from streamer.units import DAY_MS, MINUTE_MS
from streamer.values import time_text

SHOWN_CHANGES: Final = 20
SHOWN_SEGMENTS: Final = 8
SHOWN_ALERTS: Final = 5


def view(sources: PageSources) -> PageView:
    """The first page."""
    return PageView("now", "/", partial(_show, sources), live_seconds=1.0, is_in_menu=True)


async def _show(sources: PageSources, _asked: ViewQuestion) -> ViewFacts:
    views, now_ms = await sources.shards(), sources.now_ms()
    lags = [sources.answers.ages.lag_records(view) for view in views]
    begun = [view.log_time_ms for view in views if view.log_time_ms]
    hour = sources.history.flows(now_ms - 60 * MINUTE_MS)
    busiest = sorted(hour.items(), key=lambda one: (-(one[1].entered + one[1].left), one[0]))
    return {
        "exact_ms": min(begun, default=0),
        "lag_records": None if None in lags else sum(lag or 0 for lag in lags),
        "rate": sources.pulse.rate(),
        "customers": sum(sum(view.body.customers) - view.body.tombstones for view in views if view.body is not None),
        "day": _total(sources, now_ms),
        "busiest": [(name, flow) for name, flow in busiest if flow.entered or flow.left][:SHOWN_SEGMENTS],
        "newest": sources.history.newest(SHOWN_CHANGES),
        "is_read": sources.history.is_ready,
        "alerts": sources.alerts.since(time_text(now_ms - DAY_MS))[:SHOWN_ALERTS],
        "troubled": [line for line in await shard_lines(sources) if not line.is_at_work],
    }


def _total(sources: PageSources, now_ms: int) -> tuple[int, int]:
    flows = sources.history.flows(now_ms - DAY_MS).values()
    return sum(flow.entered for flow in flows), sum(flow.left for flow in flows)
