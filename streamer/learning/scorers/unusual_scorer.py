"""The compiled form of unusual activity: rules, which are sure, and half-space trees, which have an opinion.

A rule that holds makes the score 1.0 and is named. Everybody else gets a place among recent customers by how empty the part of the space is
in which they are: 0.99 means more unusual than 99 % of them. That is no proof of anything, and somebody is always the most unusual.

It costs some ten times what another scorer does, so it is asked at the end of a visit or every so many events, not at each.
"""

from __future__ import annotations

from math import dist, isfinite
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from streamer.examples import SCORE_SCALE
from streamer.learning.algorithms.bot_rules import BotRule, Bound
from streamer.learning.algorithms.quantiles import STEPS, share_in
from streamer.learning.inputs.feature_space import Projector, Space
from streamer.learning.scorers.contract import SCHEMA, Reason, bad_model, decode_as
from streamer.learning.scorers.groups_scorer import check_space

if TYPE_CHECKING:
    from collections.abc import Sequence

FAR: Final = 8.0  # standard deviations: farther than this is as far
_NOTABLE_SD: Final = 1.0  # a feature nearer than this to those who are otherwise alike is no reason


class CustomerKind(msgspec.Struct, frozen=True):
    """People who are alike: their middle, and one over their spread in each dimension."""

    centre: tuple[float, ...]
    scale: tuple[float, ...]


class Tree(msgspec.Struct, frozen=True):
    """A half-space tree, node ``i`` before its children ``2i + 1`` (below the threshold) and ``2i + 2``.

    ``splits`` are dimensions and ``at`` thresholds of the inner nodes; ``masses`` count who came through each node in the last window.
    """

    splits: tuple[int, ...]
    at: tuple[float, ...]
    masses: tuple[int, ...]


class UnusualContent(msgspec.Struct, frozen=True):
    """What is written. Without ``trees`` only the rules speak. ``sparse``: a node with fewer in it is not looked into.

    ``kinds`` are of the axes of ``space``; the trees are over how far somebody is off the kind that is nearest.
    """

    model: str
    version: int
    features: int
    names: tuple[str, ...]
    units: tuple[str, ...]
    words: tuple[str, ...]
    rules: tuple[BotRule, ...]
    space: Space
    kinds: tuple[CustomerKind, ...]
    trees: tuple[Tree, ...]
    sparse: float
    table: tuple[float, ...]
    kind: Literal["unusual"] = "unusual"
    schema: int = SCHEMA


_decoder = msgspec.json.Decoder(UnusualContent, strict=True)
MASS_SCALE: Final = 1_000_000  # an emptiness is a whole number of millionths


class CompiledBotRules:
    """Rules ready to use, on rows of features."""

    def __init__(self, rules: Sequence[BotRule], names: Sequence[str]) -> None:
        self._rules = [(rule, [_terms(bound, names) for bound in rule.bounds]) for rule in rules]

    def broken(self, x: Sequence[float]) -> BotRule | None:
        """The first rule that says it is a machine."""
        for rule, bounds in self._rules:
            if all(sum([x[at] * factor for at, factor in terms]) >= least for terms, least in bounds):
                return rule
        return None


def _terms(bound: Bound, names: Sequence[str]) -> tuple[list[tuple[int, float]], float]:
    return [(names.index(name), factor) for name, factor in bound.terms], bound.least


def off_kind(kinds: Sequence[CustomerKind], point: Sequence[float]) -> list[float]:
    """How far somebody is off the people whom they are most like, in standard deviations of those; -FAR to FAR.

    Off everybody's average nearly all are far in something, each kind in its own, and trees over that find machines by luck: with one seed
    all of the most unusual were, with the next none.
    """
    kind = min(kinds, key=lambda kind: dist(kind.centre, point))
    offs = [(own - middle) * scale for own, middle, scale in zip(point, kind.centre, kind.scale, strict=True)]
    return [off if -FAR < off < FAR else FAR if off > 0 else -FAR for off in offs]


def emptiness(trees: Sequence[Tree], sparse: float, point: Sequence[float]) -> int:
    """How empty the point's part of the space is, 0 to MASS_SCALE, as river's HalfSpaceTrees say it; 0 while they know nothing."""
    mass = most = 0
    for tree in trees:
        splits, thresholds, masses = tree.splits, tree.at, tree.masses
        inner = len(splits)
        node, weight = 0, 1
        while True:
            here = masses[node]
            mass += here * weight
            if node >= inner or here < sparse:
                break
            node = 2 * node + 1 if point[splits[node]] < thresholds[node] else 2 * node + 2
            weight *= 2
        most += masses[0] * len(masses)
    return MASS_SCALE - mass * MASS_SCALE // most if most else 0


