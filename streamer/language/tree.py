"""The typed tree of an expression: what the parser makes and everything else reads.

Every node is data. The tree has a JSON form (``msgspec.json.encode``, each node tagged by ``is``) for an interface, and ``text`` prints it
back to the language in one canonical way, so two expressions with the same text are the same condition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from streamer.values import SECONDS_BELOW, time_text

from .durations import format_duration

Path = tuple[str, ...]
Scalar = str | int | float | bool
CompareOp = Literal["==", "!=", "<", "<=", ">", ">="]
NumberName = Literal["sum", "avg", "min", "max"]
AggregateName = Literal[NumberName, "distinct"]
OrderOp = Literal["<", "<=", ">", ">="]
ClockUnit = Literal["hour", "weekday", "day", "month"]
Period = Literal["day", "week", "month", "year"]


class Node(msgspec.Struct, frozen=True, tag_field="is", tag=str.lower, omit_defaults=True):
    """Base of all nodes."""


class Events(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which events: names (a trailing ``*`` is a prefix, ``*`` alone any activity) and a condition on each."""

    names: tuple[str, ...]
    where: Condition | None = None


class Window(msgspec.Struct, frozen=True, omit_defaults=True):
    """``(now - within, now - before]``, or the current calendar period; all empty: ever."""

    within_ms: int = 0
    before_ms: int = 0
    this: Period | None = None

    @property
    def ever(self) -> bool:
        """No window at all."""
        return not self.within_ms and self.this is None


# values ---------------------------------------------------------------------------------------------------------------


class Trait(Node, frozen=True):
    """Newest known value at a path of ``traits``."""

    path: Path


class Context(Node, frozen=True):
    """Newest known value at a path of ``context``."""

    path: Path


class Prop(Node, frozen=True):
    """Value at a path of the event's ``properties``; only inside ``where``."""

    path: Path


class EventContext(Node, frozen=True):
    """Value at a path of the event's own ``context``; only inside ``where``."""

    path: Path


class Number(Node, frozen=True):
    """Decimal texts as numbers."""

    of: Value


class Lower(Node, frozen=True):
    """Texts in lower case."""

    of: Value


class Language(Node, frozen=True):
    """The language of the newest known locale."""


class Top(Node, frozen=True):
    """The most frequent value."""

    events: Events
    path: Path
    window: Window = Window()


class Latest(Node, frozen=True):
    """A property of the newest matching event."""

    events: Events
    path: Path


class Earliest(Node, frozen=True):
    """A property of the oldest matching event."""

    events: Events
    path: Path


class Group(Node, frozen=True):
    """The name of the behaviour group that a model of groups puts the customer in."""

    model: str


Value = Trait | Context | Prop | EventContext | Number | Lower | Language | Top | Latest | Earliest | Group

# numbers --------------------------------------------------------------------------------------------------------------


class Count(Node, frozen=True):
    """How many events."""

    events: Events
    window: Window = Window()


class Aggregate(Node, frozen=True):
    """``sum``, ``avg``, ``min``, ``max`` of numbers, or how many ``distinct`` values."""

    name: AggregateName
    events: Events
    path: Path
    window: Window = Window()


class Active(Node, frozen=True):
    """In how many of the last ``periods`` periods there is an event."""

    events: Events
    each_ms: int
    periods: int


class Clock(Node, frozen=True):
    """What a clock or calendar says in the customer's zone."""

    unit: ClockUnit


class Age(Node, frozen=True):
    """Whole years since a date."""

    of: Value


class Score(Node, frozen=True):
    """What a model says of the customer: a chance, a likeness, an expected amount."""

    model: str
    function: Literal["score", "like"] = "score"


class Percentile(Node, frozen=True):
    """The share of recent customers whom the model scores at or below this one."""

    model: str


Numeric = Count | Aggregate | Active | Clock | Age | Score | Percentile

# times and durations --------------------------------------------------------------------------------------------------


class Last(Node, frozen=True):
    """Newest matching event."""

    events: Events


class First(Node, frozen=True):
    """Oldest matching event."""

    events: Events


