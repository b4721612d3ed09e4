"""The functions of the language: one row each in ``FUNCTIONS``, with what its arguments must be and the node it makes."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Final

from streamer.language import tree
from streamer.language.limits import PERIODS_MAX, WINDOW_MS_MAX
from streamer.language.tree import Events, Expression, Time, Value, Window

from .constants import is_constant
from .expressions import Builder, Parser, show

_WINDOW = ("where", "within", "before", "this")


def _on_path(make: Callable[[tree.Path], Expression]) -> Builder:
    def build(parser: Parser, node: ast.Call) -> Expression:
        parser.arguments(node, least=1, most=1)
        return make(parser.path(node.args[0]))

    return build


def _on_value(make: Callable[[Value], Expression]) -> Builder:
    def build(parser: Parser, node: ast.Call) -> Expression:
        parser.arguments(node, least=1, most=1)
        return make(parser.value(node.args[0]))

    return build


def _on_events(make: Callable[[Events], Expression]) -> Builder:
    def build(parser: Parser, node: ast.Call) -> Expression:
        named = parser.arguments(node, least=1, most=1, named=("where",))
        return make(parser.events(node.args[0], named.get("where")))

    return build


def _on_window(make: Callable[[Events, Window], Expression]) -> Builder:
    def build(parser: Parser, node: ast.Call) -> Expression:
        named = parser.arguments(node, least=1, most=1, named=_WINDOW)
        return make(parser.events(node.args[0], named.get("where")), parser.window(named))

    return build


def _on_property(make: Callable[[Events, tree.Path, Window], Expression], named_arguments: tuple[str, ...] = _WINDOW) -> Builder:
    def build(parser: Parser, node: ast.Call) -> Expression:
        named = parser.arguments(node, least=2, most=2, named=named_arguments)
        return make(parser.events(node.args[0], named.get("where")), parser.path(node.args[1]), parser.window(named))

    return build


def _on_time(make: Callable[[Time], Expression]) -> Builder:
    def build(parser: Parser, node: ast.Call) -> Expression:
        parser.arguments(node, least=1, most=1)
        return make(parser.time(node.args[0]))

    return build


def _on_segment(make: Callable[[str], Expression]) -> Builder:
    def build(parser: Parser, node: ast.Call) -> Expression:
        parser.arguments(node, least=1, most=1)
        return make(parser.segment_name(node.args[0]))

    return build


def _on_model(make: Callable[[str], Expression]) -> Builder:
    def build(parser: Parser, node: ast.Call) -> Expression:
        parser.arguments(node, least=1, most=1)
        return make(parser.model_name(node.args[0]))

    return build


def _plain(make: Callable[[], Expression]) -> Builder:
    def build(parser: Parser, node: ast.Call) -> Expression:
        parser.arguments(node, least=0, most=0)
        return make()

    return build


def _exists(parser: Parser, node: ast.Call) -> Expression:
    parser.arguments(node, least=1, most=1)
    found = parser.any_node(node.args[0])
    if not isinstance(found, Value | Time) or isinstance(found, tree.Moment):
        parser.fail(node.args[0], f"expected a value or a time of the customer's, found {show(found)}")
    return tree.Exists(found)


def _contains(parser: Parser, node: ast.Call) -> Expression:
    parser.arguments(node, least=2, most=2)
    return tree.Contains(parser.value(node.args[0]), parser.constant(node.args[1]))


def _startswith(parser: Parser, node: ast.Call) -> Expression:
    parser.arguments(node, least=2, most=2)
    prefix = parser.constant(node.args[1])
    if not isinstance(prefix, str) or not prefix:
        parser.fail(node.args[1], "expected a text to begin with")
    return tree.StartsWith(parser.value(node.args[0]), prefix)


def _date(parser: Parser, node: ast.Call) -> Expression:
    parser.arguments(node, least=1, most=1)
    argument = node.args[0]
    return parser.moment(argument) if is_constant(argument) else tree.Date(parser.value(argument))


def _unchanged(parser: Parser, node: ast.Call) -> Expression:
    parser.arguments(node, least=1, most=1)
    found = parser.value(node.args[0])
    if not isinstance(found, (tree.Trait, tree.Context)):
        parser.fail(node.args[0], f'expected trait("…") or context("…"), found {show(found)}')
    return tree.Unchanged(found)


def _active(parser: Parser, node: ast.Call) -> Expression:
    named = parser.arguments(node, least=1, most=1, named=("where", "each", "of"))
    if "each" not in named or "of" not in named:
        parser.fail(node, 'expected each= and of= in active(), such as active("*", each="1d", of=7)')
    each_ms = parser.window_ms(named["each"])
    periods = parser.whole_number(named["of"], least=1, most=PERIODS_MAX)
    if each_ms * periods > WINDOW_MS_MAX:
        parser.fail(named["of"], "expected periods of at most 400d in all")
    return tree.Active(parser.events(node.args[0], named.get("where")), each_ms, periods)


def _sequence(parser: Parser, node: ast.Call) -> Expression:
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


FUNCTIONS: Final[dict[str, Builder]] = {
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

EVENT_FUNCTIONS: Final[dict[str, Builder]] = {
    "prop": _on_path(tree.Prop),
    "eventcontext": _on_path(tree.EventContext),
    **{name: FUNCTIONS[name] for name in ("number", "lower", "date", "exists", "contains", "startswith")},
}

FUNCTION_NAMES: Final = frozenset({*FUNCTIONS, *EVENT_FUNCTIONS})
