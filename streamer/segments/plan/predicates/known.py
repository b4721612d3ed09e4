"""Known values: traits, context, properties of the newest and oldest event."""

from __future__ import annotations

from streamer import values
from streamer.customers import memories
from streamer.customers.memories import Data
from streamer.customers.specs import Spec
from streamer.customers.state import State
from streamer.language import tree
from streamer.values import Json, one_of

from .predicate import Predicate, ValueExpression, predicate_over


def known_value(spec: Spec, *, language: bool) -> ValueExpression:
    """The newest value of a trait or of the context; ``language``: of a locale its language."""
    at = -1 if isinstance(spec, memories.Runs) else 1
    if language:
        return ValueExpression(lambda data, now, state: values.language_of(data[at]) if data is not None else None, span_ms=0)
    return ValueExpression(lambda data, now, state: data[at] if data is not None else None, span_ms=0)


def property_value() -> ValueExpression:
    """A property of the newest or oldest event."""
    return ValueExpression(lambda data, now, state: data[1][0] if data is not None else None, span_ms=0)


def run_start() -> ValueExpression:
    """Since when a known value has been the same."""

    def read(data: Data, _now: int, _state: State) -> Json:
        return None if data is None or data[-1] is None else memories.run_start(data)

    def approximate(data: Data, _now: int, _state: State) -> Json:
        """1 where the run may have begun earlier than is known."""
        return 1 if data is not None and data[1] is not None and memories.run_start(data) <= data[1] else None

    return ValueExpression(read, approximate=approximate, span_ms=0)


def compare_predicate(text: str, expression: ValueExpression, op: str, right: Json) -> Predicate:
    """A general value against a constant, by the rules of JSON values."""
    compare = values.COMPARE[op]
    return predicate_over(text, expression, lambda data, now, state: compare(expression.read(data, now, state), right))


def one_of_predicate(text: str, expression: ValueExpression, items: tuple[tree.Scalar, ...]) -> Predicate:
    """A value in a list."""
    return predicate_over(text, expression, lambda data, now, state: one_of(expression.read(data, now, state), items))
