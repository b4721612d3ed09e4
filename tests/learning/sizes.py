"""Sizes of segments, minute by minute, of a shop that never was."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, pi, sin, sqrt
from random import Random

from streamer.learning.said import Alert
from streamer.learning.surge import Surges

MINUTE_MS = 60_000
DAY_MINUTES = 1_440
START_MS = 20_451 * DAY_MINUTES * MINUTE_MS  # Monday, 2025-12-29
HAPPENS = 30 * DAY_MINUTES + 600  # the thirtieth day at ten


class Segment:
    """A size with days, weekends, growth, moods that last for hours, and noise."""

    def __init__(self, dice: Random) -> None:
        self.base = 10 ** dice.uniform(2, 4.5)
        self.day, self.weekend, self.phase = dice.uniform(0.1, 0.6), dice.uniform(0, 0.3), dice.uniform(0, 24)
        self.growth = dice.uniform(0, 0.02)
        self.mood_sd, self.noise = dice.uniform(0.01, 0.04), dice.uniform(0.002, 0.02)
        self.mood = 0.0
        self.dice = dice

    def size(self, minute: int, factor: float) -> int:
        """At a minute."""
        stays = exp(-1 / (60 * 18))
        self.mood = self.mood * stays + sqrt(1 - stays * stays) * self.dice.gauss(0, self.mood_sd)
        hours = minute / 60
        season = 1 + self.day * sin(2 * pi * (hours - self.phase) / 24) + self.weekend * (minute // DAY_MINUTES % 7 >= 5)
        mean = self.base * (1 + self.growth) ** (hours / 168) * season * (1 + self.mood) * factor
        return max(0, int(self.dice.gauss(mean, 0.3 * sqrt(mean) + self.noise * mean)))


def simulate(segments: int, days: int, seed: int, factor: Callable[[int], float] = lambda minute: 1.0) -> list[tuple[int, Alert]]:
    """What is said, with the minute at which it is. ``factor`` multiplies all sizes at a minute."""
    dice = Random(seed)
    surges = Surges()
    shop = {f"segment-{number}": Segment(dice) for number in range(segments)}
    said: list[tuple[int, Alert]] = []
    for minute in range(days * DAY_MINUTES):
        now = factor(minute)
        totals = {name: segment.size(minute, now) for name, segment in shop.items()}
        said += [(minute, alert) for alert in surges.minute(START_MS + minute * MINUTE_MS, totals)]
    return said
