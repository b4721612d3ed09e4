"""How good scores were, counted from what came after them.

Scores are whole ten-thousandths, so a count per score and outcome is all there is to know: log loss, AUC, calibration and deciles follow
from it exactly, in any order of adding, and the state is small whole numbers.
"""

from __future__ import annotations

from math import inf, log, sqrt
from typing import TYPE_CHECKING, Final, TypedDict

from streamer.examples import SCORE_SCALE
from streamer.learning.reports.model_card import Decile

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOW: Final = 10_000  # judged examples a card speaks of
_EDGE: Final = 0.5  # a served 0 may have been anything below half a ten-thousandth, so it is judged as that

LOSS_IF: Final = tuple(  # by outcome and score, so that judging needs no logarithm
    tuple(
        -log(max(_EDGE, min(SCORE_SCALE - _EDGE, score if came else SCORE_SCALE - score)) / SCORE_SCALE) for score in range(SCORE_SCALE + 1)
    )
    for came in (False, True)
)


class Tally:
    """Counts of outcomes by score."""

    def __init__(self) -> None:
        self._counts: dict[int, list[int]] = {}  # score: [did not come, came]
        self.count = 0
        self.positives = 0

    def add(self, score: int, label: int, times: int = 1) -> None:
        """Count one outcome; ``times=-1`` takes one back."""
        cell = self._counts.get(score)
        if cell is None:
            cell = self._counts[score] = [0, 0]
        cell[label] += times
        self.count += times
        if label:
            self.positives += times
        if times < 0 and cell == [0, 0]:
            del self._counts[score]

    @property
    def base_rate(self) -> float | None:
        """Share that came."""
        return self.positives / self.count if self.count else None

    @property
    def log_loss(self) -> float | None:
        """Mean log loss, natural logarithm."""
        if not self.count:
            return None
        losses = (no * LOSS_IF[0][score] + yes * LOSS_IF[1][score] for score, (no, yes) in sorted(self._counts.items()))
        return sum(losses) / self.count

    @property
    def entropy(self) -> float | None:
        """Log loss over that of always saying the base rate, which is known only afterwards: a hard rival. None without both outcomes."""
        loss = self.log_loss
        if loss is None or not 0 < self.positives < self.count:
            return None
        rate = self.positives / self.count
        return loss / -(rate * log(rate) + (1 - rate) * log(1 - rate))

    @property
    def auc(self) -> float | None:
        """Chance that one who came had the higher score than one who did not, ties counting half. None without both."""
        negatives = self.count - self.positives
        if not self.positives or not negatives:
            return None
        below = twice = 0
        for _, (no, yes) in sorted(self._counts.items()):
            twice += yes * (2 * below + no)
            below += no
        return twice / (2 * self.positives * negatives)

    @property
    def ratio(self) -> float | None:
        """Sum of scores over sum of outcomes."""
        if not self.positives:
            return None
        return sum(score * (no + yes) for score, (no, yes) in self._counts.items()) / (SCORE_SCALE * self.positives)

    def deciles(self) -> tuple[Decile, ...]:
        """Ten bands of as equal size as ties allow, lowest scores first; fewer when there are fewer scores."""
        bands: list[tuple[int, int, int]] = []
        count = scored = came = below = 0
        for score, (no, yes) in sorted(self._counts.items()):
            count, scored, came = count + no + yes, scored + score * (no + yes), came + yes
            below += no + yes
            if below * 10 >= self.count * (len(bands) + 1):
                bands.append((count, scored, came))
                count = scored = came = 0
        return tuple(Decile(n, round(scored / n / SCORE_SCALE, 6), round(came / n, 6)) for n, scored, came in bands if n)

    def dump(self) -> list[list[int]]:
        """As JSON can hold it: score, did not come, came."""
        return [[score, *cell] for score, cell in sorted(self._counts.items())]

    @classmethod
    def restore(cls, dumped: Iterable[list[int]]) -> Tally:
        """The inverse of ``dump``."""
        tally = cls()
        for score, no, yes in dumped:
            tally._counts[score] = [no, yes]
            tally.count += no + yes
            tally.positives += yes
        return tally


class RecentTallyState(TypedDict):
    """What ``RecentTally.dump`` gives; the ring oldest first."""

    size: int
    judged: int
    ring: list[int]


class RecentTally:
    """The same over the last ``size`` judged examples, and how many of them had been served a score at all."""

    def __init__(self, size: int = WINDOW) -> None:
        self.size = size
        self.tally = Tally()
        self.judged = 0  # ever
        self._ring: list[int] = []  # score * 2 + label; -1 for none
        self._next = 0

    def add(self, score: int | None, label: int) -> None:
        """Judge one; the one before the last ``size`` drops out."""
        code = -1 if score is None else score * 2 + label
        if len(self._ring) < self.size:
            self._ring.append(code)
        else:
            old = self._ring[self._next]
            self._ring[self._next] = code
            self._next = (self._next + 1) % self.size
            if old >= 0:
                self.tally.add(old >> 1, old & 1, -1)
        if code >= 0:
            self.tally.add(code >> 1, code & 1)
        self.judged += 1

    @property
    def coverage(self) -> float | None:
        """Share of the window that had been served a score."""
        return self.tally.count / len(self._ring) if self._ring else None

    def dump(self) -> RecentTallyState:
        """As JSON can hold it, oldest first."""
        return {"size": self.size, "judged": self.judged, "ring": self._ring[self._next :] + self._ring[: self._next]}

    @classmethod
    def restore(cls, dumped: RecentTallyState) -> RecentTally:
        """The inverse of ``dump``."""
        window = cls(int(dumped["size"]))
        window._ring = list(dumped["ring"])
        for code in window._ring:
            if code >= 0:
                window.tally.add(code >> 1, code & 1)
        window.judged = int(dumped["judged"])
        return window


class Gain:
    """By how much one's log loss is lower than another's, from differences on the same examples, with bounds that may be looked at always.

    The bounds are the one-sided asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central
    limit theory and asymptotic confidence sequences" (Annals of Statistics 52, 2024): the chance that a bound is ever on the wrong
    side of the true running mean is at most ``alpha``, however often one looks. Asymptotic: it wants some hundred examples. It takes
    differences as uncorrelated given the past, which one pending example per customer makes nearly true.
    """

    TUNED_FOR: Final = 5_000  # examples at which the bound is tightest; elsewhere it is a little wider

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0  # sum of squared deviations (Welford)

    def add(self, difference: float) -> None:
        """One example: the other's loss less one's own."""
        self.count += 1
        delta = difference - self.mean
        self.mean += delta / self.count
        self._squares += delta * (difference - self.mean)

    def low(self, alpha: float) -> float:
        """A bound under the mean."""
        return self.mean - self._width(alpha)

    def high(self, alpha: float) -> float:
        """A bound over the mean."""
        return self.mean + self._width(alpha)

    def _width(self, alpha: float) -> float:
        n = self.count
        if n < 2:
            return inf
        spread = -2 * log(2 * alpha)
        rho2 = (spread + log(spread + 1)) / self.TUNED_FOR
        return sqrt(self._squares / n * 2 * (n * rho2 + 1) / (n * n * rho2) * log(1 + sqrt(n * rho2 + 1) / (2 * alpha)))

    def dump(self) -> list[float]:
        """As JSON can hold it."""
        return [self.count, self.mean, self._squares]

    @classmethod
    def restore(cls, dumped: list[float]) -> Gain:
        """The inverse of ``dump``."""
        gain = cls()
        gain.count, gain.mean, gain._squares = int(dumped[0]), float(dumped[1]), float(dumped[2])
        return gain
