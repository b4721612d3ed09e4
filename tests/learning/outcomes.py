"""A shop with planted truth: customers measured at moments of log time, what becomes of them, and the step's side of learning.

The step is played here by its rules only: measure, score with what was published, say ``train`` (a positive when it comes, a negative
after the short window) and ``mature`` (after the horizon, with the score that was served), and a mark each minute.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import exp, log1p
from typing import NamedTuple, cast

from msgspec.structs import replace

from streamer.examples import MARK_MS, Category, Example, Feature, FeatureList, Linear, ModelSpec
from streamer.learning.learner import Learner
from streamer.learning.reports.outputs import LearnerOutput, ModelPublished
from streamer.learning.scorers.decode import Scorer, decode_scorer

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
FEATURES = FeatureList(
    3,
    (
        Feature("views_day", Linear(), 0, 10_000, words="products looked at in a day"),
        Feature("carts_week", Linear(), 0, 1_000, words="products put into the cart in a week"),
        Feature("days_since_order", Linear("days"), 0, 3_650, words="days since the last order"),
        Feature("basket_mean", Linear(), 0, 100_000, words="usual basket"),
        Feature("sessions_month", Linear(), 0, 1_000, words="visits in a month"),
        Feature("discount_share", Linear(), 0, 1, words="share of discounted products looked at"),
        Feature("hour", Category(), 0, 23, words="hour of the day"),
        Feature("device", Category(), 0, 3, words="device"),
    ),
    (("carts_week", "days_since_order"), ("hour", "device")),
)
PURCHASE = ModelSpec("purchase", "purchase", ("Order Completed",), horizon_ms=DAY_MS, window_ms=2 * HOUR_MS)
CHURN = ModelSpec("leaves", "churn", ("Product Viewed", "Order Completed"), horizon_ms=DAY_MS, window_ms=2 * HOUR_MS)
VALUE = ModelSpec("worth", "value", ("Order Completed",), horizon_ms=DAY_MS, window_ms=2 * HOUR_MS, amount=("total",))


class Moment(NamedTuple):
    """A customer measured, and the future that only the shop knows."""

    t_ms: int
    x: tuple[float, ...]
    chance: float
    label: int
    delay_ms: int
    amount: int


def truth(x: tuple[float, ...], drifted: bool) -> float:
    """Log-odds of an order. After the drift discounts drive orders, where carts did before, and nights are quiet."""
    views, carts, days, _, sessions, discount, hour, device = x
    night = 1.0 if hour >= 20 else 0.0
    if drifted:
        return -4.5 + 0.25 * log1p(views) + 4.2 * discount + 0.4 * log1p(sessions) - 0.4 * night - 0.4 * (device == 3)
    fresh = 1.0 if days < 7 else 0.0
    return (
        -3.5
        + 0.25 * log1p(views)
        + 0.8 * log1p(carts)
        + 0.9 * fresh * (carts > 0)
        - 0.01 * min(days, 120)
        + 0.5 * night
        - 0.4 * (device == 3)
    )


def moments(
    count: int, seed: int = 1, per_hour: int = 400, drift_at: int | None = None, start_ms: int = 1_700_000_000_000, spread: float = 1.0
) -> Iterator[Moment]:
    """Customers one after another, evenly over log time, busier by day. ``spread`` 0 makes orders pure chance."""
    rng = random.Random(seed)
    t_ms = float(start_ms)
    for at in range(count):
        hour = (t_ms // HOUR_MS) % 24
        t_ms += rng.expovariate(per_hour / HOUR_MS) * (2.0 if hour < 7 else 0.8)
        carts = float(min(40, int(rng.paretovariate(1.5) - 1)))
        x = (
            float(int(rng.lognormvariate(1.5, 1.0))),
            carts,
            round(rng.expovariate(1 / 40), 2),
            round(rng.lognormvariate(4.0, 0.6), 2),
            float(int(rng.lognormvariate(1.0, 0.8))),
            round(rng.betavariate(1, 3), 3),
            float(hour),
            float(rng.choices((0, 1, 2, 3), (50, 30, 15, 5))[0]),
        )
        logit = truth(x, drift_at is not None and at >= drift_at) if spread else -2.5
        chance = 1 / (1 + exp(-logit))
        label = int(rng.random() < chance)
        delay_ms = min(DAY_MS - 1, int(rng.expovariate(1 / HOUR_MS)))
        amount = int(10_000 * x[3] * rng.lognormvariate(0, 0.5)) if label else 0
        yield Moment(int(t_ms), x, chance, label, delay_ms, amount)


@dataclass
class Step:
    """What a shard's step does for one model: serve, remember, and say examples in order."""

    spec: ModelSpec
    features: FeatureList = FEATURES
    scorer: Scorer | None = None
    served: list[tuple[Moment, int | None]] = field(default_factory=list[tuple[Moment, "int | None"]])
    _due: list[tuple[int, int, Example]] = field(default_factory=list[tuple[int, int, Example]])
    _said: int = 0
    _mark: int = -1

    def examples(self, of: Iterable[Moment]) -> Iterator[Example]:
        """In merge order. Between two of them ``scorer`` may be switched."""
        for moment in of:
            yield from self._until(moment.t_ms)
            score = self.scorer.score(moment.x) if self.scorer else None
            self.served.append((moment, score))
            self._remember(moment, score)
        yield from self._until(1 << 62)

    def _remember(self, moment: Moment, score: int | None) -> None:
        spec, horizon_ms = self.spec, self.spec.horizon_ms
        version = self.scorer.version if self.scorer else 0
        base = Example(
            "train", 0, 0, 0, 0, t_ms=moment.t_ms, model=spec.name, features=self.features.version, x=moment.x, score=score, version=version
        )
        positive = replace(base, label=1, amount=moment.amount)
        if moment.label:
            self._plan(moment.t_ms + moment.delay_ms, positive)
        if not moment.label or moment.delay_ms > spec.window_ms:
            self._plan(moment.t_ms + spec.window_ms, base)
        self._plan(moment.t_ms + horizon_ms, replace(positive if moment.label else base, kind="mature"))

    def _plan(self, at_ms: int, example: Example) -> None:
        self._said += 1
        heapq.heappush(self._due, (at_ms, self._said, replace(example, at_ms=at_ms, offset=self._said)))

    def _until(self, t_ms: int) -> Iterator[Example]:
        while self._due and self._due[0][0] <= t_ms:
            at_ms, _, example = heapq.heappop(self._due)
            minute = at_ms // MARK_MS
            if minute > self._mark:
                self._mark = minute
                yield Example("mark", 0, example.offset, 0, minute * MARK_MS)
            yield example


def play(learner: Learner, step: Step, of: Iterable[Moment]) -> list[LearnerOutput]:
    """Learn from all, and serve each new scorer from the moment it is published."""
    heard: list[LearnerOutput] = []
    for example in step.examples(of):
        for one in learner.take(example):
            heard.append(one)
            if isinstance(one, ModelPublished) and one.model == step.spec.name:
                step.scorer = cast("Scorer", decode_scorer(one.scorer))
    return heard
