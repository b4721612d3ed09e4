"""Where customers are points: features of all units brought to one scale, so that distances and sums of them mean something.

A space is fitted once to a sample and then stands still: what moves in it is customers, not the measure. Numbers with a long tail are taken
by their logarithm; every number is then counted in standard deviations from the average and cut at four of them, because one buyer of a
thousand things must not be a group of his own. Hours lie on a circle (23 is beside 0), other categories each in a direction of their own,
and both count for less than a number: otherwise every grouping would be one by device.
"""

from __future__ import annotations

from math import cos, log1p, pi, sin, sqrt
from typing import TYPE_CHECKING, Final

import msgspec

from streamer.examples import Cyclic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamer.examples import Feature, FeatureList

CUT: Final = 4.0  # standard deviations
CATEGORIES_MAX: Final = 32  # directions of one feature; what is above counts as the last
_CATEGORY_WEIGHT: Final = 0.5
_LONG_TAIL: Final = 2.0  # skewness


class Axis(msgspec.Struct, frozen=True):
    """A number: (x - low, or its logarithm, - mean) · scale."""

    at: int
    long: bool
    low: float
    mean: float
    scale: float


class Wheel(msgspec.Struct, frozen=True):
    """A category: the point for each whole number from ``low`` on."""

    at: int
    low: int
    points: tuple[tuple[float, ...], ...]


class Space(msgspec.Struct, frozen=True):
    """What a scorer carries. Its dimensions are the long axes, the others, then the wheels', each in the order given."""

    axes: tuple[Axis, ...]
    wheels: tuple[Wheel, ...]

    @property
    def dimensions(self) -> int:
        """How many numbers a point has."""
        return len(self.axes) + sum(len(wheel.points[0]) for wheel in self.wheels)


class Projector:
    """A space ready to use.

    ``project`` may be given any numbers, finite or not: scorers see what the step measured, and must answer.
    """

    def __init__(self, space: Space) -> None:
        self._long = [(axis.at, axis.low, axis.mean, axis.scale) for axis in space.axes if axis.long]
        self._plain = [(axis.at, axis.mean + axis.low, axis.scale) for axis in space.axes if not axis.long]
        self._wheels = [(wheel.at, wheel.low, len(wheel.points) - 1, wheel.points) for wheel in space.wheels]

    def project(self, x: Sequence[float]) -> list[float]:
        """The point of a customer."""
        point = [(log1p(x[at] - low) - mean) * scale if x[at] > low else -mean * scale for at, low, mean, scale in self._long]
        point += [(x[at] - mean) * scale for at, mean, scale in self._plain]
        point = [z if -CUT < z < CUT else CUT if z > 0 else -CUT for z in point]
        for at, low, last, points in self._wheels:
            value = x[at] - low
            point += points[int(value) if 0 <= value < last else last if value > 0 else 0]
        return point


def fit(rows: Sequence[Sequence[float]], features: FeatureList, left_out: frozenset[str] = frozenset()) -> Space:
    """The space of a sample. What does not differ between customers has no place in it, nor have the features ``left_out``."""
    axes: list[Axis] = []
    wheels: list[Wheel] = []
    for at, feature in enumerate(features.features):
        if feature.name in left_out:
            continue
        values = [row[at] for row in rows]
        if feature.is_number:
            axes += _axis(at, feature, values)
        else:
            wheels += _wheel(at, feature, values)
    axes.sort(key=lambda axis: not axis.long)
    return Space(tuple(axes), tuple(wheels))


def _axis(at: int, feature: Feature, values: Sequence[float]) -> list[Axis]:
    raised = [max(value - feature.low, 0.0) for value in values]
    mean, spread, skew = _moments(raised)
    long = skew > _LONG_TAIL
    if long:
        mean, spread, _ = _moments([log1p(value) for value in raised])
    return [Axis(at, long, float(feature.low), mean, 1 / spread)] if spread > 1e-9 * max(1.0, abs(mean)) else []


def _wheel(at: int, feature: Feature, values: Sequence[float]) -> list[Wheel]:
    low = int(feature.low)
    count = min(int(feature.high) - low + 1, CATEGORIES_MAX)
    seen = [min(max(int(value) - low, 0), count - 1) for value in values]
    shares = [seen.count(value) / len(seen) for value in range(count)]
    if max(shares) == 1.0:
        return []
    if isinstance(feature.scale, Cyclic):
        turns = [2 * pi * value / count for value in range(count)]
        return [Wheel(at, low, tuple((cos(turn) * _CATEGORY_WEIGHT * sqrt(2), sin(turn) * _CATEGORY_WEIGHT * sqrt(2)) for turn in turns))]
    size = _CATEGORY_WEIGHT / sqrt(1 - sum(share * share for share in shares))
    return [Wheel(at, low, tuple(tuple(size * (own == other) for other in range(count)) for own in range(count)))]


def _moments(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, standard deviation, skewness."""
    mean = sum(values) / len(values)
    second = sum((value - mean) ** 2 for value in values) / len(values)
    third = sum((value - mean) ** 3 for value in values) / len(values)
    spread = sqrt(second)
    return mean, spread, third / (second * spread) if second * spread > 0 else 0.0
