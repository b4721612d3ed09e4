"""``models`` in definitions: what may be written, what is left out, and the file that ships with streamer."""

from __future__ import annotations

from pathlib import Path

import pytest

import streamer.segments
from streamer.customers.features import FEATURES
from streamer.errors import DefinitionError
from streamer.examples import ModelSpec
from streamer.language import tree
from streamer.language.definitions import Definitions, load_definitions, parse_definitions
from streamer.language.lint.linter import lint
from streamer.segments.feature_leakage import excluded_features
from streamer.segments.library import library_path
from streamer.segments.plan.plan import Plan

READY = Path(streamer.segments.__file__).parent / "library_models"
DAY, HOUR = 86_400_000, 3_600_000


def models(text: str, *, sensitive: str = "") -> Definitions:
    """Definitions with these models, and a segment ``loyal``."""
    return parse_definitions(f"{sensitive}\nmodels:\n  {text}\nsegments:\n  loyal: {{for: x, when: 'count(\"Order Completed\") >= 3'}}\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("m: {kind: purchase}", ModelSpec("m", "purchase", ("Order Completed",), DAY, 4 * HOUR)),
        ("m: {kind: purchase, horizon: 1h}", ModelSpec("m", "purchase", ("Order Completed",), HOUR, HOUR // 2)),
        ("m: {kind: purchase, horizon: 8h, window: 6h, events: [A, 'B*']}", ModelSpec("m", "purchase", ("A", "B*"), 8 * HOUR, 6 * HOUR)),
        ("m: {kind: churn}", ModelSpec("m", "churn", ("*",), 30 * DAY)),
        ("m: {kind: value, amount: order.total}", ModelSpec("m", "value", ("Order Completed",), 30 * DAY, 0, ("order", "total"))),
        ("m: {kind: groups}", ModelSpec("m", "groups", groups=6)),
        ("loyal: {kind: lookalike}", ModelSpec("loyal", "lookalike", seed="loyal")),
        ("m: {kind: unusual, exclude: loyal}", ModelSpec("m", "unusual", exclude="loyal")),
        ("m: {kind: unusual, edition: 1}", ModelSpec("m", "unusual")),
        ("m: {kind: unusual, edition: 12}", ModelSpec("m", "unusual", edition=12)),
    ],
)
def test_what_is_left_out_is_what_the_language_says(text: str, expected: ModelSpec) -> None:
    """The table of the specification, row by row."""
    assert models(text).models == (expected,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("m: {kind: purchas}", "did you mean purchase"),
        ("m: {horizon: 1d}", "expected 'kind'"),
        ("m: {kind: churn, window: 1h}", "unknown key 'window'"),
        ("m: {kind: purchase, horizn: 1d}", "did you mean horizon"),
        ("m: {kind: purchase, horizon: 59s}", "60s to 400d"),
        ("m: {kind: purchase, horizon: 401d}", "60s to 400d"),
        ("m: {kind: purchase, horizon: 1h, window: 1h}", "shorter than the horizon"),
        ("m: {kind: groups, groups: 1}", "from 2 to 12"),
        ("m: {kind: unusual, edition: 0}", "from 1 to 999"),
        ("m: {kind: unusual, edition: next}", "from 1 to 999"),
        ("m: {kind: unusual, edition: ２}", "from 1 to 999"),
        ("m: {kind: lookalike, seed: loial}", "did you mean loyal"),
        ("m: {kind: purchase, exclude: loial}", "did you mean loyal"),
        ("M: {kind: unusual}", "expected a model name"),
        ("m: {kind: purchase, events: []}", "1 to 64 event names"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_hint(text: str, message: str) -> None:
    """A model is learned for weeks before anybody sees that it was a slip of the pen."""
    with pytest.raises(DefinitionError, match=message):
        models(text)


def test_sensitive_features_are_left_out_wherever_people_are_told_apart() -> None:
    """And a name that is no feature is refused: else the shop would believe that something is left out."""
    found = models("a: {kind: groups}\n  b: {kind: unusual}\n  loyal: {kind: lookalike}", sensitive="sensitive: [device]")
    assert [spec.sensitive for spec in found.models] == [("device",)] * 3
    with pytest.raises(DefinitionError, match="did you mean device"):
        models("a: {kind: groups}", sensitive="sensitive: [devise]")


@pytest.mark.parametrize(
    ("when", "leave"),
    [
        ('score("m") >= 0.7', 'not score("m") >= 0.63'),
        ('score("m") < 0.2', 'not score("m") < 0.22'),
        ('percentile("m") > 0.9', 'not percentile("m") > 0.81'),
        ('not score("m") >= 0.5', 'score("m") >= 0.55'),
        ('score("m") >= 0.7 and did("A")', 'not (score("m") >= 0.63 and did("A"))'),
    ],
)
def test_a_segment_on_a_score_is_left_a_tenth_later_than_it_is_entered(when: str, leave: str) -> None:
    """A score that trembles at the threshold must not send a message each time."""
    text = f"models: {{m: {{kind: purchase}}}}\nsegments: {{a: {{for: x, when: '{when}'}}}}"
    (segment,) = parse_definitions(text).segments
    assert segment.exit is not None
    assert tree.text(segment.exit) == leave


def test_an_exit_of_ones_own_is_taken_as_it_is_written() -> None:
    """Whoever writes it knows better."""
    text = "models: {m: {kind: purchase}}\nsegments: {a: {for: x, when: 'score(\"m\") >= 0.7', exit: 'score(\"m\") < 0.7'}}"
    (segment,) = parse_definitions(text).segments
    assert segment.exit is not None
    assert tree.text(segment.exit) == 'score("m") < 0.7'


@pytest.mark.parametrize("others", [(), (library_path(),)])
def test_the_ready_models_load_alone_and_beside_the_library(others: tuple[Path, ...]) -> None:
    """A start that works as it is: every kind of model, above suspicion."""
    found = load_definitions(*others, READY)
    assert {spec.kind for spec in found.models} == {"purchase", "churn", "value", "groups", "lookalike", "unusual"}
    assert lint(found) == []
    plan = Plan(found, lateness_ms=DAY)
    asking = {rule.name for rule in plan.rules if rule.asks}
    assert {"likely_to_buy_today", "about_to_leave", "top_tenth", "like_our_regulars", "far_from_everybody"} <= asking
    assert not any(rule.asks for rule in plan.rules if rule.name in ("machines", "regulars"))


def test_a_lookalike_does_not_see_what_its_seed_is_defined_by() -> None:
    """Who finds the regulars by their orders has found nothing."""
    out = excluded_features(load_definitions(READY), FEATURES)["regular"]
    assert {"orders", "orders_month", "since_order", "spend_month", "basket", "cart_open"} <= out
    assert "views_month" not in out
