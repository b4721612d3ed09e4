"""``python -m tests.bench.river_parts``: each part of ``learning/`` beside what river, scipy or the standard library has for it.

Times are processor time, ours and theirs in one run; figures are of planted truths, so they are the same in each run. Takes two minutes.
``--only`` names one part.
"""

from __future__ import annotations

import argparse
import gc
import pickle
from collections.abc import Callable, Iterator, Sequence
from math import exp, log
from random import Random
from statistics import median
from time import process_time
from typing import Any, NamedTuple

import msgspec
import orjson
from aiokafka.partitioner import murmur2 as their_murmur2
from river import anomaly, bandit, base, cluster, drift, linear_model, metrics, model_selection, optim, stats, time_series, utils
from scipy.cluster.vq import kmeans2

from streamer.examples import SCORE_SCALE
from streamer.learning.algorithms import kmeans
from streamer.learning.algorithms.logistic import Logistic
from streamer.learning.algorithms.quantiles import Quantiles
from streamer.learning.algorithms.rng import Rng
from streamer.learning.evaluation.drift import DriftDetector
from streamer.learning.evaluation.window import Gain, RecentTally
from streamer.learning.inputs.feature_encoding import Encoder, freeze
from streamer.learning.models.seasonal_baseline import Usual
from streamer.learning.online.half_spaces import HEIGHT, SPARSE, TREES, WINDOW, HalfSpaces
from streamer.learning.online.linear import ALPHA, OnlineLinear
from streamer.learning.scorers.unusual_scorer import FAR, emptiness
from streamer.wire import murmur2
from tests.learning.outcomes import FEATURES, moments
from tests.learning.sizes import Segment

Row = dict[int, float]
FALL_FROM, FALL_HOURS = 6 * 7 * 24, 12
PAGE_HINKLEY = 200.0  # at the default of 50 it raised 75 false alarms here


class Line(NamedTuple):
    """One figure of ours beside theirs."""

    figure: str
    ours: float | str
    theirs: float | str


def timed(work: Callable[[], object], times: int) -> float:
    """Microseconds of processor time each."""
    gc.collect()
    begun = process_time()
    work()
    return (process_time() - begun) / times * 1e6


def each(work: Callable[[Any], object], values: Sequence[object]) -> float:
    """Microseconds of processor time a value."""
    return timed(lambda: [work(value) for value in values], len(values))


def linear() -> Iterator[Line]:
    """FTRL of river with a bounded memory and in one pass (``online/linear``), beside river's as it is; the truth changes half-way."""
    stream = list(moments(60_000, drift_at=30_000))
    encoder = Encoder(freeze([moment.x for moment in stream[:1_000]], FEATURES, 1))
    rows = [encoder.encode(moment.x) for moment in stream]
    labels = [moment.label for moment in stream]
    ours = OnlineLinear.of_rate("ftrl", encoder.encoding.slots, 0.07)
    optimizer = optim.FTRLProximal(alpha=ALPHA, beta=1.0, l1=0.0, l2=1.0)
    theirs = linear_model.LogisticRegression(optimizer, intercept_init=log(0.07 / 0.93))
    chances: tuple[list[float], list[float]] = ([], [])

    def run(predict: Callable[[Row], float], learn: Callable[[Row, int], object], into: list[float]) -> None:
        for row, label in zip(rows, labels, strict=True):
            into.append(predict(row))
            learn(row, label)

    def predict_ours(row: Row) -> float:
        return 1 / (1 + exp(-ours.predict(row)))

    def predict_theirs(row: Row) -> float:
        return theirs.predict_proba_one(row)[True]

    took = timed(lambda: run(predict_ours, ours.learn, chances[0]), len(rows))
    yield Line("µs to predict and learn one", took, timed(lambda: run(predict_theirs, theirs.learn_one, chances[1]), len(rows)))
    for name, part in (("before the change", slice(10_000, 30_000)), ("after it", slice(35_000, 60_000))):
        yield Line(f"log loss {name}", *(_log_loss(found[part], labels[part]) for found in chances))


