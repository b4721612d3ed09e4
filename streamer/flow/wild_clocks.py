"""Lines whose clock runs far ahead of the lines around them: one of them would move time past all that follows.

In a file time comes from its lines, and never goes back. A line ten years ahead makes all that follows "late". Whether it is that line that
is wrong, or whether time really went on (a shop that was closed, a file with a gap), is seen from its neighbours: it is let through if at
least as many of them lie up there with it as lie behind. Nothing here knows a clock; the same lines give the same answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from .replay import Arrival

NEIGHBOURS: Final = 100  # lines looked at, at most, on either side; a burst of one broken device is shorter


def without_wild_clocks(arrivals: Iterable[Arrival], ahead_ms: int, refuse: Callable[[Arrival, int], None]) -> Iterator[Arrival]:
    """The arrivals in their order, without those that lie more than ``ahead_ms`` ahead of most of their neighbours.

    ``refuse`` gets each of these, and how many milliseconds it lies ahead. Lines are read in advance only at a step of more than
    ``ahead_ms``, and at most a hundred of them.
    """
    waiting: deque[Arrival] = deque()
    source = iter(arrivals)
    newest_ms, before = -1, 0
    while True:
        arrival = waiting.popleft() if waiting else next(source, None)
        if arrival is None:
            return
        if arrival.arrival_ms > newest_ms + ahead_ms:
            waiting.extend(islice(source, NEIGHBOURS - len(waiting)))
            if _is_wild(arrival, before, waiting, ahead_ms):
                refuse(arrival, arrival.arrival_ms - (newest_ms if before else waiting[0].arrival_ms))
                continue
        newest_ms, before = max(newest_ms, arrival.arrival_ms), min(before + 1, NEIGHBOURS)
        yield arrival


def _is_wild(arrival: Arrival, before: int, after: Iterable[Arrival], ahead_ms: int) -> bool:
    """Whether more neighbours lie far behind a line than lie with it, itself included. All ``before`` it do: it is the first up there."""
    behind = with_it = 0
    for other in after:
        if other.arrival_ms < arrival.arrival_ms - ahead_ms:
            behind += 1
        else:
            with_it += 1
    return before + behind > 1 + with_it
