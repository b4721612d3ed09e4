"""Chances, learned as outcomes come: that somebody buys within a horizon, or that they stay away.

``train`` examples are learned, ``mature`` ones judge. A positive is learned when it comes and a negative after the short window, so a
late positive was first learned as a negative: that, and whatever else moves the base rate, shows on mature examples, and there the
intercept is put right.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import log
from typing import Final, NotRequired, Self, TypedDict

import msgspec

from streamer.examples import Example, FeatureList, ModelSpec
from streamer.learning.algorithms.quantiles import table_of
from streamer.learning.algorithms.recent_sample import Sample, SampleState
from streamer.learning.evaluation.alignment import Alignment, AlignmentState
from streamer.learning.evaluation.calibration import Recalibration, RecalibrationState
from streamer.learning.evaluation.champion_challenger import (
    BASELINE,
    DAY_MS,
    POSITIVES_TO_BE_READY,
    WEEK_MS,
    Candidate,
    Judged,
    Roster,
    RosterState,
)
from streamer.learning.evaluation.drift import DriftDetector
from streamer.learning.evaluation.window import RecentTally, RecentTallyState
from streamer.learning.inputs.feature_encoding import Encoder, Encoding, bin_shares, freeze
from streamer.learning.online.linear import OnlineLinear, Recipe
from streamer.learning.reports.model_card import Card
from streamer.learning.reports.outputs import Alert, LearnerOutput, ModelPublished, ModelWithdrawn
from streamer.learning.scorers.contract import canonical
from streamer.learning.scorers.linear_scorer import Form, LinearContent, Sum, chance_of, decode_linear, describe_features, loss_of
from streamer.learning.snapshot import AnyScorer, Probe, ProbeState, PublicationRefusal
from streamer.units import HOUR_MS

PEOPLE_LEAST: Final = 100  # profiles before they, and not the examples, say who the average customer is
RECENT: Final = 500  # rows learned last, against which a new scorer's promises are held: mature ones would know a drift a horizon too late
SHARES_MOVED: Final = 0.25  # population stability index at which bins no longer fit; a rule of thumb of credit scoring

REST: Final = 3  # weeks or horizons without a look at the bins after new ones were made


class TrainingLimits(msgspec.Struct, frozen=True):
    """How many examples freeze the bins; after how much log time or how many examples, whichever is first, a scorer is published."""

    warm_up: int = 1_000
    publish_every_ms: int = HOUR_MS
    publish_after: int = 5_000


class Refused(msgspec.Struct):
    """A scorer that failed its guards, kept for whoever wants to know why."""

    at_ms: int
    version: int
    why: str
    scorer: str


class PropensityState(TypedDict):
    """What ``PropensityTrainer.dump`` gives; rows with their labels."""

    roster: RosterState | None
    window: RecentTallyState
    drift: dict[str, float]
    recalibration: RecalibrationState
    probe: ProbeState
    version: int
    withdrawn: NotRequired[bool]
    refused: object
    waiting: list[tuple[list[float], int]]
    early: AlignmentState
    seen: SampleState
    people: SampleState
    recent: list[tuple[list[float], int]]
    counts: tuple[int, int, int | None, int, int, int, int]


class PropensityTrainer:
    """The trainer for ``purchase`` and ``churn``."""

    def __init__(self, spec: ModelSpec, features: FeatureList, limits: TrainingLimits | None = None) -> None:
        self.spec = spec
        self.features = features
        self.limits = limits or TrainingLimits()
        self.roster: Roster | None = None
        self.window = RecentTally()
        self.drift = DriftDetector()
        self.recalibration = Recalibration()
        self.probe = Probe([])
        self.version = 0
        self.withdrawn = False  # the version that served serves no longer
        self.refused: Refused | None = None
        self._waiting: list[tuple[tuple[float, ...], int]] = []  # the first examples, until there are bins
        self._early = Alignment(spec.window_ms)
        self._seen = Sample()  # of what is learned
        self._people = Sample()  # of profiles
        self._recent: deque[tuple[tuple[float, ...], int]] = deque(maxlen=RECENT)
        self._learned = 0
        self._since = 0  # learned since the last scorer
        self._published_ms: int | None = None
        self._tried_ms = 0
        self._at_ms = 0
        self._forked_ms = 0
        self._looked_ms = 0  # at the bins

    def take(self, example: Example) -> list[LearnerOutput]:
        """Learn or judge one example."""
        if example.kind == "train":
            self._train(example)
        elif example.kind == "mature":
            self._mature(example)
        elif example.kind == "profile":
            self._people.offer(example.at_ms, example.x)
        return []

    def _train(self, example: Example) -> None:
        self._learned += 1
        self._since += 1
        self._seen.offer(example.at_ms, example.x, example.label)
        self._learn_due(example.at_ms)
        if example.at_ms < example.t_ms + self.spec.window_ms:
            self._early.hold(example.t_ms, example.x, example.label)
        else:
            self._learn(example.at_ms, example.x, example.label)

    def _learn_due(self, at_ms: int) -> None:
        for x, label in self._early.due(at_ms):
            self._learn(at_ms, x, label)

    def _learn(self, at_ms: int, x: tuple[float, ...], label: int) -> None:
        self._recent.append((x, label))
        if self.roster is not None:
            self.roster.learn(x, label)
            return
        self._waiting.append((x, label))
        if len(self._waiting) >= self.limits.warm_up:
            self._begin(at_ms)

    def _begin(self, at_ms: int) -> None:
        """Freeze the bins, and learn what has waited for them."""
        rows = [x for x, _ in self._waiting]
        rate = (sum(label for _, label in self._waiting) + 1) / (len(rows) + 2)
        encoder = Encoder(freeze(rows, self.features, 1))
        recipes: tuple[tuple[str, Recipe, str], ...] = (
            ("ftrl-1", "ftrl", "rates that shrink as it learns"),
            ("sgd-2", "sgd", "a constant rate: quicker to follow"),
        )
        candidates = [
            Candidate(name, encoder, OnlineLinear.of_rate(recipe, encoder.encoding.slots, rate), at_ms, why)
            for name, recipe, why in recipes
        ]
        self.roster = Roster(self.spec.horizon_ms, candidates, rate, at_ms)
        self.probe = Probe(rows[:: max(1, len(rows) // 500)])
        self._looked_ms = at_ms
        for x, label in self._waiting:
            self.roster.learn(x, label)
        self._waiting = []

    def _mature(self, example: Example) -> None:
        self._judge_served(example)
        if self.roster is None:
            return
        judged = self.roster.judge(example.t_ms, example.x, example.label)
        if judged is None:
            return
        self.drift.take(chance_of(judged.shifted), loss_of(judged.shifted, example.label))
        self.recalibration.take(judged.logit, example.label)
        self._after_judging(example, judged)

    def _judge_served(self, example: Example) -> None:
        self.window.add(example.score, example.label)

    def _after_judging(self, example: Example, judged: Judged) -> None:
        """For trainers that learn from mature examples too."""

    def on_watermark(self, at_ms: int) -> list[LearnerOutput]:
        """Watch for drift, let a better one take over, and publish what is fit to serve."""
        self._at_ms = at_ms
        self._learn_due(at_ms)
        roster = self.roster
        if roster is None:
            return []
        said: list[LearnerOutput] = []
        self.recalibration.on_watermark()
        said += self._watch(roster, at_ms)
        said += self._settle(roster, at_ms)
        roster.on_watermark(at_ms, self.recalibration.shift)
        if at_ms - self._looked_ms >= max(WEEK_MS, self.spec.horizon_ms):
            self._look_at_bins(roster, at_ms)
        if self._is_due(at_ms) and not self._why_not():
            said += self._publish(roster, at_ms)
        return said

    def _watch(self, roster: Roster, at_ms: int) -> list[LearnerOutput]:
        alarm = self.drift.on_watermark(at_ms)
        if alarm is None:
            return []
        before, after = round(alarm.before, 6), round(alarm.after, 6)
        text = f"log loss of {self.spec.name} went from {before:.4f} to {after:.4f}"
        if at_ms - self._forked_ms >= max(DAY_MS, self.spec.horizon_ms):
            self._forked_ms = at_ms
            forked = roster.fork(at_ms, "forked when the losses drifted, with less trust in the past")
            text += f"; {forked} trains beside {roster.champion}, which goes on serving"
        return [Alert("drift", self.spec.name, at_ms, before, after, text)]

    def _settle(self, roster: Roster, at_ms: int) -> list[LearnerOutput]:
        said: list[LearnerOutput] = []
        was_ready = roster.ready
        if roster.settle_readiness() != was_ready:
            kind = "ready" if roster.ready else "not_ready"
            how = "beats" if roster.ready else "no longer beats"
            gain = round(-roster.gain_of(BASELINE), 6)
            text = f"{self.spec.name} {how} the base rate by {gain:.5f} of log loss"
            said.append(Alert(kind, self.spec.name, at_ms, 0.0, gain, text))
            if not roster.ready and self.version and not self.withdrawn:
                self.withdrawn = True
                said.append(ModelWithdrawn(self.spec.name, self.version, at_ms, text))
        promoted = roster.promote(at_ms)
        if promoted is not None:
            before, comparison = promoted
            losses = [round(tally.log_loss or 0.0, 6) for tally in (comparison.champion, comparison.rival)]
            text = f"{roster.champion} takes the place of {before} after {comparison.gain.count} examples on which its losses were lower"
            said.append(Alert("promoted", self.spec.name, at_ms, losses[0], losses[1], text))
            self.recalibration, self.drift = Recalibration(), DriftDetector()
        return said

    def _look_at_bins(self, roster: Roster, at_ms: int) -> None:
        """Once a week or horizon: if the customers of now fall unevenly into the champion's bins, a rival gets new ones.

        It begins at the base rate and needs time, so there is a next one only after four times as long.
        """
        self._looked_ms = at_ms
        rows = self._seen.rows
        encoding = roster.champion_candidate.encoder.encoding
        if len(rows) < self._seen.size:
            return
        pairs = zip(encoding.columns, encoding.shares, bin_shares(encoding, rows), strict=True)
        moved = [0.0 if column.values else stability(old, new) for column, old, new in pairs]  # a category's slots are declared
        worst = max(range(len(moved)), key=lambda at: (moved[at], -at))
        if moved[worst] > SHARES_MOVED:
            why = f"new bins: {self.features.names[worst]} moved by {moved[worst]:.2f} (population stability index)"
            roster.rebin(freeze(rows, self.features, encoding.version + 1), at_ms, why)
            self._looked_ms = at_ms + REST * max(WEEK_MS, self.spec.horizon_ms)

    def _is_due(self, at_ms: int) -> bool:
        if not self._since:
            return False
        return at_ms - self._tried_ms >= self.limits.publish_every_ms or self._since >= self.limits.publish_after

    def _why_not(self) -> str:
        """Why nothing may be published; empty if something may."""
        roster = self.roster
        if roster is None:
            return f"warming up: {len(self._waiting)} of {self.limits.warm_up} examples"
        if roster.ready:
            return ""
        known = roster.positives
        if known < POSITIVES_TO_BE_READY:
            return f"too few outcomes: {known} of {POSITIVES_TO_BE_READY}"
        withdrawn = f"version {self.version} was withdrawn: " if self.withdrawn else ""
        return f"{withdrawn}does not beat the base rate for sure: {-roster.gain_of(BASELINE):+.5f} of log loss"

    def _publish(self, roster: Roster, at_ms: int) -> list[LearnerOutput]:
        self._tried_ms = at_ms
        self._since = 0
        content = self._content(roster)
        raw = canonical(content)
        scorer = decode_linear(raw)
        refusal = self.probe.refusal(scorer, self._recent)
        if refusal is not None:
            return self._keep_aside(refusal, content.version, raw, at_ms)
        self.version, self.withdrawn = content.version, False
        self.probe.before = scorer
        self._published_ms = at_ms
        return [ModelPublished(self.spec.name, self.version, raw, self.card())]

    def _keep_aside(self, refusal: PublicationRefusal, version: int, raw: bytes, at_ms: int) -> list[LearnerOutput]:
        known = self.refused is not None and self.refused.version == version
        self.refused = Refused(at_ms, version, f"{refusal.word}: {refusal.text}", raw.decode())
        if known:
            return []  # one alert until something is published again
        before, after = round(refusal.before, 6), round(refusal.after, 6)
        serving = "none serves" if self.withdrawn else f"version {self.version} goes on serving"
        text = f"a new scorer of {self.spec.name} was refused ({refusal.text}); {serving}"
        return [Alert("refused", self.spec.name, at_ms, before, after, text)]

    def accept(self) -> None:
        """Somebody has looked: the next scorer is not held against the one before."""
        self.probe.before = None
        self._tried_ms = 0

    def _content(self, roster: Roster) -> LinearContent:
        """The champion as it travels, with the average customer and the spread of recent scores."""
        champion = roster.champion_candidate
        form = champion.model.form()
        form = Form(form.intercept + self.recalibration.shift, form.weights)
        names, units, words = describe_features(self.features)
        rows = self._customers()
        encoding = champion.encoder.encoding
        content = LinearContent(
            kind="churn" if self.spec.kind == "churn" else "purchase",
            model=self.spec.name,
            version=self.version + 1,
            features=self.features.version,
            names=names,
            units=units,
            words=words,
            encoding=encoding,
            chance=form,
            average=average_of(encoding, form, rows),
        )
        return self._with_table(content, rows)

    def _with_table(self, content: LinearContent, rows: Sequence[Sequence[float]]) -> LinearContent:
        scorer: AnyScorer = decode_linear(canonical(content))
        return msgspec.structs.replace(content, table=tuple(int(score) for score in table_of([scorer.score(row) for row in rows])))

    def _customers(self) -> list[tuple[float, ...]]:
        return self._people.rows if len(self._people) >= PEOPLE_LEAST else self._seen.rows

    def card(self) -> Card:
        """How good what was served turned out to be."""
        tally = self.window.tally
        why = self._why_not()
        return Card(
            model=self.spec.name,
            kind=self.spec.kind,
            state="not ready" if why else "ready",
            why=why,
            version=self.version,
            at_ms=self._at_ms,
            published_ms=self._published_ms,
            learned=self._learned,
            judged=self.window.judged,
            positives=tally.positives,
            base_rate=tally.base_rate,
            log_loss=tally.log_loss,
            entropy=tally.entropy,
            auc=tally.auc,
            ratio=tally.ratio,
            coverage=self.window.coverage,
            deciles=tally.deciles(),
            roster=self.roster.table() if self.roster else (),
            figures={"shift": self.recalibration.shift},
        )

    def dump(self) -> PropensityState:
        """As JSON can hold it."""
        return {
            "roster": self.roster.dump() if self.roster else None,
            "window": self.window.dump(),
            "drift": self.drift.dump(),
            "recalibration": self.recalibration.dump(),
            "probe": self.probe.dump(),
            "version": self.version,
            "withdrawn": self.withdrawn,
            "refused": msgspec.to_builtins(self.refused),
            "waiting": [(list(x), label) for x, label in self._waiting],
            "early": self._early.dump(),
            "seen": self._seen.dump(),
            "people": self._people.dump(),
            "recent": [(list(x), label) for x, label in self._recent],
            "counts": (self._learned, self._since, self._published_ms, self._tried_ms, self._at_ms, self._forked_ms, self._looked_ms),
        }

    @classmethod
    def restore(cls, spec: ModelSpec, features: FeatureList, dumped: PropensityState, limits: TrainingLimits | None = None) -> Self:
        """The inverse of ``dump``."""
        trainer = cls(spec, features, limits)
        trainer.roster = Roster.restore(dumped["roster"]) if dumped["roster"] else None
        trainer.window = RecentTally.restore(dumped["window"])
        trainer.drift = DriftDetector.restore(dumped["drift"])
        trainer.recalibration = Recalibration.restore(dumped["recalibration"])
        trainer.probe = Probe.restore(dumped["probe"])
        trainer.version, trainer.withdrawn = dumped["version"], dumped.get("withdrawn", False)  # older snapshots do not say
        trainer.refused = msgspec.convert(dumped["refused"], Refused | None)
        trainer._waiting = [(tuple(map(float, x)), label) for x, label in dumped["waiting"]]
        trainer._early = Alignment.restore(spec.window_ms, dumped["early"])
        trainer._seen, trainer._people = Sample.restore(dumped["seen"]), Sample.restore(dumped["people"])
        trainer._recent.extend((tuple(map(float, x)), label) for x, label in dumped["recent"])
        counts = dumped["counts"]
        trainer._learned, trainer._since, trainer._published_ms, trainer._tried_ms = counts[:4]
        trainer._at_ms, trainer._forked_ms, trainer._looked_ms = counts[4:]
        return trainer


def average_of(encoding: Encoding, form: Form, rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Per feature, what a form gives the average of these rows."""
    compiled = Sum(encoding, form)
    totals = [0.0] * len(encoding.columns)
    for row in rows:
        for at, part in enumerate(compiled.by_feature(row)):
            totals[at] += part
    return tuple(total / max(1, len(rows)) for total in totals)


def stability(old: Sequence[float], new: Sequence[float]) -> float:
    """Population stability index of two spreads over the same bins: 0 for the same, above 0.25 for another population."""
    least = 0.001  # an empty bin is not infinitely strange
    pairs = [(max(a, least), max(b, least)) for a, b in zip(old, new, strict=True)]
    return sum((b - a) * log(b / a) for a, b in pairs)
