"""Compiled scorers against the models they were compiled from, and what is refused."""

from __future__ import annotations

import random
import subprocess
import sys
from math import exp, log
from typing import Any, cast, get_args

import msgspec
import pytest
from river import linear_model, optim

from streamer.errors import RefusedError
from streamer.examples import Category, Feature, FeatureList, Linear
from streamer.learning.inputs.feature_encoding import Encoder, freeze
from streamer.learning.models.propensity import average_of
from streamer.learning.online.linear import Ftrl, OnlineLinear, Recipe
from streamer.learning.scorers.contract import canonical
from streamer.learning.scorers.decode import Scorer, decode_scorer
from streamer.learning.scorers.linear_scorer import AmountScorer, ChanceScorer, Form, LinearContent, Sum, describe_features

FEATURES = FeatureList(
    2,
    (
        Feature("spend", Linear("euro"), 0, 1e6, words="money spent"),
        Feature("month", Category(), 1, 12),
        Feature("visits", Linear(), 0, 1e3),
        Feature("age", Linear("days"), 0, 1e4),
    ),
    (("spend", "month"), ("spend", "visits")),
)


def rows(count: int, seed: int = 1) -> list[tuple[float, ...]]:
    rng = random.Random(seed)
    return [(rng.expovariate(0.01), float(rng.randint(1, 12)), float(int(rng.expovariate(0.5))), rng.uniform(0, 900)) for _ in range(count)]


ROWS = rows(600)
ENCODING = freeze(ROWS, FEATURES, 1)


def learned(recipe: Any = "ftrl", target: Any = "chance") -> OnlineLinear:
    """A model that has seen something."""
    model = OnlineLinear(target, recipe, ENCODING.slots, -1.0)
    encoder = Encoder(ENCODING)
    for row in ROWS:
        outcome = float(row[2] > 2 and row[0] > 50) if target == "chance" else log(1 + row[0])
        model.learn(encoder.encode(row), outcome)
    return model


