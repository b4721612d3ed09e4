"""Expected amounts: the chance of an order within the horizon times what it is likely to be worth.

The chance is learned like any other. The logarithm of the basket is learned from mature examples with an outcome, whose amount is final;
what the logarithm loses on the way back, and whatever else makes the sums differ, is put right by one running factor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import log
from typing import Final, Self, TypedDict, cast

import msgspec

from streamer.examples import SCORE_SCALE, Example, FeatureList, ModelSpec
from streamer.learning.evaluation.champion_challenger import Judged, Roster
from streamer.learning.evaluation.window import WINDOW
from streamer.learning.inputs.feature_encoding import Encoder, Encoding
from streamer.learning.models.propensity import PropensityState, PropensityTrainer, TrainingLimits, average_of
from streamer.learning.online.linear import OnlineLinear, OnlineLinearState
from streamer.learning.reports.model_card import Card
from streamer.learning.scorers.linear_scorer import LinearContent, basket_of, chance_of

BASKETS_TO_BEGIN: Final = 30  # their mean is the first guess for all
HALF_LIFE: Final = 5_000  # mature examples after which one counts half in the factor
FACTOR_MAX: Final = 5.0  # either way; beyond it something else is wrong
_FADE: Final = 0.5 ** (1 / HALF_LIFE)
AMOUNT_MAX: Final = 10**15  # ten-thousandths: a hundred billion of any currency


class BasketState(TypedDict):
    """What ``Basket.dump`` gives."""

    encoding: object
    model: OnlineLinearState | None
    first: list[tuple[list[float], float]]
    sums: list[float]


class Basket:
    """What an order is worth, if there is one."""

    def __init__(self, encoder: Encoder, model: OnlineLinear | None = None) -> None:
        self.encoder = encoder
        self.model = model
        self.factor = 1.0
        self._first: list[tuple[tuple[float, ...], float]] = []
        self._promised = self._came = 0.0

    def learn(self, x: Sequence[float], amount: int) -> None:
        """One order's final amount, in ten-thousandths."""
        if amount <= 0:
            return  # paid with a voucher, or sent back: it says nothing of what baskets are worth
        target = log(min(amount, AMOUNT_MAX))
        if self.model is not None:
            self.model.learn(self.encoder.encode(x), target)
            return
        self._first.append((tuple(x), target))
        if len(self._first) < BASKETS_TO_BEGIN:
            return
        mean = sum(target for _, target in self._first) / len(self._first)
        self.model = OnlineLinear("basket", "ftrl", self.encoder.encoding.slots, mean)
        for row, first in self._first:
            self.model.learn(self.encoder.encode(row), first)
        self._first = []

    def compare(self, x: Sequence[float], chance: float, amount: int) -> None:
        """What would have been promised without the factor, and what came. Before this amount is learned."""
        if self.model is None:
            return
        promised = chance * basket_of(self.model.predict(self.encoder.encode(x)))
        self._promised = self._promised * _FADE + promised
        self._came = self._came * _FADE + min(max(amount, 0), AMOUNT_MAX)
        if self._promised > 0 and self._came > 0:
            self.factor = max(1 / FACTOR_MAX, min(FACTOR_MAX, self._came / self._promised))

    def dump(self) -> BasketState:
        """As JSON can hold it."""
        return {
            "encoding": msgspec.to_builtins(self.encoder.encoding),
            "model": self.model.dump() if self.model else None,
            "first": [(list(x), target) for x, target in self._first],
            "sums": [self._promised, self._came, self.factor],
        }

    @classmethod
    def restore(cls, dumped: BasketState) -> Basket:
        """The inverse of ``dump``."""
        model = OnlineLinear.restore(dumped["model"]) if dumped["model"] else None
        basket = cls(Encoder(msgspec.convert(dumped["encoding"], Encoding)), model)
        basket._first = [(tuple(map(float, x)), float(target)) for x, target in dumped["first"]]
        basket._promised, basket._came, basket.factor = map(float, dumped["sums"])
        return basket


