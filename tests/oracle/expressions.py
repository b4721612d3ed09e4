"""What an expression means at one instant: asked of Python's own syntax tree, over the whole list of a customer's events.

No memory, no window is kept: each question walks over everything that was accepted, each time.
"""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from tests.oracle import values
from tests.oracle.values import ABSENT, duration_ms, find, scalars

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUS_INFINITY = float("-inf")
SAID_OF_OUR_MESSAGES = ("Message Sent", "Message Failed", "Message Unknown", "Message Bounced")
PROFILE = ("trait", "context", "language", "unchanged")
WINDOWED = ("did", "never", "count", "sum", "avg", "min", "max", "distinct", "top")
EVER = ("active", "last", "first", "latest", "earliest", "idle", "sequence")
CALENDAR = frozenset(("hour", "weekday", "day", "month", "age", "birthday"))
LEAVES = frozenset((*PROFILE, *WINDOWED, *EVER))


@dataclass(frozen=True)
class Accepted:
    """An event that was let in: where it lies in the log, its event time, and itself.

    What came from an old id lies where it was adopted, by ``rank``; ``known_to`` are the memories that got it there (None: all of them).
    """

    offset: int
    t: int
    event: dict[str, Any]
    rank: int = 0
    known_to: frozenset[str] | None = None

    @property
    def name(self) -> str:
        return self.event["event"] if self.event["type"] == "track" else self.event["type"]

    @property
    def place(self) -> tuple[int, int, int]:
        """By event time; of equal times in the order of remembering."""
        return self.t, self.offset, self.rank

    def is_in(self, memory: str) -> bool:
        """Whether a memory holds it."""
        return self.known_to is None or memory in self.known_to


@dataclass
class Standing:
    """How a customer stands to a segment."""

    inside: bool = False
    entered_ms: int | None = None
    left_ms: int | None = None
    sequence: int = 0


@dataclass(frozen=True)
class Answer:
    """A value with its type, because a missing time compares otherwise than a missing value."""

    kind: str  # bool, value, time, duration, money (an exact fraction)
    value: Any
    constant: bool = False


@lru_cache(maxsize=4_096)  # it is asked for at every event that is looked at
def memory_of(call: ast.Call) -> str:
    """What a clause remembers, by its own text: the same text in new definitions goes on with what the old one knew."""
    return ast.unparse(call)


def asks_the_calendar(tree: ast.AST) -> bool:
    """Whether an expression needs to know in which zone the customer lives."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return any(isinstance(call.func, ast.Name) and call.func.id in CALENDAR for call in calls) or any(
        word.arg == "this" for call in calls for word in call.keywords
    )


def parse(text: str) -> ast.expr:
    return ast.parse(text.strip(), mode="eval").body


def leaves(tree: ast.AST) -> list[ast.Call]:
    """The outermost clauses that look at events or profile."""
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id in LEAVES:
        return [tree]
    return [leaf for child in ast.iter_child_nodes(tree) for leaf in leaves(child)]


def _money(value: Any) -> Any:
    """A constant (or a list of them) in the ten thousandths of sums."""
    return [_money(each) for each in value] if isinstance(value, list) else Fraction(round(value * 10_000))


def zone_of(history: list[Accepted], shop_zone: str) -> str:
    """The zone that the newest event to name a known one names, the trait before the context; else the shop's."""
    newest = shop_zone
    for accepted in sorted(history, key=lambda each: each.place):
        for part in ("context", "traits"):
            value = find(accepted.event.get(part) or {}, "timezone")
            if isinstance(value, str) and value in values.known_zones():
                newest = value
    return newest


