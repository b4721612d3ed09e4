"""Expected amounts."""

from __future__ import annotations

import random
from typing import Any

import pytest

from streamer.learning.inputs.feature_encoding import Encoder, freeze
from streamer.learning.learner import Learner
from streamer.learning.models.propensity import TrainingLimits
from streamer.learning.models.value import BASKETS_TO_BEGIN, FACTOR_MAX, Amounts, Basket
from streamer.learning.reports.outputs import ModelPublished
from tests.learning.outcomes import FEATURES, VALUE, Step, moments, play

ROWS = [moment.x for moment in moments(500, seed=2)]


def basket() -> Basket:
    return Basket(Encoder(freeze(ROWS, FEATURES, 1)))


@pytest.fixture(scope="module")
def played() -> tuple[Learner, Step, list[Any]]:
    """A shop whose baskets are as dear as the customer's usual one."""
    learner, step = Learner([VALUE], FEATURES, TrainingLimits(warm_up=500, publish_after=2_000)), Step(VALUE)
    return learner, step, play(learner, step, moments(12_000, per_hour=200))


def test_promises_add_up_to_what_was_spent(played: tuple[Learner, Step, list[Any]]) -> None:
    """A budget is made from them."""
    learner, step, _ = played
    served = [(moment, score) for moment, score in step.served[7_000:] if score is not None]
    assert len(served) > 4_000
    ratio = sum(score for _, score in served) / sum(moment.amount for moment, _ in served)
    assert ratio == pytest.approx(1.0, abs=0.15)
    assert learner.cards()["worth"].figures["amount_ratio"] == pytest.approx(ratio, abs=0.15)


def test_dearer_baskets_and_likelier_buyers_are_worth_more(played: tuple[Learner, Step, list[Any]]) -> None:
    """Both halves must count."""
    scorer = played[1].scorer
    assert scorer is not None
    usual = (5.0, 1.0, 20.0, 50.0, 3.0, 0.2, 12.0, 1.0)
    dear, eager = (*usual[:3], 200.0, *usual[4:]), (usual[0], 6.0, 1.0, *usual[3:])
    assert scorer.score(dear) > 1.5 * scorer.score(usual)
    assert scorer.score(eager) > 1.5 * scorer.score(usual)
    assert scorer.reasons(dear, most=1)[0].feature == "basket_mean"


def test_the_card_judges_the_chance_and_the_amounts(played: tuple[Learner, Step, list[Any]]) -> None:
    """A sum that fits may hide a chance that does not."""
    card = played[0].cards()["worth"]
    assert any(isinstance(said, ModelPublished) for said in played[2])
    assert card.auc is not None
    assert card.auc > 0.65
    assert card.figures["top_tenth_share"] > 0.15


def test_it_waits_for_some_baskets() -> None:
    """The first order is no guess for all others."""
    one = basket()
    for at in range(BASKETS_TO_BEGIN):
        assert one.model is None
        one.learn(ROWS[at], 500_000)
    assert one.model is not None


def test_an_order_of_nothing_teaches_nothing() -> None:
    """Paid with a voucher, or sent back: its logarithm would be minus infinity."""
    one = basket()
    for amount in (0, -70_000) * 40:
        one.learn(ROWS[0], amount)
    assert one.model is None


def test_the_factor_is_bounded() -> None:
    """One wholesale order must not make everybody a millionaire."""
    one, rng = basket(), random.Random(1)
    for row in ROWS[:200]:
        one.learn(row, rng.randrange(100_000, 900_000))
    for row in ROWS[:50]:
        one.compare(row, 0.1, 10**16)
    assert one.factor == FACTOR_MAX


def test_amounts_that_nobody_spent_have_no_figures() -> None:
    """No division by nothing on the first day."""
    assert Amounts([(3, 0), (5, 0)]).figures() == {}
    assert Amounts([(20_000, 10_000), (0, 0)]).figures()["amount_ratio"] == 2.0
