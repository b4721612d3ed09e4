"""What of new definitions is folded over the log: the segments, memories and models that are new, and what they refer to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from streamer.examples import ModelSpec
from streamer.flow.checkpoint import NOTHING_BROUGHT
from streamer.language.definitions import Definitions
from streamer.language.references import references
from streamer.segments.plan.memory_inputs import Memory
from streamer.segments.plan.model_memories import memories_of, models_asked, with_all_asked
from streamer.segments.plan.plan import Plan
from streamer.segments.plan.plan_change import changed_names, has_other_clock
from streamer.segments.plan.plan_memories import ZONE_KEY, is_grown, is_of_models, plan_memories

PLANS_KEPT: Final = 8  # all shards of a worker ask for the same one, some of them while nothing else may go on


@dataclass(frozen=True, slots=True)
class LanePlan:
    """``plan`` is what a lane works by. ``segments`` are those whose memberships it finds out: they are new, or mean something else than
    before. ``keys`` are the memories of ``plan`` that did not exist before, or kept less. Its memories are as large as those of the
    definitions that are to hold, so that its data can be taken as they are.

    The models of ``plan`` are those that are new, and those that go on as they were (``scores``) and are asked, or are measured anew: these
    score in the lane with what served at each place of the log. Of those that are new or measured anew the lane remembers what they would
    await (``awaits``). ``tells``: it says what there would have been to learn.

    ``digest`` names those definitions, ``before`` those that hold until then. ``history`` is the offset in the shard's log of history up to
    which that is folded with the log, ``brought`` that below which definitions before these brought it. ``brings_history``: these do, here
    or in another shard, so the lane notes where the records of history lie.
    """

    plan: Plan
    segments: frozenset[str]
    keys: frozenset[str]
    digest: str
    before: str
    history: int = 0
    scores: frozenset[str] = frozenset()
    awaits: frozenset[str] = frozenset()
    tells: bool = False
    brought: int = 0
    brings_history: bool = False

    def name(self, version: int) -> str:
        """What a lane towards definitions of this version is called in a store: after all that its plan is a function of, since what it
        has kept is numbered by that."""
        return f"{version}-{self.digest}-{self.before}"


def version_of(name: str) -> int:
    """Of the definitions towards which the lane of this name goes."""
    return int(name.partition("-")[0])


def plan_lane(before: Plan, after: Plan, *, lateness_ms: int, history: int = 0, brought: int = NOTHING_BROUGHT) -> LanePlan | None:
    """What a lane between two definitions folds, with ``history``; None where nothing is new that the log decides. All of it is where
    the history itself is new, but for what lies below ``brought``; NOTHING_BROUGHT where none of it is.

    A segment that asks a model which is new cannot be folded, since that has said nothing yet. Its memories are.
    """
    brings_history = brought != NOTHING_BROUGHT
    found = _planned(before, after, lateness_ms, brings_history=brings_history)
    return None if found is None else replace(found, history=history, brought=brought if brings_history else history)


@lru_cache(maxsize=PLANS_KEPT)
def _planned(before: Plan, after: Plan, lateness_ms: int, *, brings_history: bool) -> LanePlan | None:
    """The same, of any shard: where its history lies is left out."""
    models, (changed, anew) = _new_models(before, after), _changed(before, after, is_all=brings_history)
    segments = changed - _unanswered(after, models)
    fresh = {memory.key for memory in after.memories if not is_of_models(memory) and (brings_history or _is_new(memory, before))}
    if not (segments or models or anew or fresh or brings_history):
        return None
    by_name = {rule.name: rule.segment for rule in after.rules}
    of, new = after.definitions, {model.name for model in models}
    awaits = frozenset(new | {model.name for model in anew})
    wanted, asked = with_all_asked(segments, awaits, by_name, of.models)
    at_work = tuple(model for model in of.models if model.name in asked)
    reduced = Definitions(tuple(one for name, one in by_name.items() if name in wanted), of.zone, at_work, zone_data=of.zone_data)
    keys = fresh | plan_memories(reduced, lateness_ms).slots.keys() | ({ZONE_KEY} if at_work else set[str]())  # features are measured by it
    plan = Plan(reduced, lateness_ms=lateness_ms, also=[memory for memory in after.memories if memory.key in keys])
    of_anew = {key for model in anew for key in memories_of(model)}
    taken = (memory.key for memory in plan.memories if brings_history or _differs(memory, before) or memory.key in of_anew)
    return LanePlan(
        plan,
        frozenset(segments),
        frozenset(taken),
        after.digest,
        before.digest,
        scores=frozenset(asked - new),
        awaits=awaits,
        tells=bool(new),
        brings_history=brings_history,
    )


def _is_new(memory: Memory, before: Plan) -> bool:
    slot = before.slots.get(memory.key)
    return slot is None or is_grown(before.memories[slot].spec, memory.spec)


def _differs(memory: Memory, before: Plan) -> bool:
    slot = before.slots.get(memory.key)
    return slot is None or before.memories[slot].spec != memory.spec


def _changed(before: Plan, after: Plan, *, is_all: bool) -> tuple[set[str], list[ModelSpec]]:
    """The segments of ``after`` that are new or mean something else, or all; and the models that go on as they were, and would have said
    something else had these definitions always held: customers are measured by another clock, or another segment is a model's seed or is
    left out of it. Whoever asks such a model means something else too.
    """
    segments, models = set[str](), list[ModelSpec]()
    is_all_segments = is_all or has_other_clock(before, after)
    is_all_models = is_all_segments or (ZONE_KEY in before.slots) != (ZONE_KEY in after.slots)
    kept = [model for model in after.definitions.models if model in before.definitions.models]
    while True:
        found = [model for model in kept if is_all_models or model.seed in segments or model.exclude in segments]
        segments = set(after.numbers) if is_all_segments else changed_names(before, after, {model.name for model in found})
        if found == models:
            return segments, models
        models = found


def _unanswered(after: Plan, models: Iterable[ModelSpec]) -> set[str]:
    """The segments of ``after`` that ask one of these models, or refer to a segment that does."""
    new, found = {model.name for model in models}, set[str]()
    for rule in after.rules:
        conditions = tuple(rule.segment.conditions)
        if not new.isdisjoint(models_asked(conditions)) or not found.isdisjoint(references(conditions)):
            found.add(rule.name)
    return found


def _new_models(before: Plan, after: Plan) -> tuple[ModelSpec, ...]:
    """The models of ``after`` that did not exist, or were another question. Whoever learns holds the same for new."""
    return tuple(model for model in after.definitions.models if model not in before.definitions.models)
