"""Why a condition is impossible, and which parts of it decide nothing, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from streamer.language import tree
from streamer.language.tree import Condition

from .feasible import KnownSegments, possible


def conflict(condition: Condition, known: KnownSegments) -> str:
    """The smallest part that explains why a condition is impossible."""
    parts = condition.of if isinstance(condition, tree.And) else (condition,)
    for part in parts:
        if not possible([(part, True)], known):
            return f"{short(part)} is never true"
    for one, other in combinations(parts[:20], 2):
        if not possible([(one, True), (other, True)], known):
            return f"{short(one)} excludes {short(other)}"
    return "its parts exclude each other"


def short(condition: Condition) -> str:
    """The text of a condition, at most 160 characters of it."""
    text = tree.text(condition)
    return text if len(text) <= 160 else text[:159] + "…"


def idle_parts(conditions: Mapping[str, Condition | None], known: KnownSegments) -> Iterator[str]:
    """Comparisons in conditions, each called by its key, that are the same for everybody, or that no event can satisfy."""
    for key, condition in conditions.items():
        for atom in dict.fromkeys(_atoms(condition)) if condition is not None else ():
            if not possible([(atom, True)], known):
                yield f"in {key}: {short(atom)} is never true"
            elif not possible([(atom, False)], known):
                yield f"in {key}: {short(atom)} is always true"


def _atoms(condition: Condition) -> Iterator[Condition]:
    if isinstance(condition, (tree.And, tree.Or)):
        for part in condition.of:
            yield from _atoms(part)
    elif isinstance(condition, tree.Not):
        yield from _atoms(condition.of)
    else:
        yield condition
