"""Each name of river's that is private and that we use: these fail first where an upgrade of river changes one."""

from __future__ import annotations

from typing import Any

import pytest
from river import anomaly, linear_model, optim

from streamer.learning.online.linear import Ftrl
from streamer.learning.online.river_privates import is_first_window_over, margin, set_first_window_over, set_weights
from streamer.learning.scorers.linear_scorer import logit_of

ROW: Any = {0: 1.0, 2: 0.5}


def test_the_margin_is_that_of_the_public_chance() -> None:
    """River's own way to a score, the logistic function taken back."""
    model = linear_model.LogisticRegression(optim.SGD(0.1), intercept_init=-1.0)
    for label in (True, False, True):
        model.learn_one(ROW, label)
    assert margin(model, ROW) == pytest.approx(logit_of(model.predict_proba_one(ROW)[True]))


def test_weights_that_are_put_in_are_those_that_serve_and_learn() -> None:
    """A model that was put down goes on as if it had not been."""
    learned, restored = (linear_model.LinearRegression(optim.SGD(0.1)) for _ in range(2))
    learned.learn_one(ROW, 3.0)
    set_weights(restored, dict(learned.weights))
    restored.intercept = learned.intercept
    assert restored.predict_one(ROW) == learned.predict_one(ROW) != 0
    for model in (learned, restored):
        model.learn_one(ROW, 5.0)
    assert restored.weights == learned.weights


def test_learning_goes_through_our_step() -> None:
    """Were the hook called something else, river's unbounded memory would learn in our place, and no figure would show it for weeks."""
    steps: list[Any] = []

    class Counting(Ftrl):
        def _step_with_dict(self, w: Any, g: Any) -> Any:
            steps.append(dict(g))
            return super()._step_with_dict(w, g)

    model = linear_model.LogisticRegression(Counting(alpha=0.1, beta=1.0, l1=0.0, l2=1.0), intercept_lr=0.0)
    set_weights(model, dict.fromkeys(range(3), 0.0))
    model.learn_one(ROW, True)
    assert [sorted(step) for step in steps] == [sorted(ROW)]


def test_the_first_window_of_trees_is_over_when_river_begins_to_score() -> None:
    """Before it every score is 0; restored trees that forgot it would say nothing for another window."""
    trees = anomaly.HalfSpaceTrees(n_trees=2, height=2, window_size=3, seed=1)
    said: list[bool] = []
    for _ in range(4):
        said.append(is_first_window_over(trees))
        trees.learn_one({"x": 0.5})
    assert said == [False, False, False, True]
    set_first_window_over(trees, over=False)
    assert trees.score_one({"x": 0.9}) == 0
