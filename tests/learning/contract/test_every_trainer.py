"""What every model that learns must keep, whatever it learns."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from streamer.errors import HaltError
from streamer.examples import ModelSpec
from streamer.learning.learner import Learner
from streamer.learning.reports.outputs import ModelPublished
from streamer.learning.scorers.decode import decode_scorer
from tests.learning.contract.trainers import FEATURES, LIMITS, SPECS, learner, of_model, stream

COUNT = 2_600


@pytest.fixture(params=SPECS, ids=lambda spec: spec.kind)
def spec(request: pytest.FixtureRequest) -> ModelSpec:
    return request.param


@pytest.fixture(scope="module")
def learned() -> dict[str, tuple[Learner, list[Any]]]:
    """Every kind after the whole stream, and what it said."""
    found: dict[str, tuple[Learner, list[Any]]] = {}
    for spec in SPECS:
        one = learner(spec)
        found[spec.kind] = one, [said for example in stream(COUNT) for said in one.take(of_model(example, spec))]
    return found


def test_it_publishes_what_can_be_read_and_scores(spec: ModelSpec, learned: Any) -> None:
    """Otherwise nothing below would mean anything."""
    published = [said for said in learned[spec.kind][1] if isinstance(said, ModelPublished)]
    assert published
    assert [said.version for said in published] == sorted({said.version for said in published})
    for said in published[-3:]:
        scorer = decode_scorer(said.scorer)
        assert (spec.name, said.version, FEATURES.version) == (scorer.model, scorer.version, scorer.features)
        assert msgspec.json.encode(said)


def test_scoring_and_asking_write_nothing(spec: ModelSpec, learned: Any) -> None:
    """A question from an operator, or a score more, must not change the model."""
    one, said = learned[spec.kind]
    before = one.dump()
    scorer: Any = decode_scorer([each for each in said if isinstance(each, ModelPublished)][-1].scorer)
    raw = [scorer.assign(x.x, None) if spec.kind == "groups" else scorer.score(x.x) for x in stream(COUNT)[:200] if x.x]
    one.cards()
    assert raw
    assert before == one.dump()


def test_learning_does_not_touch_its_input(spec: ModelSpec) -> None:
    """The same example goes to several trainers."""
    one = learner(spec)
    for example in stream(COUNT)[:1_500]:
        mine = of_model(example, spec)
        copy = msgspec.json.encode(mine)
        one.take(mine)
        assert copy == msgspec.json.encode(mine)


def test_it_answers_before_it_has_learned(spec: ModelSpec) -> None:
    """A deployment is asked about its models on the first day."""
    one = learner(spec)
    card = one.cards()[spec.name]
    assert (spec.name, spec.kind, "not ready") == (card.model, card.kind, card.state)
    assert card.why
    assert one.dump() == Learner.restore([spec], FEATURES, one.dump(), LIMITS).dump()


@pytest.mark.parametrize("at", [150, 700, 2_000, 4_500])
def test_put_down_and_taken_up_it_goes_on_as_if_nothing_was(spec: ModelSpec, learned: Any, at: int) -> None:
    """A learner that was killed must not be another one from then on: not in the last digit, and not in what it says."""
    whole, heard = learned[spec.kind]
    one = learner(spec)
    said: list[Any] = []
    for number, example in enumerate(stream(COUNT)):
        if number == at:
            one = Learner.restore([spec], FEATURES, one.dump(), LIMITS)
        said += one.take(of_model(example, spec))
    assert heard == said
    assert whole.dump() == one.dump()


def test_a_hash_seed_changes_nothing() -> None:
    """Two workers of one deployment must agree on every byte."""

    def run(seed: str) -> str:
        program = [sys.executable, "-m", "tests.learning.contract.trainers", "900"]
        return subprocess.run(program, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True).stdout

    first = run("0")
    assert len(first.splitlines()) == len(SPECS)
    assert first == run("1")


def test_wild_values_leave_it_finite(spec: ModelSpec) -> None:
    """A feature that a producer's bug blew up must not ruin what was learned, now or in the state."""
    one = learner(spec)
    rng = random.Random(1)
    wild = (1e300, -1e300, 1.7e308, 0.0, -0.0, 5e-324, 1e18)
    for number, example in enumerate(stream(COUNT)[:3_000]):
        mine = of_model(example, spec)
        if mine.x and number % 3 == 0:
            mine = msgspec.structs.replace(mine, x=tuple(rng.choice(wild) for _ in mine.x), amount=mine.label * 10**17)
        one.take(mine)
    try:
        assert one.dump()
    except HaltError as error:
        pytest.fail(str(error))


def test_memory_is_bounded(spec: ModelSpec) -> None:
    """It learns for years. What it keeps of 13,000 customers would be 800 kB if it kept them all."""
    one = learner(spec)
    for example in stream(13_000):
        one.take(of_model(example, spec))
    assert len(one.dump()) < 400_000


def test_examples_of_models_that_are_gone_are_passed_over(spec: ModelSpec) -> None:
    """After a change of definitions the stream still holds examples of the old ones."""
    one = learner(spec)
    before = one.dump()
    strange = next(example for example in stream(COUNT) if example.kind == "train")
    assert one.take(msgspec.structs.replace(strange, model="nobody", at_ms=0, t_ms=0)) == []
    after = msgspec.json.decode(one.dump())
    assert {**msgspec.json.decode(before), "minute": 0} == after
