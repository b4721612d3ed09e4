"""A real year of a shop: who stays away for 30 days, and what the others will spend, by time and without a look ahead.

Customers are measured after each invoice and 7, 14, 30 and 60 days after their last one, and again only when the outcome of the
measurement before is known, as the step does. Judged are the measurements from April on. Rivals: the plain rule (how often did people
with this recency stay away so far, and what did they spend; its table is made anew each month) and LightGBM, trained anew each month
on all outcomes known by then.
"""

from __future__ import annotations

import csv
import gzip
import heapq
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from streamer.examples import Category, Example, Feature, FeatureList, Linear, ModelSpec
from streamer.learning.learner import Learner
from streamer.learning.models.propensity import TrainingLimits
from streamer.learning.reports.outputs import ModelPublished
from streamer.learning.scorers.decode import decode_scorer

DAY_MS = 86_400_000
HORIZON_MS = 30 * DAY_MS
SILENCES = tuple(days * DAY_MS for days in (7, 14, 30, 60))
JUDGED_FROM_MS = int(datetime(2011, 4, 1, tzinfo=UTC).timestamp() * 1000)
MONTHS_MS = tuple(int(datetime(2011, month, 1, tzinfo=UTC).timestamp() * 1000) for month in range(2, 13))
RECENCIES = (1.0, 10.0, 20.0, 40.0)  # days, the edges of the plain rule's table
FEATURES = FeatureList(
    1,
    (
        Feature("days_since_order", Linear("days"), 0, 400),
        Feature("orders_30d", Linear(), 0, 1e3),
        Feature("orders_90d", Linear(), 0, 1e3),
        Feature("orders", Linear(), 0, 1e4),
        Feature("spend_30d", Linear(), 0, 1e6),
        Feature("spend_90d", Linear(), 0, 1e6),
        Feature("basket_mean", Linear(), 0, 1e6),
        Feature("days_since_first", Linear("days"), 0, 400),
        Feature("gap_mean", Linear("days"), 0, 400),
        Feature("lateness", Linear(), 0, 100),
        Feature("lines_mean", Linear(), 0, 1e4),
        Feature("refunds", Linear(), 0, 1e3),
        Feature("abroad", Category(), 0, 1),
        Feature("weekday", Category(), 0, 6),
        Feature("month", Category(), 1, 12),
    ),
    (("days_since_order", "orders_90d"), ("lateness", "orders")),
)
CHURN = ModelSpec("leaves", "churn", ("Order Completed",), horizon_ms=HORIZON_MS, window_ms=HORIZON_MS)
VALUE = ModelSpec("worth", "value", ("Order Completed",), horizon_ms=HORIZON_MS, window_ms=HORIZON_MS, amount=("total",))


class Order(NamedTuple):
    """An invoice, or a refund (``amount`` below 0). Amounts are pounds."""

    at_ms: int
    amount: float
    lines: int


class Measured(NamedTuple):
    """A customer at a moment, and what became of them."""

    t_ms: int
    x: tuple[float, ...]
    left: int
    next_ms: int | None
    spent: float


def load(path: Path) -> list[Measured]:
    """All measurements, by time."""
    orders, abroad = _orders(path)
    end_ms = max(order.at_ms for one in orders.values() for order in one)
    found = [one for customer in sorted(orders) for one in _measure(orders[customer], abroad[customer], end_ms)]
    return sorted(found)


def _orders(path: Path) -> tuple[dict[str, list[Order]], dict[str, float]]:
    sums: dict[tuple[str, str], list[float]] = {}
    abroad: dict[str, float] = {}
    with gzip.open(path, "rt", newline="") as file:
        for row in csv.DictReader(file):
            if row["CustomerID"]:
                at_ms = datetime.fromisoformat(row["InvoiceDate"]).replace(tzinfo=UTC).timestamp() * 1000
                entry = sums.setdefault((row["CustomerID"], row["InvoiceNo"]), [at_ms, 0.0, 0])
                entry[1] += int(row["Quantity"]) * float(row["UnitPrice"])
                entry[2] += 1
                abroad[row["CustomerID"]] = float(row["Country"] != "United Kingdom")
    orders: dict[str, list[Order]] = defaultdict(list)
    for (customer, _), (at_ms, amount, lines) in sums.items():
        orders[customer].append(Order(int(at_ms), round(amount, 2), int(lines)))
    return {customer: sorted(one) for customer, one in orders.items()}, abroad


