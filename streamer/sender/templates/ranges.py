"""Ranges such as ``(1..n)`` that have an end: the library makes all that a filter or ``reversed`` asks of one, and counts it afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from liquid import BoundTemplate, RenderContext
from liquid.ast import Node
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.exceptions import LoopIterationLimitError
from liquid.expression import Expression

RANGE_MAX: Final = 1_000  # a list that somebody reads is shorter


class ShortRange(RangeLiteral):
    """A range that is an error where it is too long."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> range:
        """The numbers, none of them made yet."""
        found = super().evaluate(context)
        if found.stop - found.start > RANGE_MAX:  # `len` cannot say of each how long it is
            raise LoopIterationLimitError(f"range limit reached: at most {RANGE_MAX:,} numbers", token=self.token)
        return found


def shorten_ranges(template: BoundTemplate) -> None:
    """Make every range of a template a short one."""
    _shorten_nodes(template.nodes, RenderContext(template))


def _shorten_nodes(nodes: Iterable[Node], context: RenderContext) -> None:
    for node in nodes:
        _shorten_expressions(node.expressions())
        _shorten_nodes(node.children(context, include_partials=False), context)


def _shorten_expressions(expressions: Iterable[Expression]) -> None:
    for expression in expressions:
        if type(expression) is RangeLiteral:
            expression.__class__ = ShortRange  # the parser knows no other class of them
        _shorten_expressions(expression.children())


__all__ = ["RANGE_MAX", "shorten_ranges"]
