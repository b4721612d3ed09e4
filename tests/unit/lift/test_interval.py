"""An interval that may be looked at every day."""

from __future__ import annotations

import math

import numpy as np
import pytest

from streamer.lift.interval import ALPHA, ArmCount, share_interval

RUNS = 1_000
DAYS = 45


def trial(rng: np.random.Generator, *, share: float, held_out: float, daily: int, effect: float = 0.0) -> list[tuple[ArmCount, ArmCount]]:
    """Both arms at the end of each day. The share has a good and a bad day of the week, as in shops."""
    customers = rng.poisson(daily, DAYS)
    control = rng.binomial(customers, held_out)
    shares = share * (1 + 0.4 * np.sin(np.arange(DAYS) * 2 * math.pi / 7))
    reached = rng.binomial(customers - control, shares + effect), rng.binomial(control, shares)
    days = zip(*(column.cumsum().tolist() for column in (customers - control, reached[0], control, reached[1])), strict=True)
    return [(ArmCount(treated, hits), ArmCount(others, found)) for treated, hits, others, found in days]


def is_fooled_by_chance(one: ArmCount, other: ArmCount) -> bool:
    """What a usual interval of 95 % says."""
    if not one.customers or not other.customers:
        return False
    variance = sum(arm.share * (1 - arm.share) / arm.customers for arm in (one, other))
    return variance > 0 and abs(one.share - other.share) > 1.96 * math.sqrt(variance)


@pytest.mark.parametrize(
    ("share", "held_out", "daily"),
    [(0.05, 0.1, 100), (0.3, 0.5, 300), (0.01, 0.1, 200), (0.6, 0.2, 40)],
    ids=["orders, a tenth held out", "opens, halves", "rare", "frequent, few people"],
)
def test_a_message_that_does_nothing_is_seldom_said_to_do_something(share: float, held_out: float, daily: int) -> None:
    """1,000 trials of nothing, looked at daily: at most 5 % may ever be called a difference. The usual interval is wrong in more than a
    fifth of the same trials, so daily looks are what is tested."""
    rng = np.random.default_rng(11)
    wrong = naive = 0
    for _ in range(RUNS):
        looks = trial(rng, share=share, held_out=held_out, daily=daily)
        wrong += any(not share_interval(*look).has_zero for look in looks)
        naive += any(is_fooled_by_chance(*look) for look in looks)
    assert wrong <= ALPHA * RUNS
    assert naive > 0.2 * RUNS, "these trials would fool nobody"


def test_a_planted_lift_is_found_and_its_sign_is_right() -> None:
    """Never to say anything is no art: of 200 messages that move 8 % to 12 % nine in ten are found in 45 days, none the wrong way."""
    rng = np.random.default_rng(12)
    found = wrong_way = 0
    for _ in range(200):
        looks = [share_interval(*look) for look in trial(rng, share=0.08, held_out=0.3, daily=300, effect=0.04)]
        found += any(look.low > 0 for look in looks)
        wrong_way += any(look.high < 0 for look in looks)
    assert found >= 180
    assert wrong_way == 0


def test_the_true_difference_is_inside_on_all_days_of_nearly_all_trials() -> None:
    """The promise is for the interval, not for the verdict alone: whoever reads "between 1 and 5 points" may believe both ends."""
    rng = np.random.default_rng(13)
    missed = 0
    for _ in range(RUNS):
        looks = [share_interval(*look) for look in trial(rng, share=0.1, held_out=0.2, daily=100, effect=0.05)]
        missed += any(not look.low <= 0.05 <= look.high for look in looks)
    assert missed <= ALPHA * RUNS


def test_more_customers_make_it_narrower() -> None:
    """An interval that stays wide would never say anything."""
    widths = [
        found.high - found.low
        for factor in (1, 10, 100, 1_000)
        for found in [share_interval(ArmCount(90 * factor, 9 * factor), ArmCount(10 * factor, factor))]
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.025


def test_an_empty_arm_says_nothing() -> None:
    """Without a hold-out nothing is known, however many were sent the message."""
    found = share_interval(ArmCount(100_000, 50_000), ArmCount(0, 0))
    assert (found.low, found.high, found.has_zero) == (-1, 1, True)


def test_it_is_the_same_seen_from_the_other_arm() -> None:
    """Which arm is named first is no fact about customers."""
    one, other = ArmCount(900, 70), ArmCount(120, 5)
    there, back = share_interval(one, other), share_interval(other, one)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
