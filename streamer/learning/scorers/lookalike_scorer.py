"""The compiled form of a lookalike: where somebody stands among those outside the seed, by how much they are like those inside.

A score is a place in a ranking and nothing else: 0.8 means more like the seed than 80 % of the others. It is not a chance of anything;
those who are in the seed are not asked about, and would simply come out on top.
"""

from __future__ import annotations

from math import isfinite
from operator import mul
from typing import TYPE_CHECKING, Literal

import msgspec

from streamer.learning.algorithms.quantiles import STEPS, share_in
from streamer.learning.inputs.feature_space import Projector, Space
from streamer.learning.scorers.contract import SCHEMA, Reason, bad_model, decode_as
from streamer.learning.scorers.groups_scorer import check_space

if TYPE_CHECKING:
    from collections.abc import Sequence


class LookalikeContent(msgspec.Struct, frozen=True):
    """What is written.

    ``weights`` of the ranking and ``profile`` (for the reasons) have one number per dimension of the space, ``average`` is where the
    others' middle lies. ``table`` has the margins of the others by share. ``names``, ``units`` and ``words`` are those of the features;
    ``traits`` say in words what the seed is like.
    """

    model: str
    version: int
    features: int
    seed: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    words: tuple[str, ...]
    space: Space
    weights: tuple[float, ...]
    profile: tuple[float, ...]
    average: tuple[float, ...]
    table: tuple[float, ...]
    traits: tuple[str, ...]
    kind: Literal["lookalike"] = "lookalike"
    schema: int = SCHEMA


_decoder = msgspec.json.Decoder(LookalikeContent, strict=True)


class LookalikeScorer:
    """Immutable."""

    def __init__(self, content: LookalikeContent) -> None:
        self.kind: str = content.kind
        self.model = content.model
        self.version = content.version
        self.features = content.features
        self._content = content
        self._project = Projector(content.space).project
        self._weights = content.weights
        self._table = content.table
        axes = [(axis.at, 1) for axis in content.space.axes]
        wheels = [(wheel.at, len(wheel.points[0])) for wheel in content.space.wheels]
        self._features = axes + wheels  # each feature and how many dimensions are its own

    def score(self, x: Sequence[float]) -> int:
        """Ten-thousandths of the others who are at most as much like the seed."""
        return share_in(self._table, sum(map(mul, self._weights, self._project(x))))

    def percentile(self, score: int) -> int:
        """The score is one already."""
        return score

    def reasons(self, x: Sequence[float], most: int = 3) -> list[Reason]:
        """What about somebody is most like the seed, or least, against the others' average.

        By the difference of the two averages in units of the spread, feature by feature: unlike the weights of the ranking it does not
        depend on which of two alike features the model happened to settle on.
        """
        content = self._content
        point = self._project(x)
        parts = [weight * (own - other) for weight, own, other in zip(content.profile, point, content.average, strict=True)]
        told: list[Reason] = []
        start = 0
        for at, count in self._features:
            effect = sum(parts[start : start + count])
            start += count
            noun = content.words[at] or content.names[at]
            like = "like" if effect > 0 else "unlike"
            told.append(Reason(content.names[at], float(x[at]), effect, f"{noun} {x[at]:.4g} {content.units[at]}: {like} “{content.seed}”"))
        return sorted((reason for reason in told if reason.effect), key=lambda reason: (-abs(reason.effect), reason.feature))[:most]

    def describe(self) -> list[str]:
        """What the seed is like, against everybody else: the ideal customer in words."""
        return list(self._content.traits)


def decode_lookalike(content: bytes) -> LookalikeScorer:
    """RefusedError (``bad_model``) with the path of the fault."""
    decoded: LookalikeContent = decode_as(_decoder, content)
    check_space(decoded.space, len(decoded.names))
    if not len(decoded.names) == len(decoded.units) == len(decoded.words):
        raise bad_model("$.names", "expected as many as there are units and words")
    for field in ("weights", "profile", "average"):
        numbers: tuple[float, ...] = getattr(decoded, field)
        if len(numbers) != decoded.space.dimensions or not all(map(isfinite, numbers)):
            raise bad_model(f"$.{field}", f"expected {decoded.space.dimensions} finite numbers")
    table = decoded.table
    if len(table) != STEPS + 1 or not all(map(isfinite, table)) or list(table) != sorted(table):
        raise bad_model("$.table", f"expected {STEPS + 1} finite numbers in order")
    return LookalikeScorer(decoded)
