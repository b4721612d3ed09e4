"""Whether segments can be believed yet: some look further back than has been seen, some wait for a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from streamer.flow.committed import ShardView
from streamer.language import tree
from streamer.language.references import nodes
from streamer.language.segment_specs import Segment
from streamer.segments.plan import model_memories
from streamer.segments.plan.plan import Plan, warming_predicates

SegmentReadiness = Literal["ready", "warming", "not_ready"]


class Standing(NamedTuple):
    """``warming``: a clause has not seen its whole window yet. ``not_ready``: a model that is asked has no answer yet."""

    warming: frozenset[str]
    not_ready: frozenset[str]

    def of(self, segment: str) -> SegmentReadiness:
        """How a segment stands."""
        return "not_ready" if segment in self.not_ready else "warming" if segment in self.warming else "ready"


def standing_of(plan: Plan, views: Iterable[ShardView], now_ms: int) -> Standing:
    """How the segments of a plan stand, in the worst of the shards where it is in force."""
    predicates, unscored = set[str](), set[int]()
    for view in views:
        if view.body is None or view.body.digest != plan.digest:
            continue
        predicates.update(warming_predicates(plan, view.body.since_ms, now_ms))
        unscored |= set(model_memories.unscored_slots(plan.definitions.models, plan.slots, view.body.models))
    warming = {one.name for one in plan.definitions.segments if predicates and not predicates.isdisjoint(_texts(one))}
    return Standing(frozenset(warming), frozenset(rule.name for rule in plan.rules if not unscored.isdisjoint(rule.asks)))


def _texts(segment: Segment) -> set[str]:
    """Of all parts of a segment's conditions."""
    found = (node for condition in segment.conditions for node in nodes(condition))
    return {tree.text(node) for node in found if not isinstance(node, tree.Events)}
