# pyright: reportUnknownVariableType=false
"""From a condition on one event to a function that answers it. Closures over typed nodes; nothing of a user's text is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, assert_never

from streamer import values
from streamer.customers.memories import MIN_TIME
from streamer.events.event import Event
from streamer.language import tree
from streamer.language.tree import Condition, Numeric, Time, Value
from streamer.values import Json, one_of

EventFilter = Callable[[Event], bool]
EventReader = Callable[[Event], Json]

_ACTIVITY: Final = ("track", "page", "screen")
_NO_ACTIVITY: Final = ("Message Sent", "Message Failed", "Message Unknown", "Message Bounced")  # what became of our own messages
_NOTHING: Final[dict[str, Json]] = {}


def is_activity(kind: str, name: str) -> bool:
    """Whether ``"*"`` matches an event of this type and name: things that a person does, not what a server says about them."""
    return kind in _ACTIVITY and name not in _NO_ACTIVITY


def compile_where(condition: Condition) -> EventFilter:
    """Whether an event satisfies the condition of a ``where=``."""
    match condition:
        case tree.And(of=of):
            parts = [compile_where(part) for part in of]
            return lambda event: all(part(event) for part in parts)
        case tree.Or(of=of):
            parts = [compile_where(part) for part in of]
            return lambda event: any(part(event) for part in parts)
        case tree.Not(of=of):
            inner = compile_where(of)
            return lambda event: not inner(event)
        case tree.Compare(left=left, op=op, right=right):
            read, compare = compile_reader(left), values.COMPARE[op]
            return lambda event: compare(read(event), right)
        case tree.CompareTime():
            return _compile_times(condition)
        case tree.OneOf(left=left, items=items):
            read = compile_reader(left)
            return lambda event: one_of(read(event), items)
        case tree.Exists(of=of):
            read = compile_reader(of)
            return lambda event: read(event) is not None
        case tree.Contains(of=of, part=part):
            read = compile_reader(of)
            return lambda event: values.contains(read(event), part)
        case tree.StartsWith(of=of, prefix=prefix):
            read = compile_reader(of)
            return lambda event: values.starts_with(read(event), prefix)
        case tree.CompareDuration() | tree.Birthday() | tree.Did() | tree.Sequence() | tree.InSegment():
            raise AssertionError(f"the parser lets no {type(condition).__name__} into where=")
        case _:
            assert_never(condition)


def _compile_times(node: tree.CompareTime) -> EventFilter:
    """Two dates of an event, or one and a constant: the rule for missing times is that of ``predicates.times``."""
    read, compare, right = compile_reader(node.left), values.COMPARE[node.op], node.right
    if isinstance(right, int):
        return lambda event: compare(read(event), right)
    read_right = compile_reader(right)

    def holds(event: Event) -> bool:
        first, second = read(event), read_right(event)
        if first is None and second is None:
            return False
        return compare(MIN_TIME if first is None else first, MIN_TIME if second is None else second)

    return holds


def compile_reader(node: Value | Numeric | Time) -> EventReader:
    """What an event says for a value of ``where=``; None when missing."""
    match node:
        case tree.Prop(path=path):
            return read_properties(path)
        case tree.EventContext(path=path):
            find = values.lookup(path)
            return lambda event: find(event.context or _NOTHING)
        case tree.Number(of=of):
            read = compile_reader(of)
            return lambda event: values.as_number(read(event))
        case tree.Lower(of=of):
            read = compile_reader(of)
            return lambda event: values.lower(read(event))
        case tree.Date(of=of):
            read = compile_reader(of)
            return lambda event: values.parse_time_ms(read(event))
        case tree.Trait() | tree.Context() | tree.Language() | tree.Top() | tree.Latest() | tree.Earliest() | tree.Group():
            raise AssertionError(f"the parser lets no {type(node).__name__} into where=")
        case tree.Count() | tree.Aggregate() | tree.Active() | tree.Clock() | tree.Age() | tree.Score() | tree.Percentile():
            raise AssertionError(f"the parser lets no {type(node).__name__} into where=")
        case tree.Last() | tree.First() | tree.Moment() | tree.Entered() | tree.Left():
            raise AssertionError(f"the parser lets no {type(node).__name__} into where=")
        case _:
            assert_never(node)


def read_properties(path: tuple[str, ...]) -> EventReader:
    """What lies at a path of the properties."""
    find = values.lookup(path)

    def read(event: Event) -> Json:
        properties = event.properties
        return None if properties is None else find(properties)

    return read


def names_match(names: tuple[str, ...]) -> EventFilter:
    """Whether an event is one of these by name, prefix, or as any activity."""
    exact = frozenset(name for name in names if not name.endswith("*"))
    prefixes = tuple(name[:-1] for name in names if name.endswith("*") and name != "*")
    activity = "*" in names
    return lambda event: (
        event.name in exact or (activity and is_activity(event.type, event.name)) or (bool(prefixes) and event.name.startswith(prefixes))
    )


def amounts_at(path: tuple[str, ...]) -> Callable[[Event], int]:
    """The sum of the numbers at a path of an event's properties, in ten-thousandths; 0 where there are none."""
    read = read_properties(path)

    def amount(event: Event) -> int:
        found = read(event)
        numbers = found if type(found) is list else [found]
        return sum(number for item in numbers if (number := values.scaled(item)) is not None)

    return amount
