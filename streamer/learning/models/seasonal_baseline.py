"""What size a segment usually has at this hour of the week, and how far it strays.

Sizes are looked at on the scale ``2·sqrt(n + 3/8)``, on which a count strays by about 1 whatever its size. On it the usual size is a level,
which follows growth over ten days, plus an hour of the week, which follows habits over five; between the middles of two hours it goes in a
straight line. How far an hour strays is pulled towards how far the whole segment strays, because one hour is seen only once a week and four
"standard deviations" of five weeks' worth are no rarity. An hour that strays wildly is learned from as if it had strayed three standard
deviations: otherwise next week's alarm would have to be louder than today's.
"""

from __future__ import annotations

from array import array
from math import sqrt
from typing import Final, TypedDict

from streamer.learning.algorithms.array_codec import pack, unpack_counts, unpack_floats

HOURS: Final = 168
WARM_HOURS: Final = 2 * HOURS  # the first week says what is usual, the second how far it strays; before that there is nothing to say
_LEVEL_RATE: Final = 1 / 240
_HOUR_RATE: Final = 0.2
_SPREAD_RATE: Final = 1 / 336
_WEEKS_MOST: Final = 9  # an average that fades by a fifth a week is worth no more weeks than this
_PULL: Final = 8.0  # weeks of its own that an hour must have before its spread weighs as much as the segment's
_SPREAD_LEAST: Final = 0.02  # of the size on its scale, four percent of the count: nobody wants to be told of less than four times that
_CAUTION: Final = 1.1  # a spread is only an estimate: taken as it is, 100 segments raised 1.2 false alarms a week in a simulated year
_STRAY_MOST: Final = 3.0


class UsualState(TypedDict):
    """What ``Usual.dump`` gives; arrays are packed."""

    hours: list[int]
    numbers: list[float]
    means: str
    spreads: str
    weeks: str


class Usual:
    """One segment's usual sizes. ``minute`` for each minute, ``end_hour`` when an hour of the week is over."""

    def __init__(self) -> None:
        self.hours = 0  # that it has learned from
        self.level = 0.0
        self.spread = 1.0  # variance over all hours
        self.means: array[float] = array("f", [0.0]) * HOURS
        self.spreads: array[float] = array("f", [0.0]) * HOURS
        self.weeks: array[int] = array("B", [0]) * HOURS
        self.count = 0  # minutes of the hour that is running, their sum, and their squared distance from what was expected
        self.total = 0.0
        self.squares = 0.0
        self.start = 0.0  # what is expected in the running half hour: start + slope · minute, give or take sd
        self.slope = 0.0
        self.sd = 1.0

    @property
    def warm(self) -> bool:
        """It has seen enough to speak."""
        return self.hours >= WARM_HOURS

    def aim(self, hour: int, half: int) -> None:
        """Before the first minute of each half hour: ``hour`` of the week, ``half`` 0 or 1."""
        here, other = self.means[hour], self.means[(hour + 1 if half else hour - 1) % HOURS]
        self.slope = (other - here) / 60 if half else (here - other) / 60
        self.start = self.level + here - 30 * self.slope
        weeks = self.weeks[hour]
        own = (_PULL * self.spread + weeks * self.spreads[hour]) / (_PULL + weeks)
        least = max(1.0, _SPREAD_LEAST * (self.level + here))
        self.sd = _CAUTION * sqrt(max(own * (1 + 1 / max(1, min(weeks, _WEEKS_MOST))), least * least))

    def minute(self, size: int, minute: int) -> float:
        """Learn a size; how many standard deviations it is off."""
        scaled = 2 * sqrt(size + 0.375)
        off = scaled - self.start - self.slope * minute
        self.count += 1
        self.total += scaled
        self.squares += off * off
        return off / self.sd

    def expected(self, minute: int) -> float:
        """The usual size at this minute of the hour, as a number of customers."""
        scaled = self.start + self.slope * minute
        return max(0.0, scaled * scaled / 4 - 0.375) if scaled > 0 else 0.0

    def end_hour(self, hour: int) -> float:
        """Learn the hour that is over; by how many standard deviations its mean was off, 0 while that is not known."""
        if not self.count:
            return 0.0
        mean, squares = self.total / self.count, self.squares / self.count
        self.count, self.total, self.squares = 0, 0.0, 0.0
        self.hours += 1
        weeks = self.weeks[hour]
        self.weeks[hour] = min(weeks + 1, 255)
        if self.hours <= HOURS:
            return self._first_week(hour, mean)
        if weeks == 0:
            self.means[hour] = mean - self.level
            return 0.0
        return self._stray(hour, mean - self.level - self.means[hour], squares)

    def shift(self, standard_deviations: float) -> None:
        """From now on the usual is that much higher."""
        self.level += standard_deviations * self.sd

    def dump(self) -> UsualState:
        """As JSON can hold it."""
        return {
            "hours": [self.hours, self.count],
            "numbers": [self.level, self.spread, self.total, self.squares, self.start, self.slope, self.sd],
            "means": pack(self.means),
            "spreads": pack(self.spreads),
            "weeks": pack(self.weeks),
        }

    @classmethod
    def restore(cls, dumped: UsualState) -> Usual:
        """The inverse of ``dump``."""
        usual = cls()
        usual.hours, usual.count = dumped["hours"]
        usual.level, usual.spread, usual.total, usual.squares, usual.start, usual.slope, usual.sd = map(float, dumped["numbers"])
        usual.means, usual.spreads = unpack_floats(dumped["means"]), unpack_floats(dumped["spreads"])
        usual.weeks = unpack_counts(dumped["weeks"], "B")
        return usual

    def _first_week(self, hour: int, mean: float) -> float:
        self.means[hour] = mean
        if self.hours == HOURS:
            seen = [at for at in range(HOURS) if self.weeks[at]]
            self.level = sum(self.means[at] for at in seen) / len(seen)
            for at in seen:
                self.means[at] -= self.level
        return 0.0

    def _stray(self, hour: int, off: float, squares: float) -> float:
        weeks = self.weeks[hour]
        most = _STRAY_MOST * self.sd if self.warm else abs(off)
        clipped = max(-most, min(most, off))
        known = self.hours - HOURS
        self.level += _LEVEL_RATE * clipped
        self.means[hour] += max(_HOUR_RATE, 1 / weeks) * clipped
        squares = min(squares, most * most) if self.warm else squares
        self.spread += max(_SPREAD_RATE, 1 / known) * (squares - self.spread)
        self.spreads[hour] += max(_HOUR_RATE, 1 / (weeks - 1)) * (squares - self.spreads[hour])
        return off / self.sd
