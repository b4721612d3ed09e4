"""k-means over a sample, in plain floats added in one order: the same sample and rng give the same centres on every machine.

Two traps of it are closed here. Centres drawn at random leave dead clusters behind, so they are drawn far apart (k-means++), several
times, and the best is kept. And a cluster of a handful of far-off people is no group: they are left out, and the others are clustered
without them. Where that does not end, there are fewer groups than asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from math import dist
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamer.learning.algorithms.rng import Rng

STARTS: Final = 4
DRAWS: Final = 3
ROUNDS: Final = 30
SMALLEST_SHARE: Final = 0.02
FAR_OFF_MOST: Final = 0.1  # of the points that may be left out

Point = list[float]


@dataclass(frozen=True, slots=True)
class Clusters:
    """``labels`` has the number of the nearest centre for each point; ``cost`` is the mean squared distance to it."""

    centres: list[Point]
    labels: list[int]
    cost: float


def cluster(points: Sequence[Point], k: int, rng: Rng) -> Clusters:
    """The best of several starts. At most ``k`` clusters, none below SMALLEST_SHARE of the points unless it is alone."""
    core = list(points)
    while True:
        found = min((settle(core, _spread(core, k, rng)) for _ in range(STARTS)), key=lambda found: found.cost)
        sizes = [found.labels.count(label) for label in range(len(found.centres))]
        dwarfs = {label for label, size in enumerate(sizes) if size < SMALLEST_SHARE * len(points)}
        if not dwarfs or len(dwarfs) == len(sizes):
            return nearest(points, found.centres)
        rest = [point for point, label in zip(core, found.labels, strict=True) if label not in dwarfs]
        if len(rest) < (1 - FAR_OFF_MOST) * len(points):
            return settle(points, [centre for label, centre in enumerate(found.centres) if label not in dwarfs])
        core = rest


def settle(points: Sequence[Point], centres: Sequence[Point]) -> Clusters:
    """From these centres on (Lloyd), until nobody moves."""
    found = nearest(points, centres)
    for _ in range(ROUNDS):
        moved = nearest(points, _means(points, found))
        if moved.labels == found.labels:
            return moved
        found = moved
    return found


def nearest(points: Sequence[Point], centres: Sequence[Point]) -> Clusters:
    """Who is nearest to which of these centres."""
    labels: list[int] = []
    cost = 0.0
    for point in points:
        distances = [dist(point, centre) for centre in centres]
        least = min(distances)
        labels.append(distances.index(least))
        cost += least * least
    return Clusters([list(centre) for centre in centres], labels, cost / len(points))


def _spread(points: Sequence[Point], k: int, rng: Rng) -> list[Point]:
    """k-means++: each next centre is the best of a few, drawn with a chance that grows with the squared distance to the centres so far."""
    centres = [points[rng.below(len(points))]]
    squares = [dist(point, centres[0]) ** 2 for point in points]
    while len(centres) < k:
        sums = list(accumulate(squares))
        if sums[-1] <= 0:
            break
        drawn = [points[min(bisect_left(sums, rng.share() * sums[-1]), len(points) - 1)] for _ in range(DRAWS)]
        after = [[min(square, dist(point, one) ** 2) for square, point in zip(squares, points, strict=True)] for one in drawn]
        best = min(range(DRAWS), key=lambda at: sum(after[at]))
        centres.append(drawn[best])
        squares = after[best]
    return centres


def _means(points: Sequence[Point], found: Clusters) -> list[Point]:
    """The middle of each cluster; a cluster that nobody is in takes the point that is farthest from its own centre."""
    members: list[list[Point]] = [[] for _ in found.centres]
    for point, label in zip(points, found.labels, strict=True):
        members[label].append(point)
    far: list[int] = []
    if not all(members):
        far = sorted(range(len(points)), key=lambda at: dist(points[at], found.centres[found.labels[at]]))
    return [_middle(group) if group else points[far.pop()] for group in members]


def _middle(group: Sequence[Point]) -> Point:
    return [sum(column) / len(group) for column in zip(*group, strict=True)]
