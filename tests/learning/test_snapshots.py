"""What leaves the learner, and what it is restored from."""

from __future__ import annotations

import ast
import json
import random
from math import inf, nan
from pathlib import Path
from typing import Any

import msgspec
import pytest
from river import linear_model, optim, preprocessing

import streamer
from streamer.errors import HaltError, RefusedError
from streamer.examples import Example, ModelSpec, decode_example, encode_example
from streamer.learning.learner import Learner
from streamer.learning.models.propensity import PropensityTrainer, TrainingLimits
from streamer.learning.online.linear import OnlineLinear
from streamer.learning.reports.outputs import Alert, ModelPublished
from streamer.learning.scorers.linear_scorer import ChanceScorer, Form, LinearContent
from streamer.learning.snapshot import Probe, encode_state
from tests.learning.golden.make import FEATURES as SMALL
from tests.learning.golden.make import FILE, LIMITS, SPECS, answers, examples
from tests.learning.outcomes import FEATURES, PURCHASE, Step, moments, play

CODE = sorted(Path(streamer.__file__).parent.rglob("*.py"))


def test_a_committed_snapshot_answers_as_it_did() -> None:
    """An attribute renamed in river, or a format changed without meaning to, breaks here and not in a running deployment."""
    golden = json.loads(FILE.read_text())
    learner = Learner.restore(SPECS, SMALL, json.dumps(golden["state"]).encode(), LIMITS)
    for name, expected in golden["now"].items():
        assert expected == pytest.approx(answers(learner)[name], abs=1e-12)
    for example in examples(700, 200):
        learner.take(example)
    for name, expected in golden["later"].items():
        assert expected == pytest.approx(answers(learner)[name], abs=1e-12)


@pytest.mark.parametrize("recipe", ["ftrl", "sgd"])
@pytest.mark.parametrize("target", ["chance", "basket"])
def test_a_model_learns_on_to_the_last_bit(recipe: Any, target: Any) -> None:
    """Through JSON, in mid-stream."""
    rng, first = random.Random(1), OnlineLinear(target, recipe, 9, 0.3)

    def teach(*models: OnlineLinear) -> None:
        for _ in range(200):
            lit = {rng.randrange(3): 1.0, 3 + rng.randrange(3): rng.gauss(0, 1), 8: 1.0}
            for model in models:
                model.learn(lit, float(rng.randrange(2)))

    teach(first)
    second = OnlineLinear.restore(json.loads(json.dumps(first.dump())))
    rng = random.Random(2)
    teach(first)
    rng = random.Random(2)
    teach(second)
    assert first.dump() == second.dump()


@pytest.mark.parametrize("number", [nan, inf, -inf])
def test_a_state_that_is_not_finite_is_not_written(number: float) -> None:
    """JSON has no word for it, and whoever restored it would be ruined for ever."""
    with pytest.raises(HaltError, match=r"\$\.a\[1\]\.b\[2\]"):
        encode_state({"a": [1, {"b": [0.0, 1.0, number]}]})


def test_a_number_that_is_not_finite_is_refused_at_the_door() -> None:
    """One such example makes every weight of a river model NaN."""
    model = linear_model.LogisticRegression(optim.SGD(0.01))
    model.learn_one({"a": nan}, True)
    model.learn_one({"a": 1.0}, True)
    assert model.weights["a"] != model.weights["a"]
    good = next(example for example in Step(PURCHASE).examples(moments(5)) if example.kind == "train")
    wild = msgspec.structs.replace(good, x=(1e308 * 10, *good.x[1:]))
    assert decode_example(encode_example(good), FEATURES) == good
    for raw in (encode_example(wild), encode_example(good).replace(b'"x":[', b'"x":[1e999,', 1), encode_example(good)[:-30]):
        with pytest.raises(RefusedError):
            decode_example(raw, FEATURES)


def test_asking_about_unseen_keys_grows_river_and_not_us() -> None:
    """Why rows are encoded into slots that all exist from the beginning."""
    scaler = preprocessing.StandardScaler()
    scaler.learn_one({"a": 1.0})
    for key in range(100):
        scaler.transform_one({f"unseen {key}": 1.0})
    assert len(scaler.vars) > 100
    model = OnlineLinear.of_rate("ftrl", 5, 0.1)
    size = len(json.dumps(model.dump()))
    model.predict({1: 1.0})
    assert size == len(json.dumps(model.dump()))


def test_a_model_begins_at_the_base_rate() -> None:
    """From zero, river's intercept takes thousands of examples to get to a few percent."""
    late, at_once = linear_model.LogisticRegression(optim.SGD(0.01)), OnlineLinear.of_rate("sgd", 1, 0.03)
    for _ in range(500):
        late.learn_one({}, False)
    assert late.predict_proba_one({})[True] > 0.1
    assert at_once.model.predict_proba_one({})[True] == pytest.approx(0.03)  # type: ignore[union-attr]


def test_nothing_is_unpickled_and_nothing_learned_in_batches() -> None:
    """A pickle from a store is code execution; ``learn_many`` is one mean step, and ends with ten times the true rate."""
    for path in CODE:
        tree = ast.parse(path.read_text())
        names = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for name in node.names}
        names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not names & {"pickle", "cloudpickle", "joblib", "dill", "learn_many"}, path


def served(weight: float = 0.0, intercept: float = -2.0) -> ChanceScorer:
    """A scorer like one that a learner published."""
    learner = Learner([PURCHASE], FEATURES, TrainingLimits(warm_up=300, publish_after=300))
    published = [said for said in play(learner, Step(PURCHASE), moments(2_500, per_hour=60)) if isinstance(said, ModelPublished)]
    content = msgspec.json.decode(published[-1].scorer, type=LinearContent)
    return ChanceScorer(msgspec.structs.replace(content, chance=Form(intercept, (weight,) * content.encoding.slots)))


