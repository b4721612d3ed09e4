"""The memory that answers a node of a condition. Nodes whose memories have the same key share one."""

from __future__ import annotations

from typing import assert_never

from streamer.customers import memories
from streamer.customers.cart import Cart
from streamer.customers.specs import Spec
from streamer.language import tree
from streamer.language.message_specs import CartFact
from streamer.language.tree import Events, NumberName, Path, Window

from .memory_inputs import Memory, MemoryInput, cart_events
from .predicates.windows import span_of


def events_key(events: Events) -> str:
    """Events named by their names and condition: equal texts are one memory."""
    return tree.text(tree.Last(events))


def newest_memory(events: Events, keep: int) -> Memory:
    """The ``keep`` newest times of events."""
    return Memory(f"newest {events_key(events)}", memories.Newest(max(keep, 1)), MemoryInput(events))


def oldest_memory(events: Events) -> Memory:
    """The oldest time of events."""
    return Memory(f"oldest {events_key(events)}", memories.Oldest(), MemoryInput(events))


def count_memory(node: tree.Count, keep: int) -> Memory:
    """What counts events: a number for ever, their newest times in a window, all times in one that ends before now."""
    if node.window.before_ms:
        return pairs_memory(node.events, (), node.window)
    if node.window.ever:
        return Memory(f"tally {events_key(node.events)}", memories.EventCount(), MemoryInput(node.events))
    return newest_memory(node.events, keep)


def active_memory(node: tree.Active) -> Memory:
    """All times of events in the periods that are looked at."""
    return pairs_memory(node.events, (), Window(within_ms=node.each_ms * node.periods))


def shown_count_memory(node: tree.Count) -> Memory:
    """What answers a count that is shown, not compared: how many there are, however many."""
    return count_memory(node, 1) if node.window.ever else pairs_memory(node.events, (), node.window)


def pairs_memory(events: Events, path: Path, window: Window) -> Memory:
    """Times of events, each with the number at ``path`` (empty: none)."""
    taken = MemoryInput(events, path, "number") if path else MemoryInput(events, (), "zero")
    return Memory(f"pairs {events_key(events)} {'.'.join(path)}", memories.Pairs(span_of(window)), taken)


def number_memory(node: tree.Aggregate, name: NumberName) -> Memory:
    """What answers a sum, average or extreme; ``name`` is which of them the node asks for."""
    taken, key = MemoryInput(node.events, node.path, "number"), _property_key(node.events, node.path)
    sign = _sign_of(name)
    if node.window.ever:
        return Memory(f"best {sign} {key}", memories.Bests(sign), taken) if sign else Memory(f"totals {key}", memories.Totals(), taken)
    if sign and not node.window.before_ms:
        return Memory(f"ladder {sign} {key}", memories.Ladder(span_of(node.window), sign), taken)
    return pairs_memory(node.events, node.path, node.window)


def _sign_of(name: NumberName) -> int:
    """Which end of the values is asked for: 1 the largest, -1 the smallest, 0 neither."""
    match name:
        case "max":
            return 1
        case "min":
            return -1
        case "sum" | "avg":
            return 0
        case _:
            assert_never(name)


def distinct_memory(node: tree.Aggregate, keep: int) -> Memory:
    """The ``keep`` newest different values."""
    if node.window.before_ms:
        return labels_memory(node.events, node.path, node.window)
    key = f"distinct {_property_key(node.events, node.path)}"
    return Memory(key, memories.Distinct(max(keep, 1)), MemoryInput(node.events, node.path, "labels"))


def labels_memory(events: Events, path: Path, window: Window) -> Memory:
    """How often each value came: for ever, or with times in a window."""
    taken, key = MemoryInput(events, path, "labels"), _property_key(events, path)
    if window.ever:
        return Memory(f"frequencies {key}", memories.Frequencies(), taken)
    return Memory(f"labels {key}", memories.Labels(span_of(window)), taken)


def property_memory(node: tree.Latest | tree.Earliest) -> Memory:
    """A property of the newest or oldest event."""
    newest = isinstance(node, tree.Latest)
    key = f"{'latest' if newest else 'earliest'} {_property_key(node.events, node.path)}"
    return Memory(key, memories.KnownValue(newest), MemoryInput(node.events, node.path, "value"))


def known_memory(node: tree.Trait | tree.Context | tree.Language, spec: Spec) -> Memory:
    """The newest known value of a trait or of the context; ``spec``: whether since when is remembered too."""
    path = ("locale",) if isinstance(node, tree.Language) else node.path
    take = "trait" if isinstance(node, tree.Trait) else "context"
    return Memory(f"{take} {'.'.join(path)}", spec, MemoryInput(path=path, take=take))


def cart_memory(fact: CartFact) -> Memory:
    """The items that were put in and neither taken out nor bought."""
    moves = " ".join(events_key(events) for events in cart_events(fact))
    kept = " ".join(".".join(path) for path in fact.keep)
    spec = Cart(fact.most)
    return Memory(f"cart {spec.held} {moves} by {'.'.join(fact.by)} keep {kept}", spec, MemoryInput(take="cart", cart=fact))


def steps_memory(node: tree.Sequence, lateness_ms: int) -> Memory:
    """How far a sequence has come."""
    spec = memories.Steps(len(node.steps), node.within_ms, node.wait_ms, lateness_ms)
    taken = MemoryInput(take="step", steps=node.steps, then_not=node.then_not)
    for_any_time = tree.Sequence(node.steps, node.within_ms, 0, node.then_not, node.wait_ms)
    return Memory(f"steps {tree.text(for_any_time)}", spec, taken)


def _property_key(events: Events, path: Path) -> str:
    return f"{events_key(events)} {'.'.join(path)}"