class Amounts:
    """The last promises that were served, and what came of them."""

    def __init__(self, pairs: Sequence[tuple[int, int]] = ()) -> None:
        self.pairs: deque[tuple[int, int]] = deque(pairs, maxlen=WINDOW)

    def figures(self) -> dict[str, float]:
        """Sum of promises over sum of amounts; what the best-ranked tenth spent of it all."""
        came = sum(amount for _, amount in self.pairs)
        if not came:
            return {}
        promised = sum(score for score, _ in self.pairs)
        ranked = sorted(self.pairs, key=lambda pair: -pair[0])
        top = sum(amount for _, amount in ranked[: max(1, len(ranked) // 10)])
        return {"amount_ratio": promised / came, "top_tenth_share": top / came, "mean_amount": came / len(self.pairs) / SCORE_SCALE}


class ValueState(PropensityState):
    """What ``ValueTrainer.dump`` gives."""

    amounts: list[tuple[int, int]]
    basket: BasketState | None


class ValueTrainer(PropensityTrainer):
    """The trainer for ``value``. Its card judges the chance by copies, and the amounts as served."""

    def __init__(self, spec: ModelSpec, features: FeatureList, limits: TrainingLimits | None = None) -> None:
        super().__init__(spec, features, limits)
        self.amounts = Amounts()
        self.basket: Basket | None = None

    def _judge_served(self, example: Example) -> None:
        if example.score is not None:
            self.amounts.pairs.append((example.score, min(max(example.amount, 0), AMOUNT_MAX)))
        # an amount served says that a score was served, but is no chance: only coverage is counted here
        self.window.add(None if example.score is None else 0, 0)

    def _after_judging(self, example: Example, judged: Judged) -> None:
        assert self.roster is not None
        if self.basket is None:
            self.basket = Basket(self.roster.champion_candidate.encoder)
        self.basket.compare(example.x, chance_of(judged.shifted), example.amount)
        if example.label:
            self.basket.learn(example.x, example.amount)

    def _why_not(self) -> str:
        why = super()._why_not()
        if not why and (self.basket is None or self.basket.model is None):
            return f"too few orders with an amount: it takes {BASKETS_TO_BEGIN}"
        return why

    def _content(self, roster: Roster) -> LinearContent:
        basket = self.basket
        assert basket is not None
        assert basket.model is not None
        form, encoding = basket.model.form(), basket.encoder.encoding
        chance = super()._content(roster)
        content = msgspec.structs.replace(
            chance,
            kind="value",
            basket=form,
            basket_encoding=None if encoding == chance.encoding else encoding,
            basket_average=average_of(encoding, form, self._customers()),
            factor=basket.factor,
        )
        return self._with_table(content, self._customers())

    def card(self) -> Card:
        """How good what was promised turned out to be."""
        card = super().card()
        figures = {**card.figures, **self.amounts.figures()}
        if self.basket is not None:
            figures["factor"] = self.basket.factor
        chance = self.roster.chance_tally if self.roster else None
        if chance is None:
            return msgspec.structs.replace(card, figures=figures, deciles=(), ratio=None, log_loss=None)
        return msgspec.structs.replace(
            card,
            figures=figures,
            positives=chance.positives,
            base_rate=chance.base_rate,
            log_loss=chance.log_loss,
            entropy=chance.entropy,
            auc=chance.auc,
            ratio=chance.ratio,
            deciles=chance.deciles(),
        )

    def dump(self) -> ValueState:
        """As JSON can hold it."""
        basket = self.basket.dump() if self.basket else None
        return {**super().dump(), "amounts": list(self.amounts.pairs), "basket": basket}

    @classmethod
    def restore(cls, spec: ModelSpec, features: FeatureList, dumped: PropensityState, limits: TrainingLimits | None = None) -> Self:
        """The inverse of ``dump``."""
        trainer = super().restore(spec, features, dumped, limits)
        own = cast("ValueState", dumped)
        trainer.amounts = Amounts([(score, amount) for score, amount in own["amounts"]])
        trainer.basket = Basket.restore(own["basket"]) if own["basket"] else None
        return trainer
