"""What of new definitions a lane folds is found out once for all shards that want it."""

from __future__ import annotations

import pytest

from streamer.flow.lane.lane_plan import plan_lane
from streamer.segments.plan.plan import Plan
from tests.unit.flow.persons import DAY_MS, segments

pytestmark = pytest.mark.fast


def test_shards_whose_history_ends_elsewhere_have_one_plan() -> None:
    """A shard asks for it while it stands at the definitions, and its worker does nothing else: for long where it has 10,000 segments."""
    before = Plan(segments(seen='did("Seen")'), lateness_ms=DAY_MS)
    after = Plan(segments(seen='did("Seen")', bought='did("Buy")'), lateness_ms=DAY_MS)
    one = plan_lane(before, after, lateness_ms=DAY_MS, history=7, brought=3)
    other = plan_lane(before, after, lateness_ms=DAY_MS, history=9, brought=0)
    later = plan_lane(before, after, lateness_ms=DAY_MS, history=9)
    assert one is not None
    assert other is not None
    assert later is not None
    assert one.plan is other.plan
    assert [(lane.history, lane.brought, lane.brings_history) for lane in (one, other, later)] == [
        (7, 3, True),
        (9, 0, True),
        (9, 9, False),
    ]
    assert (one.segments, later.segments) == ({"seen", "bought"}, {"bought"})
