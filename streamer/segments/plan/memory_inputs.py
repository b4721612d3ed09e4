# pyright: reportUnknownVariableType=false
"""What a memory takes from an event, and where it is kept: from a description to functions the step can call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from streamer import values
from streamer.customers import memories
from streamer.customers.cart import CartStep
from streamer.customers.memories import Data, Update
from streamer.customers.profile import take as take_profile
from streamer.customers.specs import Spec
from streamer.customers.state import State
from streamer.events.event import Event
from streamer.language.message_specs import CartFact
from streamer.language.tree import Events
from streamer.values import MISSING, Json, scaled

from .turns import ApplyEvent, Turns
from .where import EventFilter, EventReader, compile_where, names_match, read_properties

SHOWN_CHARS_MAX: Final = 1_024  # of a text that a message shows of an item


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory of the plan. ``key`` is its identity across plans; ``input`` what feeds it."""

    key: str
    spec: Spec
    input: MemoryInput

    @property
    def is_put(self) -> bool:
        """Whether no event feeds it: a model puts there what it said, or what it awaits."""
        return self.input.take == "step itself"


@dataclass(frozen=True, slots=True)
class MemoryInput:
    """What a memory takes from an event: of matching ``events`` the value at ``path``, or of all events a path of traits or context."""

    events: Events | None = None
    path: tuple[str, ...] = ()
    take: str = "time"  # time, number, labels, value, step, trait, context, zone, profile, cart, step itself
    steps: tuple[Events, ...] = ()
    then_not: Events | None = None
    cart: CartFact | None = None


def unless_same_zone(slot: int, update: Update, feed: ApplyEvent) -> ApplyEvent:
    """Browsers send their zone with every event, and everything of the calendar hangs on it: ask anew only when it is another one."""

    def feed_zone(state: State, value: Json, t: int, now: int, turns: Turns) -> None:
        old = state.slots.get(slot)
        if old is not None and old[2] == value[1]:
            state.slots[slot] = update(old, value, t, now, state.origin_ms)
        else:
            feed(state, value, t, now, turns)

    return feed_zone


def zone_name(rank: int, find_zone: Callable[[str], ZoneInfo | None]) -> Callable[[dict[str, Json]], Json]:
    """A customer's zone in traits (rank 1) or context (0); what is no zone is passed over."""
    find = values.lookup(("timezone",))

    def name(source: dict[str, Json]) -> Json:
        found = find(source)
        return [rank, found] if type(found) is str and find_zone(found) is not None else MISSING

    return name


def converted(data: Any, old: Spec, new: Spec) -> Any:
    """Data of a memory whose size changed with the definitions."""
    if isinstance(old, memories.Newest) and isinstance(new, memories.Newest):
        times = [data] if old.keep == 1 else data
        return times[-1] if new.keep == 1 else times[-new.keep :]
    if isinstance(old, memories.Runs) and isinstance(new, memories.KnownValue):
        return data[-2:]
    if isinstance(old, memories.KnownValue) and isinstance(new, memories.Runs):
        return [None, None, *data]
    return data


# what a memory takes from an event ------------------------------------------------------------------------------------


def reader(feed: MemoryInput, where: EventFilter | None) -> EventReader | None:
    """The value for the memory's update; None from it means the event is not for this memory. No function: every event is."""
    take = _TAKE[feed.take](feed.path)
    if where is None:
        return take
    if take is None:
        return lambda event: True if where(event) else None
    return lambda event: take(event) if where(event) else None


def _take_number(path: tuple[str, ...]) -> EventReader:
    read = read_properties(path)

    def take(event: Event) -> Json:
        found = read(event)
        if type(found) is list:
            return [number for item in found if (number := scaled(item)) is not None] or None
        return scaled(found)

    return take


def each(update: Update) -> Update:
    """An update that takes a list of numbers one by one: the products of an order."""

    def update_each(old: Data, value: Json, t: int, now: int, origin_ms: int) -> Data:
        if type(value) is not list:
            return update(old, value, t, now, origin_ms)
        for number in value:
            old = update(old, number, t, now, origin_ms)
        return old

    return update_each


def _take_labels(path: tuple[str, ...]) -> EventReader:
    read = read_properties(path)

    def take(event: Event) -> Json:
        found = read(event)
        if type(found) is str:  # nearly always
            return [values.key_of_text(found[: values.TEXT_KEPT])]
        return [values.key_of(item) for item in values.scalars(values.kept(found))] or None

    return take


def _take_value(path: tuple[str, ...]) -> EventReader:
    read = read_properties(path)
    return lambda event: [values.kept(read(event))]


_TAKE: Final[dict[str, Callable[[tuple[str, ...]], EventReader | None]]] = {
    "time": lambda _path: None,
    "zero": lambda _path: lambda _event: 0,
    "number": _take_number,
    "labels": _take_labels,
    "value": _take_value,
    "profile": lambda _path: take_profile,
}


def all_steps(feed: MemoryInput) -> tuple[Events, ...]:
    """The steps of a sequence, and behind them what must not follow."""
    return feed.steps if feed.then_not is None else (*feed.steps, feed.then_not)


def step_bits(feed: MemoryInput) -> EventReader:
    """Which steps of a sequence an event can be, as bits; None for none."""
    parts = [
        (bit, names_match(events.names), compile_where(events.where) if events.where is not None else None)
        for bit, events in enumerate(all_steps(feed))
    ]

    def bits(event: Event) -> Json:
        found = 0
        for bit, named, where in parts:
            if named(event) and (where is None or where(event)):
                found |= 1 << bit
        return found or None

    return bits


def cart_events(fact: CartFact) -> tuple[Events, Events, Events]:
    """What puts an item in, what takes one out, and what clears everything."""
    return Events(fact.added), Events(fact.removed), Events(fact.until)


def _shown_whole(value: Json) -> Json:
    """What is kept of a value to be shown: half of an address of a picture is none, so a text that is too long is nothing."""
    if type(value) is str:
        return value if len(value) <= SHOWN_CHARS_MAX else None
    return values.kept(value)


def cart_steps(fact: CartFact) -> EventReader:
    """What an event does to the items of a cart; None for nothing. An item without a key, or with a list for one, is none."""
    read_key = read_properties(fact.by)
    read_kept = [read_properties(path) for path in fact.keep]
    adds, removes, clears = (names_match(events.names) for events in cart_events(fact))

    def steps(event: Event) -> Json:
        found: list[CartStep] = []
        key = read_key(event)
        if key is not None and type(key) not in (list, dict):
            text = values.key_of(values.kept(key))
            if adds(event):
                found.append(("added", text, [_shown_whole(read(event)) for read in read_kept]))
            if removes(event):
                found.append(("removed", text, []))
        if clears(event):
            found.append(("cleared", "", []))
        return found or None

    return steps
