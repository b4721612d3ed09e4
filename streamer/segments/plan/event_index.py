"""Which memories an event feeds: found by its name, and by what it says at a path, without asking the others."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, cast

from streamer.events.event import Event
from streamer.language import tree
from streamer.language.tree import Condition, Path
from streamer.values import Json, is_number

from .turns import ApplyEvent
from .where import EventReader, is_activity, read_properties

MemoryEntry = tuple[int, ApplyEvent, EventReader | None]  # memory number, what feeds it, what of the event it takes

NAMES_MAX: Final = 10_000  # names are producers' texts: unbounded


class MemoryListener(NamedTuple):
    """A memory that listens to events. ``read`` takes its value from one that is known to be for it, as far as ``find_key`` can know
    that; ``read_any`` from any event of its names: None where the event is not for it."""

    slot: int
    apply: ApplyEvent
    read: EventReader | None
    read_any: EventReader | None


class ValueKey(NamedTuple):
    """Texts one of which must lie at a path."""

    path: Path
    texts: tuple[str, ...]


class LimitKey(NamedTuple):
    """A number with which the number at a path is compared."""

    path: Path
    op: str
    limit: float


def find_key(condition: Condition | None) -> ValueKey | LimitKey | None:
    """A part of the condition by which an event finds it: the first that names texts, else the first that compares a number."""
    parts = condition.of if isinstance(condition, tree.And) else (condition,)
    keys = [_key_of(part) for part in parts]
    named = [key for key in keys if isinstance(key, ValueKey)]
    limits = [key for key in keys if isinstance(key, LimitKey)]
    return next(iter((*named, *limits)), None)


def _key_of(part: Condition | None) -> ValueKey | LimitKey | None:
    match part:
        case tree.Compare(left=tree.Prop(path=path), op="==", right=str() as text):
            return ValueKey(path, (text,))
        case tree.OneOf(left=tree.Prop(path=path), items=items) if all(isinstance(item, str) for item in items):
            return ValueKey(path, tuple(str(item) for item in items))
        case tree.Compare(left=tree.Prop(path=path), op="<" | "<=" | ">" | ">=" as op, right=right) if not isinstance(right, (str, bool)):
            return LimitKey(path, op, right)
        case _:
            return None


def says_all(condition: Condition | None) -> bool:
    """Whether the key of a condition that has one says all of it."""
    return not isinstance(condition, tree.And)


class _ByValue:
    """Memories by the text that must lie at a path."""

    def __init__(self, listeners: Iterable[tuple[ValueKey, MemoryListener]]) -> None:
        by_text: dict[str, dict[int, MemoryEntry]] = {}
        for key, listener in listeners:
            for text in key.texts:
                by_text.setdefault(text, {})[listener.slot] = (listener.slot, listener.apply, listener.read)
        self._by_text = {text: tuple(found.values()) for text, found in by_text.items()}

    def matching(self, value: Json) -> Iterable[MemoryEntry]:
        """Those for a text, or for any text in a list, each once: an event of two of its values is still one event."""
        if type(value) is str:
            return self._by_text.get(value, ())
        if type(value) is not list:
            return ()
        texts = [item for item in cast("list[object]", value) if isinstance(item, str)]
        return {entry[0]: entry for text in texts for entry in self._by_text.get(text, ())}.values()


class _ByLimit:
    """Memories by the number with which the one at a path is compared, all by the same sign: sorted, so that one search finds them."""

    def __init__(self, op: str, listeners: Iterable[tuple[LimitKey, MemoryListener]]) -> None:
        ordered = sorted(listeners, key=lambda item: (item[0].limit, item[1].slot))
        self._limits = [key.limit for key, _ in ordered]
        self._entries = [(listener.slot, listener.apply, listener.read) for _, listener in ordered]
        self._any: list[MemoryEntry] = [(listener.slot, listener.apply, listener.read_any) for _, listener in ordered]
        self._takes_larger = op in ("<", "<=")
        self._search: Callable[[list[float], float], int] = bisect_right if op in ("<", ">=") else bisect_left

    def matching(self, value: Json) -> Sequence[MemoryEntry]:
        """Those whose comparison holds of a number. Where a list lies there, all, each with the question whether it is for it."""
        if is_number(value):
            at = self._search(self._limits, value)
            return self._entries[at:] if self._takes_larger else self._entries[:at]
        return self._any if type(value) is list else ()


Indexed = tuple[tuple[EventReader, Callable[[Json], Iterable[MemoryEntry]]], ...]  # what an event says at a path, and who listens to that


class Dispatch(NamedTuple):
    """The memories that listen to events of one type and name: to all of them, and by what they say."""

    always: tuple[MemoryEntry, ...]
    indexed: Indexed


class _Listeners:
    """The listeners to some names, each once: a memory that lists a name and a prefix of it is still fed once."""

    def __init__(self) -> None:
        self.always: dict[int, MemoryListener] = {}
        self.by_value: dict[Path, dict[int, tuple[ValueKey, MemoryListener]]] = {}
        self.by_limit: dict[tuple[Path, str], dict[int, tuple[LimitKey, MemoryListener]]] = {}

    def add(self, key: ValueKey | LimitKey | None, listener: MemoryListener) -> None:
        """One more."""
        match key:
            case ValueKey(path=path):
                self.by_value.setdefault(path, {})[listener.slot] = key, listener
            case LimitKey(path=path, op=op):
                self.by_limit.setdefault((path, op), {})[listener.slot] = key, listener
            case None:
                self.always[listener.slot] = listener

    def add_all(self, others: _Listeners) -> None:
        """Those of other names too."""
        self.always |= others.always
        for path, by_slot in others.by_value.items():
            self.by_value.setdefault(path, {}).update(by_slot)
        for key, limits in others.by_limit.items():
            self.by_limit.setdefault(key, {}).update(limits)

    def dispatch(self) -> Dispatch:
        """As the step wants it."""
        by_value = [(read_properties(path), _ByValue(by_slot.values()).matching) for path, by_slot in self.by_value.items()]
        by_limit = [(read_properties(path), _ByLimit(op, by_slot.values()).matching) for (path, op), by_slot in self.by_limit.items()]
        always = tuple((listener.slot, listener.apply, listener.read) for listener in self.always.values())
        return Dispatch(always, (*by_value, *by_limit))


class EventIndex:
    """All memories that events feed. Immutable once all are added, but for a cache."""

    def __init__(self) -> None:
        self._by_name: dict[str, _Listeners] = {}
        self._by_prefix: dict[str, _Listeners] = {}
        self._known: dict[tuple[str, str | None], Dispatch] = {}

    def add(self, names: Iterable[str], key: ValueKey | LimitKey | None, listener: MemoryListener) -> None:
        """A memory, the names (or prefixes) of its events, and what else they must say to be for it."""
        for name in names:
            table = self._by_prefix if name.endswith("*") else self._by_name
            table.setdefault(name, _Listeners()).add(key, listener)

    def dispatch(self, event: Event) -> Dispatch:
        """The memories that listen to an event of this type and name."""
        kind = event.type
        key = (kind, event.event if kind == "track" else "")
        found = self._known.get(key)
        if found is None:
            found = self._find(kind, event.name)
            if len(self._known) < NAMES_MAX:
                self._known[key] = found
        return found

    def _find(self, kind: str, name: str) -> Dispatch:
        found = _Listeners()
        if name in self._by_name:
            found.add_all(self._by_name[name])
        for prefix, listeners in sorted(self._by_prefix.items()):
            if (prefix == "*" and is_activity(kind, name)) or (prefix != "*" and name.startswith(prefix[:-1])):
                found.add_all(listeners)
        return found.dispatch()
