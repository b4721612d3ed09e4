"""What time alone will do to customers, remembered until it has done it: looking ahead is most of what an answer costs."""

from __future__ import annotations

from typing import Final

from streamer.customers.state import State
from streamer.segments.evaluate import Ahead, next_flips
from streamer.segments.plan.plan import Plan

from .limits import FLIP_STEPS, FLIPS_KEPT

ENTRY_WEIGHT: Final = 2  # flips that an entry without any counts for


class Aheads:
    """Next flips by a mark of state and definitions; those not asked for for longest go first. ``kept`` is their weight in flips."""

    def __init__(self, flips_max: int = FLIPS_KEPT) -> None:
        self.kept = 0
        self._flips_max = flips_max
        self._found: dict[bytes, Ahead] = {}

    def get(self, mark: bytes, plan: Plan, state: State, after_ms: int) -> Ahead:
        """What the memberships do after ``after_ms`` (UTC), as far as ``FLIP_STEPS`` moments say. ``mark`` differs for whatever else says
        it: the customer's state, and what they are judged by."""
        ahead = self._found.pop(mark, None)
        if ahead is not None:
            self.kept -= _weight(ahead)
        if ahead is None or not _holds_after(ahead, after_ms):
            ahead = next_flips(plan, state, after_ms, steps_max=FLIP_STEPS)
        self._found[mark] = ahead
        self.kept += _weight(ahead)
        while self.kept > self._flips_max:
            self.kept -= _weight(self._found.pop(next(iter(self._found))))
        return ahead


def _holds_after(ahead: Ahead, after_ms: int) -> bool:
    """Whether what was found from an earlier moment is what would be found from this one: no membership has turned since."""
    first_ms = min((flip.at_ms for flip in ahead.flips.values()), default=ahead.until_ms)
    return first_ms is None or after_ms < first_ms


def _weight(ahead: Ahead) -> int:
    return ENTRY_WEIGHT + len(ahead.flips)
