"""Behaviour groups: who behaves alike, found without being told, under numbers and names that stay with the same people.

Groups begin from a fair sample of a thousand profiles or more. From then on their centres drift slowly with the people in them, and the
scorers get the drifted ones once a day at most. Once a week, or when people have clearly come to fit worse, the sample of the days since is
clustered anew, but that counts only if it fits clearly better: a marketer who aims at a group wants it to be the same one next week. What
became of the old groups is then told: split, merged, retired, new.
"""

from __future__ import annotations

from math import dist
from typing import TYPE_CHECKING, Final, TypedDict

import msgspec

from streamer.examples import Cyclic
from streamer.learning.algorithms.group_matching import Matched, match
from streamer.learning.algorithms.kmeans import Clusters, cluster, nearest, settle
from streamer.learning.algorithms.reservoir import Reservoir, ReservoirState
from streamer.learning.algorithms.rng import Rng
from streamer.learning.inputs.feature_space import Projector, Space, fit
from streamer.learning.models import group_descriptions
from streamer.learning.reports.model_card import Card
from streamer.learning.reports.outputs import Alert, LearnerOutput, ModelPublished
from streamer.learning.scorers.contract import canonical
from streamer.learning.scorers.groups_scorer import GroupsContent, LivingGroup
from streamer.units import DAY_MS

if TYPE_CHECKING:
    from streamer.examples import Example, FeatureList, ModelSpec

GROUPS_DEFAULT: Final = 6
PROFILES_LEAST: Final = 1_000
SAMPLE: Final = 2_000
WEEK_MS: Final = 7 * DAY_MS
DRIFT: Final = 0.002  # of the way to each new profile; at 0.01 chance alone moved 2.5 % of a shapeless crowd a day into another group
DRIFT_DAY_MOST: Final = 0.25  # of the way to the nearest other centre, within one day
MOVED_LEAST: Final = 0.1  # standard deviations: less is not worth a new version
FRESH_GAIN: Final = 0.95  # of the old centres' cost: clusters from scratch must be cheaper than this
WORSE: Final = 1.3  # times the cost at the last seeding: then a new one does not wait for the week to end
COST_LEAST: Final = 1e-6  # so that a sample of people who are all the same is not divided by
_FIT_RATE: Final = 0.001


class GroupsState(TypedDict):
    """What ``GroupsTrainer.dump`` gives."""

    rng: int
    sample: ReservoirState
    space: object
    names: list[str]
    numbers: list[int]
    words: list[list[str]]
    centres: list[list[float]]
    origin: list[list[float]]
    morning: list[list[float]]
    published: list[list[float]]
    reach: list[float]
    cost: list[float]
    counts: tuple[int, int, int, int, int | None, int]


