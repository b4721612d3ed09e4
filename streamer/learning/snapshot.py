"""What may leave the learner: state that is finite JSON, and scorers that pass their guards.

A refused scorer is kept aside with the reason, the old one goes on serving, and somebody is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, sqrt
from typing import Any, Final, NamedTuple, TypedDict, cast

import msgspec

from streamer.errors import HaltError
from streamer.learning.scorers.contract import canonical
from streamer.learning.scorers.linear_scorer import AmountScorer, ChanceScorer, chance_of, decode_linear, loss_of

SCHEMA: Final = 1
PROBE_ROWS: Final = 500
JUMP_RATIO_MAX: Final = 0.3  # of the mean score on the probe, from one version to the next
CALIBRATION_RATIO_MAX: Final = 1.25  # sum of scores over sum of outcomes on recent rows, either way
SURE: Final = 4.0  # standard deviations before the sum of a few hundred outcomes counts as evidence


AnyScorer = ChanceScorer | AmountScorer


class PublicationRefusal(NamedTuple):
    """Why a scorer must not serve: one word, the figure of the one before, the figure of this one, a sentence."""

    word: str
    before: float
    after: float
    text: str


class ProbeState(TypedDict):
    """What ``Probe.dump`` gives; ``before`` is the text of a scorer."""

    rows: list[list[float]]
    before: str | None


class Probe:
    """Rows frozen in the first days, on which each new scorer is held against the one before (None: nothing was published)."""

    def __init__(self, rows: Sequence[Sequence[float]], before: AnyScorer | None = None) -> None:
        self.rows = [tuple(row) for row in rows[:PROBE_ROWS]]
        self.before = before

    def mean(self, scorer: AnyScorer) -> float:
        """Mean score on the probe."""
        return sum(map(scorer.score, self.rows)) / max(1, len(self.rows))

    def refusal(self, scorer: AnyScorer, recent: Sequence[tuple[Sequence[float], int]]) -> PublicationRefusal | None:
        """Why this scorer must not serve, or None. ``recent`` are the rows learned last, with their outcomes.

        What looks wrong by itself may be the cure after the world changed: it is let through if its losses on the recent rows are lower
        than those of the one before, which would go on serving otherwise.
        """
        found = self._calibration(scorer, recent) or self._jump(scorer)
        if found is None or self.before is None or _loss(scorer, recent) >= _loss(self.before, recent):
            return found
        return None

    def _calibration(self, scorer: AnyScorer, recent: Sequence[tuple[Sequence[float], int]]) -> PublicationRefusal | None:
        chances = [chance_of(scorer.logit(x)) for x, _ in recent]
        promised, came = sum(chances), sum(label for _, label in recent)
        deviation = sqrt(sum(chance * (1 - chance) for chance in chances))
        ratio = promised / max(came, 0.5)
        if abs(promised - came) <= SURE * deviation or 1 / CALIBRATION_RATIO_MAX <= ratio <= CALIBRATION_RATIO_MAX:
            return None
        text = f"promises {promised:.1f} outcomes of {len(recent)} recent customers, of whom {came} had one"
        return PublicationRefusal("calibration", came, promised, text)

    def _jump(self, scorer: AnyScorer) -> PublicationRefusal | None:
        if self.before is None:
            return None
        usual, now = self.mean(self.before), self.mean(scorer)
        if abs(now - usual) <= JUMP_RATIO_MAX * usual:
            return None
        return PublicationRefusal(
            "jump", usual, now, f"mean score on the probe goes from {usual:.1f} to {now:.1f}, and recent outcomes do not ask for it"
        )

    def dump(self) -> ProbeState:
        """As JSON can hold it."""
        before = canonical(self.before.content).decode() if self.before else None
        return {"rows": [list(row) for row in self.rows], "before": before}

    @classmethod
    def restore(cls, dumped: ProbeState) -> Probe:
        """The inverse of ``dump``."""
        before = dumped["before"]
        return cls([tuple(map(float, row)) for row in dumped["rows"]], decode_linear(before.encode()) if before else None)


def _loss(scorer: AnyScorer, rows: Sequence[tuple[Sequence[float], int]]) -> float:
    return sum(loss_of(scorer.logit(x), label) for x, label in rows)


def encode_state(state: Mapping[str, object]) -> bytes:
    """Canonical JSON; HaltError if any number is not finite, which no guard let in and no restore would survive."""
    _check_finite(state, "$")
    return canonical(state)


def decode_state(raw: bytes) -> Mapping[str, object]:
    """The inverse."""
    try:
        state = msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise HaltError(f"the learner's snapshot is damaged: {error}") from None
    if state.get("schema") != SCHEMA:
        raise HaltError(f"the learner's snapshot has schema {state.get('schema')}, expected {SCHEMA}: an older release must read it")
    return state


def _check_finite(part: object, path: str) -> None:
    if isinstance(part, float):
        if not isfinite(part):
            raise HaltError(f"the learner's state is not finite at {path}")
    elif isinstance(part, dict):
        for key, value in cast("dict[str, object]", part).items():
            _check_finite(value, f"{path}.{key}")
    elif isinstance(part, list | tuple):
        items = cast("Sequence[object]", part)
        if not all(map(_is_finite, items)):
            for at, value in enumerate(items):
                _check_finite(value, f"{path}[{at}]")


def _is_finite(value: object) -> bool:
    """Of a plain number; what holds others must be looked into."""
    return isinstance(value, int | float) and isfinite(value)