def content(kind: Any = "purchase", **changes: Any) -> LinearContent:
    names, units, words = describe_features(FEATURES)
    form = learned().form()
    basket = learned(target="basket").form() if kind == "value" else None
    made = LinearContent(
        kind, "m", 4, 2, names, units, words, ENCODING, form, average_of(ENCODING, form, ROWS), basket,
        basket_average=average_of(ENCODING, basket, ROWS) if basket else (), factor=1.1, table=tuple(range(0, 2010, 10)),
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


@pytest.mark.parametrize("recipe", get_args(Recipe))
def test_the_compiled_form_says_what_the_model_says(recipe: Any) -> None:
    """What is judged in training must be what serves."""
    model, encoder = learned(recipe), Encoder(ENCODING)
    compiled = Sum(ENCODING, model.form())
    wild = [(-1.0, 13.0, 1e9, 5.0), (1e12, 0.0, -3.0, 0.0)]
    for row in [*rows(300, seed=2), *wild]:
        lit = encoder.encode(row)
        chance = cast("Any", model.model).predict_proba_one(lit)[True]
        assert model.predict(lit) == pytest.approx(compiled(row), abs=1e-9)
        assert chance == pytest.approx(1 / (1 + exp(-compiled(row))), abs=1e-9)


def test_ftrl_is_rivers_to_the_last_bit() -> None:
    """It is only quicker; a release of river that changes the formula must be noticed here."""
    ours, theirs = (linear_model.LogisticRegression(kind(0.1, 1.0, 0.0, 1.0)) for kind in (Ftrl, optim.FTRLProximal))
    encoder = Encoder(ENCODING)
    for row in ROWS:
        for model in (ours, theirs):
            model.learn_one(encoder.encode(row), row[2] > 2)
    assert theirs.weights == ours.weights
    assert theirs.intercept == ours.intercept


def test_ftrl_never_becomes_too_sure_to_follow() -> None:
    """A calm year must not leave a model that needs another year to believe the next."""
    after: list[float] = []
    for calm in (5_000, 20_000):
        model = OnlineLinear.of_rate("ftrl", 1, 0.3)
        for at in range(calm):
            model.learn({0: 1.0}, float(at % 10 < 3))
        usual = model.predict({0: 1.0})
        for at in range(500):
            model.learn({0: 1.0}, float(at % 10 < 6))
        after.append(model.predict({0: 1.0}) - usual)
    assert after[0] > 0.5
    assert after[1] == pytest.approx(after[0], rel=0.05)


def test_reasons_add_up_to_the_difference_from_the_average_customer() -> None:
    """An explanation that leaves something out is a story."""
    scorer = ChanceScorer(content())
    average = sum(scorer.logit(row) for row in ROWS) / len(ROWS)
    for row in rows(50, seed=3):
        assert scorer.logit(row) - average == pytest.approx(sum(scorer.effects(row)), abs=1e-9)


def test_reasons_of_an_amount_add_up_in_its_logarithm() -> None:
    """Chance and basket are explained together."""
    scorer = AmountScorer(content("value"))
    logit, log_amount = (sum(form(row) for row in ROWS) / len(ROWS) for form in (scorer.logit, scorer.log_amount))
    usual = log(1 / (1 + exp(-logit))) + log_amount
    for row in rows(50, seed=3):
        own = log(1 / (1 + exp(-scorer.logit(row)))) + scorer.log_amount(row)
        assert own - usual == pytest.approx(sum(scorer.effects(row)), abs=1e-9)


def test_reasons_name_the_strongest_in_a_marketers_words() -> None:
    """They are read by people who send mail, not by people who fit models."""
    found = cast("Scorer", decode_scorer(canonical(content()))).reasons(ROWS[7], most=2)
    assert len(found) == 2
    assert abs(found[0].effect) >= abs(found[1].effect)
    assert all("associated with" in reason.words and "odds" in reason.words for reason in found)
    [spend] = [r for r in ChanceScorer(content()).reasons((80.0, 2.0, 1.0, 10.0), most=4) if r.feature == "spend"]
    assert spend.words.startswith("money spent 80 euro: associated with ")


def test_a_score_is_whole_and_its_percentile_comes_from_the_table() -> None:
    """Segments compare both with thresholds."""
    scorer = ChanceScorer(content())
    assert all(isinstance(scorer.score(row), int) and 0 <= scorer.score(row) <= 10_000 for row in ROWS)
    assert [scorer.percentile(score) for score in (-1, 1_000, 9_000)] == [0, 5_000, 10_000]


def test_scoring_changes_nothing() -> None:
    """A scorer is shared by all customers of a worker."""
    scorer = ChanceScorer(content())
    before = [scorer.score(row) for row in ROWS]
    row = list(ROWS[0])
    scorer.reasons(row)
    assert before == [scorer.score(row) for row in ROWS]
    assert row == list(ROWS[0])


def test_a_scorer_survives_the_wire() -> None:
    """It travels as canonical JSON, the same bytes for the same model."""
    for kind in ("purchase", "churn", "value"):
        raw = canonical(content(kind))
        scorer = cast("ChanceScorer", decode_scorer(raw))
        assert raw == canonical(scorer.content)
        assert (kind, "m", 4, 2) == (scorer.kind, scorer.model, scorer.version, scorer.features)


def damaged() -> dict[str, bytes]:
    """Ways in which a scorer may be wrong."""
    good = content()
    slots = len(good.chance.weights)
    columns = list(ENCODING.columns)
    tilted = msgspec.structs.replace(columns[0], knots=tuple(reversed(columns[0].knots)))
    longer = msgspec.structs.replace(ENCODING, slots=slots + 1)
    raw = canonical(good)
    return {
        "cut": raw[:-20],
        "not json": b"\x80\x04pickle",
        "of another schema": raw.replace(b'"schema":1', b'"schema":2'),
        "of an unknown kind": raw.replace(b'"kind":"purchase"', b'"kind":"oracle"'),
        "infinite": raw.replace(b'"intercept":', b'"intercept":1e999,"x":'),
        "too few weights": canonical(content(chance=Form(0.0, (0.0,) * (slots - 1)))),
        "too few averages": canonical(content(average=(0.0,))),
        "too few words": canonical(content(words=())),
        "a value without baskets": raw.replace(b'"kind":"purchase"', b'"kind":"value"'),
        "knots out of order": canonical(content(encoding=msgspec.structs.replace(ENCODING, columns=(tilted, *columns[1:])))),
        "columns missing": canonical(content(encoding=msgspec.structs.replace(ENCODING, columns=tuple(columns[1:])))),
        "slots miscounted": canonical(content(encoding=longer, chance=Form(0.0, (0.0,) * (slots + 1)))),
        "of another feature list": canonical(content(encoding=msgspec.structs.replace(ENCODING, features=9))),
        "a factor of nothing": canonical(content(factor=0.0)),
        "a table out of order": canonical(content(table=(3, 1))),
        "nested without end": b"[" * 100_000,
    }


@pytest.mark.parametrize("how", list(damaged()))
def test_a_damaged_scorer_is_refused(how: str) -> None:
    """It comes from the log, and would otherwise fail at some customer's event."""
    with pytest.raises(RefusedError) as refused:
        decode_scorer(damaged()[how])
    assert refused.value.reason == "bad_model"


def test_a_scoring_worker_never_loads_river() -> None:
    """It costs a second and 140 MB to import, in every worker."""
    program = "import sys, streamer.learning.scorers.decode; sys.exit(any(m in sys.modules for m in ('river', 'numpy', 'scipy')))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
