"""Conditions, comparisons and calls: from Python's syntax tree to the typed tree."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from streamer.language import tree
from streamer.language.limits import COUNT_MAX, LIST_MAX
from streamer.language.tree import CompareOp, Condition, Duration, Events, Expression, Numeric, OrderOp, Scalar, Time, Value
from streamer.suggest import did_you_mean
from streamer.units import WEEKDAYS

from .constants import KINDS, Constants, is_constant

_OPS: Final[dict[type[ast.cmpop], CompareOp]] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}


_MIRROR: Final[dict[CompareOp, CompareOp]] = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


_MIRRORED_ORDER: Final[dict[OrderOp, OrderOp]] = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_ORDER: Final = ("<", "<=", ">", ">=")


_CONDITION_HINT: Final[dict[type, str]] = {
    tree.Trait: "compare it (== …), or exists(…)",
    tree.Context: "compare it (== …), or exists(…)",
    tree.Since: 'compare it, for example >= "30m"',
    tree.Last: 'for example since(last("…")) >= "30m", or did("…")',
    tree.Count: "compare it, for example >= 3",
}


class Parser(Constants):
    """Reads one expression with the functions given; ``where`` conditions are read with those that look at one event only."""

    def __init__(
        self, text: str, functions: Mapping[str, Builder], event_functions: Mapping[str, Builder], *, file: str, line: int, column: int
    ) -> None:
        super().__init__(text, file=file, line=line, column=column)
        self._functions = functions
        self._event_functions = event_functions
        self._in_event = False

    def condition(self, node: ast.expr) -> Condition:
        """What a node says, if it is true or false."""
        found = self.any_node(node)
        if not isinstance(found, Condition):
            self.fail(
                node,
                f"expected a condition that is true or false, found a value: {show(found)}",
                _CONDITION_HINT.get(type(found), "compare it, for example >= 3"),
            )
        return found

    def any_node(self, node: ast.expr) -> Expression:
        """A condition, value, number, time or duration: whatever the text says."""
        match node:
            case ast.BoolOp(op=op, values=values):
                return self._joined(tree.And if isinstance(op, ast.And) else tree.Or, values)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self.condition(operand)
                return inner.of if isinstance(inner, tree.Not) else tree.Not(inner)
            case ast.Compare():
                return self._comparison(node)
            case ast.Call(func=ast.Name(id=name)):
                return self._call(name, node)
            case _:
                return self._refuse(node)

    def _refuse(self, node: ast.expr) -> NoReturn:
        match node:
            case ast.Call():
                self.fail(node, "expected a function of the language, found a call of something else")
            case ast.Name(id=name):
                self.fail(
                    node,
                    f"expected a function call, found the bare name {name!r:.80}",
                    did_you_mean(name, [*self._functions, *self._event_functions]) or "texts need quotes",
                )
            case ast.Constant(value=value):
                self.fail(node, f"expected a condition or a function call, found the constant {value!r:.40}")
            case _:
                slip = self.slip() if isinstance(node, (ast.BinOp, ast.UnaryOp)) else None  # a & b is arithmetic
                found = KINDS.get(type(node), type(node).__name__)
                self.fail(node, f"expected a condition, found {found}, which the language does not have", slip.remedy if slip else "")

    def _joined(self, kind: type[tree.And] | type[tree.Or], values: list[ast.expr]) -> Condition:
        flat: list[Condition] = []
        for value in values:
            item = self.condition(value)
            flat.extend(item.of if isinstance(item, kind) else (item,))
        return kind(tuple(flat))

    def _comparison(self, node: ast.Compare) -> Condition:
        sides = [node.left, *node.comparators]
        parts = [self._pair(left, op, right) for left, op, right in zip(sides, node.ops, sides[1:], strict=False)]
        return parts[0] if len(parts) == 1 else tree.And(tuple(parts))

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Condition:
        if isinstance(op, (ast.In, ast.NotIn)):
            found = self._one_of(left, right)
            return tree.Not(found) if isinstance(op, ast.NotIn) else found
        if type(op) not in _OPS:
            self.fail(left, "expected one of == != < <= > >= in, found 'is'")
        sign = _OPS[type(op)]
        if is_constant(left) and not is_constant(right):
            left, right, sign = right, left, _MIRROR[sign]
        found = self.any_node(left)
        if isinstance(found, Duration):
            return self._compare_duration(found, sign, right, left)
        if isinstance(found, Time):
            return self._compare_time(found, sign, right, left)
        if not isinstance(found, Value | Numeric):
            self.fail(left, f"expected a value to compare, found a condition: {show(found)}", "conditions are used alone, without == True")
        return tree.Compare(found, sign, self._constant_for(found, sign, right))

    def _one_of(self, left: ast.expr, right: ast.expr) -> Condition:
        found = self.any_node(left)
        if not isinstance(found, Value | Numeric):
            self.fail(left, f"expected a value before 'in', found {show(found)}")
        if not isinstance(right, (ast.List, ast.Tuple, ast.Set)) or not right.elts:
            self.fail(right, 'expected a list such as ["a", "b"] after \'in\'', "contains(value, part) looks inside a value")
        if len(right.elts) > LIST_MAX:
            self.fail(right, f"expected at most {LIST_MAX} items, found {len(right.elts)}")
        return tree.OneOf(found, tuple(self._constant_for(found, "==", item) for item in right.elts))

    def _compare_duration(self, left: Duration, op: CompareOp, right: ast.expr, at: ast.expr) -> Condition:
        if op not in _ORDER:
            self.fail(at, f"expected < <= > or >= between durations, found {op}", "no two moments are the same millisecond")
        return tree.CompareDuration(left, op, self.duration_of(right, what="a duration to compare with"))

    def _compare_time(self, left: Time, op: CompareOp, right: ast.expr, at: ast.expr) -> Condition:
        if op == "==" or op == "!=":
            self.fail(at, f"expected < <= > or >= between times, found {op}")
        if is_constant(right):
            self.fail(right, "expected another time, found a constant", 'write date("2026-01-31"), or since(...) >= "30m"')
        found = self.any_node(right)
        if not isinstance(found, Time):
            self.fail(right, f"expected another time, found {show(found)}")
        if isinstance(left, tree.Moment):
            left, op, found = found, _MIRRORED_ORDER[op], left
        if isinstance(left, tree.Moment):
            self.fail(at, "expected a time of the customer's to compare, found two constants")
        return tree.CompareTime(left, op, found.ms if isinstance(found, tree.Moment) else found)

    def _constant_for(self, left: Value | Numeric, op: CompareOp, node: ast.expr) -> Scalar:
        value = self.constant(node)
        if isinstance(left, tree.Clock) and left.unit == "weekday":
            if value not in WEEKDAYS:
                self.fail(node, f"expected one of {', '.join(WEEKDAYS)}, found {value!r:.80}")
            if op not in ("==", "!="):
                self.fail(node, f"expected == or != for a weekday, found {op}", 'or weekday() in ["sat", "sun"]')
            return value
        if isinstance(left, Numeric):
            return self._number_for(left, node, value)
        if op in _ORDER and isinstance(value, bool):
            self.fail(node, f"expected a number or a text after {op}, found {value}")
        return value

    def _number_for(self, left: Numeric, node: ast.expr, value: Scalar) -> Scalar:
        if isinstance(value, (str, bool)):
            self.fail(node, f"expected a number, found {value!r:.80}")
        counted = isinstance(left, (tree.Count, tree.Active)) or (isinstance(left, tree.Aggregate) and left.name == "distinct")
        if counted and (value != int(value) or value < 0):
            self.fail(node, f"expected a whole number of 0 or more, found {value}")
        bounded = counted and not (isinstance(left, tree.Count) and left.window.ever)
        if bounded and value > COUNT_MAX:
            self.fail(node, f"expected a count of at most {COUNT_MAX}, found {value}")
        if isinstance(left, tree.Active) and value > left.periods:
            self.fail(node, f"expected at most {left.periods} (the number of periods), found {value}")
        return int(value) if counted else value

    def _call(self, name: str, node: ast.Call) -> Expression:
        known = self._event_functions if self._in_event else self._functions
        if name not in known:
            self._unknown(name, node)
        for keyword in node.keywords:
            if keyword.arg is None:
                self.fail(node, "expected named arguments, found **")
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                self.fail(argument, "expected arguments one by one, found *")
        return known[name](self, node)

    def _unknown(self, name: str, node: ast.Call) -> NoReturn:
        if self._in_event and name in self._functions:
            self.fail(
                node,
                f"expected a condition on the event itself, found {name}(), which looks at the customer",
                'inside where= use prop("…") and eventcontext("…")',
            )
        if name in self._event_functions:
            self.fail(
                node, f"expected a condition on the customer, found {name}(), which looks at one event", f"{name}() belongs inside where="
            )
        self.fail(
            node,
            f"found the unknown function {name}()",
            did_you_mean(name, list(self._event_functions if self._in_event else self._functions)),
        )

    def value(self, node: ast.expr) -> Value:
        """What a node says, if it is a value."""
        found = self.any_node(node)
        if not isinstance(found, Value):
            self.fail(node, f'expected a value such as trait("plan"), found {show(found)}')
        return found

    def time(self, node: ast.expr) -> Time:
        """What a node says, if it is a time."""
        found = self.any_node(node)
        if not isinstance(found, Time):
            self.fail(node, f'expected a time such as last("…") or date(trait("…")), found {show(found)}')
        return found

    def events(self, node: ast.expr, where: ast.expr | None) -> Events:
        """Events by their names, with the condition on each."""
        items = node.elts if isinstance(node, (ast.List, ast.Tuple)) else [node]
        if not 1 <= len(items) <= LIST_MAX:
            self.fail(node, f"expected 1 to {LIST_MAX} event names")
        return Events(tuple(dict.fromkeys(self.event_name(item) for item in items)), None if where is None else self._where(where))

    def step(self, node: ast.expr) -> Events:
        """A step of a sequence: names, or ``step(names, where=…)``."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "step":
            named = self.arguments(node, least=1, most=1, named=("where",))
            return self.events(node.args[0], named.get("where"))
        return self.events(node, None)

    def _where(self, node: ast.expr) -> Condition:
        self._in_event = True
        try:
            return self.condition(node)
        finally:
            self._in_event = False


Builder = Callable[[Parser, ast.Call], Expression]  # from a call in the text to its node


def show(found: Expression) -> str:
    """The beginning of the text of what was found, for errors."""
    return f"{tree.text(found):.60}"
