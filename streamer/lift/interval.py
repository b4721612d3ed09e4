"""An interval for the difference of two shares that may be looked at as often as one likes.

A usual interval of 95 % keeps its promise for one look, at a moment chosen beforehand. Whoever looks every day and stops at the first
difference is wrong far more often: a third to two thirds of messages that do nothing are called good or bad within two months. Here the
promise is for all looks together.

The method is the normal mixture of Robbins (1970), in the form of Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric,
nonasymptotic confidence sequences" (Annals of Statistics 49, 2021, equation 14), with the variance estimated as in Waudby-Smith, Arbour,
Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences" (Annals of Statistics 52, 2024); Johari,
Pekelis and Walsh use the same for A/B tests, "Always valid inference" (Operations Research 70, 2022). As the variance is estimated, the
promise holds in the limit of large counts. The estimate is therefore taken on the wide side (see ``_radius``), and simulated trials with
nothing to find are looked at daily in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import Final

ALPHA: Final = 0.05  # how often, over all looks together, the true difference may lie outside
EFFECT: Final = 0.2  # differences that are looked for, in standard deviations of an outcome: a "small" effect in Cohen's words


@dataclass(frozen=True, slots=True)
class ArmCount:
    """How many customers of an arm have been waited for long enough, and how many of them did what the message is for."""

    customers: int
    reached: int

    @property
    def share(self) -> float:
        """From 0 to 1; 0 where there is nobody."""
        return self.reached / self.customers if self.customers else 0.0


@dataclass(frozen=True, slots=True)
class ShareInterval:
    """Where the true difference of two shares lies, from -1 to 1, however often one looks."""

    low: float
    high: float

    @property
    def has_zero(self) -> bool:
        """Whether no difference at all is still possible: then it is not known yet which arm is better, if any."""
        return self.low <= 0 <= self.high


def share_interval(one: ArmCount, other: ArmCount, alpha: float = ALPHA) -> ShareInterval:
    """The interval of share of ``one`` less share of ``other``; from -1 to 1 as long as an arm is empty.

    With probability 1 - ``alpha`` the true difference lies in all intervals of a trial's life at once.

    >>> found = share_interval(ArmCount(9_000, 630), ArmCount(1_000, 40))
    >>> round(found.low, 3), round(found.high, 3), found.has_zero
    (0.004, 0.056, False)
    >>> share_interval(ArmCount(90, 6), ArmCount(10, 0)).has_zero
    True
    """
    if not one.customers or not other.customers:
        return ShareInterval(-1.0, 1.0)
    difference, radius = one.share - other.share, _radius(one, other, alpha)
    return ShareInterval(max(difference - radius, -1.0), min(difference + radius, 1.0))


def _radius(one: ArmCount, other: ArmCount, alpha: float) -> float:
    """Half of the width. No arm is believed to vary less than both together: a small one in which hardly anybody has reached the goal yet
    looks as if it did, and says most about the difference just then."""
    both = _variance(ArmCount(one.customers + other.customers, one.reached + other.reached))
    variance = max(_variance(one), both) / one.customers + max(_variance(other), both) / other.customers
    known = variance / (EFFECT**2 * both)  # of the mixture's variance; small once much is known
    return sqrt(variance * (1 + known) * (log(1 + 1 / known) - 2 * log(alpha)))


def _variance(arm: ArmCount) -> float:
    """Of one customer's outcome, as if one more of the arm had reached the goal and one more had not: never zero, and rather too large."""
    share = (arm.reached + 1) / (arm.customers + 2)
    return share * (1 - share)
