"""Why a condition is impossible, in words."""

from __future__ import annotations

from itertools import combinations

from streamer.language import tree
from streamer.language.tree import Condition

from .feasible import KnownSegments, possible


def conflict(when: Condition, known: KnownSegments) -> str:
    """The smallest part that explains why a condition is impossible."""
    parts = when.of if isinstance(when, tree.And) else (when,)
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
