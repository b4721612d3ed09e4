"""How many events there can be in a window: what comparisons say of it, and whether that agrees.

Part of the linter's proofs (``feasible``). A window is taken as a span of ages, so one may lie in another: who did something within an hour
did it within a day.
"""

from __future__ import annotations

from math import ceil, inf
from typing import Any, Final, NamedTuple, assert_never

from streamer.language import tree
from streamer.language.calendar import PERIOD_MS_MAX
from streamer.language.tree import Events, Window

from .subjects import Subject, TimeRelation

_SHORTER: Final = {"day": ("day",), "week": ("day", "week"), "month": ("day", "month"), "year": ("day", "month", "year")}


class Fact(NamedTuple):
    """Of ``events`` with an age in ``[youngest, oldest)`` there are at least and at most so many."""

    events: Events
    youngest: float
    oldest: float
    period: str | None
    least: float
    most: float


def fact(events: Events, window: Window, least: float, most: float) -> Fact:
    """What is known of a window of the language."""
    if window.this is not None:
        return Fact(events, 0, PERIOD_MS_MAX[window.this], window.this, least, most)
    return Fact(events, window.before_ms, window.within_ms or inf, None, least, most)


def facts_of(node: Subject, left: list[Any], constants: list[Any]) -> list[Fact]:
    """What the values left for a value or number say about how many events there are."""
    match node:
        case tree.Count(events=events, window=window):
            top = ceil(max(constants)) + 1
            return [fact(events, window, min(left), inf if max(left) >= top else max(left))]
        case tree.Active(events=events, each_ms=each_ms, periods=periods):
            return [Fact(events, 0, each_ms * periods, None, min(left), inf if max(left) else 0)]
        case tree.Aggregate(name="distinct", events=events, window=window):
            return [fact(events, window, min([1, *left]), inf)]
        case tree.Aggregate(name="sum", events=events, window=window):
            return [] if 0 in left else [fact(events, window, 1, inf)]
        case tree.Aggregate(events=events, window=window) | tree.Top(events=events, window=window):
            return [] if None in left else [fact(events, window, 1, inf)]
        case tree.Latest(events=events) | tree.Earliest(events=events):
            return [] if None in left else [fact(events, Window(), 1, inf)]
        case tree.Last(events=events) | tree.First(events=events):
            return _extreme_facts(node, events, left, constants)
        case tree.Clock() | tree.Age() | tree.Score() | tree.Percentile() | tree.Group() | tree.Trait() | tree.Context() | tree.Unchanged():
            return []
        case tree.Prop() | tree.EventContext() | tree.Number() | tree.Lower() | tree.Language():
            return []
        case tree.Date() | tree.Moment() | tree.Entered() | tree.Left() | TimeRelation():
            return []
        case _:
            assert_never(node)


def _extreme_facts(node: tree.Last | tree.First, events: Events, left: list[Any], constants: list[Any]) -> list[Fact]:
    """From the ages left for the newest or the oldest event."""
    ages = [age for age in left if age is not None]
    if not ages:
        return [fact(events, Window(), 0, 0)]
    top = max(constants, default=0) + 1
    youngest, oldest = min(ages), inf if max(ages) >= top else max(ages) + 1
    there = 0 if None in left else 1
    if isinstance(node, tree.Last):
        found = [Fact(events, 0, youngest, None, 0, 0)] if youngest else []
        return [*found, Fact(events, 0, oldest, None, there, inf)]
    found = [Fact(events, oldest, inf, None, 0, 0)] if oldest < inf else []
    return [*found, Fact(events, youngest, inf, None, there, inf)]


def sequence_facts(node: tree.Sequence) -> list[Fact]:
    """A sequence that holds has seen each of its steps, and the last one at the right distance."""
    last = Fact(node.steps[-1], node.wait_ms, node.wait_ms + node.over_ms if node.over_ms else inf, None, 1, inf)
    return [last, *(fact(step, Window(), 1, inf) for step in node.steps)]


def agree(facts: list[Fact]) -> bool:
    """No window has at least more events than one around it has at most."""
    wanted = [found for found in facts if found.least > 0]
    limits = [found for found in facts if found.most < inf]
    return not any(want.least > limit.most and _within(want, limit) for want in wanted for limit in limits)


def _within(inner: Fact, outer: Fact) -> bool:
    if outer.period is not None:
        spans = inner.period in _SHORTER[outer.period]
    else:
        spans = outer.youngest <= inner.youngest and inner.oldest <= outer.oldest
    return spans and covers(outer.events, inner.events)


def covers(outer: Events, inner: Events) -> bool:
    """Whether every event of ``inner`` is one of ``outer``, as far as their texts tell."""
    return (outer.where is None or outer.where == inner.where) and all(_covers_name(outer.names, name) for name in inner.names)


def _covers_name(names: tuple[str, ...], name: str) -> bool:
    return name in names or any(len(other) > 1 and other.endswith("*") and name.startswith(other[:-1]) for other in names)