class Asked:
    """One customer at one instant."""

    def __init__(self, now: int, zone: str, history: list[Accepted], standings: dict[str, Standing]) -> None:
        self.now, self.zone, self.standings = now, zone, standings
        self.history = sorted(history, key=lambda each: each.place)

    def holds(self, node: ast.expr, subject: Accepted | None = None) -> bool:
        return self.answer(node, subject).value is True

    def answer(self, node: ast.expr, subject: Accepted | None = None) -> Answer:
        match node:
            case ast.BoolOp(op=ast.And()):
                return Answer("bool", all(self.holds(each, subject) for each in node.values))
            case ast.BoolOp():
                return Answer("bool", any(self.holds(each, subject) for each in node.values))
            case ast.UnaryOp(op=ast.Not()):
                return Answer("bool", not self.holds(node.operand, subject))
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as amount)):
                return Answer("value", -amount, constant=True)
            case ast.Compare():
                sides = [node.left, *node.comparators]
                pairs = zip(sides, node.ops, sides[1:], strict=False)
                return Answer("bool", all(self._compare(self.answer(a, subject), op, self.answer(b, subject)) for a, op, b in pairs))
            case ast.Constant():
                return Answer("value", node.value, constant=True)
            case ast.Name(id="true" | "false"):
                return Answer("value", node.id == "true", constant=True)
            case ast.List() | ast.Tuple():
                return Answer("value", [self.answer(each).value for each in node.elts], constant=True)
            case ast.Call(func=ast.Name(id=function)):
                return getattr(self, f"_{function}")(node, subject)
            case _:
                raise AssertionError(ast.dump(node))

    # Comparing

    def _compare(self, left: Answer, op: ast.cmpop, right: Answer) -> bool:
        if isinstance(op, ast.NotEq | ast.NotIn):
            return not self._compare(left, ast.Eq() if isinstance(op, ast.NotEq) else ast.In(), right)
        a, b = left.value, right.value
        if "duration" in (left.kind, right.kind):
            a, b = (duration_ms(side.value) if side.kind == "value" else side.value for side in (left, right))
        if "time" in (left.kind, right.kind) and not left.constant and not right.constant and (a, b) != (None, None):
            a, b = (MINUS_INFINITY if side is None else side for side in (a, b))
        if "money" in (left.kind, right.kind):
            a, b = (_money(side.value) if side.kind == "value" else side.value for side in (left, right))
        if a is None or b is None:
            return False
        match op:
            case ast.Eq() | ast.In():
                return values.equal(a, b)
            case ast.Lt():
                return values.less(a, b)
            case ast.Gt():
                return values.less(b, a)
            case ast.LtE():
                return values.less(a, b) or values.equal(a, b)
            case ast.GtE():
                return values.less(b, a) or values.equal(a, b)
            case _:
                raise AssertionError(op)

    # Reading a call

    @staticmethod
    def _keyword(call: ast.Call, name: str) -> Any:
        return next((word.value for word in call.keywords if word.arg == name), None)

    def _span(self, call: ast.Call, name: str) -> int | None:
        node = self._keyword(call, name)
        return None if node is None else duration_ms(node.value)

    def _path(self, call: ast.Call, index: int) -> str:
        return self.answer(call.args[index]).value

    def _argument(self, call: ast.Call, subject: Accepted | None) -> Answer:
        return self.answer(call.args[0], subject)

    def _seen(self, leaf: ast.Call) -> list[Accepted]:
        return [each for each in self.history if each.is_in(memory_of(leaf))]

    def _matching(self, pattern: ast.expr, where: ast.expr | None, leaf: ast.Call) -> list[Accepted]:
        """The events of a pattern, oldest first; of equal times the earlier in the log first."""
        named = self.answer(pattern).value
        names = named if isinstance(named, list) else [named]
        return [each for each in self._seen(leaf) if self._is_named(each, names) and (where is None or self.holds(where, each))]

    @staticmethod
    def _is_named(accepted: Accepted, names: list[str]) -> bool:
        return any(
            accepted.event["type"] in ("track", "page", "screen") and accepted.name not in SAID_OF_OUR_MESSAGES
            if name == "*"
            else accepted.name.startswith(name[:-1])
            if name.endswith("*")
            else accepted.name == name
            for name in names
        )

    def _ever(self, call: ast.Call) -> list[Accepted]:
        return self._matching(call.args[0], self._keyword(call, "where"), call)

    def _windowed(self, call: ast.Call) -> list[Accepted]:
        after, until = MINUS_INFINITY, self.now
        within, before, this = self._span(call, "within"), self._span(call, "before"), self._keyword(call, "this")
        if within is not None:
            after, until = self.now - within, self.now - (before or 0)
        if this is not None:
            after = self._period_start(this.value) - 1
        return [each for each in self._ever(call) if after < each.t <= until]

    def _period_start(self, period: str) -> int:
        today = values.local(self.now, self.zone).date()
        first = {
            "day": today,
            "week": today.fromordinal(today.toordinal() - today.weekday()),
            "month": today.replace(day=1),
            "year": today.replace(month=1, day=1),
        }
        return values.day_start_ms(first[period], self.zone)

    def _at_path(self, call: ast.Call) -> list[tuple[Accepted, list[Any]]]:
        path = self._path(call, 1)
        return [(each, scalars(find(each.event.get("properties") or {}, path))) for each in self._windowed(call)]

    # The profile

    def _profile(self, leaf: ast.Call, part: str, path: str) -> list[tuple[int, Any]]:
        """(event time, value) of each event that carries the path, oldest first; null counts, as missing."""
        found = [(each.t, find(each.event.get(part) or {}, path)) for each in self._seen(leaf)]
        return [(t, value) for t, value in found if value is not ABSENT]

    def _newest(self, leaf: ast.Call, part: str, path: str) -> Any:
        history = self._profile(leaf, part, path)
        return history[-1][1] if history else None

    def _trait(self, call: ast.Call, _: Any) -> Answer:
        return Answer("value", self._newest(call, "traits", self._path(call, 0)))

    def _context(self, call: ast.Call, _: Any) -> Answer:
        return Answer("value", self._newest(call, "context", self._path(call, 0)))

    def _language(self, call: ast.Call, _: Any) -> Answer:
        locale = self._newest(call, "context", "locale")
        return Answer("value", locale.replace("_", "-").split("-")[0].lower() or None if isinstance(locale, str) else None)

    def _unchanged(self, call: ast.Call, _: Any) -> Answer:
        inner: Any = call.args[0]
        history = self._profile(call, {"trait": "traits", "context": "context"}[inner.func.id], self._path(inner, 0))
        if not history or history[-1][1] is None:
            return Answer("duration", None)
        since, current = history[-1]
        for t, value in reversed(history):
            if not values.same(value, current):
                break
            since = t
        return Answer("duration", self.now - since)

    def _prop(self, call: ast.Call, subject: Accepted) -> Answer:
        return Answer("value", self._of_event(subject, "properties", call))

    def _eventcontext(self, call: ast.Call, subject: Accepted) -> Answer:
        return Answer("value", self._of_event(subject, "context", call))

    def _of_event(self, subject: Accepted, part: str, call: ast.Call) -> Any:
        value = find(subject.event.get(part) or {}, self._path(call, 0))
        return None if value is ABSENT else value

    # Values of values

    def _number(self, call: ast.Call, subject: Any) -> Answer:
        return Answer("value", values.number(self._argument(call, subject).value))

    def _lower(self, call: ast.Call, subject: Any) -> Answer:
        return Answer("value", values.lower(self._argument(call, subject).value))

    def _date(self, call: ast.Call, subject: Any) -> Answer:
        inner = self._argument(call, subject)
        return Answer("time", values.instant_ms(inner.value), inner.constant)

    def _exists(self, call: ast.Call, subject: Any) -> Answer:
        return Answer("bool", self._argument(call, subject).value is not None)

    def _contains(self, call: ast.Call, subject: Any) -> Answer:
        value, wanted = self._argument(call, subject).value, self.answer(call.args[1]).value
        if isinstance(value, str):
            return Answer("bool", isinstance(wanted, str) and wanted in value)
        return Answer("bool", isinstance(value, list) and values.equal(value, wanted))

    def _startswith(self, call: ast.Call, subject: Any) -> Answer:
        found = scalars(self._argument(call, subject).value)
        return Answer("bool", any(isinstance(each, str) and each.startswith(self._path(call, 1)) for each in found))

    # Events

    def _did(self, call: ast.Call, _: Any) -> Answer:
        return Answer("bool", bool(self._windowed(call)))

    def _never(self, call: ast.Call, _: Any) -> Answer:
        return Answer("bool", not self._windowed(call))

    def _count(self, call: ast.Call, _: Any) -> Answer:
        return Answer("value", len(self._windowed(call)))

    def _numbers(self, call: ast.Call) -> list[int]:
        """The numbers at the path, in ten thousandths."""
        numbers = [float(x) if isinstance(x, str) else x for _, found in self._at_path(call) for x in found if values.is_amount(x)]
        return [round(x * 10_000) for x in numbers if abs(x) <= 10**12]

    def _sum(self, call: ast.Call, _: Any) -> Answer:
        return Answer("money", Fraction(sum(self._numbers(call))))

    def _avg(self, call: ast.Call, _: Any) -> Answer:
        numbers = self._numbers(call)
        return Answer("money", Fraction(sum(numbers), len(numbers)) if numbers else None)

    def _min(self, call: ast.Call, _: Any) -> Answer:
        numbers = self._numbers(call)
        return Answer("money", Fraction(min(numbers)) if numbers else None)

    def _max(self, call: ast.Call, _: Any) -> Answer:
        numbers = self._numbers(call)
        return Answer("money", Fraction(max(numbers)) if numbers else None)

    def _distinct(self, call: ast.Call, _: Any) -> Answer:
        return Answer("value", len({(values.kind(each), each) for _, found in self._at_path(call) for each in found}))

    def _top(self, call: ast.Call, _: Any) -> Answer:
        seen: dict[Any, list[int]] = {}
        for accepted, found in self._at_path(call):
            for key in {(values.kind(each), values.whole(each)) for each in found}:
                seen.setdefault(key, []).append(accepted.t)
        ranked = sorted(seen, key=lambda key: (-len(seen[key]), -max(seen[key]), json.dumps(key[1], ensure_ascii=False)))
        return Answer("value", ranked[0][1] if ranked else None)

    def _active(self, call: ast.Call, _: Any) -> Answer:
        each, of = self._span(call, "each"), self._keyword(call, "of").value
        assert each is not None
        times = [accepted.t for accepted in self._ever(call)]
        periods = [(self.now - (i + 1) * each, self.now - i * each) for i in range(of)]
        return Answer("value", sum(any(after < t <= until for t in times) for after, until in periods))

    def _last(self, call: ast.Call, _: Any) -> Answer:
        return Answer("time", max((each.t for each in self._ever(call)), default=None))

    def _first(self, call: ast.Call, _: Any) -> Answer:
        return Answer("time", min((each.t for each in self._ever(call)), default=None))

    def _latest(self, call: ast.Call, _: Any) -> Answer:
        return self._from_one(call, -1)

    def _earliest(self, call: ast.Call, _: Any) -> Answer:
        return self._from_one(call, 0)

    def _from_one(self, call: ast.Call, index: int) -> Answer:
        found = self._ever(call)
        value = find(found[index].event.get("properties") or {}, self._path(call, 1)) if found else ABSENT
        return Answer("value", None if value is ABSENT else value)

    def _idle(self, call: ast.Call, subject: Any) -> Answer:
        return self._elapsed(self._last(call, subject))

    def _sequence(self, call: ast.Call, _: Any) -> Answer:
        spans = [(moment, moment) for moment in self._step_moments(call.args[0], call)]  # from the first step to the last one reached
        for step in call.args[1:]:
            moments = self._step_moments(step, call)
            spans = sorted({(start, moment) for start, end in spans for moment in moments if moment > end})
        within, wait, over = self._span(call, "within"), self._span(call, "wait"), self._span(call, "over")
        ends = {end for start, end in spans if within is None or end[0] - start[0] <= within}
        if (then_not := self._keyword(call, "then_not")) is not None:
            assert wait is not None
            spoilers = self._step_moments(then_not, call)
            ends = {end for end in ends if not any(end < spoiler and spoiler[0] <= end[0] + wait for spoiler in spoilers)}
        after = MINUS_INFINITY if over is None else self.now - over
        return Answer("bool", any(after < end[0] + (wait or 0) <= self.now for end in ends))

    def _step_moments(self, step: ast.expr, leaf: ast.Call) -> list[tuple[int, int, int]]:
        """When the events of a step were, as places: of equal times the earlier in the log is the earlier."""
        pattern, where = (step.args[0], self._keyword(step, "where")) if isinstance(step, ast.Call) else (step, None)
        return [each.place for each in self._matching(pattern, where, leaf)]

    # Time

    def _elapsed(self, time: Answer) -> Answer:
        return Answer("duration", None if time.value is None or time.value > self.now else self.now - time.value)

    def _since(self, call: ast.Call, subject: Any) -> Answer:
        return self._elapsed(self._argument(call, subject))

    def _until(self, call: ast.Call, subject: Any) -> Answer:
        time = self._argument(call, subject).value
        return Answer("duration", None if time is None or time <= self.now else time - self.now)

    def _hour(self, *_: Any) -> Answer:
        return Answer("value", values.local(self.now, self.zone).hour)

    def _weekday(self, *_: Any) -> Answer:
        return Answer("value", WEEKDAYS[values.local(self.now, self.zone).weekday()])

    def _day(self, *_: Any) -> Answer:
        return Answer("value", values.local(self.now, self.zone).day)

    def _month(self, *_: Any) -> Answer:
        return Answer("value", values.local(self.now, self.zone).month)

    def _birth(self, call: ast.Call, subject: Any) -> tuple[Any, Any]:
        given, today = self._argument(call, subject), values.local(self.now, self.zone).date()
        if isinstance(given.value, str):
            return values.calendar_day(given.value), today
        ms = values.instant_ms(given.value)
        return None if ms is None else values.local(ms, self.zone).date(), today

    def _age(self, call: ast.Call, subject: Any) -> Answer:
        born, today = self._birth(call, subject)
        if born is None or born > today:
            return Answer("value", None)
        return Answer("value", today.year - born.year - ((today.month, today.day) < (born.month, born.day)))

    def _birthday(self, call: ast.Call, subject: Any) -> Answer:
        born, today = self._birth(call, subject)
        if born is None:
            return Answer("bool", False)
        born_on_29th = (born.month, born.day) == (2, 29)
        leap = today.year % 4 == 0 and (today.year % 100 != 0 or today.year % 400 == 0)
        celebrated = (3, 1) if born_on_29th and not leap else (born.month, born.day)
        return Answer("bool", (today.month, today.day) == celebrated)

    # Segments

    def _standing(self, call: ast.Call) -> Standing:
        return self.standings.get(self._path(call, 0), Standing())

    def _segment(self, call: ast.Call, _: Any) -> Answer:
        return Answer("bool", self._standing(call).inside)

    def _entered(self, call: ast.Call, _: Any) -> Answer:
        standing = self._standing(call)
        return Answer("time", standing.entered_ms if standing.inside else None)

    def _left(self, call: ast.Call, _: Any) -> Answer:
        standing = self._standing(call)
        return Answer("time", None if standing.inside else standing.left_ms)
