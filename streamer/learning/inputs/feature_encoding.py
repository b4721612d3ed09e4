"""From a customer's numbers to the few slots of a linear model that they light up.

A number is put into one of ten bins (a slot of its own each) and also says where it stands in its bin, as one scaled position; a category
lights one slot; a declared cross lights the slot of its pair of coarser bins. The bins are frozen from the first examples and never move:
the number of slots is fixed, so neither memory nor the meaning of a weight drifts. New bins are a new encoding, and a new model.

Positions instead of raw or logarithmic values: they are bounded whatever the tails, and a scorer needs no logarithm.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from math import ceil, floor, sqrt
from typing import Final

import msgspec

from streamer.examples import Feature, FeatureList

BINS: Final = 10  # of the examples that froze them, a tenth in each
COARSE: Final = 4  # bins of a number inside a cross: 4 x 12 months is still learned from a few thousand examples
VALUES_MAX: Final = 64  # of a category; those beyond share the last slot
ATOM_RATIO: Final = 0.25  # a bin with more of the examples than this keeps a coarse bin to itself
WIDTH_MIN: Final = 1e-100  # of a bin; what is narrower has no inside, and its slope would overflow
POSITION_SCALE: Final = sqrt(12)  # a uniform position then has variance 1, like what the optimizers expect


class Column(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one feature becomes slots, from ``base`` on.

    A number (``values`` is empty): ``knots`` are low, cuts, high; bin ``k`` holds what is above ``knots[k]`` up to ``knots[k + 1]``, and
    the slot after the bins is the position. Beyond low and high it counts as those. A category: one slot per value, one more for all
    others. ``coarse`` says for each bin or value which part of a cross it belongs to.
    """

    at: int
    base: int
    coarse: tuple[int, ...]
    knots: tuple[float, ...] = ()
    values: tuple[float, ...] = ()

    @property
    def bins(self) -> int:
        """Bins of a number, or values of a category with the one for all others."""
        return len(self.values) + 1 if self.values else len(self.knots) - 1


class Cross(msgspec.Struct, frozen=True):
    """Two features looked at together: slot ``base + coarse of left * width + coarse of right``."""

    left: int
    right: int
    base: int
    width: int


class Encoding(msgspec.Struct, frozen=True):
    """Where each feature's slots lie. ``columns`` are in the order of the features.

    ``shares`` say how many of the rows that froze it fell in each bin.
    """

    version: int
    features: int
    slots: int
    columns: tuple[Column, ...]
    crosses: tuple[Cross, ...]
    shares: tuple[tuple[float, ...], ...]


class AxisSegments(msgspec.Struct, frozen=True):
    """A number's axis cut at its knots, for ``bisect_left(knots, value)``: before low, each bin, beyond high.

    The position there is ``starts[i] + slopes[i] * (value - lows[i])``, which is what is measured from the bin's own low end: from zero
    a narrow bin far out would lose its digits.
    """

    bins: tuple[int, ...]
    lows: tuple[float, ...]
    starts: tuple[float, ...]
    slopes: tuple[float, ...]


def segments(knots: Sequence[float]) -> AxisSegments:
    """The pieces of a number's axis."""
    count = len(knots) - 1
    scale = POSITION_SCALE / count
    bins, lows, starts, slopes = [0], [knots[0]], [_start(0, scale, knots[1] - knots[0] < WIDTH_MIN)], [0.0]
    for k in range(count):
        width = knots[k + 1] - knots[k]
        bins.append(k)
        lows.append(knots[k])
        starts.append(_start(k, scale, width < WIDTH_MIN))
        slopes.append(scale / width if width >= WIDTH_MIN else 0.0)
    bins.append(count - 1)
    lows.append(knots[-1])
    starts.append(_start(count, scale, False))
    slopes.append(0.0)
    return AxisSegments(tuple(bins), tuple(lows), tuple(starts), tuple(slopes))


def _start(k: int, scale: float, whole: bool) -> float:
    return (k + whole) * scale - POSITION_SCALE / 2


def freeze(rows: Sequence[Sequence[float]], features: FeatureList, version: int) -> Encoding:
    """Bins from these rows, none of which may be empty."""
    columns: list[Column] = []
    shares: list[tuple[float, ...]] = []
    base = 0
    for at, feature in enumerate(features.features):
        seen = [row[at] for row in rows]
        if not feature.is_number:
            values = _values(feature, seen)
            column = Column(at, base, tuple(range(len(values) + 1)), values=values)
            base += column.bins
        else:
            knots = _knots(seen)
            column = Column(at, base, (), knots=knots)
            column = msgspec.structs.replace(column, coarse=_coarse(_shares(column, seen)))
            base += column.bins + 1
        columns.append(column)
        shares.append(_shares(column, seen))
    crosses: list[Cross] = []
    places = {name: at for at, name in enumerate(features.names)}
    for left_name, right_name in features.crosses:
        left, right = places[left_name], places[right_name]
        height, width = (max(columns[at].coarse) + 1 for at in (left, right))
        crosses.append(Cross(left, right, base, width))
        base += height * width
    return Encoding(version, features.version, base, tuple(columns), tuple(crosses), tuple(shares))


