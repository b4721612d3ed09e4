"""Rivals: scored without a look ahead, promoted only when proven."""

from __future__ import annotations

import random
from math import exp

import pytest

from streamer.examples import Feature, FeatureList, Linear
from streamer.learning.evaluation.champion_challenger import BASELINE, CANDIDATES_MAX, LAST_WEEK, WEEK_MS, Candidate, Roster
from streamer.learning.inputs.feature_encoding import Encoder, freeze
from streamer.learning.online.linear import OnlineLinear

HOUR_MS = 3_600_000
FEATURES = FeatureList(1, (Feature("a", Linear(), 0, 1), Feature("b", Linear(), 0, 1)))
ENCODER = Encoder(freeze([(i / 100, (i * 37 % 100) / 100) for i in range(100)], FEATURES, 1))


def candidate(name: str, weight: float = 0.0) -> Candidate:
    """One that already believes ``weight`` of feature a's position."""
    model = OnlineLinear.of_rate("sgd", ENCODER.encoding.slots, 0.2)
    dumped = model.dump()
    dumped["weights"][ENCODER.encoding.columns[0].base + ENCODER.encoding.columns[0].bins] = weight
    return Candidate(name, ENCODER, OnlineLinear.restore(dumped), 0, "made for a test")


def roster(*candidates: Candidate) -> Roster:
    return Roster(8 * HOUR_MS, candidates, 0.2, 0)


def outcomes(rng: random.Random, count: int) -> list[tuple[tuple[float, float], int]]:
    """Feature a matters."""
    rows = [(rng.random(), rng.random()) for _ in range(count)]
    return [((a, b), int(rng.random() < 1 / (1 + exp(3 - 4 * a)))) for a, b in rows]


def test_nobody_is_scored_by_what_was_learned_after_the_score_was_due() -> None:
    """A candidate that has since learned everything by heart must be judged as it was."""
    one = roster(candidate("plain"))
    one.on_watermark(1_000, 0.0)
    before = one.judge(2_000, (0.5, 0.5), 1)
    for _ in range(500):
        one.learn((0.5, 0.5), 1)
    assert before == one.judge(2_000, (0.5, 0.5), 1)
    one.on_watermark(1_000 + HOUR_MS, 0.0)
    assert before == one.judge(HOUR_MS, (0.5, 0.5), 1)
    after = one.judge(1_000 + HOUR_MS, (0.5, 0.5), 1)
    assert before is not None
    assert after is not None
    assert after.logit > before.logit + 1


def test_before_the_first_copies_nobody_is_judged() -> None:
    """A score that could not have been given is no score."""
    one = roster(candidate("plain"))
    assert one.judge(10, (0.5, 0.5), 1) is None
    one.on_watermark(1_000, 0.0)
    assert one.judge(999, (0.5, 0.5), 1) is None
    assert one.judge(1_000, (0.5, 0.5), 1) is not None


def test_the_served_shift_is_judged_with_the_champion() -> None:
    """It was in the score."""
    one = roster(candidate("plain"))
    one.on_watermark(1_000, 0.7)
    judged = one.judge(1_000, (0.5, 0.5), 1)
    assert judged is not None
    assert judged.shifted - judged.logit == pytest.approx(0.7)


def test_a_proven_rival_takes_over_and_only_after_the_cool_down() -> None:
    """And then everybody is compared with the new champion from the beginning."""
    one = roster(candidate("plain"), candidate("knows", 1.2))
    one.on_watermark(1_000, 0.0)
    rng = random.Random(1)
    for x, label in outcomes(rng, 3_000):
        one.judge(1_000, x, label)
    assert one.promote(2_000) is None  # a day has not passed
    decided = one.promote(24 * HOUR_MS)
    assert decided is not None
    assert (decided[0], one.champion) == ("plain", "knows")
    assert decided[1].gain.low(decided[1].alpha) > 0
    assert [line.count for line in one.table()[1:]] == [0] * 2
    assert one.promote(25 * HOUR_MS) is None


def test_too_few_outcomes_prove_nothing() -> None:
    """Five hundred positives, however clear it seems."""
    one = roster(candidate("plain"), candidate("knows", 1.2))
    one.on_watermark(1_000, 0.0)
    for x, label in outcomes(random.Random(1), 800):
        one.judge(1_000, x, label)
    assert one.gain_of("knows") > 0
    assert one.promote(10 * WEEK_MS) is None


def test_who_knows_nothing_is_never_ready() -> None:
    """The base rate is a rival that costs nothing; a model must beat it for sure."""
    blind, seeing = roster(candidate("blind")), roster(candidate("seeing", 1.2))
    rng = random.Random(5)
    for one in (blind, seeing):
        one.on_watermark(1_000, 0.0)
        for x, label in outcomes(rng, 3_000):
            one.judge(1_000, x, label)
    assert [one.settle_readiness() for one in (blind, seeing)] == [False, True]
    assert seeing.gain_of(BASELINE) < 0


def test_a_champion_that_falls_behind_the_base_rate_is_ready_no_more() -> None:
    """What was learned may become worse than nothing."""
    one = roster(candidate("turned", 1.2))
    one.ready = True
    one.on_watermark(1_000, 0.0)
    for (a, b), label in outcomes(random.Random(5), 3_000):
        one.judge(1_000, (1 - a, b), label)
    assert not one.settle_readiness()


def test_a_fork_keeps_the_weights_and_moves_faster() -> None:
    """It begins as good as the champion."""
    model = OnlineLinear.of_rate("ftrl", ENCODER.encoding.slots, 0.2)
    for x, label in outcomes(random.Random(2), 2_000):
        model.learn(ENCODER.encode(x), label)
    forked = model.fork()
    lit = ENCODER.encode((0.3, 0.4))
    assert forked.predict(lit) == pytest.approx(model.predict(lit), abs=1e-12)
    start = model.predict(lit)
    for each in (model, forked):
        for _ in range(20):
            each.learn(lit, 1)
    assert abs(forked.predict(lit) - start) > 1.2 * abs(model.predict(lit) - start)


def test_there_are_never_more_candidates_than_may_be() -> None:
    """Each costs at every example. The champion stays, whatever comes."""
    one = roster(candidate("plain"), candidate("second"))
    names = {one.fork(at * HOUR_MS, "test") for at in range(1, 6)}
    assert len(names) == 5
    assert len(one.candidates) == CANDIDATES_MAX
    assert "plain" in one.candidates


def test_the_frozen_copy_is_a_week_old_at_least() -> None:
    """It shows what a week of learning was worth."""
    one = roster(candidate("plain"))
    marks = [at * 24 * HOUR_MS for at in range(1, 20)]
    for at_ms in marks:
        one.on_watermark(at_ms, 0.0)
        one.judge(at_ms, (0.5, 0.5), 1)
    [line] = [line for line in one.table() if line.name == LAST_WEEK]
    assert line.count > 0
    assert one.dump()["week"][0][0] <= marks[-1] - WEEK_MS
