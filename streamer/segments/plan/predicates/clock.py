"""The customer's own calendar: hour, weekday, age, birthday."""

from __future__ import annotations

from collections.abc import Callable

from streamer.customers.memories import Data
from streamer.customers.state import NO_TIMER, State
from streamer.language import calendar, tree
from streamer.segments.plan.single_pass import Due
from streamer.values import Json

from .predicate import Predicate, ValueExpression, ZoneOf
from .windows import current_period

Stretch = tuple[int, int, bool]  # from, until (not with it), and whether it holds in between


STRETCHES = 3  # kept per zone: a timer looks at the moments before, at and after a flip


def own_clock(due_ms: int, state: State) -> int:
    """A moment in UTC by the customer's own clock; ``NO_TIMER`` stays what it is."""
    return due_ms - state.origin_ms if due_ms < NO_TIMER else NO_TIMER


def clock_predicate(text: str, unit: tree.ClockUnit, holds: Callable[[Json], bool], zone_of: ZoneOf) -> Predicate:
    """A expression of the calendar; remembered per zone until it next changes, since all customers of a zone share it."""
    known: dict[str, list[Stretch]] = {}

    def at(now: int, state: State) -> Stretch:
        zone = zone_of(state)
        now += state.origin_ms
        stretches = known.setdefault(zone.key or "", [])
        for stretch in stretches:
            if stretch[0] <= now < stretch[1]:
                return stretch
        end = calendar.next_flip(now, zone, unit, holds)
        found = (now, NO_TIMER if end is None else end, holds(calendar.clock_value(now, zone, unit)))
        stretches.insert(0, found)
        del stretches[STRETCHES:]
        return found

    return Predicate(
        text,
        lambda data, now, state: at(now, state)[2],
        lambda data, now, state: own_clock(at(now, state)[1], state),
        lambda data, now, state: calendar.clock_value(now + state.origin_ms, zone_of(state), unit),
        clock=True,
        zoned=True,
    )


class AgeExpression:
    """Whole years since a date, and when they change: at the next birthday, which is the same for all rules about one date."""

    def __init__(self, of: ValueExpression, zone_of: ZoneOf) -> None:
        self._of, self._zone_of = of, zone_of
        self.slots = of.slots
        self.due: Due = self._next_birthday

    def read(self, data: Data, now: int, state: State) -> Json:
        """The age; None before birth, and where no date is known."""
        zone = self._zone_of(state)
        born = calendar.calendar_date(self._of.read(data, now, state), zone)
        return None if born is None else calendar.age_years(born, now + state.origin_ms, zone)

    def _next_birthday(self, data: Data, now: int, state: State) -> int:
        zone = self._zone_of(state)
        born = calendar.calendar_date(self._of.read(data, now, state), zone)
        return NO_TIMER if born is None else own_clock(calendar.next_birthday_ms(born, now + state.origin_ms, zone), state)


def age_predicate(text: str, age: AgeExpression, holds: Callable[[Json], bool]) -> Predicate:
    """A condition on an age. Wakes at each birthday: once a year is not worth a cleverer answer."""

    def truth(data: Data, now: int, state: State) -> bool:
        return holds(age.read(data, now, state))

    return Predicate(text, truth, age.due, age.read, slots=age.slots, zoned=True, span_ms=0)


def birthday_predicate(text: str, of: ValueExpression, zone_of: ZoneOf) -> Predicate:
    """Today is the day."""

    def truth(data: Data, now: int, state: State) -> bool:
        date = calendar.calendar_date(of.read(data, now, state), zone_of(state))
        return date is not None and calendar.is_birthday(date, now + state.origin_ms, zone_of(state))

    def due(data: Data, now: int, state: State) -> int:
        zone = zone_of(state)
        date = calendar.calendar_date(of.read(data, now, state), zone)
        if date is None:
            return NO_TIMER
        if truth(data, now, state):
            return current_period(now, state, zone_of, "day")[1]
        return own_clock(calendar.next_anniversary_ms(date, now + state.origin_ms, zone), state)

    return Predicate(text, truth, due, of.read, slots=of.slots, zoned=True, span_ms=0)