def dense_logistic() -> Iterator[Line]:
    """Eight numbers that are all there every time (``algorithms/logistic``), beside the same FTRL of river over a dictionary."""
    rng = Random(1)
    points = [[rng.gauss(0, 1) for _ in range(8)] for _ in range(20_000)]
    labels = [int(rng.random() < 1 / (1 + exp(-point[0] + point[1]))) for point in points]
    rows: list[Row] = [dict(enumerate([*point, 1.0])) for point in points]
    ours = Logistic(8)
    theirs = linear_model.LogisticRegression(optim.FTRLProximal(alpha=0.1, beta=1.0, l1=0.0, l2=1.0), intercept_lr=0.0)
    both = list(zip(points, rows, labels, strict=True))
    took = timed(lambda: [ours.learn(point, label) for point, _, label in both], len(both))
    yield Line("µs to learn one", took, timed(lambda: [theirs.learn_one(row, label) for _, row, label in both], len(both)))
    yield Line("weight of the first number (truth 1)", ours.weights[0], theirs.weights[0])


def half_space_trees() -> Iterator[Line]:
    """River's trees learn for us; only scores are given by a compiled form (``scorers/unusual_scorer``)."""
    rng = Random(2)
    points = [[max(-FAR, min(FAR, rng.gauss(0, 1))) for _ in range(8)] for _ in range(4 * WINDOW)]
    ours = HalfSpaces(8, seed=3)
    limits: Any = dict.fromkeys(range(8), (-FAR, FAR))
    theirs = anomaly.HalfSpaceTrees(n_trees=TREES, height=HEIGHT, window_size=WINDOW, limits=limits, seed=3)
    for point in points:
        ours.learn(point)
        theirs.learn_one(dict(enumerate(point)))
    rows: list[Any] = [dict(enumerate(point)) for point in points]
    trees = ours.trees()
    scores: list[float] = []
    took = timed(lambda: [emptiness(trees, SPARSE, point) for point in points], len(points))
    yield Line("µs to score one", took, timed(lambda: scores.extend(theirs.score_one(row) for row in rows), len(points)))
    worst = max(abs(emptiness(trees, SPARSE, point) / 1e6 - score) for point, score in zip(points, scores, strict=True))
    yield Line("largest difference of a score", worst, 0.0)


def window() -> Iterator[Line]:
    """Figures of the last 10,000 scores (``evaluation/window``), beside ``metrics`` in ``utils.Rolling``."""
    rng = Random(3)
    scores = [int(SCORE_SCALE * rng.betavariate(1, 12)) for _ in range(30_000)]
    labels = [int(rng.random() * SCORE_SCALE < score) for score in scores]
    ours, loss, auc = RecentTally(), utils.Rolling(metrics.LogLoss, window_size=10_000), metrics.RollingROCAUC(window_size=10_000)
    fixed = utils.Rolling(metrics.ROCAUC, window_size=10_000, n_thresholds=100)

    def judge() -> None:
        for score, label in zip(scores, labels, strict=True):
            ours.add(score, label)

    def judge_theirs() -> None:
        for score, label in zip(scores, labels, strict=True):
            loss.update(bool(label), score / SCORE_SCALE)
            auc.update(bool(label), score / SCORE_SCALE)

    yield Line("µs to judge one (log loss and exact AUC)", timed(judge, len(scores)), timed(judge_theirs, len(scores)))
    for score, label in zip(scores[-10_000:], labels[-10_000:], strict=True):
        fixed.update(bool(label), score / SCORE_SCALE)
    yield Line("AUC", ours.tally.auc or 0, auc.get())
    yield Line("AUC of ROCAUC with 100 thresholds", ours.tally.auc or 0, fixed.obj.get())
    yield Line("log loss", ours.tally.log_loss or 0, loss.obj.get())
    yield Line("bytes of state (theirs can only be pickled)", len(msgspec.json.encode(ours.dump())), _pickled(loss) + _pickled(auc))


def rolling_statistics() -> Iterator[Line]:
    """Mean and variance of differences (``evaluation/window.Gain``, with bounds), beside ``stats.Var``."""
    rng = Random(4)
    values = [rng.gauss(0.01, 1) for _ in range(100_000)]
    ours, theirs = Gain(), stats.Var(ddof=0)
    took = timed(lambda: [ours.add(value) for value in values], len(values))
    yield Line("µs to add one", took, timed(lambda: [theirs.update(value) for value in values], len(values)))
    yield Line("mean", ours.mean, theirs.mean.get())
    yield Line("bytes of state (theirs can only be pickled)", len(msgspec.json.encode(ours.dump())), _pickled(theirs))


