"""Truth and due of one predicate in one pass over its memory, where two passes would cost something.

A predicate is evaluated after each event that its memory takes and at each timer of its customer, so a worker spends much of its time
here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import groupby, islice
from operator import eq, ge, gt, itemgetter, le, lt, ne
from typing import Any, Final

from streamer.customers.memories import MIN_TIME, Data
from streamer.customers.state import NO_TIMER, State
from streamer.values import Json

Truth = Callable[[Data, int, State], bool]
Due = Callable[[Data, int, State], int]
SinglePass = Callable[[Data, int, State], tuple[bool, int]]  # truth and due

LOOK_AHEAD: Final = 8  # moments looked through for the one that flips; then the customer is rather woken for nothing
SIGNS: Final[dict[str, Callable[[Any, Any], bool]]] = {"==": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}


def never_due(_data: Data, _now: int, _state: State) -> int:
    """``NO_TIMER``: for predicates that only events can change."""
    return NO_TIMER


def entry_starts(data: Data, width: int) -> range:
    """Where the entries of a memory begin, behind its head."""
    return range(1, 0 if data is None else len(data), width)


def labels_in(data: Data, after: int, until: int) -> dict[str, tuple[int, int]]:
    """Number and newest time of each text in a stretch of a ``Labels`` memory."""
    found: dict[str, tuple[int, int]] = {}
    for text, entries in data[1].items() if data is not None else ():
        if entries[0] > after and entries[-2] <= until:  # all of it, as nearly always
            found[text] = (sum(entries[1::2]), entries[-2])
            continue
        times = entries[::2]
        start, end = bisect_right(times, after), bisect_right(times, until)
        if start < end:
            found[text] = (sum(entries[2 * start + 1 : 2 * end : 2]), times[end - 1])
    return found


def oldest_entry(data: Data) -> int:
    """The oldest time in a memory whose entries, behind a head, ascend in time; ``NO_TIMER`` when it is empty."""
    return data[1] if data is not None and len(data) > 1 else NO_TIMER


def oldest_label(data: Data) -> int:
    """The oldest time in a ``Labels`` memory; ``NO_TIMER`` when it is empty."""
    return min([entries[0] for entries in data[1].values()], default=NO_TIMER) if data is not None else NO_TIMER


def distinct_pass(least: int, within_ms: int, *, negated: bool) -> SinglePass:
    """``distinct >= least`` in a window that ends now."""

    def evaluate(data: Data, now: int, _state: State) -> tuple[bool, int]:
        if data is None or len(data) < least:
            return negated, NO_TIMER
        end_ms = next(islice(reversed(data.values()), least - 1, None)) + within_ms
        return (not negated, end_ms) if end_ms > now else (negated, NO_TIMER)

    return evaluate


def count_pass(times_of: Callable[[Data], Sequence[int]], within_ms: int, op: str, right: int) -> SinglePass:
    """How many of the ascending times lie in a window that ends now, compared with any sign."""
    sign = SIGNS[op]

    def evaluate(data: Data, now: int, _state: State) -> tuple[bool, int]:
        if data is None:
            return sign(0, right), NO_TIMER
        times = times_of(data)
        start, end = bisect_right(times, now - within_ms), len(times)
        before = sign(end - start, right)
        for at in range(start, end):
            is_last_of_its_time = at + 1 == end or times[at + 1] != times[at]
            if is_last_of_its_time and sign(end - at - 1, right) != before:
                return before, times[at] + within_ms
        return before, NO_TIMER

    return evaluate


def pairs_holds(name: str, op: str, limit: int) -> Callable[[int, int], bool]:
    """``count``, ``sum`` or ``avg`` of a total and a number of events, against a limit in the memory's units."""
    sign, is_average, missing = SIGNS[op], name == "avg", op == "!="

    def holds(total: int, number: int) -> bool:
        if is_average:
            return sign(total, limit * number) if number else missing
        return sign(total, limit)

    return holds


def pairs_truth(within_ms: int, holds: Callable[[int, int], bool]) -> Truth:
    """Whether it holds of what a ``Pairs`` memory has in a window that ends now."""

    def truth(data: Data, now: int, _state: State) -> bool:
        if data is None:
            return holds(0, 0)
        start, end = 1, len(data)
        while start < end and data[start] + within_ms <= now:
            start += 3
        return holds(sum(data[start + 1 : end : 3]), sum(data[start + 2 : end : 3]))

    return truth


