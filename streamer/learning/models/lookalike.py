"""Lookalikes: who outside a seed segment is like those inside, and what those inside are like.

A logistic regression learns seed against rest. It is used to rank only: many of the rest are what the seed will be tomorrow, so its chances
mean nothing, their order does. What the seed is defined by must be left out (``left_out``: who finds the loyal by their orders has found
nothing), and so is what is sensitive.

Nothing is published with fewer than 50 members, or while the ranking, judged on each profile before it is learned, is not surely better
than chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

import msgspec

from streamer.learning.algorithms.logistic import Logistic, LogisticState
from streamer.learning.algorithms.quantiles import table_of
from streamer.learning.algorithms.ranking import Ranking, RankingState
from streamer.learning.algorithms.reservoir import Reservoir, ReservoirState
from streamer.learning.algorithms.rng import Rng
from streamer.learning.inputs.feature_space import Projector, Space, fit
from streamer.learning.models import group_descriptions
from streamer.learning.reports.model_card import Card
from streamer.learning.reports.outputs import LearnerOutput, ModelPublished, ModelWithdrawn
from streamer.learning.scorers.contract import canonical
from streamer.learning.scorers.lookalike_scorer import LookalikeContent
from streamer.units import HOUR_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streamer.examples import Example, FeatureList, ModelSpec

MEMBERS_LEAST: Final = 50
OTHERS_LEAST: Final = 500
OTHERS: Final = 2_000
MEMBERS: Final = 500
HORIZON: Final = 50_000  # profiles: the others of the table are recent ones
DAY_MS: Final = 24 * HOUR_MS
_SPREAD_LEAST: Final = 0.05  # variance of a dimension: below it a profile's weight would be of one odd person's making
_CHANCE: Final = 0.5


class LookalikeState(TypedDict):
    """What ``LookalikeTrainer.dump`` gives."""

    left_out: list[str]
    others: ReservoirState
    members: ReservoirState
    space: object
    model: LogisticState
    ranking: RankingState
    sizes: list[tuple[int, int]]
    counts: tuple[int, int, int, int, int, int | None, int]
    withdrawn: bool


class LookalikeTrainer:
    """Learns from profiles, judges itself on them first. Publishes once a day, the first time at a full hour."""

    def __init__(self, spec: ModelSpec, features: FeatureList, left_out: Iterable[str] = (), seed: int = 0) -> None:
        self.spec = spec
        self._features = features
        self._left_out = frozenset(left_out) | frozenset(spec.sensitive)
        width = len(features.features)
        self._others = Reservoir(OTHERS, width, Rng(seed), HORIZON)
        self._members = Reservoir(MEMBERS, width, Rng(seed + 1), HORIZON // 10)
        self._space: Space | None = None
        self._project = Projector(Space((), ())).project
        self._model = Logistic(0)
        self._ranking = Ranking()
        self._sizes: dict[int, int] = {}  # of the seed, by shard, as marks say
        self._day = 0
        self._day_members = 0
        self._members_most = 0  # seen in any one day: they are different people, as a profile comes once a day
        self._learned = 0
        self._version = 0
        self._withdrawn = False
        self._published_ms: int | None = None
        self._at_ms = 0

    def take(self, example: Example) -> list[LearnerOutput]:
        """Judge and learn a profile; of a mark take the size of the seed."""
        if example.kind == "mark":
            if self.spec.seed in example.sizes:
                self._sizes[example.shard] = example.sizes[self.spec.seed]
            return []
        if example.kind != "profile" or (self.spec.exclude and self.spec.exclude in example.seeds):
            return []
        inside = self.spec.seed in example.seeds
        self._learned += 1
        self._count_members(example.at_ms, inside)
        (self._members if inside else self._others).offer(example.x)
        if self._space is not None:
            self._ranking.add(self._model.learn(self._project(example.x), int(inside)), inside)
        elif len(self._others) >= OTHERS_LEAST:
            self._set_space(fit(self._others.rows(), self._features, self._left_out))
            self._model = Logistic(self._space_width())
        return []

    def on_watermark(self, at_ms: int) -> list[LearnerOutput]:
        """Publish, if a day is over and there is something to vouch for; withdraw what cannot be vouched for any more."""
        pause = DAY_MS if self._version else HOUR_MS
        due = at_ms // pause != self._at_ms // pause
        self._at_ms = at_ms
        if not due:
            return []
        why = self._why_not()
        if not why:
            return [self._publish(at_ms)]
        if not self._version or self._withdrawn:
            return []
        self._withdrawn = True
        return [ModelWithdrawn(self.spec.name, self._version, at_ms, f"{self.spec.name}: {why}")]

    def card(self) -> Card:
        """``auc`` is that of the ranking on profiles that it had not learned yet; ``auc_low`` what it surely is above."""
        why = self._why_not()
        low = self._ranking.low
        figures = {"members": float(self._known_members())} | ({} if low is None else {"auc_low": low})
        return Card(
            model=self.spec.name,
            kind="lookalike",
            state="not ready" if why else "ready",
            why=why,
            version=self._version,
            at_ms=self._at_ms,
            published_ms=self._published_ms,
            learned=self._learned,
            judged=self._ranking.count,
            positives=self._members.seen,
            base_rate=self._members.seen / self._learned if self._learned else None,
            auc=self._ranking.auc,
            figures=figures,
        )

    def dump(self) -> LookalikeState:
        """As JSON can hold it."""
        return {
            "left_out": sorted(self._left_out),
            "others": self._others.dump(),
            "members": self._members.dump(),
            "space": msgspec.to_builtins(self._space),
            "model": self._model.dump(),
            "ranking": self._ranking.dump(),
            "sizes": sorted(self._sizes.items()),
            "counts": (
                self._day,
                self._day_members,
                self._members_most,
                self._learned,
                self._version,
                self._published_ms,
                self._at_ms,
            ),
            "withdrawn": self._withdrawn,
        }

    @classmethod
    def restore(cls, spec: ModelSpec, features: FeatureList, dumped: LookalikeState, left_out: Iterable[str] = ()) -> LookalikeTrainer:
        """The inverse of ``dump``. If by now other features must be left out, what was learned is worth nothing: it begins anew."""
        trainer = cls(spec, features, left_out)
        if sorted(trainer._left_out) != dumped["left_out"]:
            return trainer
        trainer._others = Reservoir.restore(dumped["others"])
        trainer._members = Reservoir.restore(dumped["members"])
        trainer._set_space(msgspec.convert(dumped["space"], Space | None))
        trainer._model = Logistic.restore(dumped["model"])
        trainer._ranking = Ranking.restore(dumped["ranking"])
        trainer._sizes = {int(shard): int(size) for shard, size in dumped["sizes"]}
        counts = dumped["counts"]
        trainer._day, trainer._day_members, trainer._members_most = counts[:3]
        trainer._learned, trainer._version, trainer._published_ms, trainer._at_ms = counts[3:]
        trainer._withdrawn = dumped.get("withdrawn", False)  # older snapshots do not say
        return trainer

    def _count_members(self, at_ms: int, inside: bool) -> None:
        day = at_ms // DAY_MS
        if day != self._day:
            self._day, self._day_members = day, 0
        self._day_members += inside
        self._members_most = max(self._members_most, self._day_members)

    def _known_members(self) -> int:
        """As marks say; before any did, as many as were surely seen."""
        return sum(self._sizes.values()) if self._sizes else self._members_most

    def _why_not(self) -> str:
        """Why nothing can be vouched for; empty when it can."""
        if self._known_members() < MEMBERS_LEAST or self._members.seen < MEMBERS_LEAST:
            members = min(self._known_members(), self._members.seen)
            return f"“{self.spec.seed}” has {members} of {MEMBERS_LEAST} members that it takes"
        if len(self._others) < OTHERS_LEAST:
            return f"{len(self._others)} of {OTHERS_LEAST} others seen"
        low = self._ranking.low
        if low is None or low <= _CHANCE:
            return f"those in “{self.spec.seed}” cannot be told from the others yet"
        return ""

    def _publish(self, at_ms: int) -> ModelPublished:
        assert self._space is not None
        self._version += 1
        self._withdrawn = False
        self._published_ms = at_ms
        others, members = self._others.rows(), self._members.rows()
        points, inside = [self._project(row) for row in others], [self._project(row) for row in members]
        average, middle = _middle(points), _middle(inside)
        weights = tuple(self._model.weights[:-1])
        off = [own - other for own, other in zip(middle, average, strict=True)]
        told = group_descriptions.traits(members, others, off, self._space, self._features)
        bias = self._model.weights[-1]
        content = LookalikeContent(
            model=self.spec.name,
            version=self._version,
            features=self._features.version,
            seed=self.spec.seed,
            names=self._features.names,
            units=tuple(feature.unit for feature in self._features.features),
            words=tuple(feature.words for feature in self._features.features),
            space=self._space,
            weights=weights,
            profile=tuple(number / max(spread, _SPREAD_LEAST) for number, spread in zip(off, _spreads(points, average), strict=True)),
            average=tuple(average),
            table=table_of([self._model.margin(point) - bias for point in points]),
            traits=tuple(trait.words for trait in told),
        )
        return ModelPublished(self.spec.name, self._version, canonical(content), self.card())

    def _space_width(self) -> int:
        return self._space.dimensions if self._space else 0

    def _set_space(self, space: Space | None) -> None:
        self._space = space
        self._project = Projector(space or Space((), ())).project


def _middle(points: Sequence[Sequence[float]]) -> list[float]:
    return [sum(column) / len(points) for column in zip(*points, strict=True)]


def _spreads(points: Sequence[Sequence[float]], middle: Sequence[float]) -> list[float]:
    columns = zip(zip(*points, strict=True), middle, strict=True)
    return [sum((number - mean) ** 2 for number in column) / len(points) for column, mean in columns]
