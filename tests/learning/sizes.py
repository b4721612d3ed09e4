"""Sizes of segments, minute by minute, of a shop that never was."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, pi, sin, sqrt
from random import Random

from streamer.learning.models.size_anomaly import Surges
from streamer.learning.reports.outputs import Alert

MINUTE_MS = 60_000
DAY_MINUTES = 1_440
START_MS = 20_451 * DAY_MINUTES * MINUTE_MS  # Monday, 2025-12-29
HAPPENS = 30 * DAY_MINUTES + 600  # the thirtieth day at ten


class Segment:
    """A size with days, weekends, growth, moods that last for hours, and noise."""

    def __init__(self, rng: Random) -> None:
        self.base = 10 ** rng.uniform(2, 4.5)
        self.day, self.weekend, self.phase = rng.uniform(0.1, 0.6), rng.uniform(0, 0.3), rng.uniform(0, 24)
        self.growth = rng.uniform(0, 0.02)
        self.mood_sd, self.noise = rng.uniform(0.01, 0.04), rng.uniform(0.002, 0.02)
        self.mood = 0.0
        self.rng = rng

    def size(self, minute: int, factor: float) -> int:
        """At a minute."""
        stays = exp(-1 / (60 * 18))
        self.mood = self.mood * stays + sqrt(1 - stays * stays) * self.rng.gauss(0, self.mood_sd)
        hours = minute / 60
        season = 1 + self.day * sin(2 * pi * (hours - self.phase) / 24) + self.weekend * (minute // DAY_MINUTES % 7 >= 5)
        mean = self.base * (1 + self.growth) ** (hours / 168) * season * (1 + self.mood) * factor
        return max(0, int(self.rng.gauss(mean, 0.3 * sqrt(mean) + self.noise * mean)))


def simulate(segments: int, days: int, seed: int, factor: Callable[[int], float] = lambda minute: 1.0) -> list[tuple[int, Alert]]:
    """What is said, with the minute at which it is. ``factor`` multiplies all sizes at a minute."""
    rng = Random(seed)
    surges = Surges()
    shop = {f"segment-{number}": Segment(rng) for number in range(segments)}
    said: list[tuple[int, Alert]] = []
    for minute in range(days * DAY_MINUTES):
        now = factor(minute)
        totals = {name: segment.size(minute, now) for name, segment in shop.items()}
        said += [(minute, alert) for alert in surges.minute(START_MS + minute * MINUTE_MS, totals)]
    return said
