"""Where a score stands among recent ones: a small, exact-by-counting sketch, and the table that scorers carry.

Values are counted in cells as wide as 1/128 of the value (single whole numbers below 256), so a value is known to 0.8 %, whatever its
size, without a logarithm that two machines might round differently. Older values fade: after ``half_life`` further ones they count half.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Final, TypedDict

from streamer.examples import SCORE_SCALE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STEPS: Final = 200  # a table has STEPS + 1 values: a share looked up in it is off by at most half a percent
HALF_LIFE: Final = 20_000
_MANTISSA_BITS: Final = 7
_WEIGHT_MAX: Final = float(2**40)  # newer values weigh more; before the weight grows past this everything is scaled down
_FORGOTTEN: Final = 1e-6  # of a newest value's weight: a cell below this is dropped, which bounds the memory


class QuantilesState(TypedDict):
    """What ``Quantiles.dump`` gives; cells with their weights."""

    growth: float
    weight: float
    count: int
    cells: list[tuple[int, float]]


class Quantiles:
    """Recent whole numbers of 0 or more (negative ones count as 0), by size.

    ``share`` and ``value`` differ from the exact answer over the faded values only within one cell: a value off by at most 0.8 %.

    >>> recent = Quantiles(half_life=float("inf"))
    >>> recent.extend(range(1, 201))
    >>> recent.share(50), recent.value(0.5)
    (0.25, 100)
    """

    def __init__(self, half_life: float = HALF_LIFE) -> None:
        self._growth = 2.0 ** (1.0 / half_life) if half_life < float("inf") else 1.0
        self._weight = 1.0
        self._cells: dict[int, float] = {}
        self.count = 0

    def add(self, value: int) -> None:
        """Count one value."""
        cell = _cell(value)
        self._weight *= self._growth
        self._cells[cell] = self._cells.get(cell, 0.0) + self._weight
        self.count += 1
        if self._weight > _WEIGHT_MAX:
            self._scale_down()

    def extend(self, values: Iterable[int]) -> None:
        """Count many, in order."""
        for value in values:
            self.add(value)

    def share(self, value: int) -> float:
        """Share of recent values at or below ``value``'s cell, 0 to 1; 0 when nothing was counted."""
        last = _cell(value)
        cells = sorted(self._cells.items())
        total = sum(weight for _, weight in cells)
        return sum(weight for cell, weight in cells if cell <= last) / total if total else 0.0

    def value(self, share: float) -> int:
        """The smallest value (top of its cell) with at least ``share`` of the recent ones at or below it; 0 when nothing was counted."""
        return self._values([share])[0]

    def table(self) -> tuple[int, ...]:
        """Values at the shares 0, 1/STEPS … 1: what ``share_in`` reads. Empty when nothing was counted."""
        return tuple(self._values([step / STEPS for step in range(STEPS + 1)])) if self._cells else ()

    def dump(self) -> QuantilesState:
        """As JSON can hold it."""
        cells = sorted(self._cells.items())
        return {"growth": self._growth, "weight": self._weight, "count": self.count, "cells": cells}

    @classmethod
    def restore(cls, dumped: QuantilesState) -> Quantiles:
        """The inverse of ``dump``."""
        recent = cls()
        recent._growth, recent._weight, recent.count = float(dumped["growth"]), float(dumped["weight"]), int(dumped["count"])
        recent._cells = {int(cell): float(weight) for cell, weight in dumped["cells"]}
        return recent

    def _values(self, shares: Sequence[float]) -> list[int]:
        cells = sorted(self._cells.items())
        if not cells:
            return [0] * len(shares)
        sums = list(accumulate(weight for _, weight in cells))
        # a billionth of slack: sums of weights are rounded, and exactly half must find the lower of two
        reached = (bisect_left(sums, share * sums[-1] * (1 - 1e-9)) for share in shares)
        return [_top(cells[min(at, len(cells) - 1)][0]) for at in reached]

    def _scale_down(self) -> None:
        self._cells = {cell: weight / self._weight for cell, weight in self._cells.items() if weight > _FORGOTTEN * self._weight}
        self._weight = 1.0


def table_of(values: Sequence[float]) -> tuple[float, ...]:
    """The same table from a sample that is at hand: no cells, no fading."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return tuple(ordered[max(0, -(-step * len(ordered) // STEPS) - 1)] for step in range(STEPS + 1)) if last >= 0 else ()


def share_in(table: Sequence[float], value: float) -> int:
    """Ten-thousandths of the values behind ``table`` that are at or below ``value``; 0 for an empty table."""
    at = bisect_right(table, value)
    if at == 0:
        return 0
    steps = len(table) - 1
    if at > steps:
        return SCORE_SCALE
    low, high = table[at - 1], table[at]
    return int((at - 1 + (value - low) / (high - low)) * SCORE_SCALE / steps)


def _cell(value: int) -> int:
    if value < 2 << _MANTISSA_BITS:
        return max(value, 0)
    shift = value.bit_length() - 1 - _MANTISSA_BITS
    return (shift << _MANTISSA_BITS) + (value >> shift)


def _top(cell: int) -> int:
    if cell < 2 << _MANTISSA_BITS:
        return cell
    shift = (cell >> _MANTISSA_BITS) - 1
    return ((cell - (shift << _MANTISSA_BITS) + 1) << shift) - 1