def _measure(all_orders: list[Order], abroad: float, end_ms: int) -> Iterator[Measured]:
    bought = [order for order in all_orders if order.amount > 0]
    refunds = [order.at_ms for order in all_orders if order.amount < 0]
    times = [order.at_ms for order in bought]
    sums = [0.0, *accumulate(order.amount for order in bought)]
    lines = [0, *accumulate(order.lines for order in bought)]
    moments = sorted({t for at, now in enumerate(times) for t in (now, *(now + s for s in SILENCES if now + s < _after(times, at)))})
    free_ms = 0
    for t in moments:
        if t < free_ms or t + HORIZON_MS > end_ms:
            continue
        k = bisect_right(times, t)
        later = bisect_right(times, t + HORIZON_MS)
        next_ms = times[k] if later > k else None
        free_ms = t + HORIZON_MS
        k30, k90 = bisect_right(times, t - HORIZON_MS), bisect_right(times, t - 3 * HORIZON_MS)
        since, first = (t - times[k - 1]) / DAY_MS, (t - times[0]) / DAY_MS
        gap = (times[k - 1] - times[0]) / DAY_MS / (k - 1) if k > 1 else 400.0
        when = datetime.fromtimestamp(t / 1000, UTC)
        x = (
            since, float(k - k30), float(k - k90), float(k), sums[k] - sums[k30], sums[k] - sums[k90], sums[k] / k, first, min(gap, 400.0),
            min(100.0, since / max(gap, 0.5)), lines[k] / k, float(bisect_right(refunds, t)), abroad,
            float(when.weekday()), float(when.month),
        )  # fmt: skip
        yield Measured(t, tuple(round(value, 3) for value in x), int(next_ms is None), next_ms, round(sums[later] - sums[k], 2))


def _after(times: list[int], at: int) -> int:
    return times[at + 1] if at + 1 < len(times) else 1 << 62


def examples(rows: Sequence[Measured], spec: ModelSpec, serve: Any) -> Iterator[Example]:
    """What a step would say. ``serve(number, x)`` is asked for the score at each measurement."""
    due: list[tuple[int, int, Example]] = []
    for number, row in enumerate(rows):
        while due and due[0][0] <= row.t_ms:
            yield heapq.heappop(due)[2]
        score = serve(number, row.x)
        label = row.left if spec.kind == "churn" else 1 - row.left
        known_ms = row.t_ms + HORIZON_MS if row.next_ms is None else row.next_ms
        for order, (kind, at_ms) in enumerate((("train", known_ms), ("mature", row.t_ms + HORIZON_MS))):
            amount = int(row.spent * 10_000)
            example = Example(
                "train" if kind == "train" else "mature", 0, number, order, at_ms, row.t_ms, spec.name, 1, row.x, label, amount, score
            )
            heapq.heappush(due, (at_ms, 2 * number + order, example))
    while due:
        yield heapq.heappop(due)[2]


def serve(rows: Sequence[Measured], spec: ModelSpec) -> list[int | None]:
    """The scores that published scorers gave at each measurement."""
    learner = Learner([spec], FEATURES, TrainingLimits(warm_up=500, publish_every_ms=DAY_MS, publish_after=10**9))
    scorer: Any = None
    served: list[int | None] = [None] * len(rows)

    def score(number: int, x: tuple[float, ...]) -> int | None:
        served[number] = scorer.score(x) if scorer else None
        return served[number]

    for example in examples(rows, spec, score):
        for said in learner.take(example):
            if isinstance(said, ModelPublished):
                scorer = decode_scorer(said.scorer)
    return served


class Rivals(NamedTuple):
    """Each measurement's chance of leaving and expected spending."""

    left: list[float | None]
    spent: list[float | None]


def plain_rule(rows: Sequence[Measured]) -> Rivals:
    """By recency alone: the share that left and the mean that was spent, of all known at the beginning of the month."""
    left, spent = _blank(rows), _blank(rows)
    for known, now in _monthly(rows):
        table = [[1.0, 2.0, 0.0] for _ in range(len(RECENCIES) + 1)]
        for at in known:
            cell = table[bisect_right(RECENCIES, rows[at].x[0])]
            cell[0] += rows[at].left
            cell[1] += 1
            cell[2] += rows[at].spent
        for at in now:
            cell = table[bisect_right(RECENCIES, rows[at].x[0])]
            left[at], spent[at] = cell[0] / cell[1], cell[2] / cell[1]
    return Rivals(left, spent)


def boosted(rows: Sequence[Measured]) -> Rivals:
    """LightGBM: a classifier, and a Tweedie regression of what is spent."""
    import lightgbm as lgb  # noqa: PLC0415

    x = np.array([row.x for row in rows])
    left, spent = _blank(rows), _blank(rows)
    shared = {"learning_rate": 0.05, "num_leaves": 15, "verbose": -1, "num_threads": 1, "seed": 0}
    for known, now in _monthly(rows):
        for objective, outcome, out in (
            ("binary", [rows[at].left for at in known], left),
            ("tweedie", [max(0.0, rows[at].spent) for at in known], spent),
        ):
            model = lgb.train({**shared, "objective": objective}, lgb.Dataset(x[known], np.array(outcome, dtype=float)), 120)
            for at, value in zip(now, np.asarray(model.predict(x[now])), strict=True):
                out[at] = float(value)
    return Rivals(left, spent)


def _blank(rows: Sequence[Measured]) -> list[float | None]:
    return [None] * len(rows)


def _monthly(rows: Sequence[Measured]) -> Iterator[tuple[list[int], list[int]]]:
    """At each month's beginning: measurements whose outcome is known, and those of the month."""
    for start_ms, end_ms in zip(MONTHS_MS, (*MONTHS_MS[1:], 1 << 62), strict=True):
        known = [at for at, row in enumerate(rows) if row.t_ms + HORIZON_MS <= start_ms]
        now = [at for at, row in enumerate(rows) if start_ms <= row.t_ms < end_ms]
        if len(known) > 100 and now:
            yield known, now