def pairs_pass(within_ms: int, holds: Callable[[int, int], bool]) -> SinglePass:
    """The same, and when it turns: what is in the window is added up, then taken away again from the oldest on until the answer turns."""

    def evaluate(data: Data, now: int, _state: State) -> tuple[bool, int]:
        if data is None:
            return holds(0, 0), NO_TIMER
        start, end = 1, len(data)
        while start < end and data[start] + within_ms <= now:
            start += 3
        total, number = sum(data[start + 1 : end : 3]), sum(data[start + 2 : end : 3])
        before = holds(total, number)
        for _ in range(LOOK_AHEAD):
            if start >= end:
                return before, NO_TIMER
            t = data[start]
            while start < end and data[start] == t:
                total -= data[start + 1]
                number -= data[start + 2]
                start += 3
            if holds(total, number) != before:
                return before, t + within_ms
        return before, data[start] + within_ms if start < end else NO_TIMER

    return evaluate


def top_pass(within_ms: int, holds: Callable[[Json], bool], first_of: Callable[[dict[str, tuple[int, int]]], Json]) -> SinglePass:
    """A condition on the top value of a window that ends now.

    Only the leader's own events leaving the window can bring another value to the top, and only once so many have left as it is ahead:
    that is when the customer has to be looked at again, not at every expiry.
    """

    def evaluate(data: Data, now: int, _state: State) -> tuple[bool, int]:
        after = now - within_ms
        found = labels_in(data, after, now)
        if not found:
            return holds(None), NO_TIMER
        truth = holds(first_of(found))
        if len(found) == 1:
            return truth, max(entry[1] for entry in found.values()) + within_ms
        leader = max(found, key=lambda text: found[text][0])
        ahead = found[leader][0] - max(entry[0] for text, entry in found.items() if text != leader)
        if ahead == 0:
            return truth, min(t for entries in data[1].values() for t in entries[::2] if t > after) + within_ms
        entries = data[1][leader]
        for at in range(2 * bisect_right(entries[::2], after), len(entries), 2):
            ahead -= entries[at + 1]
            if ahead <= 0:
                return truth, entries[at] + within_ms
        return truth, NO_TIMER

    return evaluate


def active_pass(each_ms: int, periods: int, op: str, right: float) -> SinglePass:
    """In how many of the last ``periods`` there is an event, over a ``Pairs`` memory, compared with a number."""
    sign, counts_ahead = SIGNS[op], _counts_ahead(each_ms, periods)

    def evaluate(data: Data, now: int, _state: State) -> tuple[bool, int]:
        if data is None or len(data) < 4:
            return sign(0, right), NO_TIMER
        counts = counts_ahead(tuple(data[1::3]), now)
        before = sign(counts[0][1], right)
        for at_ms, number in counts[1 : LOOK_AHEAD + 1]:
            if sign(number, right) != before:
                return before, at_ms
        return before, counts[-1][0] if len(counts) > 1 else NO_TIMER

    return evaluate


@lru_cache(maxsize=256)
def _counts_ahead(each_ms: int, periods: int) -> Callable[[tuple[int, ...], int], list[tuple[int, int]]]:
    """A function of ascending times and a moment: how many periods have an event, then and at the next ``LOOK_AHEAD`` + 1 moments at which
    an event comes into another period. The answer for the times that were asked last is kept: many rules ask about the same ones."""

    @lru_cache(maxsize=1)
    def counts_ahead(times: tuple[int, ...], now: int) -> list[tuple[int, int]]:
        in_period = Counter([(now - t) // each_ms for t in times])
        number = sum([0 <= period < periods for period in in_period])
        moves = sorted([(t + ((now - t) // each_ms + 1) * each_ms, (now - t) // each_ms) for t in times])
        counts = [(now, number)]
        for at_ms, moved in groupby([move for move in moves if move[1] < periods], key=itemgetter(0)):
            for _, period in moved:
                in_period[period] -= 1
                in_period[period + 1] += 1
                number -= in_period[period] == 0 and period >= 0
                number += in_period[period + 1] == 1 and period + 1 < periods
            counts.append((at_ms, number))
            if len(counts) > LOOK_AHEAD + 1:
                break
        return counts

    return counts_ahead


def sequence_pass(wait_ms: int, over_ms: int) -> SinglePass:
    """A completed match, and nothing that forbids it; data as ``memories.Steps`` keeps it."""

    def evaluate(data: Data, now: int, _state: State) -> tuple[bool, int]:
        if data is None:
            return False, NO_TIMER
        best, due_ms = data[2], NO_TIMER
        for completion in data[3]:  # ascending
            if completion + wait_ms > now:
                due_ms = completion + wait_ms
                break
            if completion > best:
                best = completion
        if best == MIN_TIME:
            return False, due_ms
        if not over_ms:
            return True, due_ms
        end_ms = best + wait_ms + over_ms
        return (True, min(due_ms, end_ms)) if end_ms > now else (False, due_ms)

    return evaluate
