"""An event finds the memories that listen to it by name and by what it says; see ``segments.plan.event_index``."""

from __future__ import annotations

from typing import Any, Final, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.events.event import Event
from streamer.language.definitions import parse_definitions
from streamer.segments.plan.event_index import find_key
from streamer.segments.plan.plan import Plan
from streamer.segments.plan.where import compile_where, is_activity
from streamer.units import DAY_MS

NUMBERS: Final = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 1.0, 2.5, 2**53, 2**53 - 1, -(2**53)]))
SINGLE: Final = st.one_of(NUMBERS, st.none(), st.booleans(), st.sampled_from(["1", "a", 1e300]))
VALUES: Final = st.recursive(SINGLE, lambda inner: st.lists(inner, max_size=3))
Sign = Literal["<", "<=", ">", ">="]


def plan_of(*conditions: str) -> Plan:
    segments = {f"s{at}": {"for": "x", "when": f'count("A", where={where}) >= 1'} for at, where in enumerate(conditions)}
    return Plan(parse_definitions({"segments": segments}), lateness_ms=DAY_MS)


def event(**properties: Any) -> Event:
    return Event(event="A", message_id="m", user_id="u", timestamp_ms=0, properties=properties)


def asked_and_fed(plan: Plan, what: Event) -> tuple[int, set[int]]:
    """How many memories a value was read for, and the memories that get one."""
    found = plan.dispatch(what)
    entries = [*found.always, *[entry for find, matching in found.indexed for entry in matching(find(what))]]
    return len(entries), {slot for slot, _, read in entries if read is None or read(what) is not None}


@pytest.mark.parametrize("number", [10, 1_000])
def test_what_an_event_asks_does_not_grow_with_segments_that_it_does_not_concern(number: int) -> None:
    """A shop with 10,000 segments of single products pays for those of the product that is looked at."""
    plan = plan_of(*[f'prop("product") == "p{at}" and prop("price") < {at}' for at in range(number)])
    assert asked_and_fed(plan, event(product="p7", price=3))[0] == 1
    assert asked_and_fed(plan, event(product="none", price=3))[0] == 0


@pytest.mark.parametrize("number", [10, 1_000])
def test_limits_that_a_number_does_not_reach_are_not_asked(number: int) -> None:
    """Rules that compare one property are sorted by their limits: one search finds those that hold."""
    plan = plan_of(*[f'prop("price") >= {at}' for at in range(number)])
    asked, fed = asked_and_fed(plan, event(price=4.5))
    assert (asked, len(fed)) == (5, 5)


@settings(max_examples=60)
@given(limits=st.lists(st.tuples(st.sampled_from(["<", "<=", ">", ">="]), NUMBERS), min_size=1, max_size=6), value=VALUES)
def test_a_limit_finds_those_whose_condition_holds(limits: list[tuple[Sign, float]], value: Any) -> None:
    """Also of lists, texts and nothing at all, and of numbers that no float can hold."""
    plan = plan_of(*[f'prop("price") {op} {limit!r}' for op, limit in limits])
    what = event(price=value)
    wheres = {slot: memory.input.events.where for slot, memory in enumerate(plan.memories) if memory.input.events is not None}
    assert all(find_key(where) is not None for where in wheres.values())
    assert asked_and_fed(plan, what)[1] == {slot for slot, where in wheres.items() if where is not None and compile_where(where)(what)}


def test_a_memory_of_a_name_and_its_prefix_is_fed_once() -> None:
    """``count(["A", "A*"])`` counts an A once."""
    segments = {"s": {"for": "x", "when": 'count(["A", "A*"], where=prop("price") > 1) >= 1'}}
    plan = Plan(parse_definitions({"segments": segments}), lateness_ms=DAY_MS)
    assert asked_and_fed(plan, event(price=2)) == (1, {0})


@pytest.mark.parametrize(
    ("name", "is_act"), [("Message Sent", False), ("Message Bounced", False), ("Message Opened", True), ("View", True)]
)
def test_what_we_send_to_a_person_is_no_activity_of_theirs(name: str, *, is_act: bool) -> None:
    """Else whoever gets a reminder to come back would count as back."""
    assert is_activity("track", name) is is_act
    plan = Plan(parse_definitions({"segments": {"s": {"for": "x", "when": 'did("*")'}}}), lateness_ms=DAY_MS)
    sent = Event(event=name, message_id="m", user_id="u", timestamp_ms=0)
    assert bool(asked_and_fed(plan, sent)[0]) is is_act