ROWS = [moment.x for moment in moments(400, seed=9)]


def test_a_scorer_that_jumps_without_a_reason_is_refused() -> None:
    """Something is wrong with it, not with the customers."""
    calm = [(x, int(at % 8 == 0)) for at, x in enumerate(ROWS)]  # 12.5 %, which log-odds of -2 promise
    probe = Probe(ROWS[:100], served())
    assert probe.refusal(served(intercept=-2.1), calm) is None
    refusal = probe.refusal(served(intercept=-2.45), calm)
    assert refusal is not None
    assert refusal.word == "jump"
    assert refusal.before > refusal.after


def test_a_jump_that_outcomes_ask_for_is_let_through() -> None:
    """After a change of the world the old scorer is the wrong one."""
    busy = [(x, int(at % 4 == 0)) for at, x in enumerate(ROWS)]
    assert Probe(ROWS[:100], served()).refusal(served(intercept=-1.1), busy) is None


def test_a_scorer_that_promises_what_does_not_come_is_refused() -> None:
    """Even the first."""
    calm = [(x, int(at % 8 == 0)) for at, x in enumerate(ROWS)]
    refusal = Probe(ROWS[:100]).refusal(served(intercept=0.0), calm)
    assert refusal is not None
    assert refusal.word == "calibration"


def spoilt(learner: Learner) -> PropensityTrainer:
    """A fault: the champion's intercept goes wild inside the learner."""
    trainer = learner.trainers["purchase"]
    assert isinstance(trainer, PropensityTrainer)
    assert trainer.roster is not None
    trainer.roster.champion_candidate.model.model.intercept += 3.0
    return trainer


def test_a_refused_scorer_is_kept_aside_and_the_old_one_serves_on() -> None:
    """And somebody is told, once."""
    learner, step = Learner([PURCHASE], FEATURES, TrainingLimits(warm_up=300, publish_after=300)), Step(PURCHASE)
    stream = list(moments(3_000, per_hour=60))
    assert any(isinstance(said, ModelPublished) for said in play(learner, step, stream[:2_500]))
    trainer = spoilt(learner)
    version = trainer.version
    heard: list[Any] = []
    last_ms = stream[2_499].t_ms + PURCHASE.horizon_ms
    for at in range(600):
        moment = stream[at % 100]
        example = Example("train", 0, at, 0, last_ms + at * 60_000, last_ms + at * 60_000 - PURCHASE.window_ms, "purchase", 3, moment.x, 0)
        heard += learner.take(example)
        trainer.roster.champion_candidate.model.model.intercept = 3.0  # type: ignore[union-attr]
    assert [(said.kind, said.subject) for said in heard if isinstance(said, Alert)] == [("refused", "purchase")]
    assert not any(isinstance(said, ModelPublished) for said in heard)
    assert trainer.version == version
    assert trainer.refused is not None
    assert trainer.refused.version == version + 1
    assert trainer.refused.why.startswith("calibration")
    assert b"refused" in learner.dump()


def test_a_pinned_model_learns_and_is_silent_until_it_is_let_go() -> None:
    """An operator rolled back; the learner must not overrule them, and must not lose what it learned meanwhile."""
    limits = TrainingLimits(warm_up=60, publish_after=20)
    learner = Learner(SPECS, SMALL, limits)

    def published(start: int, count: int) -> list[int]:
        said = [one for example in examples(start, count) for one in learner.take(example)]
        return [one.version for one in said if isinstance(one, ModelPublished) and one.model == "purchase"]

    before = published(0, 500)
    assert before
    learner.pin("purchase", before[0])
    learner = Learner.restore(SPECS, SMALL, learner.dump(), limits)
    assert {"purchase": before[0]} == learner.pins
    assert published(500, 200) == []
    held = learner.cards()["purchase"].version
    assert held > before[-1]
    learner.unpin("purchase")
    assert published(700, 1) == [held]
    assert published(701, 100)[0] == held + 1
    assert learner.pins == {}
    with pytest.raises(KeyError):
        learner.pin("nobody", 1)


def test_a_changed_definition_begins_anew_and_the_others_go_on() -> None:
    """A horizon of a week makes other labels than one of a day."""
    changed = msgspec.structs.replace(SPECS[0], horizon_ms=7_200_000)
    golden = json.dumps(json.loads(FILE.read_text())["state"]).encode()
    learner = Learner.restore((changed, SPECS[1]), SMALL, golden, LIMITS)
    assert [card.learned for card in learner.cards().values()] == [0, 690]


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"schema":1}', b'{"schema":99}', b"\x80\x04K\x01."])
def test_a_snapshot_that_cannot_be_read_stops_the_learner(raw: bytes) -> None:
    """Beginning anew in silence would throw months away."""
    with pytest.raises(HaltError):
        Learner.restore([ModelSpec("purchase", "purchase")], SMALL, raw)


def test_no_structure_no_scorer() -> None:
    """Orders that are pure chance: whatever is said of them would be false, so nothing is."""
    learner = Learner([PURCHASE], FEATURES)
    heard = play(learner, Step(PURCHASE), moments(8_000, spread=0.0))
    card = learner.cards()["purchase"]
    assert not any(isinstance(said, ModelPublished) for said in heard)
    assert card.state == "not ready"
    assert "does not beat the base rate" in card.why
