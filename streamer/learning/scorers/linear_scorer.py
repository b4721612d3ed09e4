"""What a supervised model becomes once it serves: tables to look up, additions, at most one exponential or two.

A scorer is immutable and needs nothing of the library that learned it. It travels as canonical JSON inside a ``model`` record, so it is
read with suspicion: finite in every number and consistent with itself, or it is refused.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import exp, isfinite, log, log1p
from typing import Final, Literal

import msgspec

from streamer.examples import FEATURES_MAX, SCORE_SCALE, FeatureList
from streamer.learning.algorithms.quantiles import share_in
from streamer.learning.inputs.feature_encoding import Encoding, segments
from streamer.learning.scorers.contract import SCHEMA, Reason, bad_model, decode_as

LOGIT_MAX: Final = 30.0  # beyond it nothing changes in a score of ten-thousandths, and exp stays far from overflow
AMOUNT_LOG_MAX: Final = 34.0  # e**34 ten-thousandths are 58 billion of any currency


class Form(msgspec.Struct, frozen=True):
    """A linear form: one weight per slot of the encoding."""

    intercept: float
    weights: tuple[float, ...]


class LinearContent(msgspec.Struct, frozen=True):
    """A supervised scorer as it travels.

    ``chance`` gives log-odds. ``basket``, of kind ``value`` only and over an encoding of its own if need be, gives the logarithm of the
    amount if there is one, ``factor`` what its back-transformation misses. The ``average`` forms hold per feature what the average
    customer gets. ``table`` are quantiles of recent scores.
    """

    kind: Literal["purchase", "churn", "value"]
    model: str
    version: int
    features: int
    names: tuple[str, ...]
    units: tuple[str, ...]
    words: tuple[str, ...]
    encoding: Encoding
    chance: Form
    average: tuple[float, ...]
    basket: Form | None = None
    basket_encoding: Encoding | None = None
    basket_average: tuple[float, ...] = ()
    factor: float = 1.0
    table: tuple[int, ...] = ()
    schema: int = SCHEMA


_content_decoder = msgspec.json.Decoder(LinearContent, strict=True)


Piece = tuple[float, float, float, int]  # of a number's axis: value at its low end, slope, low end, part in crosses


class Sum:
    """A linear form over an encoding, compiled: a number costs one bisection, a category or cross one look-up.

    Differs from adding up the encoded row only in the order of additions, so by some 1e-15.
    """

    def __init__(self, encoding: Encoding, form: Form) -> None:
        weights = form.weights
        self._intercept = form.intercept
        self._size = len(encoding.columns)
        self._numbers: list[tuple[int, tuple[float, ...], tuple[Piece, ...]]] = []
        self._categories: list[tuple[int, dict[float, tuple[float, int]], tuple[float, int]]] = []
        for column in encoding.columns:
            own = weights[column.base : column.base + column.bins]
            if column.values:
                pairs = list(zip(own, column.coarse, strict=True))
                self._categories.append((column.at, dict(zip(column.values, pairs, strict=False)), pairs[-1]))
            else:
                axis, position = segments(column.knots), weights[column.base + column.bins]
                pieces = tuple(
                    (own[k] + position * start, position * slope, low, column.coarse[k])
                    for k, start, slope, low in zip(axis.bins, axis.starts, axis.slopes, axis.lows, strict=True)
                )
                self._numbers.append((column.at, column.knots, pieces))
        self._crosses = [(c.left, c.right, c.width, weights[c.base :]) for c in encoding.crosses]

    def __call__(self, x: Sequence[float]) -> float:
        """The form's value."""
        total = self._intercept
        part = [0] * self._size
        for at, knots, pieces in self._numbers:
            value = x[at]
            at_low, slope, low, part[at] = pieces[bisect_left(knots, value)]
            total += at_low + slope * (value - low)
        for at, table, other in self._categories:
            weight, part[at] = table.get(x[at], other)
            total += weight
        for left, right, width, weights in self._crosses:
            total += weights[part[left] * width + part[right]]
        return total

    def by_feature(self, x: Sequence[float]) -> list[float]:
        """The same, but for the intercept, by feature; a cross counts half for each of its two."""
        out = [0.0] * self._size
        part = [0] * self._size
        for at, knots, pieces in self._numbers:
            at_low, slope, low, part[at] = pieces[bisect_left(knots, x[at])]
            out[at] = at_low + slope * (x[at] - low)
        for at, table, other in self._categories:
            out[at], part[at] = table.get(x[at], other)
        for left, right, width, weights in self._crosses:
            half = weights[part[left] * width + part[right]] / 2
            out[left] += half
            out[right] += half
        return out


