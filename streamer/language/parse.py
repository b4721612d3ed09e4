"""From the text of an expression to the typed tree, or to an error that says where and what to write instead.

Python's own parser reads the syntax; every node it makes is looked at and only those of the language are taken. Nothing of the text is ever
executed, and a node that is not listed here is refused, not guarded against.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, get_args

from streamer.errors import DefinitionError
from streamer.suggest import did_you_mean
from streamer.units import DAY_MS, WEEKDAYS
from streamer.values import parse_time_ms

from . import slips, tree
from .durations import parse_duration
from .tree import Condition, Events, Scalar, Value, Window

TEXT_CHARS_MAX: Final = 512
NODES_MAX: Final = 500
DEPTH_MAX: Final = 20
WINDOW_MS_MAX: Final = 400 * DAY_MS  # a year and a month of comparison
COUNT_MAX: Final = 1_000  # a threshold is kept as so many moments per customer
LIST_MAX: Final = 64
PERIODS_MAX: Final = 400
EXPRESSION_CHARS_MAX: Final = 20_000

_OPS: Final[dict[type[ast.cmpop], tree.CompareOp]] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_MIRROR: Final[dict[str, tree.CompareOp]] = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_ORDER: Final = ("<", "<=", ">", ">=")
_VALUES = get_args(tree.Value)
_NUMERICS = get_args(tree.Numeric)
_TIMES = get_args(tree.Time)
_DURATIONS = get_args(tree.Duration)
_ATOMS = (tree.And, tree.Or, tree.Not, *get_args(tree.Atom))


def parse(text: str, *, file: str = "", line: int = 1, column: int = 1) -> Condition:
    """The condition a text says. ``line`` and ``column`` (from 1) are where the text begins in ``file``.

    Raises DefinitionError, never anything else.

    >>> tree.text(parse('count("Order Completed", within="90d") >= 3 and not did("Order Refunded")'))
    'count("Order Completed", within="90d") >= 3 and not did("Order Refunded")'
    """
    return _Parser(text, file=file, line=line, column=column).whole()


class _Parser:
    """Reads one expression; ``where`` conditions are read in a mode in which only the event is in sight."""

    def __init__(self, text: str, *, file: str, line: int, column: int) -> None:
        self._text = text
        self._file = file
        self._line = line
        self._column = column
        self._in_event = False

    def whole(self) -> Condition:
        if len(self._text) > EXPRESSION_CHARS_MAX:
            self._fail(None, f"expected at most {EXPRESSION_CHARS_MAX} characters, found {len(self._text)}")
        try:
            # Parentheses let an expression run over several lines, as it does in a YAML block. A warning (of "\d", say) is a mistake here.
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                parsed = ast.parse(f"({self._text}\n)", mode="eval").body
        except SyntaxError as error:
            self._syntax(error)
        except (RecursionError, MemoryError, ValueError):
            self._fail(None, f"expected an expression at most {DEPTH_MAX} deep, found one nested too deeply to read")
        if isinstance(parsed, ast.Tuple) and not parsed.elts:
            self._fail(None, "expected an expression, found nothing")
        if (parsed.lineno, parsed.col_offset) == (1, 0) and not isinstance(parsed, (ast.Tuple, ast.GeneratorExp)):
            self._fail(None, "expected an expression, found a ) that closes nothing")  # it closed the added one
        self._measure(parsed)
        return self._condition(parsed)

    # errors

    def _place(self, node: ast.AST | None) -> tuple[int, int]:
        row, col = getattr(node, "lineno", 1), getattr(node, "col_offset", 1)
        if node is not None:
            col = self._characters(row, col)
        return self._at(row, col)

    def _characters(self, row: int, byte: int) -> int:
        """Python counts the columns of nodes in UTF-8 bytes."""
        rows = f"({self._text}".split("\n")
        return len(rows[row - 1].encode()[:byte].decode(errors="ignore")) if row <= len(rows) else byte

    def _at(self, row: int, col: int) -> tuple[int, int]:
        """A place in the file: the first row begins where the value does and has one column more, nothing is behind the end."""
        rows = self._text.split("\n")
        if row > len(rows):
            row, col = len(rows), len(rows[-1]) + (len(rows) == 1)
        if row == 1:
            return self._line, self._column + max(col, 1) - 1
        return self._line + row - 1, col + 1

    def _fail(self, node: ast.AST | None, message: str, hint: str = "") -> NoReturn:
        line, column = self._place(node)
        raise DefinitionError(message, file=self._file, line=line, column=column, hint=hint)

    def _syntax(self, error: SyntaxError) -> NoReturn:
        slip = slips.in_expression(self._text)
        if slip is not None:
            before = self._text[: slip.at].split("\n")
            line, column = self._at(len(before), len(before[-1]) + (len(before) == 1))
            message = f"expected an expression, found {slip.found}"
            raise DefinitionError(message, file=self._file, line=line, column=column, hint=slip.remedy) from None
        row, found = error.lineno or 1, error.msg or "a mistake"
        line, column = self._at(row, (error.offset or 2) - 1)
        if "never closed" in found or row > self._text.count("\n") + 1:
            line, column = self._at(row + len(self._text), 0)
            found = "a ) that closes nothing" if "unmatched" in found else "the end"
        hint = "compare with ==, not =" if "=" in found and "==" in found else ""
        hint = hint or ("a ( is opened and never closed" if "never closed" in (error.msg or "") else "")
        raise DefinitionError(f"expected an expression, found: {found}", file=self._file, line=line, column=column, hint=hint) from None

    def _measure(self, root: ast.AST) -> None:
        nodes, level, depth = 0, [root], 0
        while level:
            nodes += sum(1 for node in level if isinstance(node, ast.expr))
            depth += 1
            if depth > 2 * DEPTH_MAX or nodes > NODES_MAX:
                self._fail(root, f"expected at most {NODES_MAX} nodes and depth {DEPTH_MAX}, found more", "split it and use segment(...)")
            level = [child for node in level for child in ast.iter_child_nodes(node) if isinstance(child, (ast.expr, ast.keyword))]

    # conditions

    def _condition(self, node: ast.expr) -> Condition:
        found = self._any(node)
        if not isinstance(found, _ATOMS):
            self._fail(
                node,
                f"expected a condition that is true or false, found a value: {_show(found)}",
                _CONDITION_HINT.get(type(found), "compare it, for example >= 3"),
            )
        return found

    def _any(self, node: ast.expr) -> Any:
        """A condition, value, number, time or duration: whatever the text says."""
        match node:
            case ast.BoolOp(op=op, values=values):
                return self._joined(tree.And if isinstance(op, ast.And) else tree.Or, values)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self._condition(operand)
                return inner.of if isinstance(inner, tree.Not) else tree.Not(inner)
            case ast.Compare():
                return self._comparison(node)
            case ast.Call(func=ast.Name(id=name)):
                return self._call(name, node)
            case ast.Call():
                self._fail(node, "expected a function of the language, found a call of something else")
            case ast.Name(id=name):
                self._fail(
                    node,
                    f"expected a function call, found the bare name {name!r}",
                    did_you_mean(name, [*_FUNCTIONS, *_EVENT_FUNCTIONS]) or "texts need quotes",
                )
            case ast.Constant(value=value):
                self._fail(node, f"expected a condition or a function call, found the constant {value!r:.40}")
            case _:
                slip = slips.in_expression(self._text) if isinstance(node, (ast.BinOp, ast.UnaryOp)) else None  # a & b is arithmetic
                found = _KIND.get(type(node), type(node).__name__)
                self._fail(node, f"expected a condition, found {found}, which the language does not have", slip.remedy if slip else "")
        return None

    def _joined(self, kind: type[tree.And] | type[tree.Or], values: list[ast.expr]) -> Condition:
        flat: list[Condition] = []
        for value in values:
            item = self._condition(value)
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
            self._fail(left, "expected one of == != < <= > >= in, found 'is'")
        sign = _OPS[type(op)]
        if _is_constant(left) and not _is_constant(right):
            left, right, sign = right, left, _MIRROR[sign]
        found = self._any(left)
        if isinstance(found, _DURATIONS):
            return self._compare_duration(found, sign, right, left)
        if isinstance(found, _TIMES):
            return self._compare_time(found, sign, right, left)
        if not isinstance(found, (*_VALUES, *_NUMERICS)):
            self._fail(
                left, f"expected a value to compare, found a condition: {_show(found)}", "conditions are used alone, without == True"
            )
        return tree.Compare(found, sign, self._constant_for(found, sign, right))

    def _one_of(self, left: ast.expr, right: ast.expr) -> Condition:
        found = self._any(left)
        if not isinstance(found, (*_VALUES, *_NUMERICS)):
            self._fail(left, f"expected a value before 'in', found {_show(found)}")
        if not isinstance(right, (ast.List, ast.Tuple, ast.Set)) or not right.elts:
            self._fail(right, 'expected a list such as ["a", "b"] after \'in\'', "contains(value, part) looks inside a value")
        if len(right.elts) > LIST_MAX:
            self._fail(right, f"expected at most {LIST_MAX} items, found {len(right.elts)}")
        return tree.OneOf(found, tuple(self._constant_for(found, "==", item) for item in right.elts))

    def _compare_duration(self, left: Any, op: tree.CompareOp, right: ast.expr, at: ast.expr) -> Condition:
        if op not in _ORDER:
            self._fail(at, f"expected < <= > or >= between durations, found {op}", "no two moments are the same millisecond")
        return tree.CompareDuration(left, op, self._duration_of(right, what="a duration to compare with"))

    def _compare_time(self, left: Any, op: str, right: ast.expr, at: ast.expr) -> Condition:
        if op not in ("<", "<=", ">", ">="):
            self._fail(at, f"expected < <= > or >= between times, found {op}")
        if _is_constant(right):
            self._fail(right, "expected another time, found a constant", 'write date("2026-01-31"), or since(...) >= "30m"')
        found: Any = self._any(right)
        if not isinstance(found, _TIMES):
            self._fail(right, f"expected another time, found {_show(found)}")
        if isinstance(left, tree.Moment):
            left, op, found = found, _MIRROR[op], left
        if isinstance(left, tree.Moment):
            self._fail(at, "expected a time of the customer's to compare, found two constants")
        return tree.CompareTime(left, _order(op), found.ms if isinstance(found, tree.Moment) else found)

    def moment(self, node: ast.expr) -> tree.Moment:
        ms = parse_time_ms(self._constant(node))
        if ms is None:
            self._fail(node, 'expected a date such as "2026-01-31" or "2026-01-31T09:00:00Z"')
        return tree.Moment(ms)

    # constants

    def _constant(self, node: ast.expr) -> Scalar:
        match node:
            case ast.Constant(value=bool() | str() | int() | float() as value):
                return self._bounded(node, value)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)) if not isinstance(value, bool):
                return self._bounded(node, -value)
            case ast.Name(id="true" | "false" as name):
                return name == "true"
            case _:
                self._fail(
                    node,
                    f"expected a constant (text, number, true or false), found {_KIND.get(type(node), 'something else')}",
                    "texts need quotes" if isinstance(node, ast.Name) else "",
                )
        return None

    def _bounded(self, node: ast.expr, value: Scalar) -> Scalar:
        if isinstance(value, str) and (len(value) > TEXT_CHARS_MAX or not value.isprintable()):
            self._fail(node, f"expected a printable text of at most {TEXT_CHARS_MAX} characters")
        if isinstance(value, (int, float)) and not abs(value) <= 2**53:
            self._fail(node, "expected a number between -2^53 and 2^53")
        return value

    def _constant_for(self, left: Any, op: str, node: ast.expr) -> Scalar:
        value = self._constant(node)
        if isinstance(left, tree.Clock) and left.unit == "weekday":
            if value not in WEEKDAYS:
                self._fail(node, f"expected one of {', '.join(WEEKDAYS)}, found {value!r}")
            if op not in ("==", "!="):
                self._fail(node, f"expected == or != for a weekday, found {op}", 'or weekday() in ["sat", "sun"]')
            return value
        if isinstance(left, _NUMERICS):
            return self._number_for(left, node, value)
        if op in _ORDER and isinstance(value, bool):
            self._fail(node, f"expected a number or a text after {op}, found {value}")
        return value

    def _number_for(self, left: Any, node: ast.expr, value: Scalar) -> Scalar:
        if isinstance(value, (str, bool)):
            self._fail(node, f"expected a number, found {value!r}")
        counted = isinstance(left, (tree.Count, tree.Active)) or (isinstance(left, tree.Aggregate) and left.name == "distinct")
        if counted and (value != int(value) or value < 0):
            self._fail(node, f"expected a whole number of 0 or more, found {value}")
        bounded = counted and not (isinstance(left, tree.Count) and left.window.ever)
        if bounded and value > COUNT_MAX:
            self._fail(node, f"expected a count of at most {COUNT_MAX}, found {value}")
        if isinstance(left, tree.Active) and value > left.periods:
            self._fail(node, f"expected at most {left.periods} (the number of periods), found {value}")
        return int(value) if counted else value

    def _duration_of(self, node: ast.expr, *, what: str, least_ms: int = 0) -> int:
        value = node.value if isinstance(node, ast.Constant) else None
        if not isinstance(value, str):
            self._fail(node, f'expected {what} such as "30m" or "7d", found {_KIND.get(type(node), "something else")}')
        try:
            ms = parse_duration(value)
        except ValueError as error:
            self._fail(node, str(error))
        if ms < least_ms:
            self._fail(node, f"expected {what} of at least {least_ms} ms, found {value!r}")
        return ms

    # calls

    def _call(self, name: str, node: ast.Call) -> Any:
        known = _EVENT_FUNCTIONS if self._in_event else _FUNCTIONS
        if name not in known:
            self._unknown(name, node)
        for keyword in node.keywords:
            if keyword.arg is None:
                self._fail(node, "expected named arguments, found **")
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                self._fail(argument, "expected arguments one by one, found *")
        return known[name](self, node)

    def _unknown(self, name: str, node: ast.Call) -> NoReturn:
        if self._in_event and name in _FUNCTIONS:
            self._fail(
                node,
                f"expected a condition on the event itself, found {name}(), which looks at the customer",
                'inside where= use prop("…") and eventcontext("…")',
            )
        if name in _EVENT_FUNCTIONS:
            self._fail(
                node, f"expected a condition on the customer, found {name}(), which looks at one event", f"{name}() belongs inside where="
            )
        self._fail(
            node, f"found the unknown function {name}()", did_you_mean(name, list(_EVENT_FUNCTIONS if self._in_event else _FUNCTIONS))
        )

    def arguments(self, node: ast.Call, *, least: int, most: int, named: Sequence[str] = ()) -> dict[str, ast.expr]:
        """The keyword arguments, once number and names were checked."""
        name = node.func.id if isinstance(node.func, ast.Name) else "?"
        if not least <= len(node.args) <= most:
            wanted = str(least) if least == most else f"{least} to {most}" if most < 99 else f"at least {least}"
            self._fail(node, f"expected {wanted} argument{'s' if wanted != '1' else ''} in {name}(), found {len(node.args)}")
        found: dict[str, ast.expr] = {}
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg not in named:
                allowed = f"it takes {', '.join(named)}" if named else "it takes none"
                self._fail(
                    keyword.value,
                    f"found the unknown argument {keyword.arg}= in {name}()",
                    did_you_mean(keyword.arg or "", named) or allowed,
                )
            found[keyword.arg] = keyword.value
        return found

    def path(self, node: ast.expr) -> tree.Path:
        value = self._constant(node)
        if not isinstance(value, str) or not value or not all(value.split(".")) or value.count(".") > 7:
            self._fail(node, 'expected a path such as "plan" or "address.city"')
        return tuple(value.split("."))

    def value(self, node: ast.expr) -> Value:
        found = self._any(node)
        if not isinstance(found, _VALUES):
            self._fail(node, f'expected a value such as trait("plan"), found {_show(found)}')
        return found

    def events(self, node: ast.expr, where: ast.expr | None) -> Events:
        items = node.elts if isinstance(node, (ast.List, ast.Tuple)) else [node]
        if not 1 <= len(items) <= LIST_MAX:
            self._fail(node, f"expected 1 to {LIST_MAX} event names")
        return Events(tuple(dict.fromkeys(self._event_name(item) for item in items)), None if where is None else self._where(where))

    def _event_name(self, node: ast.expr) -> str:
        name = self._constant(node)
        if not isinstance(name, str) or not name.strip() or len(name) > 256:
            self._fail(node, 'expected the name of an event, such as "Product Viewed", "Product *" or "*"')
        if "*" in name[:-1]:
            self._fail(node, f"expected '*' only at the end of an event name, found {name!r}")
        return name

    def _where(self, node: ast.expr) -> Condition:
        self._in_event = True
        try:
            return self._condition(node)
        finally:
            self._in_event = False

    def step(self, node: ast.expr) -> Events:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "step":
            named = self.arguments(node, least=1, most=1, named=("where",))
            return self.events(node.args[0], named.get("where"))
        return self.events(node, None)

    def window(self, named: dict[str, ast.expr]) -> Window:
        if "this" in named:
            if "within" in named or "before" in named:
                self._fail(named["this"], "expected either this= or within=, found both")
            period = self._constant(named["this"])
            if period not in get_args(tree.Period):
                self._fail(named["this"], f"expected one of {', '.join(get_args(tree.Period))}, found {period!r}")
            return Window(this=_period(period))
        if "before" in named and "within" not in named:
            self._fail(named["before"], "expected within= beside before=: events at most so old and at least so old")
        within = self.window_ms(named["within"]) if "within" in named else 0
        before = self._duration_of(named["before"], what="a duration", least_ms=1) if "before" in named else 0
        if before and before >= within:
            self._fail(named["before"], "expected before= to be shorter than within=, found an empty window")
        return Window(within_ms=within, before_ms=before)

    def window_ms(self, node: ast.expr) -> int:
        ms = self._duration_of(node, what="a window", least_ms=1)
        if ms > WINDOW_MS_MAX:
            self._fail(node, "expected a window of at most 400d")
        return ms

    def time(self, node: ast.expr) -> Any:
        found = self._any(node)
        if not isinstance(found, _TIMES):
            self._fail(node, f'expected a time such as last("…") or date(trait("…")), found {_show(found)}')
        return found

    def segment_name(self, node: ast.expr) -> str:
        name = self._constant(node)
        if not isinstance(name, str) or not is_segment_name(name):
            self._fail(node, "expected the name of a segment")
        return name

    def model_name(self, node: ast.expr) -> str:
        name = self._constant(node)
        if not isinstance(name, str) or not is_segment_name(name):
            self._fail(node, "expected the name of a model")
        return name

    def constant(self, node: ast.expr) -> Scalar:
        return self._constant(node)

    def whole_number(self, node: ast.expr, *, least: int, most: int) -> int:
        value = self._constant(node)
        if type(value) is not int or not least <= value <= most:
            self._fail(node, f"expected a whole number from {least} to {most}")
        return value

    def fail(self, node: ast.AST, message: str, hint: str = "") -> NoReturn:
        self._fail(node, message, hint)


_SEGMENT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def is_segment_name(name: str) -> bool:
    """Lower-case letters, digits and underscores, beginning with a letter, at most 64."""
    return bool(_SEGMENT_NAME.fullmatch(name))


# one small function for each function of the language ------------------------------------------------------------------

_WINDOW = ("where", "within", "before", "this")
Builder = Callable[[_Parser, ast.Call], Any]


def _on_path(make: Callable[[tree.Path], Any]) -> Builder:
    def build(parser: _Parser, node: ast.Call) -> Any:
        parser.arguments(node, least=1, most=1)
        return make(parser.path(node.args[0]))

    return build


def _on_value(make: Callable[[Value], Any]) -> Builder:
    def build(parser: _Parser, node: ast.Call) -> Any:
        parser.arguments(node, least=1, most=1)
        return make(parser.value(node.args[0]))

    return build


def _on_events(make: Callable[[Events], Any]) -> Builder:
    def build(parser: _Parser, node: ast.Call) -> Any:
        named = parser.arguments(node, least=1, most=1, named=("where",))
        return make(parser.events(node.args[0], named.get("where")))

    return build


def _on_window(make: Callable[[Events, Window], Any]) -> Builder:
    def build(parser: _Parser, node: ast.Call) -> Any:
        named = parser.arguments(node, least=1, most=1, named=_WINDOW)
        return make(parser.events(node.args[0], named.get("where")), parser.window(named))

    return build


def _on_property(make: Callable[[Events, tree.Path, Window], Any], named_arguments: tuple[str, ...] = _WINDOW) -> Builder:
    def build(parser: _Parser, node: ast.Call) -> Any:
        named = parser.arguments(node, least=2, most=2, named=named_arguments)
        return make(parser.events(node.args[0], named.get("where")), parser.path(node.args[1]), parser.window(named))

    return build


def _on_time(make: Callable[[Any], Any]) -> Builder:
    def build(parser: _Parser, node: ast.Call) -> Any:
        parser.arguments(node, least=1, most=1)
        return make(parser.time(node.args[0]))

    return build


def _on_segment(make: Callable[[str], Any]) -> Builder:
    def build(parser: _Parser, node: ast.Call) -> Any:
        parser.arguments(node, least=1, most=1)
        return make(parser.segment_name(node.args[0]))

    return build


def _on_model(make: Callable[[str], Any]) -> Builder:
    def build(parser: _Parser, node: ast.Call) -> Any:
        parser.arguments(node, least=1, most=1)
        return make(parser.model_name(node.args[0]))

    return build


def _plain(make: Callable[[], Any]) -> Builder:
    def build(parser: _Parser, node: ast.Call) -> Any:
        parser.arguments(node, least=0, most=0)
        return make()

    return build


def _exists(parser: _Parser, node: ast.Call) -> Any:
    parser.arguments(node, least=1, most=1)
    found = parser._any(node.args[0])  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - the builders are the parser's own second half
    if not isinstance(found, (*_VALUES, *_TIMES)) or isinstance(found, tree.Moment):
        parser.fail(node.args[0], f"expected a value or a time of the customer's, found {_show(found)}")
    return tree.Exists(found)


def _contains(parser: _Parser, node: ast.Call) -> Any:
    parser.arguments(node, least=2, most=2)
    return tree.Contains(parser.value(node.args[0]), parser.constant(node.args[1]))


def _startswith(parser: _Parser, node: ast.Call) -> Any:
    parser.arguments(node, least=2, most=2)
    prefix = parser.constant(node.args[1])
    if not isinstance(prefix, str) or not prefix:
        parser.fail(node.args[1], "expected a text to begin with")
    return tree.StartsWith(parser.value(node.args[0]), prefix)


def _date(parser: _Parser, node: ast.Call) -> Any:
    parser.arguments(node, least=1, most=1)
    argument = node.args[0]
    return parser.moment(argument) if _is_constant(argument) else tree.Date(parser.value(argument))


def _unchanged(parser: _Parser, node: ast.Call) -> Any:
    parser.arguments(node, least=1, most=1)
    found = parser.value(node.args[0])
    if not isinstance(found, (tree.Trait, tree.Context)):
        parser.fail(node.args[0], f'expected trait("…") or context("…"), found {_show(found)}')
    return tree.Unchanged(found)


def _active(parser: _Parser, node: ast.Call) -> Any:
    named = parser.arguments(node, least=1, most=1, named=("where", "each", "of"))
    if "each" not in named or "of" not in named:
        parser.fail(node, 'expected each= and of= in active(), such as active("*", each="1d", of=7)')
    each_ms = parser.window_ms(named["each"])
    periods = parser.whole_number(named["of"], least=1, most=PERIODS_MAX)
    if each_ms * periods > WINDOW_MS_MAX:
        parser.fail(named["of"], "expected periods of at most 400d in all")
    return tree.Active(parser.events(node.args[0], named.get("where")), each_ms, periods)


def _sequence(parser: _Parser, node: ast.Call) -> Any:
    named = parser.arguments(node, least=1, most=8, named=("within", "over", "then_not", "wait"))
    steps = tuple(parser.step(argument) for argument in node.args)
    then_not = parser.step(named["then_not"]) if "then_not" in named else None
    if len(steps) == 1 and then_not is None:
        parser.fail(node, "expected two steps or more, or then_not=, in sequence(); for one event use did()")
    if (len(steps) > 1) != ("within" in named):
        parser.fail(node, "expected within= with two steps or more, and only then")
    if (then_not is None) != ("wait" not in named):
        parser.fail(node, "expected then_not= and wait= together")
    return tree.Sequence(
        steps,
        within_ms=parser.window_ms(named["within"]) if "within" in named else 0,
        over_ms=parser.window_ms(named["over"]) if "over" in named else 0,
        then_not=then_not,
        wait_ms=parser.window_ms(named["wait"]) if "wait" in named else 0,
    )


def _clock(unit: tree.ClockUnit) -> Builder:
    return _plain(lambda: tree.Clock(unit))


def _number(name: tree.AggregateName) -> Builder:
    return _on_property(lambda events, path, window: tree.Aggregate(name, events, path, window))


_FUNCTIONS: Final[dict[str, Builder]] = {
    "trait": _on_path(tree.Trait),
    "context": _on_path(tree.Context),
    "number": _on_value(tree.Number),
    "lower": _on_value(tree.Lower),
    "language": _plain(tree.Language),
    "date": _date,
    "exists": _exists,
    "contains": _contains,
    "startswith": _startswith,
    "did": _on_window(tree.Did),
    "never": _on_window(lambda events, window: tree.Not(tree.Did(events, window))),
    "count": _on_window(tree.Count),
    "sum": _number("sum"),
    "avg": _number("avg"),
    "min": _number("min"),
    "max": _number("max"),
    "distinct": _number("distinct"),
    "top": _on_property(tree.Top),
    "active": _active,
    "last": _on_events(tree.Last),
    "first": _on_events(tree.First),
    "latest": _on_property(lambda events, path, _: tree.Latest(events, path), ("where",)),
    "earliest": _on_property(lambda events, path, _: tree.Earliest(events, path), ("where",)),
    "idle": _on_events(lambda events: tree.Since(tree.Last(events))),
    "sequence": _sequence,
    "since": _on_time(tree.Since),
    "until": _on_time(tree.Until),
    "unchanged": _unchanged,
    "hour": _clock("hour"),
    "weekday": _clock("weekday"),
    "day": _clock("day"),
    "month": _clock("month"),
    "age": _on_value(tree.Age),
    "birthday": _on_value(tree.Birthday),
    "segment": _on_segment(tree.InSegment),
    "entered": _on_segment(tree.Entered),
    "left": _on_segment(tree.Left),
    "score": _on_model(tree.Score),
    "like": _on_model(lambda model: tree.Score(model, "like")),
    "percentile": _on_model(tree.Percentile),
    "group": _on_model(tree.Group),
}

_EVENT_FUNCTIONS: Final[dict[str, Builder]] = {
    "prop": _on_path(tree.Prop),
    "eventcontext": _on_path(tree.EventContext),
    **{name: _FUNCTIONS[name] for name in ("number", "lower", "date", "exists", "contains", "startswith")},
}

FUNCTION_NAMES: Final = frozenset({*_FUNCTIONS, *_EVENT_FUNCTIONS})

_KIND: Final[dict[type, str]] = {
    ast.Attribute: "an attribute (a.b)",
    ast.Subscript: "an index (a[b])",
    ast.BinOp: "arithmetic",
    ast.Lambda: "a lambda",
    ast.IfExp: "an if-else",
    ast.JoinedStr: "an f-string",
    ast.List: "a list",
    ast.Tuple: "a tuple",
    ast.Dict: "a dictionary",
    ast.Set: "a set",
    ast.ListComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension",
    ast.Starred: "a star",
    ast.UnaryOp: "arithmetic",
    ast.Yield: "a yield",
    ast.YieldFrom: "a yield",
    ast.NamedExpr: "an assignment",
    ast.Await: "an await",
    ast.Call: "a function call",
    ast.Name: "a name",
    ast.Constant: "another constant",
}

_CONDITION_HINT: Final[dict[type, str]] = {
    tree.Trait: "compare it (== …), or exists(…)",
    tree.Context: "compare it (== …), or exists(…)",
    tree.Since: 'compare it, for example >= "30m"',
    tree.Last: 'for example since(last("…")) >= "30m", or did("…")',
    tree.Count: "compare it, for example >= 3",
}


def _is_constant(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return isinstance(node.operand, ast.Constant)
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id in ("true", "false"))


def _period(value: object) -> Any:
    return value


def _order(op: str) -> Any:
    return op


def _show(found: Any) -> str:
    return f"{tree.text(found):.60}"


__all__ = ["COUNT_MAX", "FUNCTION_NAMES", "WINDOW_MS_MAX", "is_segment_name", "parse"]
