"""Real shop sessions, in file order and shuffled: the learner against LightGBM retrained on the past, at equal mean label lag.

What was known when this was set up: the crosses were chosen by their names and then by trying three sets on these same sessions (in file
order and shuffled with seeds other than those reported), and so was FTRL's ``alpha``. Twelve thousand rows do not allow a better
separation. LightGBM's settings are those of our notes and were not tuned either way. Its rows are judged where both have a score.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from math import log
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from streamer.examples import MARK_MS, Category, Example, Feature, FeatureList, Linear, ModelSpec
from streamer.learning.evaluation.window import Tally
from streamer.learning.learner import Learner
from streamer.learning.models.propensity import TrainingLimits
from streamer.learning.reports.outputs import ModelPublished
from streamer.learning.scorers.decode import decode_scorer

LAG = 200  # rows until an outcome is known; a row is a minute
REFIT = 200  # rows between two trainings of LightGBM
FIRST = 2_000  # row from which on scores are judged
NUMBERS = (
    "Administrative", "Administrative_Duration", "Informational", "Informational_Duration", "ProductRelated", "ProductRelated_Duration",
    "BounceRates", "ExitRates", "PageValues", "SpecialDay",
)  # fmt: skip
CATEGORIES = ("Month", "OperatingSystems", "Browser", "Region", "TrafficType", "VisitorType", "Weekend")
VALUED = "PageValues"
CROSSES = (
    *((VALUED, name) for name in (*NUMBERS, "Month", "VisitorType", "TrafficType") if name != VALUED),
    *(("Month", name) for name in (*NUMBERS, "VisitorType", "TrafficType") if name != VALUED),
    ("ProductRelated_Duration", "BounceRates"), ("ProductRelated", "ExitRates"),
    ("VisitorType", "ExitRates"), ("VisitorType", "ProductRelated"),
)  # fmt: skip
Row = tuple[tuple[float, ...], int]


class Verdict(NamedTuple):
    """One model on one order of the sessions."""

    auc: float
    log_loss: float
    ratio: float


def load(path: Path, with_page_values: bool) -> tuple[FeatureList, list[Row]]:
    """The sessions and their features; categories are numbered by name."""
    with path.open(newline="") as file:
        raw = list(csv.DictReader(file))
    numbers = [name for name in NUMBERS if with_page_values or name != VALUED]
    values = {name: {value: float(k) for k, value in enumerate(sorted({row[name] for row in raw}))} for name in CATEGORIES}
    features = [Feature(name, Linear(), 0, 1e6) for name in numbers]
    features += [Feature(name, Category(), 0, len(values[name]) - 1) for name in CATEGORIES]
    names = {feature.name for feature in features}
    crosses = tuple(pair for pair in CROSSES if names.issuperset(pair))
    rows = [
        (
            tuple([float(row[name]) for name in numbers] + [values[name][row[name]] for name in CATEGORIES]),
            int(row["Revenue"].upper() == "TRUE"),
        )
        for row in raw
    ]
    return FeatureList(1, tuple(features), crosses), rows


def orders(rows: Sequence[Row], seeds: Sequence[int]) -> list[tuple[str, list[Row]]]:
    """As they stand in the file, by and large by month, and shuffled."""
    found = [("file order", list(rows))]
    for seed in seeds:
        shuffled = list(rows)
        random.Random(seed).shuffle(shuffled)
        found.append((f"shuffled {seed}", shuffled))
    return found


def serve(features: FeatureList, rows: Sequence[Row], publish_after: int = 25) -> list[int | None]:
    """The scores that the learner's published scorers gave, each before its outcome was known."""
    horizon_ms = LAG * MARK_MS
    spec = ModelSpec("buys", "purchase", ("Revenue",), horizon_ms=horizon_ms, window_ms=horizon_ms)
    learner = Learner([spec], features, TrainingLimits(warm_up=1_000, publish_every_ms=10**15, publish_after=publish_after))
    scorer: Any = None
    served: list[int | None] = []
    for now, (x, _) in enumerate(rows):
        due = now - LAG
        if due >= 0:
            old, label = rows[due]
            for kind in ("train", "mature"):
                example = Example(
                    kind, 0, now, len(kind), now * MARK_MS, due * MARK_MS, spec.name, features.version, old, label, score=served[due]
                )
                for said in learner.take(example):
                    if isinstance(said, ModelPublished):
                        scorer = decode_scorer(said.scorer)
        served.append(scorer.score(x) if scorer else None)
    return served


def boosted(features: FeatureList, rows: Sequence[Row]) -> list[float]:
    """LightGBM's chances, each from a model that was trained on rows whose outcome was known: on average ``LAG`` rows before."""
    import lightgbm as lgb  # noqa: PLC0415

    x, y = np.array([row for row, _ in rows]), np.array([label for _, label in rows])
    categories = [at for at, feature in enumerate(features.features) if not feature.is_number]
    settings = {"objective": "binary", "learning_rate": 0.05, "num_leaves": 15, "verbose": -1, "num_threads": 1, "seed": 0}
    chances = [0.0] * FIRST
    for start in range(FIRST, len(rows), REFIT):
        known = start - (LAG - REFIT // 2)
        model = lgb.train(settings, lgb.Dataset(x[:known], y[:known], categorical_feature=categories), 120)
        chances.extend(float(chance) for chance in np.asarray(model.predict(x[start : start + REFIT])))
    return chances


def judge(scores: Sequence[float | None], rows: Sequence[Row], where: Sequence[bool]) -> Verdict:
    """AUC, log loss and Σp/Σy over these rows; scores are chances."""
    tally = Tally()
    loss = total = 0.0
    for score, (_, label), counts in zip(scores, rows, where, strict=True):
        if counts and score is not None:
            chance = min(max(score, 5e-5), 1 - 5e-5)
            tally.add(int(chance * 10_000 + 0.5), label)
            loss -= log(chance if label else 1 - chance)
            total += chance
    return Verdict(tally.auc or 0.0, loss / tally.count, total / tally.positives)


def compare(features: FeatureList, rows: Sequence[Row]) -> tuple[int, Verdict, Verdict]:
    """Rows judged, the learner, LightGBM."""
    served = serve(features, rows)
    where = [at >= FIRST and score is not None for at, score in enumerate(served)]
    ours = [None if score is None else score / 10_000 for score in served]
    return sum(where), judge(ours, rows, where), judge(boosted(features, rows), rows, where)
