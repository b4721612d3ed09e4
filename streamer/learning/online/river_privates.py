# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false
"""What of river's has no public name, all of it: a test of each fails where an upgrade of river changes one.

Beside these, ``linear.Ftrl`` overrides ``_step_with_dict``, by which river's optimizers change the weights of a dictionary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from river import utils

if TYPE_CHECKING:
    from river.anomaly import HalfSpaceTrees
    from river.linear_model import LinearRegression, LogisticRegression


def margin(model: LogisticRegression | LinearRegression, row: dict[int, float]) -> float:
    """Log-odds, or what a regression says; river's public ways make a chance of it, or ask for all weights as a new dictionary."""
    return float(vars(model)["_weights"].dot(row) + model.intercept)


def set_weights(model: LogisticRegression | LinearRegression, weights: dict[int, float]) -> None:
    """Put weights in; river only ever learns them."""
    vars(model)["_weights"] = utils.VectorDict(weights)


def is_first_window_over(trees: HalfSpaceTrees) -> bool:
    """Whether the trees have anything to say."""
    return not vars(trees)["_first_window"]


def set_first_window_over(trees: HalfSpaceTrees, *, over: bool) -> None:
    """Say so of trees that were put down and taken up again."""
    vars(trees)["_first_window"] = not over
