"""Groups in words: ratios of what was counted, not of its logarithm; names that say two things."""

from __future__ import annotations

from math import log1p

import pytest

from streamer.examples import Category, Cyclic, Feature, FeatureList, Flag, Logarithm
from streamer.learning.inputs.feature_space import fit
from streamer.learning.models.group_descriptions import GroupTrait, name, traits

LIST = FeatureList(
    1,
    (
        Feature("adds", Logarithm("events", "many", "few"), 0, 9, reads=("Product Added",), words="cart adds (half-life a day)"),
        Feature("daytime", Cyclic("eighth of the day", hours=3), 0, 7, words="time of day"),
        Feature("device", Category(("unknown", "mobile", "desktop", "tablet")), 0, 3, words="device"),
        Feature("cart_open", Flag(), 0, 1, words="an open cart"),
    ),
)


def test_ratios_are_of_what_was_counted() -> None:
    """Features are logarithms; "2.0 times the average" of a logarithm means nothing to anybody."""
    many, few = (log1p(30), 0.0, 1.0, 1.0), (log1p(2), 4.0, 2.0, 0.0)
    everybody = [many] * 25 + [few] * 75
    space = fit(everybody, LIST)
    words = [trait.words for trait in traits([many] * 25, everybody, [1.7], space, LIST)]
    assert "cart adds (half-life a day) 3.3 times the average" in words  # 30 against (25 · 30 + 75 · 2) / 100 = 9
    assert "active at night, 100 % against 25 %" in words
    assert "device mobile, 100 % against 25 %" in words
    assert "an open cart, 100 % against 25 %" in words
    (rare, *_) = [trait.words for trait in traits([few] * 75, everybody, [-0.6], space, LIST) if "cart adds" in trait.words]
    assert rare == "cart adds (half-life a day) 22 % of the average"


@pytest.mark.parametrize(
    ("shorts", "taken", "wanted"),
    [
        (["many cart adds lately", "many cart adds", "few orders"], [], "many cart adds lately, few orders"),
        (["many orders", "night"], ["many orders, night"], "many orders, night 2"),
        (["many orders", "night", "high spend"], ["many orders, night"], "many orders, night, high spend"),
        ([], ["like everybody"], "like everybody 2"),
    ],
)
def test_a_name_says_two_things_and_is_nobody_elses(shorts: list[str], taken: list[str], wanted: str) -> None:
    """It is what a segment's expression compares with."""
    assert name([GroupTrait(1.0, short, short) for short in shorts], taken) == wanted
