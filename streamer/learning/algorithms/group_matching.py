"""Which new group is which old one: the one with the same people in it.

Centres cannot be compared once the measure has changed, people can: both groupings are asked about the same sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

SAME_SHARE: Final = 1 / 3  # of the people in either that are in both: below this it is not the same group any more
SPLIT_SHARE: Final = 0.25  # of an old group's people: as many must be in a new group for it to be a part of the old
MERGED_SHARE: Final = 0.5  # of an old group's people: as many must be in a new group for the old one to have gone into it


@dataclass(frozen=True, slots=True)
class Matched:
    """``same`` maps new to old. ``splits``: an old one and its parts. ``merges``: a new one and what went into it."""

    same: dict[int, int]
    retired: tuple[int, ...]
    born: tuple[int, ...]
    splits: tuple[tuple[int, tuple[int, ...]], ...]
    merges: tuple[tuple[int, tuple[int, ...]], ...]


def match(old: Sequence[int], new: Sequence[int], old_count: int, new_count: int, weights: Sequence[int]) -> Matched:
    """``old`` and ``new`` give the group of each person of one sample, by the old and by the new grouping.

    ``weights`` are whole numbers: who stood at the edge of an old group, for want of a better one, says less about what became of it.
    """
    both = [[0] * new_count for _ in range(old_count)]
    for before, after, weight in zip(old, new, weights, strict=True):
        both[before][after] += weight
    olds = [sum(row) for row in both]
    news = [sum(column) for column in zip(*both, strict=True)]
    same: dict[int, int] = {}
    for before, after in _best_pairs(both):
        common = both[before][after]
        if common > 0 and common >= SAME_SHARE * (olds[before] + news[after] - common):
            same[after] = before
    kept = set(same.values())
    columns = list(zip(*both, strict=True))
    parts = [(at, tuple(into for into, shared in enumerate(row) if shared > SPLIT_SHARE * olds[at])) for at, row in enumerate(both)]
    inside = [(at, tuple(of for of, shared in enumerate(column) if shared > MERGED_SHARE * olds[of])) for at, column in enumerate(columns)]
    return Matched(
        same=same,
        retired=tuple(before for before in range(old_count) if before not in kept),
        born=tuple(after for after in range(new_count) if after not in same),
        splits=tuple((before, into) for before, into in parts if len(into) > 1),
        merges=tuple((after, out_of) for after, out_of in inside if len(out_of) > 1),
    )


def _best_pairs(both: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """Pairs (old, new), each at most once, with the most people in common altogether (the Hungarian method)."""
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415 - slow to load, once a week

    rows, columns = linear_sum_assignment(both, maximize=True)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)]