class Date(Node, frozen=True):
    """A value read as a moment."""

    of: Value


class Moment(Node, frozen=True):
    """A time that the definition itself names, in UTC milliseconds."""

    ms: int


class Entered(Node, frozen=True):
    """When the customer entered a segment they are in."""

    segment: str


class Left(Node, frozen=True):
    """When the customer last left a segment they are not in."""

    segment: str


Time = Last | First | Date | Moment | Entered | Left


class Since(Node, frozen=True):
    """``now - t``; missing if later than now."""

    time: Time


class Until(Node, frozen=True):
    """``t - now``; missing unless later than now."""

    time: Time


class Unchanged(Node, frozen=True):
    """How long a trait or context value has been the same."""

    of: Trait | Context


Duration = Since | Until | Unchanged

# conditions -----------------------------------------------------------------------------------------------------------


class And(Node, frozen=True):
    """All of two or more."""

    of: tuple[Condition, ...]


class Or(Node, frozen=True):
    """Any of two or more."""

    of: tuple[Condition, ...]


class Not(Node, frozen=True):
    """The opposite."""

    of: Condition


class Compare(Node, frozen=True):
    """A value or number against a constant."""

    left: Value | Numeric
    op: CompareOp
    right: Scalar


class CompareDuration(Node, frozen=True):
    """A duration against a constant length."""

    left: Duration
    op: CompareOp
    right_ms: int


class CompareTime(Node, frozen=True):
    """A moment against another, or against a constant (UTC milliseconds)."""

    left: Time
    op: OrderOp
    right: Time | int


class OneOf(Node, frozen=True):
    """A value or number is in a list of constants."""

    left: Value | Numeric
    items: tuple[Scalar, ...]


class Exists(Node, frozen=True):
    """A value or time is not missing."""

    of: Value | Time


class Contains(Node, frozen=True):
    """A text has a part; a list has an element."""

    of: Value
    part: Scalar


class StartsWith(Node, frozen=True):
    """A text begins with."""

    of: Value
    prefix: str


class Birthday(Node, frozen=True):
    """Today is the day of the date."""

    of: Value


class Did(Node, frozen=True):
    """At least one event."""

    events: Events
    window: Window = Window()


class Sequence(Node, frozen=True):
    """Steps in order, and perhaps something that did not follow."""

    steps: tuple[Events, ...]
    within_ms: int = 0
    over_ms: int = 0
    then_not: Events | None = None
    wait_ms: int = 0


class InSegment(Node, frozen=True):
    """Is inside another segment."""

    segment: str


Atom = Compare | CompareDuration | CompareTime | OneOf | Exists | Contains | StartsWith | Birthday | Did | Sequence | InSegment
Condition = And | Or | Not | Atom
Expression = Condition | Value | Numeric | Time | Duration
AnyNode = Expression | Events


# printing -------------------------------------------------------------------------------------------------------------


def text(node: Condition | Value | Numeric | Time | Duration) -> str:
    """The canonical text; parsing it gives an equal tree."""
    return _PRINT[type(node)](node)


def _quote(value: Scalar) -> str:
    if isinstance(value, str):
        return msgspec.json.encode(value).decode()
    return repr(value)


def _path(path: Path) -> str:
    return _quote(".".join(path))


def _where(events: Events) -> list[str]:
    return [f"where={text(events.where)}"] if events.where is not None else []


def _names(events: Events) -> str:
    return _quote(events.names[0]) if len(events.names) == 1 else f"[{', '.join(map(_quote, events.names))}]"


def _window(window: Window) -> list[str]:
    parts = [f'this="{window.this}"'] if window.this else []
    if window.within_ms:
        parts.append(f'within="{format_duration(window.within_ms)}"')
    if window.before_ms:
        parts.append(f'before="{format_duration(window.before_ms)}"')
    return parts


def _call(name: str, events: Events, *rest: str, window: Window | None = None) -> str:
    return f"{name}({', '.join([_names(events), *rest, *_where(events), *(_window(window) if window else [])])})"