class UnusualScorer:
    """Immutable."""

    def __init__(self, content: UnusualContent) -> None:
        self.kind: str = content.kind
        self.model = content.model
        self.version = content.version
        self.features = content.features
        self._content = content
        self._rules = CompiledBotRules(content.rules, content.names)
        self._project = Projector(content.space).project
        self._kinds = content.kinds
        self._trees = content.trees
        self._sparse = content.sparse
        self._table = content.table

    def score(self, x: Sequence[float]) -> int:
        """Ten-thousandths; 10,000 if a rule holds and never without."""
        if self._rules.broken(x) is not None:
            return SCORE_SCALE
        if not self._trees:
            return 0
        return min(share_in(self._table, emptiness(self._trees, self._sparse, off_kind(self._kinds, self._project(x)))), SCORE_SCALE - 1)

    def percentile(self, score: int) -> int:
        """The score is one already."""
        return score

    def reasons(self, x: Sequence[float], most: int = 3) -> list[Reason]:
        """The rule that holds; else what is farthest off the people who are most alike. ``effect`` is in their standard deviations."""
        content = self._content
        rule = self._rules.broken(x)
        if rule is not None:
            name = rule.bounds[0].terms[0][0]
            return [Reason(name, float(x[content.names.index(name)]), 0.0, rule.words)]
        if not self._kinds:
            return []
        offs = zip(content.space.axes, off_kind(self._kinds, self._project(x)), strict=True)
        far = sorted(((axis.at, off) for axis, off in offs if abs(off) >= _NOTABLE_SD), key=lambda one: (-abs(one[1]), one[0]))
        return [self._reason(at, float(x[at]), off) for at, off in far[:most]]

    def _reason(self, at: int, value: float, off: float) -> Reason:
        content = self._content
        side = "above" if off > 0 else "below"
        noun = content.words[at] or content.names[at]
        return Reason(content.names[at], value, off, f"{noun}: {abs(off):.1f} standard deviations {side} those who are otherwise alike")


def decode_unusual(content: bytes) -> UnusualScorer:
    """RefusedError (``bad_model``) with the path of the fault."""
    decoded: UnusualContent = decode_as(_decoder, content)
    check_space(decoded.space, len(decoded.names))
    if not len(decoded.names) == len(decoded.units) == len(decoded.words):
        raise bad_model("$.names", "expected as many as there are units and words")
    for at, rule in enumerate(decoded.rules):
        _check_rule(at, rule, decoded.names)
    if decoded.space.wheels:
        raise bad_model("$.space.wheels", "expected none")
    dimensions = decoded.space.dimensions
    for at, kind in enumerate(decoded.kinds):
        if not len(kind.centre) == len(kind.scale) == dimensions or not all(map(isfinite, (*kind.centre, *kind.scale))):
            raise bad_model(f"$.kinds[{at}]", f"expected {dimensions} finite numbers each")
    if decoded.trees and not decoded.kinds:
        raise bad_model("$.kinds", "expected at least one, as there are trees")
    for at, tree in enumerate(decoded.trees):
        inner = len(tree.splits)
        shaped = inner == len(tree.at) and len(tree.masses) == 2 * inner + 1 and (inner + 1) & inner == 0
        if not shaped or not all(0 <= split < dimensions for split in tree.splits):
            raise bad_model(f"$.trees[{at}]", "expected a full tree over the dimensions of the space")
        if not all(map(isfinite, tree.at)) or min(tree.masses) < 0:
            raise bad_model(f"$.trees[{at}]", "expected finite thresholds and masses of 0 or more")
    if not all(map(isfinite, (decoded.sparse, *decoded.table))) or list(decoded.table) != sorted(decoded.table):
        raise bad_model("$.table", "expected numbers in order")
    if len(decoded.table) != (STEPS + 1 if decoded.trees else 0):
        raise bad_model("$.table", f"expected {STEPS + 1} numbers with trees, none without")
    return UnusualScorer(decoded)


def _check_rule(at: int, rule: BotRule, names: Sequence[str]) -> None:
    for bound in rule.bounds:
        if not bound.terms or not isfinite(bound.least):
            raise bad_model(f"$.rules[{at}]", "expected terms and a finite limit")
        for name, factor in bound.terms:
            if name not in names or not isfinite(factor):
                raise bad_model(f"$.rules[{at}]", f"expected a known feature and a finite factor, found {name[:40]!r}")
    if not rule.bounds:
        raise bad_model(f"$.rules[{at}]", "expected at least one bound")