class GroupsTrainer:
    """Learns from profiles. One version a day at most, and one with new groups a week, unless people stop to fit."""

    def __init__(self, spec: ModelSpec, features: FeatureList, seed: int = 0) -> None:
        self.spec = spec
        self._features = features
        self._left_out = frozenset(spec.sensitive) | frozenset(_of_the_moment(features))
        self._dice = Rng(seed)
        self._sample = Reservoir(SAMPLE, len(features.features), Rng(seed + 1))
        self._space: Space | None = None
        self._project = Projector(Space((), ())).project
        self._names: list[str] = []
        self._numbers: list[int] = []
        self._words: list[tuple[str, ...]] = []
        self._centres: list[list[float]] = []
        self._origin: list[list[float]] = []  # the centres as they were seeded: who they were meant for
        self._morning: list[list[float]] = []  # the centres as the day began
        self._reach: list[float] = []  # how far each may go from there
        self._cost_seeded = 0.0
        self._cost = 0.0
        self._learned = 0
        self._version = 0
        self._day = 0
        self._seeded_ms = 0
        self._published_ms: int | None = None
        self._published: list[list[float]] = []
        self._at_ms = 0

    def take(self, example: Example) -> list[LearnerOutput]:
        """Learn a profile."""
        if example.kind != "profile" or (self.spec.exclude and self.spec.exclude in example.seeds):
            return []
        self._learned += 1
        self._sample.offer(example.x)
        if self._centres:
            self._drift(self._project(example.x))
        return []

    def on_watermark(self, at_ms: int) -> list[LearnerOutput]:
        """Begin, begin anew, or publish what has drifted."""
        self._at_ms = at_ms
        if not self._centres:
            return self._seed(at_ms) if len(self._sample) >= PROFILES_LEAST else []
        if at_ms // DAY_MS == self._day:
            return []
        self._begin_day(at_ms)
        aged = at_ms - self._seeded_ms >= WEEK_MS
        if len(self._sample) >= PROFILES_LEAST and (aged or self._cost > WORSE * self._cost_seeded):
            return self._seed_anew(at_ms)
        return self._publish_moved(at_ms)

    def card(self) -> Card:
        """``cost`` is the mean squared distance to the own centre now, ``cost_seeded`` what it was on the sample; both per dimension."""
        ready = self._version > 0
        why = "" if ready else f"{len(self._sample):,} of {PROFILES_LEAST:,} profiles seen"
        size = max(1, self._space.dimensions if self._space else 1)
        figures = {"groups": float(len(self._centres)), "cost": self._cost / size, "cost_seeded": self._cost_seeded / size}
        return Card(
            model=self.spec.name,
            kind="groups",
            state="ready" if ready else "not ready",
            why=why,
            version=self._version,
            at_ms=self._at_ms,
            published_ms=self._published_ms,
            learned=self._learned,
            figures=figures if ready else {},
        )

    def dump(self) -> GroupsState:
        """As JSON can hold it."""
        return {
            "rng": self._dice.state,
            "sample": self._sample.dump(),
            "space": msgspec.to_builtins(self._space),
            "names": self._names,
            "numbers": self._numbers,
            "words": [list(words) for words in self._words],
            "centres": [list(centre) for centre in self._centres],
            "origin": self._origin,
            "morning": self._morning,
            "published": self._published,
            "reach": self._reach,
            "cost": [self._cost_seeded, self._cost],
            "counts": (self._learned, self._version, self._day, self._seeded_ms, self._published_ms, self._at_ms),
        }

    @classmethod
    def restore(cls, spec: ModelSpec, features: FeatureList, dumped: GroupsState) -> GroupsTrainer:
        """The inverse of ``dump``."""
        trainer = cls(spec, features)
        trainer._dice = Rng(dumped["rng"])
        trainer._sample = Reservoir.restore(dumped["sample"])
        trainer._set_space(msgspec.convert(dumped["space"], Space | None))
        trainer._names, trainer._numbers = list(dumped["names"]), list(dumped["numbers"])
        trainer._words = [tuple(words) for words in dumped["words"]]
        trainer._centres, trainer._origin, trainer._morning, trainer._published = (
            [[float(number) for number in centre] for centre in centres]
            for centres in (dumped["centres"], dumped["origin"], dumped["morning"], dumped["published"])
        )
        trainer._reach = [float(reach) for reach in dumped["reach"]]
        trainer._cost_seeded, trainer._cost = map(float, dumped["cost"])
        counts = dumped["counts"]
        trainer._learned, trainer._version, trainer._day, trainer._seeded_ms, trainer._published_ms, trainer._at_ms = counts
        return trainer

    def _drift(self, point: list[float]) -> None:
        distances = [dist(point, centre) for centre in self._centres]
        least = min(distances)
        at = distances.index(least)
        moved = [own + DRIFT * (other - own) for own, other in zip(self._centres[at], point, strict=True)]
        self._cost += _FIT_RATE * (least * least - self._cost)
        far = dist(moved, self._morning[at])
        if far > self._reach[at]:
            back = self._reach[at] / far
            moved = [start + back * (end - start) for start, end in zip(self._morning[at], moved, strict=True)]
        self._centres[at] = moved

    def _begin_day(self, at_ms: int) -> None:
        self._day = at_ms // DAY_MS
        self._morning = [list(centre) for centre in self._centres]
        self._reach = [DRIFT_DAY_MOST * _to_nearest(at, self._centres) for at in range(len(self._centres))]

    def _seed(self, at_ms: int) -> list[LearnerOutput]:
        rows = self._sample.rows()
        self._set_space(fit(rows, self._features, self._left_out))
        points = [self._project(row) for row in rows]
        found = cluster(points, self.spec.groups or GROUPS_DEFAULT, self._dice)
        self._numbers = list(range(len(found.centres)))
        self._settle_in(at_ms, found, rows)
        return [self._publish(at_ms)]

    def _seed_anew(self, at_ms: int) -> list[LearnerOutput]:
        rows = self._sample.rows()
        points = [self._project(row) for row in rows]
        now = nearest(points, self._centres)
        fresh = cluster(points, self.spec.groups or GROUPS_DEFAULT, self._dice)
        if fresh.cost >= FRESH_GAIN * now.cost:
            return self._keep(at_ms, now.cost)
        old = nearest(points, self._origin)
        offs = [dist(point, self._origin[label]) for point, label in zip(points, old.labels, strict=True)]
        weights = [int(1_000 / (1 + off * off / self._cost_seeded)) + 1 for off in offs]
        names, numbers = list(self._names), list(self._numbers)
        self._set_space(fit(rows, self._features, self._left_out))
        points = [self._project(row) for row in rows]
        found = self._regroup(points, old.labels)
        matched = match(old.labels, found.labels, len(old.centres), len(found.centres), weights)
        self._numbers = [numbers[matched.same[at]] if at in matched.same else -1 for at in range(len(found.centres))]
        for at in matched.born:
            self._numbers[at] = len(names) + matched.born.index(at)
        shares = [[labels.count(at) / len(rows) for at in range(count)] for labels, count in _both(old, found)]
        self._settle_in(at_ms, found, rows)
        return [*self._news(at_ms, matched, numbers, shares), self._publish(at_ms)]

    def _keep(self, at_ms: int, cost: float) -> list[LearnerOutput]:
        """The groups that there are still fit: only their centres have drifted."""
        self._cost_seeded = self._cost = max(cost, COST_LEAST)
        self._seeded_ms = at_ms
        self._sample.clear()
        return self._publish_moved(at_ms)

    def _regroup(self, points: list[list[float]], labels: list[int]) -> Clusters:
        """From the people of the old groups, or from scratch where that is clearly better."""
        members = [[point for point, label in zip(points, labels, strict=True) if label == at] for at in range(len(self._centres))]
        starts = [[sum(column) / len(group) for column in zip(*group, strict=True)] for group in members if group]
        fresh = cluster(points, self.spec.groups or GROUPS_DEFAULT, self._dice)
        warm = settle(points, starts)
        smallest = min(warm.labels.count(at) for at in range(len(warm.centres)))
        return fresh if fresh.cost < FRESH_GAIN * warm.cost or smallest == 0 else warm

    def _settle_in(self, at_ms: int, found: Clusters, rows: list[tuple[float, ...]]) -> None:
        """Take the clusters over, give names to those that have none, and begin a new sample."""
        assert self._space is not None
        self._centres = [list(centre) for centre in found.centres]
        self._origin = [list(centre) for centre in found.centres]
        self._words = []
        for at, centre in enumerate(found.centres):
            inside = [row for row, label in zip(rows, found.labels, strict=True) if label == at]
            told = group_descriptions.traits(inside, rows, centre, self._space, self._features)
            self._words.append(tuple(trait.words for trait in told))
            if self._numbers[at] >= len(self._names):
                self._names.append(group_descriptions.name(told, self._names))
        self._cost_seeded = self._cost = max(found.cost, COST_LEAST)
        self._seeded_ms = at_ms
        self._begin_day(at_ms)
        self._sample.clear()

    def _news(self, at_ms: int, matched: Matched, old_numbers: list[int], shares: list[list[float]]) -> list[Alert]:
        """What became of whom, in words. ``before`` and ``after`` are shares of all customers."""
        before, after = shares
        was, now = [self._names[number] for number in old_numbers], [self._names[number] for number in self._numbers]

        def alert(kind: str, share_before: float, share_after: float, text: str) -> Alert:
            return Alert(kind, self.spec.name, at_ms, round(share_before, 4), round(share_after, 4), f"{self.spec.name}: {text}")

        news = [
            alert("group_split", before[old], max(after[new] for new in into), f"“{was[old]}” is now {_listed([now[new] for new in into])}")
            for old, into in matched.splits
        ]
        news += [
            alert("group_merged", before[out_of[0]], after[new], f"{_listed([was[at] for at in out_of])} are now “{now[new]}”")
            for new, out_of in matched.merges
        ]
        news += [alert("group_retired", before[old], 0.0, f"“{was[old]}” is no group any more") for old in matched.retired]
        for new in matched.born:
            told = "; ".join(self._words[new]) or "like everybody"
            news.append(alert("group_new", 0.0, after[new], f"“{now[new]}” is new, {100 * after[new]:.0f} % of customers: {told}"))
        return news

    def _publish_moved(self, at_ms: int) -> list[LearnerOutput]:
        moved = max(dist(now, then) for now, then in zip(self._centres, self._published, strict=True))
        return [self._publish(at_ms)] if moved >= MOVED_LEAST else []

    def _publish(self, at_ms: int) -> ModelPublished:
        assert self._space is not None
        self._version += 1
        self._published_ms = self._at_ms = at_ms
        self._published = [list(centre) for centre in self._centres]
        groups = sorted(
            (
                LivingGroup(number, tuple(centre), words)
                for number, centre, words in zip(self._numbers, self._centres, self._words, strict=True)
            ),
            key=lambda group: group.number,
        )
        content = GroupsContent(
            model=self.spec.name,
            version=self._version,
            features=self._features.version,
            width=len(self._features.features),
            names=tuple(self._names),
            space=self._space,
            groups=tuple(groups),
        )
        return ModelPublished(self.spec.name, self._version, canonical(content), self.card())

    def _set_space(self, space: Space | None) -> None:
        self._space = space
        self._project = Projector(space or Space((), ())).project


def _of_the_moment(features: FeatureList) -> list[str]:
    """What is read from the clock alone is no trait of anybody: groups by weekday would be other people every day.

    The time of day stays, for whom one meets at night is somebody who is up at night.
    """
    return [feature.name for feature in features.features if not feature.reads and not isinstance(feature.scale, Cyclic)]


def _both(old: Clusters, new: Clusters) -> tuple[tuple[list[int], int], tuple[list[int], int]]:
    return (old.labels, len(old.centres)), (new.labels, len(new.centres))


def _to_nearest(at: int, centres: list[list[float]]) -> float:
    return min((dist(centres[at], other) for index, other in enumerate(centres) if index != at), default=1.0)


def _listed(names: list[str]) -> str:
    quoted = [f"“{name}”" for name in names]
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}"
