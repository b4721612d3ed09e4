"""When calendar and zone turn predicates is asked once for all that turn together; see ``segments.plan.calendar_turns``."""

from __future__ import annotations

from typing import Final

import pytest

from streamer.customers.state import NO_TIMER, State
from streamer.language import calendar
from streamer.language.definitions import parse_definitions
from streamer.segments.plan.plan import Plan
from streamer.units import DAY_MS, HOUR_MS

NOON_MS: Final = 1_772_625_600_000  # a Wednesday in March


class Calls:
    """A function, and how often it was called."""

    def __init__(self, function: object) -> None:
        self.number = 0
        self._function = function

    def __call__(self, *args: object) -> object:
        self.number += 1
        assert callable(self._function)
        return self._function(*args)


def plan_of(*conditions: str) -> Plan:
    return Plan(
        parse_definitions({"segments": {f"s{at}": {"for": "x", "when": when} for at, when in enumerate(conditions)}}), lateness_ms=DAY_MS
    )


def customer(plan: Plan, **slots: str) -> State:
    known = {plan.slots[f"trait {name}"]: [0, value] for name, value in slots.items()}
    return State(0, NOON_MS, slots=known, members={}, retired={}, truth_bits={})


@pytest.mark.parametrize("number", [1, 50])
def test_a_birthday_is_looked_up_once_for_all_rules_about_one_age(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library has a dozen rules about age, and all of them turn at the same moment."""
    plan = plan_of(*[f'age(trait("born")) == {30 + at}' for at in range(number)])
    calls = Calls(calendar.next_birthday_ms)
    monkeypatch.setattr(calendar, "next_birthday_ms", calls)
    due_ms = plan.next_due(customer(plan, born="1990-03-05"), 0)
    assert due_ms == 12 * HOUR_MS
    assert calls.number == 1


def test_rules_about_the_clock_are_looked_up_once_a_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """All customers of a zone share a clock: until it turns a rule, the second one costs no look into the calendar."""
    plan = plan_of(*[f"hour() == {hour}" for hour in range(13, 24)])
    calls = Calls(calendar.next_flip)
    monkeypatch.setattr(calendar, "next_flip", calls)
    assert plan.next_due(customer(plan), 0) == HOUR_MS
    assert calls.number == 11
    assert plan.next_due(customer(plan), 10) == HOUR_MS
    assert calls.number == 11


def test_each_zone_has_its_own_clock() -> None:
    """What was looked up for one zone says nothing of another."""
    plan = plan_of("hour() == 15")
    at_home, in_tokyo = customer(plan), customer(plan)
    in_tokyo.slots[plan.slots["zone"]] = [0, 1, "Asia/Tokyo"]
    assert plan.next_due(at_home, 0) == 3 * HOUR_MS
    assert plan.next_due(in_tokyo, 0) == 18 * HOUR_MS


def test_what_has_no_date_sets_no_timer() -> None:
    """A text that is no date is nobody's birthday."""
    plan = plan_of('age(trait("born")) >= 18', 'birthday(trait("born"))')
    assert plan.next_due(customer(plan, born="soon"), 0) == NO_TIMER
