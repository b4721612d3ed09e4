# pyright: reportUnknownVariableType=false
"""Values that rules meet in another form than they ask for, and that therefore count for nothing: told, as no answer shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from streamer.events.event import Event
from streamer.language import tree
from streamer.language.definitions import Definitions
from streamer.language.references import nodes
from streamer.segments.plan.where import EventFilter, names_match
from streamer.values import SECONDS_BELOW, Json, is_number, lookup, scaled

EVENTS_MAX: Final = 20_000  # of a file so many are looked at: enough to tell a habit

_SAYS: Final = {
    "amount": "adds up {path}, which is a text that is no decimal number in {count}: those count for nothing",
    "number": "compares {path} with a number, and it is a text in {count}: write number(…) around it",
    "date": "reads {path} as a date, and it is a number of seconds in {count}: a date is a text, or milliseconds",
}


@dataclass(slots=True)
class _ListenedPath:
    """A path, how a rule reads it, and in how many events it was found in another form."""

    kind: str
    about: str
    path: tuple[str, ...]
    part: str
    is_named: EventFilter
    find: Callable[[dict[str, Json]], Json]
    count: int = 0


class Texts:
    """Looks at events as they pass; ``hints`` says what was found, without any of the values."""

    def __init__(self, definitions: Definitions) -> None:
        self._places = list(_places(definitions))
        self._left = EVENTS_MAX if self._places else 0

    def note(self, event: Event) -> None:
        """One more event."""
        if not self._left:
            return
        self._left -= 1
        for place in self._places:
            source = getattr(event, place.part)
            if source and place.is_named(event):
                found = place.find(source)
                if found is not None and _is_misread(place.kind, found):
                    place.count += 1

    def hints(self) -> Iterator[str]:
        """A sentence for each path that held something else, the first segment or message that asks for it named."""
        for place in self._places:
            if place.count:
                count = "1 event" if place.count == 1 else f"{place.count:,} events"
                yield f"{place.about} {_SAYS[place.kind].format(path=chr(34) + '.'.join(place.path) + chr(34), count=count)}"


def _is_misread(kind: str, found: Json) -> bool:
    items: list[Json] = found if type(found) is list else [found]
    if kind == "amount":
        return any(type(item) is str and scaled(item) is None for item in items)
    if kind == "number":
        return any(type(item) is str for item in items)
    return any(is_number(item) and 0 < abs(item) < SECONDS_BELOW for item in items)


def _places(definitions: Definitions) -> Iterator[_ListenedPath]:
    """Each path that is read as a number or a date, once for each way to read it."""
    seen = set[tuple[str, str, tuple[str, ...], tuple[str, ...]]]()
    segments = ((segment.name, _reads(segment.conditions)) for segment in definitions.segments)
    messages = ((f"message {message.name}", _reads(message.expressions)) for message in definitions.messages)
    for about, reads in chain(segments, messages):
        for kind, part, names, path in reads:
            if (kind, part, names, path) not in seen:
                seen.add((kind, part, names, path))
                yield _ListenedPath(kind, about, path, part, names_match(names) if names else _any, lookup(path))


def _any(_event: Event) -> bool:
    return True


def _reads(expressions: Iterator[tree.Expression]) -> Iterator[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    for root in expressions:
        for node in nodes(root):
            if isinstance(node, tree.Aggregate) and node.name != "distinct":
                yield "amount", "properties", node.events.names, node.path
            elif isinstance(node, tree.Events) and node.where is not None:
                for inner in nodes(node.where):
                    yield from _read_of(inner, node.names)
            else:
                yield from _read_of(node, ())


def _read_of(node: object, names: tuple[str, ...]) -> Iterator[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    """What a comparison with a number, or a date, reads: of an event with these names, or of what is known of a customer."""
    match node:
        case tree.Compare(left=of, right=int() | float() as right) if not isinstance(right, bool):
            kind = "number"
        case tree.Date(of=of):
            kind = "date"
        case _:
            return
    match of:
        case tree.Prop(path=path) if names:
            yield kind, "properties", names, path
        case tree.EventContext(path=path) if names:
            yield kind, "context", names, path
        case tree.Trait(path=path):
            yield kind, "traits", (), path
        case tree.Context(path=path):
            yield kind, "context", (), path
        case _:
            pass
