"""Constants and arguments that are constants: texts, numbers, lengths of time, windows, paths, names."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Final

from streamer.language import tree
from streamer.language.durations import parse_duration
from streamer.language.limits import TEXT_CHARS_MAX, WINDOW_MS_MAX, is_segment_name
from streamer.language.tree import Period, Scalar, Window
from streamer.suggest import did_you_mean
from streamer.values import parse_time_ms

from .source import Source

KINDS: Final[dict[type, str]] = {
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


PERIODS: Final[dict[str, Period]] = {"day": "day", "week": "week", "month": "month", "year": "year"}


class Constants(Source):
    """Reads the nodes of a text that must be constants."""

    def constant(self, node: ast.expr) -> Scalar:
        """A text, number, true or false."""
        match node:
            case ast.Constant(value=bool() | str() | int() | float() as value):
                return self._bounded(node, value)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)) if not isinstance(value, bool):
                return self._bounded(node, -value)
            case ast.Name(id="true" | "false" as name):
                return name == "true"
            case _:
                self.fail(
                    node,
                    f"expected a constant (text, number, true or false), found {KINDS.get(type(node), 'something else')}",
                    "texts need quotes" if isinstance(node, ast.Name) else "",
                )
        return None

    def _bounded(self, node: ast.expr, value: Scalar) -> Scalar:
        if isinstance(value, str) and (len(value) > TEXT_CHARS_MAX or not value.isprintable()):
            self.fail(node, f"expected a printable text of at most {TEXT_CHARS_MAX} characters")
        if isinstance(value, (int, float)) and not abs(value) <= 2**53:
            self.fail(node, "expected a number between -2^53 and 2^53")
        return value

    def duration_of(self, node: ast.expr, *, what: str, least_ms: int = 0) -> int:
        """A length of time in milliseconds; ``what`` names it in errors."""
        value = node.value if isinstance(node, ast.Constant) else None
        if not isinstance(value, str):
            self.fail(node, f'expected {what} such as "30m" or "7d", found {KINDS.get(type(node), "something else")}')
        try:
            ms = parse_duration(value)
        except ValueError as error:
            self.fail(node, str(error))
        if ms < least_ms:
            self.fail(node, f"expected {what} of at least {least_ms} ms, found {value!r:.80}")
        return ms

    def window(self, named: dict[str, ast.expr]) -> Window:
        """The window that the named arguments say; all empty: ever."""
        if "this" in named:
            if "within" in named or "before" in named:
                self.fail(named["this"], "expected either this= or within=, found both")
            period = self.constant(named["this"])
            if not isinstance(period, str) or period not in PERIODS:
                self.fail(named["this"], f"expected one of {', '.join(PERIODS)}, found {period!r:.80}")
            return Window(this=PERIODS[period])
        if "before" in named and "within" not in named:
            self.fail(named["before"], "expected within= beside before=: events at most so old and at least so old")
        within = self.window_ms(named["within"]) if "within" in named else 0
        before = self.duration_of(named["before"], what="a duration", least_ms=1) if "before" in named else 0
        if before and before >= within:
            self.fail(named["before"], "expected before= to be shorter than within=, found an empty window")
        return Window(within_ms=within, before_ms=before)

    def window_ms(self, node: ast.expr) -> int:
        """The length of a window in milliseconds."""
        ms = self.duration_of(node, what="a window", least_ms=1)
        if ms > WINDOW_MS_MAX:
            self.fail(node, "expected a window of at most 400d")
        return ms

    def path(self, node: ast.expr) -> tree.Path:
        """A path such as ``address.city``."""
        value = self.constant(node)
        if not isinstance(value, str) or not value or not all(value.split(".")) or value.count(".") > 7:
            self.fail(node, 'expected a path such as "plan" or "address.city"')
        return tuple(value.split("."))

    def segment_name(self, node: ast.expr) -> str:
        """The name of a segment."""
        name = self.constant(node)
        if not isinstance(name, str) or not is_segment_name(name):
            self.fail(node, "expected the name of a segment")
        return name

    def model_name(self, node: ast.expr) -> str:
        """The name of a model."""
        name = self.constant(node)
        if not isinstance(name, str) or not is_segment_name(name):
            self.fail(node, "expected the name of a model")
        return name

    def whole_number(self, node: ast.expr, *, least: int, most: int) -> int:
        """A whole number from ``least`` to ``most``."""
        value = self.constant(node)
        if type(value) is not int or not least <= value <= most:
            self.fail(node, f"expected a whole number from {least} to {most}")
        return value

    def moment(self, node: ast.expr) -> tree.Moment:
        """A moment that the text itself names."""
        ms = parse_time_ms(self.constant(node))
        if ms is None:
            self.fail(node, 'expected a date such as "2026-01-31" or "2026-01-31T09:00:00Z"')
        return tree.Moment(ms)

    def event_name(self, node: ast.expr) -> str:
        """The name of an event, a prefix with ``*``, or ``*``."""
        name = self.constant(node)
        if not isinstance(name, str) or not name.strip() or len(name) > 256:
            self.fail(node, 'expected the name of an event, such as "Product Viewed", "Product *" or "*"')
        if "*" in name[:-1]:
            self.fail(node, f"expected '*' only at the end of an event name, found {name!r:.80}")
        return name

    def arguments(self, node: ast.Call, *, least: int, most: int, named: Sequence[str] = ()) -> dict[str, ast.expr]:
        """The keyword arguments, once number and names were checked."""
        name = node.func.id if isinstance(node.func, ast.Name) else "?"
        if not least <= len(node.args) <= most:
            wanted = str(least) if least == most else f"{least} to {most}" if most < 99 else f"at least {least}"
            self.fail(node, f"expected {wanted} argument{'s' if wanted != '1' else ''} in {name}(), found {len(node.args)}")
        found: dict[str, ast.expr] = {}
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg not in named:
                allowed = f"it takes {', '.join(named)}" if named else "it takes none"
                self.fail(
                    keyword.value,
                    f"found the unknown argument {keyword.arg}= in {name}()",
                    did_you_mean(keyword.arg or "", named) or allowed,
                )
            found[keyword.arg] = keyword.value
        return found


def is_constant(node: ast.expr) -> bool:
    """Whether a node is a constant: a text, a number, perhaps negative, ``true`` or ``false``."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return isinstance(node.operand, ast.Constant)
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id in ("true", "false"))
