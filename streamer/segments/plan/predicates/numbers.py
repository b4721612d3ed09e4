# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
"""Sums, averages and extremes of a number, in ten-thousandths."""

from __future__ import annotations

from typing import Literal, assert_never

from streamer.customers import memories
from streamer.customers.memories import Data
from streamer.customers.specs import Spec
from streamer.customers.state import State
from streamer.language.tree import NumberName, Window
from streamer.segments.plan.single_pass import (
    SIGNS,
    entry_starts,
)
from streamer.values import SCALE, Json

from .predicate import Predicate, ValueExpression, ZoneOf, predicate_over
from .windows import bounds, entry_changes, entry_times, folded_error, lost_error, span_of


def number_of(name: NumberName, spec: Spec, window: Window, zone_of: ZoneOf) -> ValueExpression:
    """A sum, average or extreme, from the memory that answers it."""
    match spec:
        case memories.Totals():
            assert name in ("sum", "avg"), f"{name}() without a window is kept by another memory"
            read = _sum_of if name == "sum" else _average_of
            return ValueExpression(read, approximate=held_error, span_ms=0, show=show_scaled)
        case memories.Bests():
            return ValueExpression(lambda data, now, state: data, span_ms=0, show=show_scaled)
        case memories.Ladder():
            return ladder_expression(window, zone_of)
        case _:
            return pairs_expression(name, window, zone_of)


def _sum_of(data: Data, _now: int, _state: State) -> Json:
    return data[0] if data is not None else 0


def _average_of(data: Data, _now: int, _state: State) -> Json:
    return tuple(data) if data is not None else None


def pairs_expression(name: Literal["count"] | NumberName, window: Window, zone_of: ZoneOf) -> ValueExpression:
    """``count``, ``sum``, ``avg``, ``min``, ``max`` over a ``Pairs`` memory."""
    edges = bounds(window, zone_of)

    def read(data: Data, now: int, state: State) -> Json:
        after, until = edges(now, state)
        total = number = 0
        extremes: list[int] = []
        for at in entry_starts(data, 3):
            if after < data[at] <= until:
                total += data[at + 1]
                number += data[at + 2]
                extremes.append(data[at + 1] if data[at + 2] == 1 else data[at + 1] // data[at + 2])
        match name:
            case "count":
                return number
            case "sum":
                return total
            case "avg":
                return (total, number) if number else None
            case "min":
                return min(extremes, default=None)
            case "max":
                return max(extremes, default=None)
        assert_never(name)

    return ValueExpression(
        read,
        changes=entry_changes(window, zone_of, entry_times(3)),
        approximate=folded_error(window, zone_of),
        zoned=window.this is not None,
        span_ms=span_of(window),
        show=_show_count if name == "count" else show_scaled,
    )


def ladder_expression(window: Window, zone_of: ZoneOf) -> ValueExpression:
    """The most extreme value in the window of a ``Ladder``."""
    edges = bounds(window, zone_of)

    def read(data: Data, now: int, state: State) -> Json:
        after, _ = edges(now, state)
        for at in entry_starts(data, 2):
            if data[at] > after:
                return data[at + 1]
        return None

    return ValueExpression(
        read,
        changes=entry_changes(window, zone_of, entry_times(2)),
        approximate=lost_error(window, zone_of),
        zoned=window.this is not None,
        span_ms=span_of(window),
        show=show_scaled,
    )


def held_error(data: Data, _now: int, _state: State) -> Json:
    """1 when a sum is larger than can be held."""
    return 1 if data is not None and abs(data[0]) == memories.SUM_MAX else None


def _show_count(value: Json) -> Json:
    return value


def show_scaled(value: Json) -> Json:
    """Ten-thousandths as a number again; an average from its sum and number."""
    if isinstance(value, tuple):
        total, number = value
        return round(total / number / SCALE, 4)
    if value is None:
        return None
    return value // SCALE if value % SCALE == 0 else value / SCALE


def scaled_predicate(text: str, expression: ValueExpression, op: str, right: float) -> Predicate:
    """A sum, average, extreme, score or percentile, in ten-thousandths, against a constant; missing is false, and so true for ``!=``."""
    sign, limit, missing = SIGNS[op], round(right * SCALE), op == "!="

    def truth(data: Data, now: int, state: State) -> bool:
        found = expression.read(data, now, state)
        if isinstance(found, tuple):
            return sign(found[0], limit * found[1])
        return missing if found is None else sign(found, limit)

    return predicate_over(text, expression, truth)


def scaled_one_of_predicate(text: str, expression: ValueExpression, items: tuple[float, ...]) -> Predicate:
    """A sum, average, extreme, score or percentile in a list: the same as being equal to any of it."""
    limits = [round(item * SCALE) for item in items]

    def truth(data: Data, now: int, state: State) -> bool:
        found = expression.read(data, now, state)
        total, number = found if isinstance(found, tuple) else (found, 1)
        return found is not None and any(total == limit * number for limit in limits)

    return predicate_over(text, expression, truth)