def drifts() -> Iterator[Line]:
    """Changes of a model's losses (``evaluation/drift``), beside PageHinkley and ADWIN on the loss less what the model expects of it."""
    for name, make in (("PageHinkley", lambda: drift.PageHinkley(threshold=PAGE_HINKLEY)), ("ADWIN", lambda: drift.ADWIN(delta=1e-6))):
        quiet = [_watch(seed, None, make()) for seed in range(6)]
        yield Line(f"{name}: false alarms in 6 shops of 8 quiet weeks", *(sum(one.false[side] for one in quiet) for side in (0, 1)))
        found = [_watch(seed, 6.0, make()) for seed in range(10, 16)]
        late = [[hours for one in found if (hours := one.late_hours[side]) is not None] for side in (0, 1)]
        yield Line(f"{name}: changes found of 6, in median hours", *(f"{len(one)}, {median(one):.1f}" if one else "0" for one in late))
        yield Line(f"{name}: µs an example", *(sum(one.took_us[side] for one in (*quiet, *found)) / 12 for side in (0, 1)))


class Watched(NamedTuple):
    """Ours and theirs: alarms before anything changed, hours until the change was found, microseconds an example."""

    false: Sequence[int]
    late_hours: Sequence[float | None]
    took_us: Sequence[float]


def _watch(seed: int, weeks: float | None, theirs: Any) -> Watched:
    """A shop in which the odds double after ``weeks``."""
    rng, ours = Random(seed), DriftDetector()
    change_ms = None if weeks is None else weeks * 604_800_000
    examples: list[tuple[int, float, float]] = []
    for at in range(8 * 7 * 24 * 60):  # one a minute, at night with lower chances
        night = at // 60 % 24 < 7
        chance = min(0.9, rng.betavariate(1, 25 if night else 12) + 0.002)
        odds = chance / (1 - chance) * (2 if change_ms is not None and at * 60_000 >= change_ms else 1)
        loss = -log(chance) if rng.random() < odds / (1 + odds) else -log(1 - chance)
        examples.append((at * 60_000, chance, loss))
    alarms: tuple[list[int], list[int]] = ([], [])

    def run_ours() -> None:
        for at_ms, chance, loss in examples:
            ours.take(chance, loss)
            if ours.on_watermark(at_ms) is not None:
                alarms[0].append(at_ms)

    def run_theirs() -> None:
        for at_ms, chance, loss in examples:
            theirs.update(loss + chance * log(chance) + (1 - chance) * log(1 - chance))
            if theirs.drift_detected:
                alarms[1].append(at_ms)

    took = timed(run_ours, len(examples)), timed(run_theirs, len(examples))
    false = [sum(change_ms is None or at_ms < change_ms for at_ms in said) for said in alarms]
    first = [min((at_ms for at_ms in said if change_ms is not None and at_ms >= change_ms), default=None) for said in alarms]
    hours = [None if at_ms is None or change_ms is None else (at_ms - change_ms) / 3_600_000 for at_ms in first]
    return Watched(false, hours, took)