def _step(events: Events) -> str:
    return _names(events) if events.where is None else f"step({_names(events)}, where={text(events.where)})"


def _sequence(node: Sequence) -> str:
    parts = [_step(step) for step in node.steps]
    if node.within_ms:
        parts.append(f'within="{format_duration(node.within_ms)}"')
    if node.then_not is not None:
        parts += [f"then_not={_step(node.then_not)}", f'wait="{format_duration(node.wait_ms)}"']
    if node.over_ms:
        parts.append(f'over="{format_duration(node.over_ms)}"')
    return f"sequence({', '.join(parts)})"


def _inside(node: Condition, *, loose: tuple[type, ...]) -> str:
    return f"({text(node)})" if isinstance(node, loose) else text(node)


def _moment(ms: int) -> str:
    """A constant moment as it reads back: small numbers of milliseconds would be taken for seconds, and refused."""
    return f"date({ms})" if abs(ms) >= SECONDS_BELOW else f'date("{time_text(ms)}")'


def _compare_time(node: CompareTime) -> str:
    right = _moment(node.right) if isinstance(node.right, int) else text(node.right)
    return f"{text(node.left)} {node.op} {right}"


_PRINT: dict[type, Callable[[Any], str]] = {
    Trait: lambda n: f"trait({_path(n.path)})",
    Context: lambda n: f"context({_path(n.path)})",
    Prop: lambda n: f"prop({_path(n.path)})",
    EventContext: lambda n: f"eventcontext({_path(n.path)})",
    Number: lambda n: f"number({text(n.of)})",
    Lower: lambda n: f"lower({text(n.of)})",
    Language: lambda n: "language()",
    Top: lambda n: _call("top", n.events, _path(n.path), window=n.window),
    Latest: lambda n: _call("latest", n.events, _path(n.path)),
    Earliest: lambda n: _call("earliest", n.events, _path(n.path)),
    Count: lambda n: _call("count", n.events, window=n.window),
    Aggregate: lambda n: _call(n.name, n.events, _path(n.path), window=n.window),
    Active: lambda n: _call("active", n.events, f'each="{format_duration(n.each_ms)}"', f"of={n.periods}"),
    Clock: lambda n: f"{n.unit}()",
    Age: lambda n: f"age({text(n.of)})",
    Score: lambda n: f"{n.function}({_quote(n.model)})",
    Percentile: lambda n: f"percentile({_quote(n.model)})",
    Group: lambda n: f"group({_quote(n.model)})",
    Last: lambda n: _call("last", n.events),
    First: lambda n: _call("first", n.events),
    Date: lambda n: f"date({text(n.of)})",
    Moment: lambda n: _moment(n.ms),
    Entered: lambda n: f"entered({_quote(n.segment)})",
    Left: lambda n: f"left({_quote(n.segment)})",
    Since: lambda n: f"since({text(n.time)})",
    Until: lambda n: f"until({text(n.time)})",
    Unchanged: lambda n: f"unchanged({text(n.of)})",
    And: lambda n: " and ".join(_inside(item, loose=(Or,)) for item in n.of),
    Or: lambda n: " or ".join(text(item) for item in n.of),
    Not: lambda n: f"not {_inside(n.of, loose=(And, Or))}",
    Compare: lambda n: f"{text(n.left)} {n.op} {_quote(n.right)}",
    CompareDuration: lambda n: f'{text(n.left)} {n.op} "{format_duration(n.right_ms)}"',
    CompareTime: _compare_time,
    OneOf: lambda n: f"{text(n.left)} in [{', '.join(map(_quote, n.items))}]",
    Exists: lambda n: f"exists({text(n.of)})",
    Contains: lambda n: f"contains({text(n.of)}, {_quote(n.part)})",
    StartsWith: lambda n: f"startswith({text(n.of)}, {_quote(n.prefix)})",
    Birthday: lambda n: f"birthday({text(n.of)})",
    Did: lambda n: _call("did", n.events, window=n.window),
    Sequence: _sequence,
    InSegment: lambda n: f"segment({_quote(n.segment)})",
}
