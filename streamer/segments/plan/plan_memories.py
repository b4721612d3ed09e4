"""The first step to a plan: which memories the conditions and models of definitions need, and how large."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final, assert_never

from streamer.customers import memories
from streamer.customers.cart import Cart
from streamer.customers.model_data import AwaitedMemory, ScoreMemory
from streamer.customers.profile import ProfileMemory
from streamer.customers.specs import Spec
from streamer.examples import ModelSpec
from streamer.language import tree
from streamer.language.definitions import Definitions
from streamer.language.message_specs import FactExpression
from streamer.language.references import nodes
from streamer.language.tree import AnyNode, Events, Window

from . import message_inputs, model_memories
from .memory_inputs import Memory, MemoryInput
from .node_memories import (
    active_memory,
    cart_memory,
    count_memory,
    distinct_memory,
    known_memory,
    labels_memory,
    newest_memory,
    number_memory,
    oldest_memory,
    pairs_memory,
    property_memory,
    shown_count_memory,
    steps_memory,
)

ZONE_KEY: Final = "zone"
_ZONE: Final = Memory(ZONE_KEY, memories.Zone(), MemoryInput(take="zone"))


class PlannedMemories:
    """Memories in the order of their keys, each once, as large as the most demanding of its users needs it.

    A memory's slot is its place among them; states refer to memories by slot.
    """

    def __init__(self, needed: Iterable[Memory]) -> None:
        by_key: dict[str, Memory] = {}
        for memory in needed:
            known = by_key.get(memory.key)
            by_key[memory.key] = memory if known is None else replace(known, spec=_larger(known.spec, memory.spec))
        self.memories = [by_key[key] for key in sorted(by_key)]
        self.slots = {memory.key: slot for slot, memory in enumerate(self.memories)}

    def place(self, memory: Memory) -> tuple[int, Spec]:
        """The slot of the memory with the same key, and its spec as planned: perhaps a larger one."""
        slot = self.slots[memory.key]
        return slot, self.memories[slot].spec


def plan_memories(definitions: Definitions, lateness_ms: int, also: Iterable[Memory] = ()) -> PlannedMemories:
    """The memories that all conditions, models and messages of definitions need, and others."""
    return PlannedMemories(
        [*_of_conditions(definitions, lateness_ms), *_of_models(definitions.models), *_of_messages(definitions, lateness_ms), *also]
    )


def is_grown(before: Spec, after: Spec) -> bool:
    """Whether a memory, under one key, is to keep more than it did."""
    return _larger(before, after) != before


def is_of_models(memory: Memory) -> bool:
    """Whether a memory is filled by a model, and not by events alone."""
    return memory.is_put or memory.input.take == "profile"


def _of_models(models: Iterable[ModelSpec]) -> Iterator[Memory]:
    """The profile, and for each model its score and, if it awaits outcomes, an example."""
    for number, spec in enumerate(models):
        if number == 0:
            yield Memory(model_memories.PROFILE_KEY, ProfileMemory(), MemoryInput(Events(("*",)), take="profile"))
        yield Memory(model_memories.score_key(spec.name), ScoreMemory(), MemoryInput(take="step itself"))
        if spec.kind in model_memories.OUTCOMES:
            yield Memory(model_memories.pending_key(spec), AwaitedMemory(), MemoryInput(take="step itself"))


def _of_messages(definitions: Definitions, lateness_ms: int) -> Iterator[Memory]:
    """The customer's zone, in which quiet hours are, and what is asked when a message is decided."""
    if definitions.messages:
        yield _ZONE
    for condition in message_inputs.tested_conditions(definitions):
        yield from _of_tree(condition, lateness_ms)
    for fact in message_inputs.cart_facts(definitions):
        yield cart_memory(fact)
    for value in message_inputs.read_values(definitions):
        yield from _of_tree(value, lateness_ms)
        yield from _of_shown(value)


def _of_shown(value: FactExpression) -> Iterator[Memory]:
    """A number that is shown and not compared with anything is kept as far as its window goes."""
    if isinstance(value, tree.Count):
        yield shown_count_memory(value)
    elif isinstance(value, tree.Aggregate) and value.name == "distinct":
        yield distinct_memory(value, memories.VALUES_SHOWN)


def _of_conditions(definitions: Definitions, lateness_ms: int) -> Iterator[Memory]:
    for segment in (*definitions.segments, *message_inputs.turning_segments(definitions)):
        for condition in segment.conditions:
            yield from _of_tree(condition, lateness_ms)


