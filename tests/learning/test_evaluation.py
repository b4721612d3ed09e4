"""Counting how good scores were."""

from __future__ import annotations

import random
from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import metrics

from streamer.learning.evaluation.window import Gain, RecentTally, Tally

OUTCOMES = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 1)), max_size=60)


def tally_of(pairs: list[tuple[int, int]]) -> Tally:
    tally = Tally()
    for score, label in pairs:
        tally.add(score, label)
    return tally


@settings(derandomize=True, deadline=None, max_examples=80)
@given(OUTCOMES)
def test_the_auc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[int, int]]) -> None:
    """By definition, ties counting half."""
    yes, no = ([score for score, label in pairs if label == which] for which in (1, 0))
    right = sum((a > b) + 0.5 * (a == b) for a in yes for b in no)
    expected = right / (len(yes) * len(no)) if yes and no else None
    assert tally_of(pairs).auc == (pytest.approx(expected, abs=1e-12) if expected is not None else None)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(OUTCOMES, st.integers(1, 20))
def test_a_window_knows_its_last_examples_and_nothing_else(pairs: list[tuple[int, int]], size: int) -> None:
    """What dropped out must leave no trace, or the card would speak of last year."""
    window = RecentTally(size)
    for score, label in pairs:
        window.add(None if score % 7 == 0 else score, label)
    last = [(score, label) for score, label in pairs[-size:] if score % 7]
    assert window.tally.dump() == tally_of(last).dump()
    assert window.coverage == (pytest.approx(len(last) / len(pairs[-size:])) if pairs else None)
    assert RecentTally.restore(window.dump()).dump() == window.dump()


def test_a_window_goes_on_after_a_restore() -> None:
    """The ring must drop the same ones."""
    first, rng = RecentTally(50), random.Random(1)
    for _ in range(77):
        first.add(rng.randrange(10_001), rng.randrange(2))
    second = RecentTally.restore(first.dump())
    for _ in range(60):
        score, label = rng.randrange(10_001), rng.randrange(2)
        first.add(score, label)
        second.add(score, label)
    assert first.dump() == second.dump()


def test_rivers_default_auc_is_far_off_at_a_low_base_rate() -> None:
    """Why we count ourselves: ten thresholds all lie above where the scores are."""
    rng, tally, theirs = random.Random(3), Tally(), metrics.ROCAUC()
    for _ in range(6_000):
        chance = 0.035 * 2 ** rng.gauss(0, 1.5)
        label = int(rng.random() < chance)
        tally.add(min(10_000, int(chance * 10_000)), label)
        theirs.update(bool(label), {True: chance})
    assert tally.auc is not None
    assert tally.auc - theirs.get() > 0.05


def test_a_served_zero_is_judged_as_half_a_ten_thousandth() -> None:
    """One rounded score must not make the loss infinite."""
    assert tally_of([(0, 1)]).log_loss == pytest.approx(-log(0.5 / 10_000))
    assert tally_of([(10_000, 0)]).log_loss == pytest.approx(-log(0.5 / 10_000))


def test_calibration_and_entropy_of_a_known_case() -> None:
    """Ten customers at 30 %, of whom three came: nothing is known beyond the base rate."""
    tally = tally_of([(3_000, int(at < 3)) for at in range(10)])
    assert (0.3, pytest.approx(1.0), pytest.approx(1.0)) == (tally.base_rate, tally.ratio, tally.entropy)
    assert [(d.count, d.scored, d.came) for d in tally.deciles()] == [(10, 0.3, 0.3)]


def test_deciles_rise_and_hold_everybody() -> None:
    """They are read as a curve."""
    tally = tally_of([(score, int(score > 700)) for score in range(1_000)])
    deciles = tally.deciles()
    assert [decile.count for decile in deciles] == [100] * 10
    assert [decile.came for decile in deciles] == [0.0] * 7 + [0.99, 1.0, 1.0]


def test_bounds_hold_however_often_one_looks() -> None:
    """Two hundred rivals that are no better, each looked at after every outcome: at most one in twenty may ever seem better."""
    rng, fooled = random.Random(7), 0
    for _ in range(200):
        gain, seen = Gain(), False
        for at in range(2_000):
            gain.add(rng.choice((-1.0, 1.0)) * rng.expovariate(1))
            seen = seen or (at > 50 and gain.low(0.05) > 0)
        fooled += seen
    assert fooled <= 10


def test_a_rival_that_is_better_is_found() -> None:
    """A bound that never lets anybody pass would be no test."""
    rng, gain = random.Random(7), Gain()
    for _ in range(3_000):
        gain.add(rng.gauss(0.1, 1.0))
    assert 0 < gain.low(0.05) < gain.mean < gain.high(0.05)
    assert Gain.restore(gain.dump()).low(0.05) == gain.low(0.05)
