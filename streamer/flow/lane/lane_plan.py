"""What of new definitions is folded over the log: the segments, memories and models that are new, and what they refer to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from streamer.examples import ModelSpec
from streamer.language import tree
from streamer.language.definitions import Definitions
from streamer.language.references import references
from streamer.language.segment_specs import Segment
from streamer.segments.plan.memory_inputs import Memory
from streamer.segments.plan.plan import Plan
from streamer.segments.plan.plan_memories import ZONE_KEY, is_grown, is_of_models, plan_memories

PLANS_KEPT: Final = 8  # all shards of a worker ask for the same one, some of them while nothing else may go on


@dataclass(frozen=True, slots=True)
class LanePlan:
    """``plan`` is what a lane works by. ``segments`` are those whose memberships it finds out: they are new, or mean something else than
    before. ``keys`` are the memories of ``plan`` that did not exist before, or kept less. Its memories are as large as those of the
    definitions that are to hold, so that its data can be taken as they are. The models of ``plan`` are those that are new: of them the lane
    says what it would have been to learn.

    ``digest`` names those definitions, ``before`` those that hold until then. ``history`` is the offset in the shard's log of history up to
    which that is folded with the log.
    """

    plan: Plan
    segments: frozenset[str]
    keys: frozenset[str]
    digest: str
    before: str
    history: int = 0

    def name(self, version: int) -> str:
        """What a lane towards definitions of this version is called in a store: after all that its plan is a function of, since what it
        has kept is numbered by that."""
        return f"{version}-{self.digest}-{self.before}"


def version_of(name: str) -> int:
    """Of the definitions towards which the lane of this name goes."""
    return int(name.partition("-")[0])


@lru_cache(maxsize=PLANS_KEPT)
def plan_lane(before: Plan, after: Plan, *, lateness_ms: int, history: int = 0, brings_history: bool = False) -> LanePlan | None:
    """What a lane between two definitions folds, with ``history``; None where nothing is new that events alone decide. All of it is where
    the history itself is new.

    A segment that asks a model cannot be folded: what the model said then, nobody knows now. Its memories are.
    """
    segments, models = _foldable(before, after, is_all=brings_history), _new_models(before, after)
    fresh = {memory.key for memory in after.memories if not is_of_models(memory) and (brings_history or _is_new(memory, before))}
    if not (segments or models or fresh or brings_history):
        return None
    by_name = {rule.name: rule.segment for rule in after.rules}
    asked = {name for model in models for name in (model.seed, model.exclude) if name}
    wanted = _with_references(segments | asked, by_name)
    of = after.definitions
    reduced = Definitions(tuple(one for name, one in by_name.items() if name in wanted), of.zone, models, zone_data=of.zone_data)
    keys = fresh | plan_memories(reduced, lateness_ms).slots.keys() | ({ZONE_KEY} if models else set[str]())  # features are measured by it
    plan = Plan(reduced, lateness_ms=lateness_ms, also=[memory for memory in after.memories if memory.key in keys])
    taken = (memory.key for memory in plan.memories if brings_history or _differs(memory, before))
    return LanePlan(plan, frozenset(segments), frozenset(taken), after.digest, before.digest, history)


def _is_new(memory: Memory, before: Plan) -> bool:
    slot = before.slots.get(memory.key)
    return slot is None or is_grown(before.memories[slot].spec, memory.spec)


def _differs(memory: Memory, before: Plan) -> bool:
    slot = before.slots.get(memory.key)
    return slot is None or before.memories[slot].spec != memory.spec


def _foldable(before: Plan, after: Plan, *, is_all: bool) -> set[str]:
    """The segments of ``after`` that are new or mean something else (or all), and ask no model, nor one that does."""
    known = {rule.name: _meaning(rule.segment) for rule in before.rules}
    is_other_clock = (before.definitions.zone, before.definitions.zone_data) != (after.definitions.zone, after.definitions.zone_data)
    changed, scored = set[str](), set[str]()
    for rule in after.rules:  # those that are referred to come first
        refers = references(rule.segment.conditions)
        if is_all or is_other_clock or known.get(rule.name) != _meaning(rule.segment) or not changed.isdisjoint(refers):
            changed.add(rule.name)
        if rule.asks or not scored.isdisjoint(refers):
            scored.add(rule.name)
    return changed - scored


def _new_models(before: Plan, after: Plan) -> tuple[ModelSpec, ...]:
    """The models of ``after`` that did not exist, or were another question. Whoever learns holds the same for new."""
    return tuple(model for model in after.definitions.models if model not in before.definitions.models)


def _meaning(segment: Segment) -> tuple[str, str, int, int]:
    """All of a segment that decides who is in it. Equal texts are equal conditions."""
    leaves = "" if segment.exit is None else tree.text(segment.exit)
    return tree.text(segment.when), leaves, segment.stay_ms, segment.cooldown_ms


def _with_references(names: Iterable[str], by_name: Mapping[str, Segment]) -> set[str]:
    """These segments, and all that they refer to by any way."""
    found, todo = set[str](), list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += references(by_name[name].conditions)
    return found
