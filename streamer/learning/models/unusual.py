"""Unusual activity: rules for what a machine does, and a second opinion by half-space trees on what no rule knows.

Robots must neither train models nor get messages, and a rule is what can be explained to the shop and to a person who was mistaken for one.
The trees learn only from those whom no rule caught; a crawler that comes in thousands would teach them that this is what people are like.
What they look at is how far somebody is off the kind of people they are most like (kinds are fitted once; the trees follow what changes).
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Final, TypedDict

import msgspec

from streamer.learning.algorithms.bot_rules import RULES, BotRule, known_rules
from streamer.learning.algorithms.kmeans import cluster
from streamer.learning.algorithms.quantiles import table_of
from streamer.learning.algorithms.reservoir import Reservoir, ReservoirState
from streamer.learning.algorithms.rng import Rng
from streamer.learning.inputs.feature_space import Projector, Space, fit
from streamer.learning.online.half_spaces import SPARSE, HalfSpaces, HalfSpacesState
from streamer.learning.reports.model_card import Card
from streamer.learning.reports.outputs import LearnerOutput, ModelPublished
from streamer.learning.scorers.contract import canonical
from streamer.learning.scorers.unusual_scorer import CompiledBotRules, CustomerKind, Tree, UnusualContent, emptiness, off_kind
from streamer.units import HOUR_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamer.examples import Example, FeatureList, ModelSpec

SAMPLE: Final = 1_000  # profiles that the space and the kinds are fitted to
KINDS: Final = 6
_SPREAD_LEAST: Final = 0.2  # of a kind in a dimension: if all of it are the same there, one step aside is not yet unusual
JUDGED: Final = 2_000
HORIZON: Final = 20_000  # judged ones: the table is about recent people
JUDGED_LEAST: Final = 200  # emptinesses in the table, before the trees may speak
JUDGED_EVERY: Final = 4  # profiles: judging costs more than learning
DAY_MS: Final = 24 * HOUR_MS


class UnusualState(TypedDict):
    """What ``UnusualTrainer.dump`` gives."""

    seed: int
    rules: object
    sample: ReservoirState
    space: object
    kinds: object
    trees: HalfSpacesState | None
    judges: object
    judged: ReservoirState
    counts: tuple[int, int, int, bool, int | None, int]


class UnusualTrainer:
    """Learns from profiles. Publishes its rules at the first mark, the trees as soon as they can speak, then once a day."""

    def __init__(self, spec: ModelSpec, features: FeatureList, rules: Sequence[BotRule] = RULES, seed: int = 0) -> None:
        self.spec = spec
        self._features = features
        self._seed = seed
        self._rules = known_rules(rules, features)
        self._sure = CompiledBotRules(self._rules, features.names)
        self._sample = Reservoir(SAMPLE, len(features.features), Rng(seed))
        self._space = Space((), ())
        self._project = Projector(self._space).project
        self._kinds: tuple[CustomerKind, ...] = ()
        self._spaces: HalfSpaces | None = None
        self._judges: tuple[Tree, ...] = ()  # the trees that judge for the table, as of the last window
        self._judged = Reservoir(JUDGED, 1, Rng(seed + 1), HORIZON)  # how empty it was around recent people
        self._learned = 0
        self._caught = 0
        self._version = 0
        self._with_trees = False
        self._published_ms: int | None = None
        self._at_ms = 0

    def take(self, example: Example) -> list[LearnerOutput]:
        """Learn a profile, unless a rule knows it for a machine's."""
        if example.kind != "profile" or (self.spec.exclude and self.spec.exclude in example.seeds):
            return []
        self._learned += 1
        if self._sure.broken(example.x) is not None:
            self._caught += 1
        elif self._spaces is None:
            self._begin(example.x)
        else:
            self._learn(self._spaces, off_kind(self._kinds, self._project(example.x)))
        return []

    def on_watermark(self, at_ms: int) -> list[LearnerOutput]:
        """Publish what is new."""
        day_over = at_ms // DAY_MS != self._at_ms // DAY_MS
        hour_over = at_ms // HOUR_MS != self._at_ms // HOUR_MS
        self._at_ms = at_ms
        speaks = len(self._judged) >= JUDGED_LEAST
        if self._version == 0 or day_over or (hour_over and speaks and not self._with_trees):
            self._with_trees = speaks
            return [self._publish(at_ms)]
        return []

    def card(self) -> Card:
        """``caught`` is the share of profiles that broke a rule."""
        return Card(
            model=self.spec.name,
            kind="unusual",
            state="ready" if self._version else "not ready",
            why="" if self._with_trees else "so far only the rules speak" if self._version else "no mark of time seen yet",
            version=self._version,
            at_ms=self._at_ms,
            published_ms=self._published_ms,
            learned=self._learned,
            figures={"caught": self._caught / self._learned if self._learned else 0.0, "rules": float(len(self._rules))},
        )

    def dump(self) -> UnusualState:
        """As JSON can hold it."""
        return {
            "seed": self._seed,
            "rules": msgspec.to_builtins(self._rules),
            "sample": self._sample.dump(),
            "space": msgspec.to_builtins(self._space),
            "kinds": msgspec.to_builtins(self._kinds),
            "trees": None if self._spaces is None else self._spaces.dump(),
            "judges": msgspec.to_builtins(self._judges),
            "judged": self._judged.dump(),
            "counts": (self._learned, self._caught, self._version, self._with_trees, self._published_ms, self._at_ms),
        }

    @classmethod
    def restore(cls, spec: ModelSpec, features: FeatureList, dumped: UnusualState) -> UnusualTrainer:
        """The inverse of ``dump``, which has the rules."""
        trainer = cls(spec, features, msgspec.convert(dumped["rules"], tuple[BotRule, ...]), dumped["seed"])
        trainer._sample = Reservoir.restore(dumped["sample"])
        trainer._space = msgspec.convert(dumped["space"], Space)
        trainer._project = Projector(trainer._space).project
        trainer._kinds = msgspec.convert(dumped["kinds"], tuple[CustomerKind, ...])
        trainer._spaces = None if dumped["trees"] is None else HalfSpaces.restore(dumped["trees"])
        trainer._judges = msgspec.convert(dumped["judges"], tuple[Tree, ...])
        trainer._judged = Reservoir.restore(dumped["judged"])
        trainer._learned, trainer._caught, trainer._version, trainer._with_trees, trainer._published_ms, trainer._at_ms = dumped["counts"]
        return trainer

    def _begin(self, x: Sequence[float]) -> None:
        self._sample.offer(x)
        if len(self._sample) < SAMPLE:
            return
        rows = self._sample.rows()
        axes = fit(rows, self._features, frozenset(self.spec.sensitive)).axes
        self._sample.clear()
        if not axes:  # a thousand who are all the same
            return
        self._space = Space(axes, ())
        self._project = Projector(self._space).project
        self._kinds = _kinds([self._project(row) for row in rows], self._seed)
        self._spaces = HalfSpaces(len(axes), self._seed)

    def _learn(self, spaces: HalfSpaces, point: list[float]) -> None:
        if self._judges and (self._learned - self._caught) % JUDGED_EVERY == 0:
            self._judged.offer([emptiness(self._judges, SPARSE, point)])
        if spaces.learn(point):
            self._judges = spaces.trees()

    def _publish(self, at_ms: int) -> ModelPublished:
        self._version += 1
        self._published_ms = at_ms
        features = self._features.features
        content = UnusualContent(
            model=self.spec.name,
            version=self._version,
            features=self._features.version,
            names=self._features.names,
            units=tuple(feature.unit for feature in features),
            words=tuple(feature.words for feature in features),
            rules=self._rules,
            space=self._space,
            kinds=self._kinds,
            trees=self._judges if self._with_trees else (),
            sparse=SPARSE,
            table=table_of([row[0] for row in self._judged.rows()]) if self._with_trees else (),
        )
        return ModelPublished(self.spec.name, self._version, canonical(content), self.card())


def _kinds(points: list[list[float]], seed: int) -> tuple[CustomerKind, ...]:
    found = cluster(points, KINDS, Rng(seed))
    kinds: list[CustomerKind] = []
    for at, centre in enumerate(found.centres):
        members = [point for point, label in zip(points, found.labels, strict=True) if label == at]
        spreads = [
            sqrt(sum((number - middle) ** 2 for number in column) / len(members))
            for column, middle in zip(zip(*members, strict=True), centre, strict=True)
        ]
        kinds.append(CustomerKind(tuple(centre), tuple(1 / max(spread, _SPREAD_LEAST) for spread in spreads)))
    return tuple(kinds)
