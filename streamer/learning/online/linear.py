# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""Linear models that learn one example at a time: river's, with their whole state in plain lists.

All slots exist from the beginning, at zero: what is learned later is never a new key, so memory is flat, and a model that was put down
and taken up again adds in the same order as one that was not. Never ``learn_many``: it takes one mean step a batch, and ends with ten
times the true rate.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Final, Literal, NotRequired, TypedDict

from river import linear_model, optim

from streamer.learning.scorers.linear_scorer import Form, logit_of

from .river_privates import margin, set_weights

if TYPE_CHECKING:
    from river.optim.base import DictLike

Recipe = Literal["ftrl", "sgd"]
ALPHA: Final = 0.05  # with fifty lit slots; at 0.1 the noise of rare crosses costs more than the quicker start gives
MEMORY: Final = (
    200.0  # of squared gradients: at 6 % some 3,500 examples. Without a bound it takes days to follow a drift after a calm month
)
SGD_RATE: Final = 0.01  # constant: it forgets at the same pace for ever, where FTRL's rates shrink
KEPT: Final = 0.3  # of what a fork believes to have seen
LOG_ERROR_MAX: Final = 3.0  # a basket twenty times as dear as expected pulls no harder than this


class Ftrl(optim.FTRLProximal):
    """river's FTRL-Proximal for ``l1=0``, with a bounded memory.

    Until a slot's sum of squared gradients reaches ``MEMORY`` it is river's to the last bit, in half the time: one pass, and no numpy for
    the sign of one float. From there on the slot's rate shrinks no further; ``z`` is set so that its weight is the same.
    """

    def _step_with_dict(self, w: DictLike, g: DictLike) -> DictLike:
        alpha, beta, l2, zs, ns = self.alpha, self.beta, self.l2, self.z, self.n
        for slot, gradient in g.items():
            z, n = zs[slot], ns[slot]
            root = n**0.5
            if z:
                weight = -(((beta + root) / alpha + l2) ** -1) * z
                w[slot] = weight
            else:
                weight = w.get(slot, 0)
            n += gradient**2
            after = n**0.5
            z += gradient - (after - root) / alpha * weight
            if n > MEMORY:
                z *= ((beta + MEMORY**0.5) / alpha + l2) / ((beta + after) / alpha + l2)
                n = MEMORY
            zs[slot], ns[slot] = z, n
        return w


class OnlineLinearState(TypedDict):
    """What ``OnlineLinear.dump`` gives; ``z`` and ``n`` are of FTRL alone."""

    target: Literal["chance", "basket"]
    recipe: Recipe
    intercept: float
    weights: list[float]
    steps: int
    z: NotRequired[list[float]]
    n: NotRequired[list[float]]


class OnlineLinear:
    """A logistic regression (``chance``) or a regression of a logarithm (``basket``) over the slots of an encoding."""

    def __init__(self, target: Literal["chance", "basket"], recipe: Recipe, slots: int, intercept: float) -> None:
        self.target: Literal["chance", "basket"] = target
        self.recipe: Recipe = recipe
        self.slots = slots
        optimizer = _optimizer(recipe)
        if target == "chance":
            self.model = linear_model.LogisticRegression(optimizer, intercept_init=intercept)
        else:
            self.model = linear_model.LinearRegression(optimizer, intercept_init=intercept, clip_gradient=2 * LOG_ERROR_MAX)
        set_weights(self.model, dict.fromkeys(range(slots), 0.0))
        if isinstance(optimizer, Ftrl):
            optimizer.z.update(dict.fromkeys(range(slots), 0.0))
            optimizer.n.update(dict.fromkeys(range(slots), 0.0))

    @classmethod
    def of_rate(cls, recipe: Recipe, slots: int, rate: float) -> OnlineLinear:
        """A chance that begins at a base rate. From zero the intercept alone would need thousands of examples to get there."""
        return cls("chance", recipe, slots, logit_of(rate))

    def learn(self, lit: dict[int, float], outcome: float) -> None:
        """One example."""
        self.model.learn_one(lit, outcome)

    def predict(self, lit: dict[int, float]) -> float:
        """Log-odds, or the logarithm of an amount. Nothing is learned by it."""
        return margin(self.model, lit)

    def form(self) -> Form:
        """What it has learned, for a scorer."""
        weights = self.model.weights
        return Form(float(self.model.intercept), tuple(weights[slot] for slot in range(self.slots)))

    def fork(self) -> OnlineLinear:
        """A copy that trusts its past less: same weights and intercept, but as if from fewer examples, so that it moves faster."""
        forked = OnlineLinear.restore(self.dump())
        optimizer = forked.model.optimizer
        if isinstance(optimizer, Ftrl):
            weights = forked.model.weights
            for slot in range(self.slots):
                n = optimizer.n[slot] * KEPT
                optimizer.n[slot] = n
                optimizer.z[slot] = -weights[slot] * ((optimizer.beta + sqrt(n)) / optimizer.alpha + optimizer.l2)
        return forked

    def dump(self) -> OnlineLinearState:
        """Everything, as JSON can hold it."""
        form, optimizer = self.form(), self.model.optimizer
        dumped: OnlineLinearState = {
            "target": self.target,
            "recipe": self.recipe,
            "intercept": form.intercept,
            "weights": list(form.weights),
            "steps": optimizer.n_iterations,
        }
        if isinstance(optimizer, Ftrl):
            dumped["z"] = [optimizer.z[slot] for slot in range(self.slots)]
            dumped["n"] = [optimizer.n[slot] for slot in range(self.slots)]
        return dumped

    @classmethod
    def restore(cls, dumped: OnlineLinearState) -> OnlineLinear:
        """The inverse of ``dump``: it learns on to the last bit as if it had never been put down."""
        weights = dumped["weights"]
        restored = cls(dumped["target"], dumped["recipe"], len(weights), float(dumped["intercept"]))
        set_weights(restored.model, {slot: float(weight) for slot, weight in enumerate(weights)})
        optimizer = restored.model.optimizer
        optimizer.n_iterations = int(dumped["steps"])
        if isinstance(optimizer, Ftrl) and "z" in dumped and "n" in dumped:
            optimizer.z.update({slot: float(z) for slot, z in enumerate(dumped["z"])})
            optimizer.n.update({slot: float(n) for slot, n in enumerate(dumped["n"])})
        return restored


def _optimizer(recipe: Recipe) -> optim.base.Optimizer:
    if recipe == "ftrl":
        return Ftrl(alpha=ALPHA, beta=1.0, l1=0.0, l2=1.0)
    return optim.SGD(SGD_RATE)
