"""How many events a second this machine takes: fewer when the worker falls behind, and more again when it has caught up.

It reads no clock: moments (UTC milliseconds) are arguments.
"""

from __future__ import annotations

from typing import Final

BEHIND_S: Final = 3.0  # so many seconds' events unread is falling behind; the worker's figures are half a second old
CAUGHT_UP_S: Final = 1.0
HOLD_MS: Final = 2_000  # between two decisions: what was planned before the first is still being sent
START_MS: Final = 4_000  # a worker's first seconds say nothing: it compiles and fills its caches
LESS: Final = 0.5
MORE: Final = 1.25
RATE_MIN: Final = 5.0  # events a second with which there is still something to see


class Pace:
    """``asked`` is the rate that the user wants, ``rate`` the one that holds, ``lowest`` the lowest that has held."""

    def __init__(self, asked: float, opened_ms: int) -> None:
        self.asked = self.rate = self.lowest = asked
        self._decided_ms = opened_ms + START_MS - HOLD_MS
        self._behind_before = 0

    @property
    def is_slowed(self) -> bool:
        """Whether the worker ever fell behind."""
        return self.lowest < self.asked

    def note(self, behind: int, now_ms: int) -> None:
        """So many events were sent and are not read, now."""
        if now_ms - self._decided_ms < HOLD_MS:
            return
        if behind > BEHIND_S * self.rate and behind >= self._behind_before:
            self._set(max(min(RATE_MIN, self.asked), self.rate * LESS))
        elif behind < CAUGHT_UP_S * self.rate:
            self._set(min(self.asked, self.rate * MORE))
        self._decided_ms, self._behind_before = now_ms, behind

    def _set(self, rate: float) -> None:
        self.rate = rate
        self.lowest = min(self.lowest, rate)
