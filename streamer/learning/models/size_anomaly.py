"""Say when a segment grows or shrinks against its own habits.

Shards say the sizes of their segments once a minute; their sum is compared with what is usual at this hour of the week
(``seasonal_baseline.Usual``). Two things are worth an alert: a ``surge``, three of five minutes more than four standard deviations off;
and a ``level``, days on end that are a little off on the same side, which no single minute shows. A segment is silent for its first two
weeks.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, TypedDict

from streamer.examples import MARK_MS
from streamer.learning.models.seasonal_baseline import Usual, UsualState
from streamer.learning.reports.outputs import Alert
from streamer.units import DAY_MS, WEEKDAY_NAMES
from streamer.zones import PINNED, local

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

    from streamer.examples import Example

SURGE_SD: Final = 4.0
SURGE_MINUTES: Final = 3
_LAST_FIVE: Final = 0b11111
_AGAIN_MS: Final = DAY_MS  # a surge that lasts is said once a day
_FORGET_MS: Final = 28 * DAY_MS  # a segment that no shard has any more
_DAYS_SLACK: Final = 0.8  # standard deviations of a day's mean that are not counted at all
_DAY_MOST: Final = 4.0  # a single mad day is a surge, not a new level
_DAYS_SUM: Final = 6.5  # counted standard deviations that make a new level: three days at 4, six at 2


class SegmentSizesState(TypedDict):
    """What is kept of one segment."""

    usual: UsualState
    numbers: tuple[int, int, int, float, float, float, int]


class _SegmentSizes:
    """One segment: its habits and where its alarms stand."""

    def __init__(self) -> None:
        self.usual = Usual()
        self.hot = 0  # the last five minutes, one bit each: far off or not
        self.said_ms = -_AGAIN_MS
        self.seen_ms = 0
        self.up = 0.0
        self.down = 0.0
        self.day_off = 0.0  # sum over the hours of the running day of how far they were off
        self.day_hours = 0

    def dump(self) -> SegmentSizesState:
        numbers = (self.hot, self.said_ms, self.seen_ms, self.up, self.down, self.day_off, self.day_hours)
        return {"usual": self.usual.dump(), "numbers": numbers}

    @classmethod
    def restore(cls, dumped: SegmentSizesState) -> _SegmentSizes:
        watch = cls()
        watch.usual = Usual.restore(dumped["usual"])
        watch.hot, watch.said_ms, watch.seen_ms, watch.up, watch.down, watch.day_off, watch.day_hours = dumped["numbers"]
        return watch


class SurgesState(TypedDict):
    """What ``Surges.dump`` gives."""

    sizes: list[tuple[int, dict[str, int]]]
    watches: dict[str, SegmentSizesState]
    slot: list[int]


class Surges:
    """All segments. ``zone`` is the shop's: hours of the week are its hours, and stay so when clocks change."""

    def __init__(self, zone: ZoneInfo = PINNED.utc) -> None:
        self._zone = zone
        self._sizes: dict[int, dict[str, int]] = {}
        self._watches: dict[str, _SegmentSizes] = {}
        self._slot = (-1, -1)  # the hour of the week and its half that is running

    def take(self, example: Example) -> list[Alert]:
        """Remember the sizes of a shard. A segment that is in no shard's mark is not watched: one that is empty must be there with 0."""
        if example.kind == "mark":
            self._sizes[example.shard] = dict(example.sizes)
        return []

    def on_watermark(self, at_ms: int) -> list[Alert]:
        """A minute is over, and every shard's mark of it was taken."""
        totals: dict[str, int] = {}
        for _, sizes in sorted(self._sizes.items()):
            for segment, size in sizes.items():
                totals[segment] = totals.get(segment, 0) + size
        return self.minute(at_ms, totals)

    def minute(self, at_ms: int, totals: Mapping[str, int]) -> list[Alert]:
        """The same with the sums at hand."""
        moment = local(at_ms // MARK_MS * MARK_MS, self._zone)
        hour, half = moment.weekday() * 24 + moment.hour, moment.minute // 30
        said: list[Alert] = []
        if (hour, half) != self._slot:
            said = self._turn(at_ms, hour, half)
        for segment in sorted(totals):
            watch = self._watches.get(segment)
            if watch is None:
                watch = self._watches[segment] = _SegmentSizes()
                watch.usual.aim(hour, half)
            watch.seen_ms = at_ms
            off = watch.usual.minute(totals[segment], moment.minute)
            watch.hot = watch.hot << 1 & _LAST_FIVE
            if not -SURGE_SD < off < SURGE_SD and watch.usual.warm:
                watch.hot |= 1
                if watch.hot.bit_count() >= SURGE_MINUTES and at_ms - watch.said_ms >= _AGAIN_MS:
                    watch.said_ms = at_ms
                    said.append(_surge(segment, moment, at_ms, watch.usual.expected(moment.minute), totals[segment]))
        return said

    def dump(self) -> SurgesState:
        """As JSON can hold it."""
        return {
            "sizes": [(shard, dict(sorted(sizes.items()))) for shard, sizes in sorted(self._sizes.items())],
            "watches": {segment: watch.dump() for segment, watch in sorted(self._watches.items())},
            "slot": list(self._slot),
        }

    @classmethod
    def restore(cls, dumped: SurgesState, zone: ZoneInfo = PINNED.utc) -> Surges:
        """The inverse of ``dump``."""
        surges = cls(zone)
        surges._sizes = {int(shard): dict(sizes) for shard, sizes in dumped["sizes"]}
        surges._watches = {segment: _SegmentSizes.restore(watch) for segment, watch in dumped["watches"].items()}
        surges._slot = (dumped["slot"][0], dumped["slot"][1])
        return surges

    def _turn(self, at_ms: int, hour: int, half: int) -> list[Alert]:
        before, self._slot = self._slot[0], (hour, half)
        said: list[Alert] = []
        for segment, watch in sorted(self._watches.items()):
            if at_ms - watch.seen_ms > _FORGET_MS:
                del self._watches[segment]
                continue
            if hour != before:
                off = watch.usual.end_hour(before)
                if watch.usual.warm:
                    watch.day_off += off
                    watch.day_hours += 1
                if hour // 24 != before // 24:
                    said += _end_day(segment, watch, at_ms)
            watch.usual.aim(hour, half)
        return said


def _end_day(segment: str, watch: _SegmentSizes, at_ms: int) -> list[Alert]:
    """Add the day to the sum of its side (a two-sided CUSUM); at the limit say so and take the new level for the usual one."""
    if not watch.day_hours:
        return []
    off = max(-_DAY_MOST, min(_DAY_MOST, watch.day_off / watch.day_hours))
    watch.day_off, watch.day_hours = 0.0, 0
    watch.up = max(0.0, watch.up + off - _DAYS_SLACK)
    watch.down = max(0.0, watch.down - off - _DAYS_SLACK)
    if max(watch.up, watch.down) <= _DAYS_SUM:
        return []
    watch.up = watch.down = 0.0
    before = watch.usual.level
    watch.usual.shift(off)
    return [_level(segment, at_ms, before * before / 4, watch.usual.level * watch.usual.level / 4)]


def _surge(segment: str, moment: datetime, at_ms: int, before: float, after: int) -> Alert:
    when = f"{WEEKDAY_NAMES[moment.weekday()]} {moment:%H}:00"
    text = f"{segment} {_moved(before, after)} to {after:,} customers; usual for {when} is about {before:,.0f}{_percent(before, after)}"
    return Alert("surge", segment, at_ms, round(before, 1), float(after), text)


def _level(segment: str, at_ms: int, before: float, after: float) -> Alert:
    text = f"{segment} {_moved(before, after)} for days, from about {before:,.0f} customers to about {after:,.0f}{_percent(before, after)}"
    return Alert("level", segment, at_ms, round(before, 1), round(after, 1), text)


def _moved(before: float, after: float) -> str:
    return "grew" if after > before else "shrank"


def _percent(before: float, after: float) -> str:
    return f" ({100 * (after - before) / before:+.0f} %)" if before >= 1 else ""
