"""When a model's losses are no longer what it expects of itself.

A calibrated model knows its own mean loss: the entropy of its chances. The excess over it, divided by its own standard deviation, is
about 0 ± 1 for a block of examples, by night and by day, whatever the base rate; a cumulative sum of what exceeds half a standard
deviation finds lasting changes soon and chance ones hardly ever. ADWIN would do as well, but its state is opaque bytes.
"""

from __future__ import annotations

from math import log, sqrt
from typing import Final, NamedTuple

from streamer.learning.scorers.linear_scorer import logit_of
from streamer.units import DAY_MS

BLOCK: Final = 100  # examples at least
BLOCK_MS: Final = 900_000  # log time at least: at most 672 blocks a week, however large the shop
SLACK: Final = 0.5  # standard deviations that are nothing to speak of
THRESHOLD: Final = 10.0  # Siegmund: a false alarm in some 140,000 normal blocks; a lasting 1 (2) is found after about 22 (8) blocks
BURN_IN: Final = 50  # blocks, and
BURN_IN_MS: Final = 7 * DAY_MS  # log time, before the first alarm: a young model's losses differ by the hour it has not seen yet
PAUSE_MS: Final = 2 * DAY_MS  # log time after an alarm, to learn what is usual now
MEMORY_MS: Final = 7 * DAY_MS  # of what is usual: all hours of a week
RECENT: Final = 0.2  # weight of the newest block in what an alarm names as the figure after


class Alarm(NamedTuple):
    """Mean log loss before and after."""

    before: float
    after: float


class DriftDetector:
    """Watches one model's mature examples."""

    def __init__(self) -> None:
        self._state: dict[str, float] = dict.fromkeys(_FIELDS, 0.0)

    def take(self, chance: float, loss: float) -> None:
        """One judged example: the chance given before and the loss that it made."""
        state = self._state
        logit = logit_of(chance)
        entropy = -chance * log(chance) - (1 - chance) * log(1 - chance) if 0 < chance < 1 else 0.0
        state["count"] += 1
        state["loss"] += loss
        state["excess"] += loss - entropy
        state["variance"] += chance * (1 - chance) * logit * logit

    def on_watermark(self, at_ms: int) -> Alarm | None:
        """Close the block if it is large enough."""
        state = self._state
        if state["block_ms"] == 0:
            state["block_ms"] = state["begun_ms"] = float(at_ms)
        if state["count"] < BLOCK or at_ms - state["block_ms"] < BLOCK_MS or state["variance"] <= 0:
            return None
        excess = state["excess"] / sqrt(state["variance"])
        loss = state["loss"] / state["count"]
        took_ms = at_ms - state["block_ms"]
        state.update(count=0.0, loss=0.0, excess=0.0, variance=0.0, block_ms=float(at_ms))
        return self._close(excess, loss, took_ms)

    def _close(self, excess: float, loss: float, took_ms: float) -> Alarm | None:
        state = self._state
        state["blocks"] += 1
        quiet_ms = PAUSE_MS if state["alarms"] else BURN_IN_MS
        young = state["blocks"] <= BURN_IN or state["block_ms"] - state["begun_ms"] <= quiet_ms
        if not young:
            z = (excess - state["usual"]) / sqrt(max(1.0, state["spread"]))
            state["sum"] = max(0.0, state["sum"] + z - SLACK)
        state["recent"] += max(RECENT, 1 / state["blocks"]) * (loss - state["recent"])
        if state["sum"] > THRESHOLD:
            alarm = Alarm(state["before"], state["recent"])
            self._state = {**dict.fromkeys(_FIELDS, 0.0), "alarms": state["alarms"] + 1.0}
            return alarm
        if state["sum"] <= THRESHOLD / 2:  # while something is going on, it must not become usual
            rate = min(1.0, max(took_ms / MEMORY_MS, 1 / state["blocks"]))
            away = excess - state["usual"]
            state["usual"] += rate * away
            state["spread"] += rate * (away * away - state["spread"])
            state["before"] += rate * (loss - state["before"])
        return None

    def dump(self) -> dict[str, float]:
        """As JSON can hold it."""
        return dict(self._state)

    @classmethod
    def restore(cls, dumped: dict[str, float]) -> DriftDetector:
        """The inverse of ``dump``."""
        detector = cls()
        detector._state = {name: float(dumped[name]) for name in _FIELDS}
        return detector


_FIELDS: Final = (
    "alarms",
    "begun_ms",
    "block_ms",
    "count",
    "loss",
    "excess",
    "variance",
    "blocks",
    "usual",
    "spread",
    "sum",
    "before",
    "recent",
)
