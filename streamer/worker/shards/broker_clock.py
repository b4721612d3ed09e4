"""What a worker knows of a broker's clock, from the records that the broker has acknowledged. Pure: each moment is an argument.

A broker that stamps a record does so after the record was sent and before its acknowledgement arrives. Each acknowledged record therefore
bounds how far the broker's clock is ahead of ours; what several say together is narrower than what any says alone, so the quickest round
trip counts most. Our clock is one that never goes back, and its zero means nothing.
"""

from __future__ import annotations

from math import inf
from typing import Final

DRIFT: Final = 2e-4  # of the time that has passed: by so much, at most, two clocks of machines come apart


class BrokerClock:
    """Bounds of how far a broker's clock is ahead of ours. All times are milliseconds."""

    def __init__(self) -> None:
        self._least_ms, self._most_ms = -inf, inf
        self._as_of_ms = 0.0

    @property
    def is_known(self) -> bool:
        """Whether a record has been acknowledged yet."""
        return self._most_ms < inf

    def observe(self, sent_ms: float, acknowledged_ms: float, broker_ms: int) -> None:
        """A record that was sent and acknowledged at moments of our clock has the broker's time ``broker_ms``, a whole millisecond.

        Where that contradicts what was known, a clock has jumped, and only the new one counts.
        """
        least, most = broker_ms - acknowledged_ms, broker_ms + 1 - sent_ms
        if self.is_known:
            drift = self._drift_ms(acknowledged_ms)
            both = max(least, self._least_ms - drift), min(most, self._most_ms + drift)
            if both[0] <= both[1]:
                least, most = both
        self._least_ms, self._most_ms, self._as_of_ms = least, most, acknowledged_ms

    def ours_at(self, broker_ms: float, now_ms: float) -> float:
        """The first moment of our clock at which the broker's shows ``broker_ms`` for certain."""
        assert self.is_known, "no record was acknowledged yet"
        return broker_ms - self._least_ms + self._drift_ms(now_ms)

    def _drift_ms(self, now_ms: float) -> float:
        return max(0.0, now_ms - self._as_of_ms) * DRIFT


__all__ = ["DRIFT", "BrokerClock"]
