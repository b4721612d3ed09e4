"""Where a memory has a cap: below it answers are exact, past it they say by how much they may be off, and ids never count twice."""

from __future__ import annotations

import asyncio
import json
from time import process_time
from typing import Any

import pytest

from streamer.customers.ids import IDS_MAX
from streamer.customers.memories import PAIRS_MAX, STEPS_MAX, VALUES_MAX
from streamer.wire import CHANGES
from tests.oracle.story import Record
from tests.property.driving import Case, changes_by, counts_of, drive, look

START = 1_772_625_600_000
DAY = 86_400_000


def event(offset: int, at_ms: int, **properties: Any) -> Record:
    body = {"type": "track", "event": "A", "userId": "c", "messageId": f"m{offset}", "timestamp": at_ms, "properties": properties}
    return Record(offset, START + DAY, body)


def crowded(when: str, size: int) -> Case:
    """So many events of one customer, two seconds apart and each with a value of its own, and then a long quiet time."""
    events = [
        event(offset, START + 2_000 * offset, price=offset % 7, tag=f"t{offset}", kind=f"k{offset % 3}") for offset in range(1, size + 1)
    ]
    quiet = Record(size + 1, START + 20 * DAY, {"control": "tick"})
    return Case({"segments": {"s": {"when": when}}}, (*events, quiet), lateness_ms=2 * DAY)


def marks(case: Case) -> list[Any]:
    """What the clauses of all changes say of their being off."""
    driver, _ = drive(case)
    outputs = asyncio.run(look(driver.store)).outputs
    clauses = [json.loads(output.value)["data"]["because"][0] for output in outputs if output.topic == CHANGES]
    return [clause.get("approximate") for clause in clauses]


FOLDED = (
    'sum("A", "price", within="7d") >= 900',
    'count("A", within="7d", before="1ms") >= 900',
    'active("A", each="1h", of=48) == 1',
    'top("A", "kind", within="7d") == "k1"',
    'top("A", "kind", within="7d", before="1h") == "k1"',
)


@pytest.mark.parametrize("when", FOLDED)
def test_below_the_cap_nothing_is_marked(when: str) -> None:
    """There the oracle's properties hold."""
    assert set(marks(crowded(when, PAIRS_MAX))) == {None}


@pytest.mark.parametrize("when", FOLDED)
def test_past_the_cap_an_answer_says_by_how_much_it_may_be_off(when: str) -> None:
    """What turns because the oldest were folded together, and so move as one, is never said in silence."""
    found = marks(crowded(when, PAIRS_MAX + 200))
    assert found[0] is None, "the way in was below the cap"
    assert any(found)


def test_different_values_stay_exact_past_the_cap() -> None:
    """Of each the newest moment is kept, and no threshold is as large as the cap."""
    case = crowded('distinct("A", "tag", within="7d", before="1ms") >= 900', PAIRS_MAX + 200)
    left = START + 2_000 * (PAIRS_MAX + 200 - 899) + 7 * DAY  # when the 900th newest leaves
    driver, _ = drive(case)
    assert [(change.entered, change.at_ms) for change in changes_by(driver)][1:] == [(False, left)]


def test_an_id_that_fell_out_of_memory_is_refused_and_not_counted_again() -> None:
    """Past the cap on ids what can no longer be told from a duplicate is refused as late."""
    size = IDS_MAX + 1
    events = [event(offset, START + 5_000 * offset) for offset in range(1, size + 1)]
    again = [Record(size + place, START + DAY, events[index].body) for place, index in enumerate((0, 10, 11, size - 1), 1)]
    case = Case({"segments": {"s": {"when": 'sum("A", "price") < 0'}}}, (*events, *again))
    driver, shard = drive(case)
    assert counts_of(shard) == {"accepted": size, "late": 2, "duplicate": 2}, "the first minute has eleven events, and is forgotten whole"
    assert changes_by(driver) == []


def test_a_busy_customers_late_event_counts_once() -> None:
    """More than a thousand views in ten minutes, and then an order of the first of them: inside the lateness it counts, and only once."""
    views = [event(offset, START + 500 * offset) for offset in range(1, 1_201)]
    order = Record(1_201, START + 605_000, {**event(0, START + 60_000).body, "event": "B"})
    again = Record(1_202, START + 606_000, order.body)
    case = Case({"segments": {"s": {"when": 'count("B") == 1'}}}, (*views, order, again))
    driver, shard = drive(case)
    assert counts_of(shard) == {"accepted": 1_201, "duplicate": 1}
    assert [change.entered for change in changes_by(driver)] == [True]


@pytest.mark.parametrize("window", ["", ', within="7d"'])
def test_a_sum_that_no_state_can_hold_says_so(window: str) -> None:
    """One event may carry thousands of the largest numbers that count: the step goes on, and the answer is marked."""
    amounts = [event(offset, START + offset, price=[10**12] * 3_000) for offset in (1, 2, 3)]
    case = Case({"segments": {"s": {"when": f'sum("A", "price"{window}) > 0'}}}, tuple(amounts))
    driver, shard = drive(case)
    assert counts_of(shard) == {"accepted": 3}
    assert [change.entered for change in changes_by(driver)] == [True]


def test_a_list_as_long_as_an_event_costs_no_more_than_its_length() -> None:
    """Thousands of values of one event are dropped over a cap in one go, not one by one."""
    tags = [[f"{offset}-{number}" for number in range(6_000)] for offset in range(3)]
    whens = ('top("A", "tag") == "x"', 'distinct("A", "tag", within="7d") == 3', 'top("A", "tag", within="7d") == "x"')
    case = Case(
        {"segments": {f"s{at}": {"when": when} for at, when in enumerate(whens)}},
        tuple(event(offset, START + offset, tag=found) for offset, found in enumerate(tags, 1)),
    )
    started = process_time()
    _, shard = drive(case)
    assert counts_of(shard) == {"accepted": 3}
    assert process_time() - started < 10


def test_top_of_ever_says_when_rarer_values_were_dropped() -> None:
    """The count of what was dropped is the error."""
    found = marks(crowded('top("A", "tag") != "t1"', VALUES_MAX + 50))
    assert found[0] is None
    assert marks(crowded('top("A", "tag") == "t1"', 5))[0] is None


def test_a_sequence_of_too_many_held_events_says_so() -> None:
    """Events of steps are held while late ones may come between them."""
    few, many = (crowded('sequence("A", then_not="B", wait="1d")', size) for size in (STEPS_MAX - 10, STEPS_MAX + 10))
    assert set(marks(few)) == {None}
    assert None not in marks(many)
