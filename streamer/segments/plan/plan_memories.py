"""The first look at definitions: which memories their conditions need, and how large."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from streamer.customers import memories
from streamer.customers.model_data import Placed
from streamer.customers.profile import ProfileMemory
from streamer.customers.specs import Spec
from streamer.examples import ModelSpec
from streamer.language import tree
from streamer.language.definitions import Definitions, nodes
from streamer.language.tree import Condition, Events, Window

from . import model_memories, predicates
from .memory_inputs import Memory, MemoryInput

ZONE_KEY: Final = "zone"


def events_key(events: Events) -> str:
    """Names events by their names and condition: equal texts are one memory."""
    return tree.text(tree.Last(events))


class MemoryPlanner:
    """The memories of all conditions and models, each once, as large as the most demanding of its users needs it."""

    def __init__(self, definitions: Definitions, lateness_ms: int) -> None:
        self._lateness_ms = lateness_ms
        self._needed: dict[str, Memory] = {}
        for segment in definitions.segments:
            for condition in segment.conditions:
                self._need_all(condition)
        self._need_models(definitions.models)
        self.memories = [self._needed[key] for key in sorted(self._needed)]
        self.slots = {memory.key: slot for slot, memory in enumerate(self.memories)}

    def _need_models(self, models: Sequence[ModelSpec]) -> None:
        """The profile, and for each model its score and, if it awaits outcomes, an example."""
        if models:
            key = model_memories.PROFILE_KEY
            self._needed[key] = Memory(key, ProfileMemory(), MemoryInput(Events(("*",)), take="profile"))
        for spec in models:
            keys = [model_memories.score_key(spec.name)]
            if spec.kind in model_memories.OUTCOMES:
                keys.append(model_memories.pending_key(spec))
            for key in keys:
                self._needed[key] = Memory(key, Placed(), MemoryInput(take="step itself"))

    def _need_all(self, condition: Condition) -> None:
        for node in nodes(condition):
            for memory in self._memories_of(node):
                known = self._needed.get(memory.key)
                self._needed[memory.key] = memory if known is None else replace(known, spec=_larger(known.spec, memory.spec))

    def _memories_of(self, node: Any) -> Iterable[Memory]:
        match node:
            case tree.Compare(left=tree.Count() as count, right=int() as right):
                yield self._count_memory(count, right + 1 if node.op not in (">=", "<") else right)
            case tree.OneOf(left=tree.Count() as count):
                yield self._count_memory(count, max(int(item) for item in node.items) + 1)
            case tree.Compare(left=tree.Aggregate(name="distinct") as distinct, right=int() as right):
                yield self._distinct_memory(distinct, right + 1 if node.op not in (">=", "<") else right)
            case tree.OneOf(left=tree.Aggregate(name="distinct") as distinct):
                yield self._distinct_memory(distinct, max(int(item) for item in node.items) + 1)
            case tree.Did(events=events, window=window):
                yield self._pairs_memory(events, (), window) if window.before_ms else self._newest_memory(events, 1)
            case tree.Aggregate(name="sum" | "avg" | "min" | "max"):
                yield self._number_memory(node)
            case tree.Top(events=events, path=path, window=window):
                yield self._labels_memory(events, path, window)
            case tree.Active(events=events):
                yield self._pairs_memory(events, (), Window(within_ms=node.each_ms * node.periods))
            case tree.Last(events=events):
                yield self._newest_memory(events, 1)
            case tree.First(events=events):
                yield Memory(f"oldest {events_key(events)}", memories.Oldest(), MemoryInput(events))
            case tree.Latest(events=events, path=path) | tree.Earliest(events=events, path=path):
                yield self._property_memory(node)
            case tree.Trait() | tree.Context() | tree.Language():
                yield self._known_memory(node, memories.Known())
            case tree.Unchanged(of=of):
                yield self._known_memory(of, memories.Runs(self._lateness_ms))
            case tree.Sequence():
                yield self._steps_memory(node)
            case _:
                pass
        if _needs_zone(node):
            yield Memory(ZONE_KEY, memories.Zone(), MemoryInput(take="zone"))

    def _newest_memory(self, events: Events, keep: int) -> Memory:
        return Memory(f"newest {events_key(events)}", memories.Newest(max(keep, 1)), MemoryInput(events))

    def _count_memory(self, node: tree.Count, keep: int) -> Memory:
        if node.window.before_ms:
            return self._pairs_memory(node.events, (), node.window)
        if node.window.ever:
            return Memory(f"tally {events_key(node.events)}", memories.Tally(), MemoryInput(node.events))
        return self._newest_memory(node.events, keep)

    def _pairs_memory(self, events: Events, path: tuple[str, ...], window: Window) -> Memory:
        feed = MemoryInput(events, path, "number") if path else MemoryInput(events, (), "zero")
        return Memory(f"pairs {events_key(events)} {'.'.join(path)}", memories.Pairs(predicates.span_of(window)), feed)

    def _number_memory(self, node: tree.Aggregate) -> Memory:
        feed, key = MemoryInput(node.events, node.path, "number"), f"{events_key(node.events)} {'.'.join(node.path)}"
        sign = {"min": -1, "max": 1}.get(node.name, 0)
        if node.window.ever:
            return Memory(f"best {sign} {key}", memories.Bests(sign), feed) if sign else Memory(f"totals {key}", memories.Totals(), feed)
        if sign and not node.window.before_ms:
            return Memory(f"ladder {sign} {key}", memories.Ladder(predicates.span_of(node.window), sign), feed)
        return self._pairs_memory(node.events, node.path, node.window)

    def _distinct_memory(self, node: tree.Aggregate, keep: int) -> Memory:
        if node.window.before_ms:
            return self._labels_memory(node.events, node.path, node.window)
        key = f"distinct {events_key(node.events)} {'.'.join(node.path)}"
        return Memory(key, memories.Distinct(max(keep, 1)), MemoryInput(node.events, node.path, "labels"))

    def _labels_memory(self, events: Events, path: tuple[str, ...], window: Window) -> Memory:
        feed, key = MemoryInput(events, path, "labels"), f"{events_key(events)} {'.'.join(path)}"
        if window.ever:
            return Memory(f"frequencies {key}", memories.Frequencies(), feed)
        return Memory(f"labels {key}", memories.Labels(predicates.span_of(window)), feed)

    def _property_memory(self, node: tree.Latest | tree.Earliest) -> Memory:
        newest = isinstance(node, tree.Latest)
        key = f"{'latest' if newest else 'earliest'} {events_key(node.events)} {'.'.join(node.path)}"
        return Memory(key, memories.Known(newest), MemoryInput(node.events, node.path, "value"))

    def _known_memory(self, node: tree.Trait | tree.Context | tree.Language, spec: Spec) -> Memory:
        path = ("locale",) if isinstance(node, tree.Language) else node.path
        take = "trait" if isinstance(node, tree.Trait) else "context"
        return Memory(f"{take} {'.'.join(path)}", spec, MemoryInput(path=path, take=take))

    def _steps_memory(self, node: tree.Sequence) -> Memory:
        spec = memories.Steps(len(node.steps), node.within_ms, node.wait_ms, self._lateness_ms)
        feed = MemoryInput(take="step", steps=node.steps, then_not=node.then_not)
        return Memory(f"steps {tree.text(replace_struct(node, over_ms=0))}", spec, feed)


def _needs_zone(node: Any) -> bool:
    if isinstance(node, (tree.Clock, tree.Age, tree.Birthday)):
        return True
    window = getattr(node, "window", None)
    return isinstance(window, Window) and window.this is not None


def _larger(left: Spec, right: Spec) -> Spec:
    """One memory for both: the larger of two sizes of a kind."""
    match left, right:
        case (memories.Newest(keep=one), memories.Newest(keep=two)):
            return memories.Newest(max(one, two))
        case (memories.Distinct(keep=one), memories.Distinct(keep=two)):
            return memories.Distinct(max(one, two))
        case (memories.Pairs(span_ms=one), memories.Pairs(span_ms=two)):
            return memories.Pairs(max(one, two))
        case (memories.Labels(span_ms=one), memories.Labels(span_ms=two)):
            return memories.Labels(max(one, two))
        case (memories.Ladder(span_ms=one, sign=sign), memories.Ladder(span_ms=two)):
            return memories.Ladder(max(one, two), sign)
        case (memories.Runs(), _):
            return left
        case _:
            return right


def replace_struct(node: tree.Sequence, *, over_ms: int) -> tree.Sequence:
    """A sequence with another ``over``."""
    return tree.Sequence(node.steps, node.within_ms, over_ms, node.then_not, node.wait_ms)
