"""A logistic regression over a few numbers that are all there every time: FTRL-Proximal in plain lists.

river's is made for sparse features with names; here every feature is present, so a list does the same in a third of the time, and the list
is the snapshot.
"""

from __future__ import annotations

from math import exp, sqrt
from operator import mul
from typing import TYPE_CHECKING, Final, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence

_ALPHA: Final = 0.1
_BETA: Final = 1.0
_L2: Final = 1.0
MARGIN_MAX: Final = 30.0


class LogisticState(TypedDict):
    """What ``Logistic.dump`` gives."""

    weights: list[float]
    z: list[float]
    n: list[float]


class Logistic:
    """``weights`` has one for each number and last that of the constant 1."""

    def __init__(self, width: int) -> None:
        self.weights = [0.0] * (width + 1)
        self._z = [0.0] * (width + 1)
        self._n = [0.0] * (width + 1)

    def margin(self, point: Sequence[float]) -> float:
        """Log-odds."""
        return sum(map(mul, self.weights, point), self.weights[-1])

    def learn(self, point: Sequence[float], label: int) -> float:
        """One example; the margin as it was before."""
        margin = self.margin(point)
        off = 1 / (1 + exp(-max(-MARGIN_MAX, min(MARGIN_MAX, margin)))) - label
        weights, zs, ns = self.weights, self._z, self._n
        for at, number in enumerate((*point, 1.0)):
            gradient = off * number
            before = ns[at]
            after = ns[at] = before + gradient * gradient
            root = sqrt(after)
            zs[at] += gradient - (root - sqrt(before)) / _ALPHA * weights[at]
            weights[at] = -zs[at] / ((_BETA + root) / _ALPHA + _L2)
        return margin

    def dump(self) -> LogisticState:
        """As JSON can hold it."""
        return {"weights": list(self.weights), "z": list(self._z), "n": list(self._n)}

    @classmethod
    def restore(cls, dumped: LogisticState) -> Logistic:
        """The inverse of ``dump``."""
        model = cls(len(dumped["weights"]) - 1)
        model.weights, model._z, model._n = (
            [float(number) for number in numbers] for numbers in (dumped["weights"], dumped["z"], dumped["n"])
        )
        return model
