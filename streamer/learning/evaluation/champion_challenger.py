"""Who learns beside the champion, and when one of them takes its place.

**How a rival is scored before the outcome is known.** Only the champion's scores are served and logged. Of every candidate a frozen copy is
taken at marks of log time and kept in a short ring; a mature example measured at ``t_ms`` is scored by the newest copies taken at or before
``t_ms``, of the champion too. So nobody has seen anything that was not known when the score was due, and all are equally stale. (To score
at the first sight of the label, just before learning it, would be cheaper, but by then a candidate has seen the hours in between.)

All rivals are compared on the same examples by their log loss. Two of them learn nothing: the base rate as known at ``t_ms``, which a
champion must beat to be published at all, and a copy of the champion a week or two old, which shows what learning is worth.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple, TypedDict

import msgspec

from streamer.learning.evaluation.window import Gain, Tally
from streamer.learning.inputs.feature_encoding import Encoder, Encoding
from streamer.learning.online.linear import OnlineLinear, OnlineLinearState
from streamer.learning.reports.model_card import Contender
from streamer.learning.scorers.linear_scorer import Form, chance_of, logit_of, loss_of, whole
from streamer.units import DAY_MS

WEEK_MS: Final = 7 * DAY_MS
ALPHA: Final = 0.05  # of ever taking a worse one for a better one, per rival, over all its comparisons
POSITIVES_TO_PROMOTE: Final = 500
POSITIVES_TO_BE_READY: Final = 50
COMPARISON_MAX: Final = 50_000  # examples; then it begins anew: what a rival was months ago says little
RING: Final = 8  # copies over one horizon
CANDIDATES_MAX: Final = 3
RATE_MEMORY: Final = 20_000  # examples that the base rate remembers
ROUNDED: Final = 7  # decimals of a weight in a copy: a millionth of a ten-thousandth is no score's matter, and half the bytes

BASELINE: Final = "base rate"
LAST_WEEK: Final = "last week"


class Candidate(NamedTuple):
    """One that learns: an encoding and a model over it. ``why`` says where it came from."""

    name: str
    encoder: Encoder
    model: OnlineLinear
    born_ms: int
    why: str


class Frozen(NamedTuple):
    """A copy that does not learn any more."""

    at_ms: int
    encoder: Encoder
    form: Form


class Copies(NamedTuple):
    """All candidates as they were at one moment, the base rate as known then, and the shift that was served."""

    at_ms: int
    forms: dict[str, Form]
    rate: float
    shift: float


class Judged(NamedTuple):
    """The champion on one mature example: log-odds as it gave them, and with the shift then in force."""

    logit: float
    shifted: float


class ComparisonState(TypedDict):
    """What ``Comparison.dump`` gives."""

    since_ms: int
    number: int
    gain: list[float]
    rival: list[list[int]]
    champion: list[list[int]]


class Comparison:
    """A rival against the champion since ``since_ms``, for the ``number``-th time."""

    def __init__(self, since_ms: int, number: int) -> None:
        self.since_ms = since_ms
        self.number = number
        self.gain = Gain()
        self.rival = Tally()
        self.champion = Tally()

    @property
    def alpha(self) -> float:
        """Its part of ``ALPHA``: 1/2, 1/6, 1/12 … which add up to 1."""
        return ALPHA / (self.number * (self.number + 1))

    def add(self, rival: float, champion: float, label: int) -> None:
        """One example, by log-odds."""
        self.gain.add(loss_of(champion, label) - loss_of(rival, label))
        self.rival.add(whole(chance_of(rival)), label)
        self.champion.add(whole(chance_of(champion)), label)

    @property
    def better(self) -> bool:
        """Whether the rival has proved itself: enough outcomes, lower loss with confidence, and no worse at telling people apart."""
        if self.gain.count < 2 or self.rival.positives < POSITIVES_TO_PROMOTE or self.gain.low(self.alpha) <= 0:
            return False
        ours, theirs = self.rival.auc, self.champion.auc
        return ours is not None and theirs is not None and ours >= theirs

    def line(self, name: str, why: str) -> Contender:
        """For the card."""
        loss, auc = self.rival.log_loss, self.rival.auc
        low = self.gain.low(self.alpha) if self.gain.count > 1 else None
        return Contender(name, loss if loss is not None else 0.0, auc, self.gain.count, self.gain.mean, low, why)

    def dump(self) -> ComparisonState:
        """As JSON can hold it."""
        rival, champion = self.rival.dump(), self.champion.dump()
        return {"since_ms": self.since_ms, "number": self.number, "gain": self.gain.dump(), "rival": rival, "champion": champion}

    @classmethod
    def restore(cls, dumped: ComparisonState) -> Comparison:
        """The inverse of ``dump``."""
        comparison = cls(dumped["since_ms"], dumped["number"])
        comparison.gain = Gain.restore(dumped["gain"])
        comparison.rival, comparison.champion = Tally.restore(dumped["rival"]), Tally.restore(dumped["champion"])
        return comparison


class RosterState(TypedDict):
    """What ``Roster.dump`` gives; ``encodings`` are named by their place in the others."""

    horizon_ms: int
    champion: str
    rate: float
    rated: int
    promoted_ms: int
    ready: bool
    serial: int
    encodings: list[object]
    candidates: list[tuple[str, int, OnlineLinearState, int, str]]
    ring: list[tuple[int, dict[str, object], float, float]]
    week: list[tuple[int, int, object]]
    comparisons: list[tuple[str, ComparisonState]]


class Roster:
    """The champion and its rivals. ``horizon_ms`` is how long an outcome is waited for."""

    def __init__(self, horizon_ms: int, candidates: Sequence[Candidate], rate: float, at_ms: int) -> None:
        self.horizon_ms = horizon_ms
        self.candidates = {candidate.name: candidate for candidate in candidates}
        self.champion = candidates[0].name
        self.rate = rate
        self.rated = 0
        self.promoted_ms = at_ms
        self.ready = False
        self._serial = len(candidates)
        self._ring: list[Copies] = []
        self._week: list[Frozen] = []  # the one that is judged, and the one that will be
        self._comparisons: dict[str, Comparison] = {}
        self._restart(at_ms)

    @property
    def champion_candidate(self) -> Candidate:
        """Whose scores are served."""
        return self.candidates[self.champion]

    def learn(self, x: Sequence[float], label: int) -> None:
        """All candidates learn one example."""
        lit: dict[int, dict[int, float]] = {}
        for candidate in self.candidates.values():
            candidate.model.learn(_lit(lit, candidate.encoder, x), label)

    def judge(self, t_ms: int, x: Sequence[float], label: int) -> Judged | None:
        """Score one mature example with copies of its time, and compare; None if there was no champion yet."""
        at = bisect_right(self._ring, t_ms, key=lambda copies: copies.at_ms) - 1
        judged = self._judge(self._ring[at], t_ms, x, label) if at >= 0 else None
        self.rated += 1
        self.rate += (label - self.rate) / (min(self.rated, RATE_MEMORY) + 1)
        return judged

    def _judge(self, copies: Copies, t_ms: int, x: Sequence[float], label: int) -> Judged | None:
        lit: dict[int, dict[int, float]] = {}
        form = copies.forms.get(self.champion)
        if form is None:
            return None
        champion = _logit(form, _lit(lit, self.champion_candidate.encoder, x))
        for name, comparison in self._comparisons.items():
            if copies.at_ms < comparison.since_ms:
                continue
            if name == BASELINE:
                comparison.add(logit_of(copies.rate), champion, label)
            elif name == LAST_WEEK:
                if self._week[0].at_ms <= t_ms:
                    comparison.add(_logit(self._week[0].form, _lit(lit, self._week[0].encoder, x)), champion, label)
            elif name in copies.forms:
                comparison.add(_logit(copies.forms[name], _lit(lit, self.candidates[name].encoder, x)), champion, label)
        return Judged(champion, champion + copies.shift)

    def on_watermark(self, at_ms: int, shift: float) -> None:
        """Take copies, and let old ones go."""
        step = max(1, self.horizon_ms // RING)
        if not self._ring or at_ms - self._ring[-1].at_ms >= step:
            forms = {name: _rounded(candidate.model.form()) for name, candidate in self.candidates.items()}
            self._ring.append(Copies(at_ms, forms, self.rate, shift))
            while len(self._ring) > 1 and self._ring[1].at_ms <= at_ms - self.horizon_ms - step:
                del self._ring[0]
        if not self._week or at_ms - self._week[-1].at_ms >= WEEK_MS:
            self._freeze_week(at_ms)
        for name, comparison in list(self._comparisons.items()):
            if comparison.gain.count >= COMPARISON_MAX:
                self._comparisons[name] = Comparison(at_ms, comparison.number + 1)

    def settle_readiness(self) -> bool:
        """Whether the champion may be published; it changes only when the comparison with the base rate is sure."""
        comparison = self._comparisons[BASELINE]
        if comparison.rival.positives >= POSITIVES_TO_BE_READY and comparison.gain.count > 1:
            if comparison.gain.high(comparison.alpha) < 0:
                self.ready = True
            elif comparison.gain.low(comparison.alpha) > 0:
                self.ready = False
        return self.ready

    def promote(self, at_ms: int) -> tuple[str, Comparison] | None:
        """Put a proven rival in the champion's place: the one before, and the comparison that decided. None if there is none."""
        if at_ms - self.promoted_ms < max(DAY_MS, self.horizon_ms):
            return None
        proven = [(c.gain.mean, name) for name, c in self._comparisons.items() if name in self.candidates and c.better]
        if not proven:
            return None
        before, comparison = self.champion, self._comparisons[max(proven)[1]]
        self.champion = max(proven)[1]
        self.promoted_ms = at_ms
        self._restart(at_ms)
        return before, comparison

    def fork(self, at_ms: int, why: str) -> str:
        """The world changed: a rival that trusts the champion's past less, and comparisons that begin anew."""
        champion = self.champion_candidate
        name = self._join(champion.encoder, champion.model.fork(), at_ms, why)
        self._restart(at_ms)
        return name

    def rebin(self, encoding: Encoding, at_ms: int, why: str) -> str:
        """A rival with other bins, which begins at the base rate."""
        model = OnlineLinear.of_rate(self.champion_candidate.model.recipe, encoding.slots, self.rate)
        return self._join(Encoder(encoding), model, at_ms, why)

    def _join(self, encoder: Encoder, model: OnlineLinear, at_ms: int, why: str) -> str:
        if len(self.candidates) >= CANDIDATES_MAX:
            rivals = [name for name in self.candidates if name != self.champion]
            gone = min(rivals, key=lambda name: (self._comparisons[name].gain.mean, name))
            del self.candidates[gone], self._comparisons[gone]
        self._serial += 1
        name = f"{model.recipe}-{self._serial}"
        self.candidates[name] = Candidate(name, encoder, model, at_ms, why)
        self._comparisons[name] = Comparison(at_ms, 1)
        return name

    def _restart(self, at_ms: int) -> None:
        """All comparisons from here: another champion, or the world changed."""
        names = [name for name in self.candidates if name != self.champion] + [BASELINE] + ([LAST_WEEK] if len(self._week) > 1 else [])
        before = self._comparisons
        self._comparisons = {name: Comparison(at_ms, before[name].number + 1 if name in before else 1) for name in names}

    def _freeze_week(self, at_ms: int) -> None:
        champion = self.champion_candidate
        self._week = [*self._week[-1:], Frozen(at_ms, champion.encoder, _rounded(champion.model.form()))]
        if len(self._week) > 1:
            self._comparisons[LAST_WEEK] = Comparison(at_ms, 1)

    def gain_of(self, rival: str) -> float:
        """Mean log loss that a rival saves over the champion; negative if the champion is better."""
        return self._comparisons[rival].gain.mean

    @property
    def positives(self) -> int:
        """Outcomes by which the champion was held against the base rate."""
        return self._comparisons[BASELINE].rival.positives

    @property
    def chance_tally(self) -> Tally:
        """The champion's chances, by copies of their time, since comparisons last began anew."""
        return self._comparisons[BASELINE].champion

    def table(self) -> tuple[Contender, ...]:
        """For the card: the champion, then each rival by name."""
        baseline = self._comparisons[BASELINE]
        loss = baseline.champion.log_loss
        why = self.champion_candidate.why
        first = Contender(
            self.champion, loss if loss is not None else 0.0, baseline.champion.auc, baseline.gain.count, why=f"champion: {why}"
        )
        lines = (self._line(name, comparison) for name, comparison in sorted(self._comparisons.items()))
        return (first, *lines)

    def _line(self, name: str, comparison: Comparison) -> Contender:
        known = {BASELINE: "says the base rate to everybody", LAST_WEEK: "the champion of a week or two ago, frozen"}
        return comparison.line(name, known[name] if name in known else self.candidates[name].why)

    def dump(self) -> RosterState:
        """As JSON can hold it. Encodings are shared by several, so they are held once."""
        encodings = {id(holder.encoder): holder.encoder.encoding for holder in (*self.candidates.values(), *self._week)}
        place = {key: number for number, key in enumerate(encodings)}
        return {
            "horizon_ms": self.horizon_ms,
            "champion": self.champion,
            "rate": self.rate,
            "rated": self.rated,
            "promoted_ms": self.promoted_ms,
            "ready": self.ready,
            "serial": self._serial,
            "encodings": [msgspec.to_builtins(encoding) for encoding in encodings.values()],
            "candidates": [(one.name, place[id(one.encoder)], one.model.dump(), one.born_ms, one.why) for one in self.candidates.values()],
            "ring": [(c.at_ms, {name: msgspec.to_builtins(form) for name, form in c.forms.items()}, c.rate, c.shift) for c in self._ring],
            "week": [(one.at_ms, place[id(one.encoder)], msgspec.to_builtins(one.form)) for one in self._week],
            "comparisons": [(name, comparison.dump()) for name, comparison in self._comparisons.items()],
        }

    @classmethod
    def restore(cls, dumped: RosterState) -> Roster:
        """The inverse of ``dump``."""
        encoders = [Encoder(msgspec.convert(encoding, Encoding)) for encoding in dumped["encodings"]]
        candidates = [
            Candidate(name, encoders[encoder], OnlineLinear.restore(model), born_ms, why)
            for name, encoder, model, born_ms, why in dumped["candidates"]
        ]
        roster = cls(dumped["horizon_ms"], candidates, float(dumped["rate"]), dumped["promoted_ms"])
        roster.champion, roster.rated, roster.ready = dumped["champion"], dumped["rated"], dumped["ready"]
        roster._serial = dumped["serial"]
        roster._ring = [
            Copies(at_ms, {name: msgspec.convert(form, Form) for name, form in forms.items()}, float(rate), float(shift))
            for at_ms, forms, rate, shift in dumped["ring"]
        ]
        roster._week = [Frozen(at_ms, encoders[encoder], msgspec.convert(form, Form)) for at_ms, encoder, form in dumped["week"]]
        roster._comparisons = {name: Comparison.restore(comparison) for name, comparison in dumped["comparisons"]}
        return roster


def _logit(form: Form, lit: dict[int, float]) -> float:
    weights = form.weights
    total = form.intercept
    for slot, value in lit.items():
        total += weights[slot] * value
    return total


def _lit(known: dict[int, dict[int, float]], encoder: Encoder, x: Sequence[float]) -> dict[int, float]:
    """The encoded row, once per encoding."""
    lit = known.get(id(encoder))
    if lit is None:
        lit = known[id(encoder)] = encoder.encode(x)
    return lit


def _rounded(form: Form) -> Form:
    return Form(round(form.intercept, ROUNDED), tuple(round(weight, ROUNDED) for weight in form.weights))