def _values(feature: Feature, seen: list[float]) -> tuple[float, ...]:
    """All that it may be, seen yet or not (in the first examples it is always February); where those are too many, the commonest seen."""
    if feature.high - feature.low < VALUES_MAX:
        return tuple(float(value) for value in range(ceil(feature.low), floor(feature.high) + 1))
    counts = Counter(seen)
    return tuple(sorted(sorted(counts, key=lambda value: (-counts[value], value))[:VALUES_MAX]))


def _knots(seen: list[float]) -> tuple[float, ...]:
    """Low, cuts and high. A value that is common enough to fill a bin gets one to itself, and the others share the rest evenly."""
    ordered = sorted(seen)
    low, high = ordered[0], ordered[-1]
    bins = BINS
    cuts: set[float] = set()
    atom, count = min(Counter(ordered).items(), key=lambda item: (-item[1], item[0]))
    if count * BINS > len(ordered):
        cuts.add(atom)
        below = [value for value in ordered if value < atom]
        if below:
            cuts.add(below[-1])
        ordered = [value for value in ordered if value != atom]
        bins -= 1
    cuts.update(ordered[len(ordered) * k // bins] for k in range(1, bins) if ordered)
    return (low, *sorted(cut for cut in cuts if cut < high), high)


def _coarse(shares: Sequence[float]) -> tuple[int, ...]:
    """Parts of a cross: heavy bins alone, the others evenly by order."""
    heavy = {k for k, share in enumerate(shares) if share > ATOM_RATIO}
    light = [k for k in range(len(shares)) if k not in heavy]
    room = max(1, COARSE - len(heavy))
    part = {k: min(order * room // max(1, len(light)), room - 1) for order, k in enumerate(light)}
    keys = [("heavy", k) if k in heavy else ("light", part[k]) for k in range(len(shares))]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return tuple(numbers[key] for key in keys)


def _shares(column: Column, seen: Sequence[float]) -> tuple[float, ...]:
    counts = [0] * column.bins
    which = _BinOf(column)
    for value in seen:
        counts[which(value)] += 1
    return tuple(round(count / len(seen), 6) for count in counts)


def bin_shares(encoding: Encoding, rows: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    """How many of these rows fall in each bin, to be held against ``encoding.shares``."""
    return tuple(_shares(column, [row[column.at] for row in rows]) for column in encoding.columns)


class _BinOf:
    """The bin of a value."""

    def __init__(self, column: Column) -> None:
        self._values = {value: k for k, value in enumerate(column.values)}
        self._knots = column.knots
        self._bins = () if column.values else segments(column.knots).bins

    def __call__(self, value: float) -> int:
        if self._bins:
            return self._bins[bisect_left(self._knots, value)]
        return self._values.get(value, len(self._values))


class Encoder:
    """Encodes rows. Slots come in one fixed order, so sums over them do too."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self._numbers: list[tuple[int, int, tuple[float, ...], tuple[int, ...], AxisSegments, tuple[int, ...]]] = []
        self._categories: list[tuple[int, int, dict[float, int], int, tuple[int, ...]]] = []
        for column in encoding.columns:
            if column.values:
                known = {value: k for k, value in enumerate(column.values)}
                self._categories.append((column.at, column.base, known, len(known), column.coarse))
            else:
                pieces = segments(column.knots)
                slots = tuple(column.base + k for k in pieces.bins)
                coarse = tuple(column.coarse[k] for k in pieces.bins)
                self._numbers.append((column.at, column.base + column.bins, column.knots, slots, pieces, coarse))
        self._crosses = [(cross.left, cross.right, cross.base, cross.width) for cross in encoding.crosses]

    def encode(self, x: Sequence[float]) -> dict[int, float]:
        """The lit slots of a row and their values; the row is not touched."""
        lit: dict[int, float] = {}
        part = [0] * len(x)
        for at, position, knots, slots, pieces, coarse in self._numbers:
            value = x[at]
            i = bisect_left(knots, value)
            lit[slots[i]] = 1.0
            lit[position] = pieces.starts[i] + pieces.slopes[i] * (value - pieces.lows[i])
            part[at] = coarse[i]
        for at, base, known, other, coarse in self._categories:
            k = known.get(x[at], other)
            lit[base + k] = 1.0
            part[at] = coarse[k]
        for left, right, base, width in self._crosses:
            lit[base + part[left] * width + part[right]] = 1.0
        return lit
