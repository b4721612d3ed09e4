"""Who enters and leaves while a log is told: customers by segment and day, and by how soon after a moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from datetime import date, datetime, timedelta
from typing import Final, Generic, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from streamer.messages.decision import decode_decision
from streamer.segments.change import ENTERED, Cause
from streamer.segments.merge import OF_NO_SEGMENT
from streamer.values import parse_time_ms

DAYS_KEPT: Final = 400  # newest days
SENT: Final = "sent"  # what became of a message that was to be sent
FIRST_MS: Final = parse_time_ms("0002-01-01") or 0  # a day has one before and one behind it, in every zone
LAST_MS: Final = parse_time_ms("9998-12-31") or 0


class Move(NamedTuple):
    """A customer who entered a segment or left it, at a moment in UTC milliseconds."""

    segment: str
    customer: str
    at_ms: int
    enters: bool


class _MoveData(msgspec.Struct):
    cause: Cause | str = ""  # of a merge the id of an event
    segment: str = ""  # a merge has none


class _MoveRecord(msgspec.Struct):
    type: str
    subject: str
    time: str
    data: _MoveData


_decode: Final = msgspec.json.Decoder(_MoveRecord).decode


class Moves:
    """Reads moves from what a shard says. When two ids become one person's, who was inside by either has not moved."""

    def __init__(self) -> None:
        self._carried: set[tuple[str, str]] = set()  # (segment, old id) of memberships on their way to another id

    def read(self, raw: bytes) -> Move | None:
        """The move in a record of the changes; None where there is none."""
        said = _decode(raw)
        if said.type in OF_NO_SEGMENT:
            return None
        segment, cause = said.data.segment, said.data.cause
        if isinstance(cause, Cause) and cause.kind == "merge":
            if cause.into is not None:
                self._carried.add((segment, said.subject))
                return None
            if cause.from_ is not None and (segment, cause.from_) in self._carried:
                self._carried.remove((segment, cause.from_))
                return None
        return Move(segment, said.subject, parse_time_ms(said.time) or 0, said.type == ENTERED)


What = TypeVar("What", bound=Hashable)


class DailyCustomers(Generic[What]):
    """Customers to whom something happened by day of ``zone``, each once a day. What happens comes in the order of the log."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.by_day: dict[str, Counter[What]] = {}  # ascending
        self._zone = zone
        self._today: set[tuple[What, str]] = set()
        self._day = ""
        self._end_ms = -1

    def count(self, what: What, customer: str, at_ms: int) -> None:
        """One more."""
        if at_ms >= self._end_ms:
            self._begin(at_ms)
        if (what, customer) not in self._today:
            self._today.add((what, customer))
            self.by_day[self._day][what] += 1

    def _begin(self, at_ms: int) -> None:
        """The day of a moment."""
        day = day_of(at_ms, self._zone)
        following = datetime(day.year, day.month, day.day, tzinfo=self._zone) + timedelta(days=1)
        self._day, self._end_ms = day.isoformat(), int(following.timestamp() * 1_000)
        self._today.clear()
        self.by_day.setdefault(self._day, Counter())
        if len(self.by_day) > DAYS_KEPT:
            del self.by_day[next(iter(self.by_day))]


class Flows(DailyCustomers[tuple[str, bool]]):
    """Customers who came and went, by (segment, whether they entered)."""

    def take(self, move: Move) -> None:
        """One more."""
        self.count((move.segment, move.enters), move.customer, move.at_ms)


class Decisions(DailyCustomers[tuple[str, str]]):
    """Customers to whom a message is sent, by day. ``newest`` has by (message, what became of it) when that was last, by customer."""

    def __init__(self, zone: ZoneInfo) -> None:
        super().__init__(zone)
        self.newest: dict[tuple[str, str], dict[str, int]] = {}

    def take(self, raw: bytes) -> None:
        """A decision as it stands in the topic of messages."""
        said = decode_decision(raw)
        what = said.data.message, SENT if said.outcome == "send" else f"{said.outcome}: {said.data.reason}"
        at_ms = parse_time_ms(said.time) or 0
        if what[1] == SENT:
            self.count(what, said.subject, at_ms)
        self.newest.setdefault(what, {})[said.subject] = at_ms


def day_of(at_ms: int, zone: ZoneInfo) -> date:
    """The day of a moment by a zone's calendar."""
    return datetime.fromtimestamp(max(FIRST_MS, min(at_ms, LAST_MS)) / 1_000, zone).date()


def days_until(last_ms: int, count: int, zone: ZoneInfo) -> Iterator[str]:
    """The ``count`` days of a zone up to the one of ``last_ms``, ascending."""
    last = day_of(last_ms, zone)
    for back in range(count - 1, -1, -1):
        yield (last - timedelta(days=back)).isoformat()


class MovesAhead:
    """Customers who come and go after a moment, by whether it is within each of some horizons; each counted once a way, when first."""

    def __init__(self, after_ms: int, horizons_ms: tuple[int, ...]) -> None:
        self.counts: Counter[tuple[int, str, bool]] = Counter()  # by (horizon, segment, enters)
        self._after_ms = after_ms
        self._horizons_ms = horizons_ms
        self._seen: set[tuple[str, bool, str]] = set()

    def take(self, move: Move) -> None:
        """One more, in the order of time."""
        seen = (move.segment, move.enters, move.customer)
        if seen in self._seen:
            return
        self._seen.add(seen)
        for horizon_ms in self._horizons_ms:
            if move.at_ms <= self._after_ms + horizon_ms:
                self.counts[horizon_ms, move.segment, move.enters] += 1