def chance_of(logit: float) -> float:
    """Log-odds to probability."""
    return 1.0 / (1.0 + exp(-max(-LOGIT_MAX, min(LOGIT_MAX, logit))))


def whole(chance: float) -> int:
    """Ten-thousandths."""
    return int(chance * SCORE_SCALE + 0.5)


class ChanceScorer:
    """Kinds ``purchase`` and ``churn``: the chance that it happens."""

    def __init__(self, content: LinearContent) -> None:
        self.content = content
        self.model, self.version, self.kind, self.features = content.model, content.version, content.kind, content.features
        self.logit = Sum(content.encoding, content.chance)

    def score(self, x: Sequence[float]) -> int:
        """The chance in ten-thousandths."""
        return int(SCORE_SCALE / (1.0 + exp(-max(-LOGIT_MAX, min(LOGIT_MAX, self.logit(x))))) + 0.5)

    def percentile(self, score: int) -> int:
        """Share of recent customers at or below."""
        return share_in(self.content.table, score)

    def reasons(self, x: Sequence[float], most: int = 3) -> list[Reason]:
        """Effects in log-odds; over all features they add up to this row's log-odds less the average customer's."""
        return _reasons(self.content, x, self.effects(x), most, "odds")

    def effects(self, x: Sequence[float]) -> list[float]:
        """By feature, in log-odds against the average customer."""
        return [own - average for own, average in zip(self.logit.by_feature(x), self.content.average, strict=True)]


class AmountScorer:
    """Kind ``value``: the chance of an order times what its basket is likely to be worth."""

    def __init__(self, content: LinearContent) -> None:
        assert content.basket is not None
        self.content = content
        self.model, self.version, self.kind, self.features = content.model, content.version, content.kind, content.features
        self.logit = Sum(content.encoding, content.chance)
        self.log_amount = Sum(content.basket_encoding or content.encoding, content.basket)
        self._average_logit = content.chance.intercept + sum(content.average)

    def score(self, x: Sequence[float]) -> int:
        """The expected amount in ten-thousandths of the currency."""
        return int(chance_of(self.logit(x)) * basket_of(self.log_amount(x)) * self.content.factor + 0.5)

    def percentile(self, score: int) -> int:
        """Share of recent customers at or below."""
        return share_in(self.content.table, score)

    def reasons(self, x: Sequence[float], most: int = 3) -> list[Reason]:
        """Effects in the logarithm of the amount; they add up to this row's less the average customer's."""
        return _reasons(self.content, x, self.effects(x), most, "expected amount")

    def effects(self, x: Sequence[float]) -> list[float]:
        """By feature: its share of what the chance gains, and what it adds to the basket, both as logarithms."""
        chances = [own - average for own, average in zip(self.logit.by_feature(x), self.content.average, strict=True)]
        logit, average = self.logit(x), self._average_logit
        gained = log1p(exp(-average)) - log1p(exp(-logit)) if abs(average) < LOGIT_MAX > abs(logit) else logit - average
        moved = sum(chances)
        rate = gained / moved if abs(moved) > 1e-9 else 1.0 - chance_of(average)
        baskets = zip(self.log_amount.by_feature(x), self.content.basket_average, strict=True)
        return [rate * chance + own - average for chance, (own, average) in zip(chances, baskets, strict=True)]


def basket_of(log_amount: float) -> float:
    """From the logarithm of one more than an amount back to the amount, before ``factor``."""
    return exp(max(0.0, min(AMOUNT_LOG_MAX, log_amount)))


def _reasons(content: LinearContent, x: Sequence[float], effects: list[float], most: int, of: str) -> list[Reason]:
    order = sorted(range(len(effects)), key=lambda at: (-abs(effects[at]), at))[:most]
    return [Reason(content.names[at], x[at], effects[at], _words(content, at, x[at], effects[at], of)) for at in order]


