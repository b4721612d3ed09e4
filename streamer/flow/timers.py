"""The customers' timers that one slice of the log touches: one moment each, at which time alone may change something."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush

from streamer.customers.state import NO_TIMER


class Timers:
    """Timers as (due_ms, customer), the earliest first. ``changed`` is what a commit has to write: a moment, or None to remove it.

    ``queue`` is a heap. A timer that was set again stays in it under its old moment too: whoever pops one compares it with the state.
    """

    def __init__(self) -> None:
        self.load(())

    def load(self, due: Sequence[tuple[int, str]]) -> None:
        """Begin a slice with the timers that are due, ascending."""
        self.changed: dict[str, int | None] = {}
        self.queue = list(due)  # ascending is a heap

    def set(self, customer: str, due_ms: int) -> None:
        """Set a customer's timer; ``NO_TIMER`` removes it."""
        if due_ms < NO_TIMER:
            self.changed[customer] = due_ms
            heappush(self.queue, (due_ms, customer))
        else:
            self.changed[customer] = None

    def are_later_than(self, now: int) -> bool:
        """Whether none in the queue is due at ``now``."""
        return not self.queue or self.queue[0][0] > now

    def pop(self) -> tuple[int, str]:
        """Take the earliest timer out of the queue."""
        return heappop(self.queue)

    def growth(self, had_timer: Callable[[str], bool]) -> int:
        """By how many timers the store grows once ``changed`` is committed."""
        return sum([(due_ms is not None) - had_timer(customer) for customer, due_ms in self.changed.items()])
