"""Explanations as text: what matters first, and of the rest only how much there is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from streamer.segments.change import Clause
from streamer.segments.explain import ExplainedClause, Explanation
from streamer.values import time_text

OTHERS_SHOWN: Final = 10  # segments that a customer is not in and that time alone does not change; more of them are only counted

_INDENT: Final = " " * 7


def explanation_lines(customer: str, found: list[Explanation], now: int, *, whole: bool) -> Iterator[str]:
    """Where the customer is, then what turns next or is barred, then the rest; ``whole``: however much that is."""
    yield f"{customer} at {time_text(now)}"
    first = sorted((item for item in found if item.matters), key=lambda item: (not item.inside, item.flips_at or "~", item.segment))
    others = [item for item in found if not item.matters]
    if not found:
        yield "no segments held at that moment: definitions were published later, or not at all"
    is_shown = whole or len(others) <= OTHERS_SHOWN
    for item in (*first, *others) if is_shown else first:
        yield from _block(item)
    if not is_shown:
        yield ""
        yield f"not in {len(others)} more, which time alone does not change: --all shows them, --segment NAME one of them"


def _block(item: Explanation) -> Iterator[str]:
    word = "in    " if item.inside else "not in"
    since = f" since {item.since}" if item.inside else ""
    yield ""
    yield f"{word} {item.segment}{since}{flip_text(item)}"
    yield f"{_INDENT}{item.purpose}"
    if item.of_exit:
        yield f"{_INDENT}its exit holds:" if item.exit_holds else f"{_INDENT}stays until its exit holds:"
    yield from (f"{_INDENT}{clause_line(clause)}" for clause in item.because)
    if item.barred:
        yield f"{_INDENT}its exit holds, and nobody enters while it does:"
        yield from (f"{_INDENT}{clause_line(clause)}" for clause in item.barred)
    if item.note:
        yield f"{_INDENT}{item.note}"


def flip_text(item: Explanation) -> str:
    """When a membership turns if nothing happens, as the end of a sentence; empty where nothing is known."""
    if item.flips_at is not None:
        return f"; {'leaves' if item.inside else 'enters'} {item.flips_at} if nothing happens"
    return "" if item.no_flip_until is None else f"; stays so until {item.no_flip_until} at least, further was not looked"


def clause_line(clause: Clause) -> str:
    """Whether a clause holds, its value, and what must be known of that value."""
    value = "nothing" if clause.value is None else clause.value
    marks = " (cut: the value is longer)" if clause.cut else ""
    marks += _warming(clause) if clause.warming else ""
    marks += f" (approximate: up to {clause.approximate:g} events)" if clause.approximate else ""
    why = f" (associated with {'; '.join(clause.reasons)})" if clause.reasons else ""
    return f"{'yes' if clause.holds else 'no ':<3} {clause.clause}: {value}{marks}{why}"


def _warming(clause: Clause) -> str:
    if not isinstance(clause, ExplainedClause) or clause.known_since is None:
        return " (warming: has not seen its whole window yet)"
    whole = "it looks back to the beginning" if clause.whole_from is None else f"it has seen its whole window from {clause.whole_from} on"
    return f" (warming: events are known since {clause.known_since}; {whole})"