def _words(content: LinearContent, at: int, value: float, effect: float, of: str) -> str:
    what = content.words[at] or content.names[at].replace("_", " ")
    unit = f" {content.units[at]}" if content.units[at] else ""
    times = exp(max(-20.0, min(20.0, effect)))
    return f"{what} {value:g}{unit}: associated with {times:.2g} times the average customer's {of}"


def describe_features(features: FeatureList) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Names, units and words, as a scorer carries them."""
    return features.names, tuple(f.unit for f in features.features), tuple(f.words for f in features.features)


def decode_linear(content: bytes) -> ChanceScorer | AmountScorer:
    """A supervised scorer that may serve; RefusedError (``bad_model``) with the path of the fault otherwise."""
    found: LinearContent = decode_as(_content_decoder, content)
    _check(found)
    return AmountScorer(found) if found.kind == "value" else ChanceScorer(found)


def _check(content: LinearContent) -> None:
    """Whatever a lookup relies on. JSON has no NaN, but 1e999 is an infinity."""
    encoding, count = content.encoding, len(content.names)
    if not 0 < count <= FEATURES_MAX or len(encoding.columns) != count or encoding.features != content.features:
        raise bad_model(
            "$.encoding", f"{len(encoding.columns)} columns of list {encoding.features} for {count} features of {content.features}"
        )
    if len(content.units) != count or len(content.words) != count:
        raise bad_model("$.words", f"expected {count} units and words")
    forms = [("chance", content.encoding, content.chance, content.average)]
    if content.kind == "value":
        if content.basket is None:
            raise bad_model("$.basket", "missing")
        forms.append(("basket", content.basket_encoding or content.encoding, content.basket, content.basket_average))
    for name, encoding, form, average in forms:
        if len(encoding.columns) != count or encoding.features != content.features:
            raise bad_model(f"$.{name}", f"its encoding has {len(encoding.columns)} columns of feature list {encoding.features}")
        _check_encoding(encoding)
        if len(form.weights) != encoding.slots or len(average) != count:
            raise bad_model(f"$.{name}", f"expected {encoding.slots} weights and {count} averages")
        if not all(map(isfinite, (form.intercept, *form.weights, *average))):
            raise bad_model(f"$.{name}", "expected finite numbers")
    if not 0 < content.factor < float("inf"):
        raise bad_model("$.factor", "expected a finite number above 0")
    if list(content.table) != sorted(content.table):
        raise bad_model("$.table", "expected ascending scores")


def _check_encoding(encoding: Encoding) -> None:
    end = 0
    for at, column in enumerate(encoding.columns):
        path = f"$.encoding.columns[{at}]"
        number = not column.values
        if column.at != at or column.base != end or (number and len(column.knots) < 2):
            raise bad_model(path, "out of order")
        if not all(map(isfinite, (*column.knots, *column.values))) or list(column.knots) != sorted(column.knots):
            raise bad_model(path, "expected finite ascending numbers")
        if len(column.coarse) != column.bins or min(column.coarse) < 0:
            raise bad_model(path, f"expected {column.bins} coarse bins")
        end += column.bins + number
    for at, cross in enumerate(encoding.crosses):
        sides = (cross.left, cross.right)
        if not all(0 <= side < len(encoding.columns) for side in sides) or cross.base != end:
            raise bad_model(f"$.encoding.crosses[{at}]", "out of order")
        height, width = (max(encoding.columns[side].coarse) + 1 for side in sides)
        if cross.width != width:
            raise bad_model(f"$.encoding.crosses[{at}]", f"expected width {width}")
        end += height * width
    if end != encoding.slots:
        raise bad_model("$.encoding.slots", f"expected {end}, found {encoding.slots}")


def logit_of(chance: float) -> float:
    """Probability to log-odds; kept away from 0 and 1 by half a ten-thousandth."""
    edge = 0.5 / SCORE_SCALE
    kept = max(edge, min(1.0 - edge, chance))
    return log(kept / (1.0 - kept))


def loss_of(logit: float, label: int) -> float:
    """Log loss of log-odds."""
    against = -logit if label else logit
    return against + log1p(exp(-against)) if against > 0 else log1p(exp(against))
