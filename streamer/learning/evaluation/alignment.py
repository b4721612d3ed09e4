"""Early outcomes wait for the others of their time.

An order is said when it comes, its absence after the short window. Learned like that, every morning begins with the orders of customers
whose fellows' negatives are still two hours away, and the base rate seems to soar. So an early outcome is learned when its window is
over, like everybody measured at the same moment; those later than the window, when they come. (For ``churn`` the early ones are those
who stayed, label 0.)
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Final, TypedDict

HELD_MAX: Final = 2_000  # rows; beyond it the earliest is learned early, which is a small bias in a flood

HeldOutcome = tuple[int, int, tuple[float, ...], int]


class AlignmentState(TypedDict):
    """What ``Alignment.dump`` gives; held outcomes by when they are due."""

    count: int
    held: list[tuple[int, int, list[float], int]]


class Alignment:
    """Outcomes whose window is not over."""

    def __init__(self, window_ms: int) -> None:
        self.window_ms = window_ms
        self._held: list[HeldOutcome] = []
        self._count = 0  # ever, so that equal moments keep their order

    def hold(self, t_ms: int, x: Sequence[float], label: int) -> None:
        """Keep one that was measured at ``t_ms``."""
        self._count += 1
        heapq.heappush(self._held, (t_ms + self.window_ms, self._count, tuple(x), label))

    def due(self, at_ms: int) -> list[tuple[tuple[float, ...], int]]:
        """Rows whose window is over, in order, with their labels."""
        held, out = self._held, list[tuple[tuple[float, ...], int]]()
        while held and (held[0][0] <= at_ms or len(held) > HELD_MAX):
            out.append(heapq.heappop(held)[2:])
        return out

    def dump(self) -> AlignmentState:
        """As JSON can hold it."""
        return {"count": self._count, "held": [(due_ms, number, list(x), label) for due_ms, number, x, label in sorted(self._held)]}

    @classmethod
    def restore(cls, window_ms: int, dumped: AlignmentState) -> Alignment:
        """The inverse of ``dump``."""
        alignment = cls(window_ms)
        alignment._held = [(due_ms, number, tuple(map(float, x)), label) for due_ms, number, x, label in dumped["held"]]
        alignment._count = dumped["count"]
        return alignment
