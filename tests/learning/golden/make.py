"""``python -m tests.learning.golden.make``: write ``learner.json`` anew, after a change of format that is meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from streamer.examples import Category, Example, Feature, FeatureList, Linear, ModelSpec
from streamer.learning.learner import Learner
from streamer.learning.models.propensity import PropensityTrainer, TrainingLimits

FILE = Path(__file__).with_name("learner.json")
FEATURES = FeatureList(1, (Feature("views", Linear(), 0, 100), Feature("device", Category(), 0, 2)), (("views", "device"),))
SPECS = (
    ModelSpec("purchase", "purchase", ("Order Completed",), horizon_ms=3_600_000, window_ms=600_000),
    ModelSpec("worth", "value", ("Order Completed",), horizon_ms=3_600_000, window_ms=600_000, amount=("total",)),
)
LIMITS = TrainingLimits(warm_up=60)
ROWS = tuple((float(at * 13 % 101), float(at % 3)) for at in range(25))


def examples(start: int, count: int) -> list[Example]:
    """A plain pattern, one example a minute for each model."""
    found: list[Example] = []
    for at in range(start, start + count):
        x = (float(at * 37 % 101), float(at % 3))
        label = int(x[0] > 55 + at * 7 % 40)
        for spec in SPECS:
            for kind, age in (("train", 10), ("mature", 60)):
                moment = (at - age) * 60_000
                if moment >= 0:
                    one = Example("train", 0, at, age, at * 60_000, moment, spec.name, 1, x, label, label * 120_000 + at, 900)
                    one.kind = "train" if kind == "train" else "mature"
                    found.append(one)
    return found


def answers(learner: Learner) -> dict[str, list[float]]:
    """Log-odds of the champion for each row, by model."""
    out: dict[str, list[float]] = {}
    for name, trainer in learner.trainers.items():
        assert isinstance(trainer, PropensityTrainer)
        assert trainer.roster is not None
        champion = trainer.roster.champion_candidate
        out[name] = [champion.model.predict(champion.encoder.encode(row)) for row in ROWS]
    return out


def make() -> dict[str, Any]:
    """A learner's state, and what it answers now and after learning more."""
    learner = Learner(SPECS, FEATURES, LIMITS)
    for example in examples(0, 700):
        learner.take(example)
    dumped = learner.dump()
    now = answers(learner)
    for example in examples(700, 200):
        learner.take(example)
    return {"state": json.loads(dumped), "now": now, "later": answers(learner)}


if __name__ == "__main__":
    FILE.write_text(json.dumps(make(), sort_keys=True) + "\n")