def quantiles() -> Iterator[Line]:
    """A table of 201 quantiles of recent amounts (``algorithms/quantiles``), beside ``RollingQuantile``, one object a quantile."""
    rng = Random(5)
    values = [int(rng.lognormvariate(8, 1.5)) for _ in range(40_000)]
    ours = Quantiles(half_life=float("inf"))
    theirs = stats.RollingQuantile(0.5, window_size=len(values))
    took = timed(lambda: ours.extend(values), len(values))
    yield Line("µs to add one (theirs: one quantile of 201)", took, timed(lambda: [theirs.update(value) for value in values], len(values)))
    exact = sorted(values)[len(values) // 2 - 1]
    middle = theirs.get()
    yield Line("error of the median", abs(ours.value(0.5) - exact) / exact, abs((middle or 0) - exact) / exact)
    yield Line("bytes of state (theirs: one quantile, pickled)", len(msgspec.json.encode(ours.dump())), _pickled(theirs))


def sizes() -> Iterator[Line]:
    """What a segment's size is at an hour of the week (``models/seasonal_baseline``), beside ``HoltWinters``, the best of 20 settings."""
    errors, falls = ([], []), ([], [])
    took = [0.0, 0.0]
    for seed in range(8):
        segment = Segment(Random(seed))
        hours = [[segment.size(hour * 60 + minute, _falling(hour)) for minute in range(60)] for hour in range(FALL_FROM + FALL_HOURS)]
        begun = process_time()
        ours = _usual(hours)
        between = process_time()
        theirs = _forecast([sum(minutes) / 60 for minutes in hours])
        took = [took[0] + between - begun, took[1] + process_time() - between]
        for side, found in enumerate((ours, theirs)):
            quiet = median(found[336:FALL_FROM])
            errors[side].append(quiet)
            falls[side].append(found[-1] / quiet)
    yield Line("error of the size expected next hour, median of weeks 3 to 6", median(errors[0]), median(errors[1]))
    yield Line("after a fall of 15 % over 12 hours: errors off, at its end", median(falls[0]), median(falls[1]))
    yield Line("µs a minute (theirs: one look an hour)", *(whole / 8 / (FALL_FROM * 60) * 1e6 for whole in took))


def _falling(hour: int) -> float:
    return 1 - 0.15 * max(0, hour - FALL_FROM + 1) / FALL_HOURS


def _usual(hours: Sequence[Sequence[int]]) -> list[float]:
    """By which share each hour was off what was expected of it."""
    usual, found = Usual(), list[float]()
    for number, minutes in enumerate(hours):
        for half in (0, 1):
            usual.aim(number % 168, half)
            for minute in range(30 * half, 30 * half + 30):
                usual.minute(minutes[minute], minute)
        found.append(abs(usual.expected(30) / (sum(minutes) / 60) - 1))
        usual.end_hour(number % 168)
    return found


def _forecast(means: Sequence[float]) -> list[float]:
    model, found = time_series.HoltWinters(alpha=0.9, beta=0.0001, gamma=0.3, seasonality=168, multiplicative=True), list[float]()
    for number, mean in enumerate(means):
        found.append(abs(model.forecast(horizon=1)[0] / mean - 1) if number >= 336 else 0.0)
        model.learn_one(mean)
    return found


def choosing() -> Iterator[Line]:
    """Of two equal models, how often the other is put in charge (``evaluation/champion_challenger``), beside ``BanditClassifier``."""
    switches, found = [0, 0], [0, 0]
    for better in (False, True):
        for seed in range(4):
            ours, theirs = _choose(seed, better=better)
            if better:
                found = [found[0] + (ours == 1), found[1] + (theirs % 2)]
            else:
                switches = [switches[0] + ours, switches[1] + theirs]
    yield Line("changes of the best of two equal models, 4 x 20,000 examples", *switches)
    yield Line("a model with lower log loss (by 2 %) is in charge at the end, of 4", *found)


class _Says(base.Classifier):
    """A model that has learned already: it says what the row holds for it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def learn_one(self, x: Any, y: Any) -> None:
        """Nothing."""

    def predict_proba_one(self, x: Any, **kwargs: Any) -> dict[Any, float]:
        return {False: 1 - x[self.name], True: x[self.name]}


def _choose(seed: int, *, better: bool) -> tuple[int, int]:
    """How often each of the two changes what it takes for the best of models 0 and 1."""
    rng, gain = Random(seed), Gain()
    policy = bandit.EpsilonGreedy(epsilon=0.1, decay=0.001, burn_in=100, seed=seed)
    theirs = model_selection.BanditClassifier([_Says("a"), _Says("b")], metric=metrics.LogLoss(), policy=policy)
    ours = changes = best = 0
    for at in range(20_000):
        chance = rng.betavariate(1, 12)
        said = [_shaken(chance, rng.gauss(0, 0.4)), _shaken(chance, rng.gauss(0, 0.1 if better else 0.4))]
        label = rng.random() < chance
        losses = [-log(one if label else 1 - one) for one in said]
        gain.add(losses[0] - losses[1])
        if gain.count > 500 and not ours and gain.low(0.05) > 0:
            ours = 1
        theirs.learn_one({"a": said[0], "b": said[1]}, label)
        now = theirs.models.index(theirs.best_model)
        if at > 500 and now != best:
            changes += 1
        best = now
    return ours, best if better else changes


def groups() -> Iterator[Line]:
    """Five planted groups and some far-off people (``algorithms/kmeans``), beside ``scipy.cluster.vq.kmeans2`` and ``cluster.KMeans``."""
    ours: list[float] = []
    theirs: list[float] = []
    online: list[float] = []
    took = [0.0, 0.0]
    for seed in range(5):
        rng = Random(seed)
        middles = [[rng.gauss(0, 2) for _ in range(8)] for _ in range(5)]
        points = [[rng.gauss(value, 0.7) for value in rng.choice(middles)] for _ in range(1_000)] + [[30.0 + n] * 8 for n in range(5)]
        core = points[:1_000]
        took[0] += timed(lambda: ours.append(kmeans.nearest(core, kmeans.cluster(points, 5, Rng(seed)).centres).cost), 1_000)  # noqa: B023
        took[1] += timed(lambda: theirs.append(_kmeans2(core, points, seed)), 1_000)  # noqa: B023
        flowing = cluster.KMeans(n_clusters=5, halflife=0.1, sigma=3, seed=seed)
        for point in points:
            flowing.learn_one(dict(enumerate(point)))
        centres = [[centre[at] for at in range(8)] for centre in flowing.centers.values()]
        online.append(kmeans.nearest(core, centres).cost)
    yield Line("ms a fit of 1,005 people (scipy)", took[0] / 5, took[1] / 5)
    yield Line("mean squared distance, median of 5 (scipy; planted 3.9)", median(ours), median(theirs))
    yield Line("worst of 5 (scipy)", max(ours), max(theirs))
    yield Line("mean squared distance, median of 5 (river's KMeans)", median(ours), median(online))


def _kmeans2(core: Sequence[kmeans.Point], points: Sequence[kmeans.Point], seed: int) -> float:
    tries: list[Any] = [kmeans2(points, 5, iter=30, minit="++", rng=seed + 100 * start) for start in range(kmeans.STARTS)]
    return min(kmeans.nearest(core, centres.tolist()).cost for centres, _ in tries)


def small_parts() -> Iterator[Line]:
    """Draws, hashes of keys and texts of scalars."""
    ours, theirs = Rng(7), Random(7)
    numbers, keys = [1_000] * 100_000, [b"customer-%d" % number for number in range(50_000)]
    yield Line("µs a draw (random.Random)", each(ours.below, numbers), each(theirs.randrange, numbers))
    yield Line("bytes of its state", len(str(ours.state)), len(msgspec.json.encode(theirs.getstate())))
    yield Line("µs a key's murmur2 (aiokafka)", each(murmur2, keys), each(their_murmur2, keys))
    texts = [f"category-{number}" for number in range(50_000)]
    yield Line(
        "µs a text as its key (orjson, in use; msgspec)", each(_key_by(orjson.dumps), texts), each(_key_by(msgspec.json.encode), texts)
    )


def _key_by(to_json: Callable[[str], bytes]) -> Callable[[str], str]:
    """The bytes are let go at once, as the step does: many kept at a time show orjson's large buffers instead."""
    return lambda text: to_json(text).decode()


PARTS: dict[str, Callable[[], Iterator[Line]]] = {
    part.__name__: part
    for part in (
        linear,
        dense_logistic,
        half_space_trees,
        window,
        rolling_statistics,
        drifts,
        quantiles,
        sizes,
        choosing,
        groups,
        small_parts,
    )
}


def _log_loss(chances: Sequence[float], labels: Sequence[int]) -> float:
    return sum(-log(chance if label else 1 - chance) for chance, label in zip(chances, labels, strict=True)) / len(chances)


def _shaken(chance: float, by: float) -> float:
    odds = chance / (1 - chance) * exp(by) + 1e-6
    return odds / (1 + odds)


def _pickled(thing: object) -> int:
    return len(pickle.dumps(thing))


def _shown(figure: float | str) -> str:
    return figure if isinstance(figure, str) else f"{figure:,.0f}" if abs(figure) >= 1_000 else f"{figure:.4g}"


def main() -> None:
    """Print the parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS)
    only = parser.parse_args().only
    for name, part in PARTS.items():
        if only in (None, name):
            print(f"\n{name}: {(part.__doc__ or '').splitlines()[0]}\n{'':62}{'ours':>12}{'theirs':>12}")
            for line in part():
                print(f"  {line.figure:60}{_shown(line.ours):>12}{_shown(line.theirs):>12}", flush=True)


if __name__ == "__main__":
    main()
