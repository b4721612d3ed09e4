"""The first and safest answer when chances do not add up to what comes: a shift of the intercept, the same for everybody.

Shifts of the base rate are the commonest drift, and the order of people does not change. It looks at chances as they were before any shift,
so it does not chase its own tail.
"""

from __future__ import annotations

from math import sqrt
from typing import Final, TypedDict

from streamer.learning.scorers.linear_scorer import chance_of

HALF_LIFE: Final = 2_000  # judged examples after which one counts half
SURE: Final = 3.0  # standard deviations of the sum of outcomes, before the intercept is touched
SHIFT_MAX: Final = 2.0  # log-odds: seven times the odds
WIDTH: Final = 0.25  # log-odds that share a cell
_REACH: Final = 32  # cells on each side of 0
_FADE: Final = 0.5 ** (1 / HALF_LIFE)
_WEIGHT_MAX: Final = 1e100
_STEPS: Final = 20  # of bisection: 2 log-odds to some millionths


class RecalibrationState(TypedDict):
    """What ``Recalibration.dump`` gives."""

    counts: list[float]
    sums: list[float]
    came: float
    weight: float
    shift: float


class Recalibration:
    """Counts recent examples by log-odds, and outcomes; 0 is the answer unless outcomes insist."""

    def __init__(self) -> None:
        self._counts = [0.0] * (2 * _REACH + 1)
        self._sums = [0.0] * (2 * _REACH + 1)  # of log-odds, so that a cell stands for its own mean
        self._came = 0.0
        self._weight = 1.0  # newer examples weigh more, which is the same as older ones less; scaled down at marks
        self.shift = 0.0

    def take(self, logit: float, label: int) -> None:
        """One judged example."""
        cell = _REACH + max(-_REACH, min(_REACH, round(logit / WIDTH)))
        self._weight /= _FADE
        self._counts[cell] += self._weight
        self._sums[cell] += self._weight * logit
        self._came += self._weight * label
        if self._weight > _WEIGHT_MAX:
            self._scale_down()

    def on_watermark(self) -> float | None:
        """Settle the shift: the one before if it changed, else None.

        It begins, or is corrected, only when outcomes are sure to be off; it ends when without it they would not be.
        """
        self._scale_down()
        before = self.shift
        if self.shift and self._off(0.0) < SURE / 2:
            self.shift = 0.0
        elif self._off(self.shift) > SURE:
            self.shift = self._solve()
        return before if self.shift != before else None

    def _off(self, shift: float) -> float:
        """By how many standard deviations outcomes differ from what chances with this shift promise."""
        given, variance = self._expected(shift)
        return abs(self._came - given) / sqrt(variance) if variance >= 1.0 else 0.0

    def _scale_down(self) -> None:
        self._counts = [count / self._weight for count in self._counts]
        self._sums = [total / self._weight for total in self._sums]
        self._came /= self._weight
        self._weight = 1.0

    def _expected(self, shift: float) -> tuple[float, float]:
        """Sum of chances after a shift, and the variance of the sum of outcomes if they are right."""
        given = variance = 0.0
        for count, total in zip(self._counts, self._sums, strict=True):
            if count > 0:
                chance = chance_of(total / count + shift)
                given += count * chance
                variance += count * chance * (1 - chance)
        return given, variance

    def _solve(self) -> float:
        low, high = -SHIFT_MAX, SHIFT_MAX
        for _ in range(_STEPS):
            middle = (low + high) / 2
            if self._expected(middle)[0] < self._came:
                low = middle
            else:
                high = middle
        return (low + high) / 2

    def dump(self) -> RecalibrationState:
        """As JSON can hold it."""
        return {"counts": self._counts, "sums": self._sums, "came": self._came, "weight": self._weight, "shift": self.shift}

    @classmethod
    def restore(cls, dumped: RecalibrationState) -> Recalibration:
        """The inverse of ``dump``."""
        restored = cls()
        restored._counts = [float(count) for count in dumped["counts"]]
        restored._sums = [float(total) for total in dumped["sums"]]
        restored._came, restored._weight, restored.shift = float(dumped["came"]), float(dumped["weight"]), float(dumped["shift"])
        return restored