def _of_tree(root: AnyNode, lateness_ms: int) -> Iterator[Memory]:
    for node in nodes(root):
        yield from _of_node(node, lateness_ms)
        if _needs_zone(node):
            yield _ZONE


def _of_node(node: AnyNode, lateness_ms: int) -> Iterator[Memory]:
    """The memory that one node needs, without those of the nodes inside it."""
    match node:
        case tree.Compare() | tree.OneOf():
            yield from _of_comparison(node)
        case tree.Did(events=events, window=window):
            yield pairs_memory(events, (), window) if window.before_ms else newest_memory(events, 1)
        case tree.Aggregate():
            if node.name != "distinct":
                yield number_memory(node, node.name)
        case tree.Top(events=events, path=path, window=window):
            yield labels_memory(events, path, window)
        case tree.Active():
            yield active_memory(node)
        case tree.Last(events=events):
            yield newest_memory(events, 1)
        case tree.First(events=events):
            yield oldest_memory(events)
        case tree.Latest() | tree.Earliest():
            yield property_memory(node)
        case tree.Trait() | tree.Context() | tree.Language():
            yield known_memory(node, memories.KnownValue())
        case tree.Unchanged(of=of):
            yield known_memory(of, memories.Runs(lateness_ms))
        case tree.Sequence():
            yield steps_memory(node, lateness_ms)
        case tree.Count():
            return  # how many times are kept depends on what the count is compared with
        case tree.Score() | tree.Percentile() | tree.Group():
            return  # a model's memories are there whether or not a condition asks it
        case tree.Prop() | tree.EventContext() | tree.Clock() | tree.Moment() | tree.Entered() | tree.Left() | tree.InSegment():
            return  # read from the event, the clock, the definition, the memberships
        case tree.Number() | tree.Lower() | tree.Age() | tree.Date() | tree.Since() | tree.Until() | Events():
            return  # what they are about has the memory
        case tree.And() | tree.Or() | tree.Not() | tree.CompareDuration() | tree.CompareTime():
            return
        case tree.Exists() | tree.Contains() | tree.StartsWith() | tree.Birthday():
            return
        case _:
            assert_never(node)


def _of_comparison(node: tree.Compare | tree.OneOf) -> Iterator[Memory]:
    """What counts keeps as much as the comparison can still ask: a threshold of k needs k times, an exact number one more."""
    if isinstance(node.left, tree.Count):
        yield count_memory(node.left, _kept(node))
    elif isinstance(node.left, tree.Aggregate) and node.left.name == "distinct":
        yield distinct_memory(node.left, _kept(node))


def _kept(node: tree.Compare | tree.OneOf) -> int:
    if isinstance(node, tree.OneOf):
        return max(int(item) for item in node.items) + 1
    return int(node.right) + (node.op not in (">=", "<"))


def _needs_zone(node: AnyNode) -> bool:
    if isinstance(node, (tree.Clock, tree.Age, tree.Birthday)):
        return True
    window = getattr(node, "window", None)
    return isinstance(window, Window) and window.this is not None


def _larger(left: Spec, right: Spec) -> Spec:
    """One memory for both: the larger of two sizes of a kind. Equal keys are equal kinds, but for a known value and its run."""
    match left:
        case memories.Newest(keep=keep):
            assert isinstance(right, memories.Newest)
            return memories.Newest(max(keep, right.keep))
        case memories.Distinct(keep=keep):
            assert isinstance(right, memories.Distinct)
            return memories.Distinct(max(keep, right.keep))
        case memories.Pairs(span_ms=span_ms):
            assert isinstance(right, memories.Pairs)
            return memories.Pairs(max(span_ms, right.span_ms))
        case memories.Labels(span_ms=span_ms):
            assert isinstance(right, memories.Labels)
            return memories.Labels(max(span_ms, right.span_ms))
        case memories.Ladder(span_ms=span_ms, sign=sign):
            assert isinstance(right, memories.Ladder)
            return memories.Ladder(max(span_ms, right.span_ms), sign)
        case Cart(most=most):
            assert isinstance(right, Cart)
            return Cart(max(most, right.most))
        case memories.Runs():
            return left
        case memories.KnownValue():
            return right
        case memories.Oldest() | memories.EventCount() | memories.Totals() | memories.Bests() | memories.Frequencies():
            return left
        case memories.Zone() | memories.Steps() | ProfileMemory() | ScoreMemory() | AwaitedMemory():
            return left
        case _:
            assert_never(left)
