"""What memberships do if only time passes, and how far that is looked at; see ``segments.evaluate``."""

from __future__ import annotations

from typing import Final

import pytest

from streamer.customers.state import State
from streamer.language.definitions import parse_definitions
from streamer.segments import evaluate
from streamer.segments.evaluate import evaluate_at_timer, next_flips
from streamer.segments.plan.plan import Plan
from streamer.units import DAY_MS

START_MS: Final = 1_767_225_600_000  # a Thursday
YEAR_MS: Final = 366 * DAY_MS


def plan_of(**whens: str) -> Plan:
    return Plan(parse_definitions({"segments": {name: {"for": "x", "when": when} for name, when in whens.items()}}), lateness_ms=DAY_MS)


def test_what_comes_round_for_ever_is_not_followed_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule on the weekday was followed for 17 years, which was most of what an explanation took."""
    looks = list[int]()

    def look(plan: Plan, state: State, now: int) -> list[evaluate.SegmentRule]:
        looks.append(now)
        return evaluate_at_timer(plan, state, now)

    monkeypatch.setattr(evaluate, "evaluate_at_timer", look)
    found = next_flips(plan_of(sunday='weekday() == "sun"', summer="month() == 7"), State(0, origin_ms=START_MS), START_MS)
    assert {name: flip.enters for name, flip in found.flips.items()} == {"sunday": True, "summer": True}
    assert found.until_ms is not None
    assert 2 * YEAR_MS < found.until_ms - START_MS < 3 * YEAR_MS
    assert 200 < len(looks) < 300
