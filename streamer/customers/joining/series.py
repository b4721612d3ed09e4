"""Times, and values with their times, of two names in one order: what answers over windows."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import merge, nsmallest
from itertools import chain
from operator import itemgetter

from streamer.customers.memories import (
    PAIRS_MAX,
    VALUES_MAX,
    Data,
    Labels,
    Ladder,
    Pairs,
    expire,
    expire_labels,
    fold_labels,
    fold_numbers,
    newer,
)

from .clocks import JoinClocks

_time = itemgetter(0)


SeriesEntry = list[Data]  # a time, and what belongs to it


def merged(ours: Iterable[SeriesEntry], theirs: Iterable[SeriesEntry]) -> list[SeriesEntry]:
    """Entries of both, each ascending in time, in one order: of equal times ours come first."""
    return list(merge(ours, theirs, key=_time))


def join_entries(ours: list[Data], theirs: list[Data], width: int) -> list[Data]:
    """The same of entries of ``width`` parts that lie one behind the other."""
    return list(chain.from_iterable(merged(entries_of(ours, width), entries_of(theirs, width))))


def entries_of(parts: list[Data], width: int) -> Iterable[SeriesEntry]:
    """Entries of ``width`` parts that lie one behind the other."""
    return (parts[at : at + width] for at in range(0, len(parts), width))


def join_newest(keep: int, ours: Data, theirs: Data) -> Data:
    """The ``keep`` newest times of both."""
    if ours is None:
        return theirs
    return max(ours, theirs) if keep == 1 else sorted(ours + theirs)[-keep:]


def _lost(span_ms: int, ours: Data, theirs: Data, at: JoinClocks) -> int | None:
    """Up to when something may be missing, or have stayed too long, in what both have of a window."""
    return newer(newer(ours[0], theirs[0]), at.let_go_ms(span_ms))


def join_pairs(spec: Pairs, ours: Data, theirs: Data, at: JoinClocks) -> Data:
    """All numbers of both in the window. Where both were folded, they are folded together: one stretch is one entry again."""
    ours = [None] if ours is None else ours
    are_folded = all(any(number > 1 for number in data[3::3]) for data in (ours, theirs))
    data: list[Data] = [_lost(spec.span_ms, ours, theirs, at), *join_entries(ours[1:], theirs[1:], 3)]
    expire(data, at.now - spec.span_ms, width=3)
    if are_folded or len(data) > 1 + 3 * PAIRS_MAX:
        fold_numbers(data, spec.stretch_ms, at.origin_ms)
    return data if len(data) > 1 else None


def join_ladder(spec: Ladder, ours: Data, theirs: Data, at: JoinClocks) -> Data:
    """The values of both that are or can become the most extreme."""
    ours, sign = [None] if ours is None else ours, spec.sign
    steps = list[tuple[int, int]]()
    for t, value in sorted([(t, sign * value) for parts in (ours, theirs) for t, value in entries_of(parts[1:], 2)], reverse=True):
        if t > at.now - spec.span_ms and (not steps or value > steps[-1][1]):
            steps.append((t, value))
    data: list[Data] = [_lost(spec.span_ms, ours, theirs, at), *(part for t, value in reversed(steps) for part in (t, sign * value))]
    while len(data) > 1 + 2 * PAIRS_MAX:
        spec.merge_oldest(data)
    return data if len(data) > 1 else None


def join_distinct(keep: int, ours: Data, theirs: Data) -> Data:
    """The ``keep`` newest different values of both."""
    newest = dict[str, int](ours or {})
    for text, t in theirs.items():
        newest[text] = max(t, newest.get(text, t))
    ordered = sorted(newest.items(), key=lambda item: (item[1], item[0]))
    return dict(ordered[-keep:])


def join_labels(spec: Labels, ours: Data, theirs: Data, at: JoinClocks) -> Data:
    """All values of both in the window, folded together where both were folded."""
    ours = [None, {}] if ours is None else ours
    are_folded = all(any(number > 1 for entries in data[1].values() for number in entries[1::2]) for data in (ours, theirs))
    by_text = {text: join_entries(ours[1].get(text, []), theirs[1].get(text, []), 2) for text in sorted({*ours[1], *theirs[1]})}
    data: list[Data] = [_lost(spec.span_ms, ours, theirs, at), by_text]
    expire_labels(data, at.now - spec.span_ms)
    if are_folded or sum(map(len, data[1].values())) > 2 * PAIRS_MAX:
        fold_labels(data, spec.stretch_ms, at.origin_ms)
    return data if data[1] else None


def join_frequencies(ours: Data, theirs: Data) -> Data:
    """How often each value came under both names. What was dropped of one value may be the sum of what both have dropped."""
    if ours is None:
        return theirs
    counts: dict[str, list[int]] = ours[1]
    for text, (number, t) in theirs[1].items():
        entry = counts.get(text)
        counts[text] = [number, t] if entry is None else [entry[0] + number, max(entry[1], t)]
    lost = ours[0] + theirs[0]
    for rarest in nsmallest(len(counts) - VALUES_MAX, counts, key=lambda text: (*counts[text], text)):
        lost = max(lost, counts.pop(rarest)[0])
    return [lost, counts]
