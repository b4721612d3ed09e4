"""Small cases worth naming: most of them once divided the step and the oracle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.oracle.story import Record, Story
from tests.property.driving import Case, changes_by, drive, memberships_of, ms_of

START = 1_772_625_600_000  # noon on a Wednesday
DAY = 86_400_000


def event(offset: int, customer: str = "c", **parts: Any) -> Record:
    """The events of a case are a millisecond apart."""
    at = START + offset
    return Record(offset, at, {"type": "track", "event": "A", "userId": customer, "messageId": f"m{offset}", "timestamp": at, **parts})


def agreed(definitions: dict[str, Any], *records: Record) -> list[tuple[str, bool, int]]:
    """What both say: (segment, entered, milliseconds after noon)."""
    log = (*records, Record(len(records) + 1, START + 20 * DAY, {"control": "tick"}))
    case = Case(definitions, log)
    story = Story(definitions)
    for record in log:
        story.tell(record)
    driver, shard = drive(case)
    assert changes_by(driver) == story.changes
    assert memberships_of(driver, shard) == story.memberships()
    return [(change.segment, change.entered, change.at_ms - START) for change in story.changes]


def of(when: str, *records: Record, **more: str) -> list[tuple[bool, int]]:
    return [(entered, at) for _, entered, at in agreed({"segments": {"s": {"when": when, **more}}}, *records)]


IN_AT_ONCE = [(True, 1)]
TAGGED = event(1, properties={"tag": ["a", "b"], "price": 1})


@pytest.mark.parametrize(
    ("when", "parts", "expected"),
    [
        ('did("A", where=prop("items") == "x")', {"properties": {"items": [{"a": 1}]}}, []),
        ('did("A", where=prop("items") == "x")', {"properties": {"items": [{"a": 1}, "x"]}}, IN_AT_ONCE),
        ('did("A", where=prop("items") == "x")', {"properties": {"items": {"a": 1}}}, []),
        ('avg("A", "price") in [0.3333]', {"properties": {"price": [1, 0, 0]}}, []),
        ('avg("A", "price") in [0.5, 7]', {"properties": {"price": [1, 0]}}, IN_AT_ONCE),
        ('avg("A", "price") not in [0.5]', {"properties": {"price": "x"}}, IN_AT_ONCE),
        ('min("A", "price") == 0.50001', {"properties": {"price": 0.5}}, IN_AT_ONCE),
        ('min("A", "price") in [0.50001]', {"properties": {"price": 0.5}}, IN_AT_ONCE),
        ('sum("A", "price") == 0.3', {"properties": {"price": [0.1, 0.2]}}, IN_AT_ONCE),
        ('sum("A", "price") > 0', {"properties": {"price": 10**12 + 1}}, []),
        ('sum("A", "price") == 1305.5', {"properties": {"price": ["1299.00", "+5", 1.5, "1,299.00", "1e3", "", " 7"]}}, IN_AT_ONCE),
        ('avg("A", "price") == 1.5', {"properties": {"price": "1.5"}}, IN_AT_ONCE),
        ('max("A", "price", within="1d") >= 1000000000001', {"properties": {"price": "1000000000001"}}, []),
        ('sum("A", "items.price") == 3000', {"properties": {"items": [{"price": 1}] * 3_000}}, IN_AT_ONCE),
        ('distinct("A", "tag") >= 1000', {"properties": {"tag": [f"t{number}" for number in range(1_001)]}}, IN_AT_ONCE),
        ('contains(trait("a"), 2999)', {"traits": {"a": [[], *range(3_000)]}}, IN_AT_ONCE),
        ('did("A", where=prop("items") == 2999)', {"properties": {"items": list(range(3_000))}}, IN_AT_ONCE),
        ('exists(date(trait("a")))', {"traits": {"a": 1_772_625_600}}, []),
        ('exists(date(trait("a")))', {"traits": {"a": -99_999_999_999}}, []),
        ('exists(date(trait("a")))', {"traits": {"a": -100_000_000_000}}, IN_AT_ONCE),
        ('age(trait("a")) > 5000', {"traits": {"a": -62_135_596_800_001}}, []),
        ('date(trait("a")) > date("9999-12-31")', {"traits": {"a": "9999-12-31T23:59:59.999999999Z"}}, IN_AT_ONCE),
        ('trait("a.b") == 1', {"traits": {"a": [[{"b": 1}]]}}, IN_AT_ONCE),
        ('exists(trait("a.b"))', {"traits": {"a": [{"b": []}]}}, []),
        ('exists(trait("a.b"))', {"traits": {"a": {"b": []}}}, IN_AT_ONCE),
        ('since(date(trait("a"))) >= "0ms"', {"traits": {"a": float(START)}}, IN_AT_ONCE),
        ('since(date(trait("a"))) >= "0ms"', {"traits": {"a": START - 0.5}}, []),
        ('age(trait("a")) >= 56', {"traits": {"a": 0.0}}, IN_AT_ONCE),
        ('number(trait("a")) == 5', {"traits": {"a": ["x", "5.0"]}}, IN_AT_ONCE),
        ('exists(number(trait("a")))', {"traits": {"a": ["x"]}}, []),
        ('contains(lower(trait("a")), "x")', {"traits": {"a": ["X"]}}, IN_AT_ONCE),
        ("exists(language())", {"context": {"locale": "-AT"}}, []),
        ('language() == "de"', {"context": {"locale": "DE_at"}}, IN_AT_ONCE),
        ('language() == "de"', {"context": {"locale": "de-AT"}}, IN_AT_ONCE),
        ('distinct("A", "tag") == 2', {"properties": {"tag": [[1], 1.0, True]}}, IN_AT_ONCE),
        ('top("A", "tag") == "b"', {"properties": {"tag": ["b", 5.0, 5, True]}}, IN_AT_ONCE),
        ('count(["A", "A*"]) == 1', {}, IN_AT_ONCE),
    ],
)
def test_values_in_strange_places(when: str, parts: dict[str, Any], expected: list[tuple[bool, int]]) -> None:
    """Lists, nulls, floats and objects mean what the language says, and stop nothing."""
    assert of(when, event(1, **parts)) == expected


@pytest.mark.parametrize("window", ["", ', within="30d"'])
@pytest.mark.parametrize("where", ['prop("tag") in ["a", "b"]', 'prop("tag") in ["a", "b"] and exists(prop("price"))'])
def test_an_event_of_two_of_the_listed_values_is_one_event(window: str, where: str) -> None:
    """Events find rules by the values they name, and one event may find the same rule twice."""
    assert of(f'count("A", where={where}{window}) == 1', TAGGED) == IN_AT_ONCE
    assert of(f'sum("A", "price", where={where}{window}) == 1', TAGGED) == IN_AT_ONCE


def test_an_age_in_a_list_is_reached_by_time_alone() -> None:
    """Years of other ages lie before the one that is asked for: each birthday is looked at, not the next one only."""
    records = (event(1, traits={"a": "1990-01-01"}), Record(2, START + 30 * 366 * DAY, {"control": "tick"}))
    found = agreed({"segments": {"s": {"when": 'age(trait("a")) in [40, 50]'}}}, *records)
    assert [entered for _, entered, _ in found] == [True, False, True, False]


AT_ONCE: dict[str, Any] = {"timestamp": START}  # several events with the same time, as sources have it that know whole seconds


def test_events_of_the_same_time_follow_each_other_in_the_order_of_the_log() -> None:
    """A cart and an order in the same second: the order came second, so it is a sale, and no cart was left."""
    cart, order = event(1, **AT_ONCE), {"event": "B", **AT_ONCE}
    later = event(3, timestamp=START + 3_600_000)
    assert of('sequence("A", "B", within="1h")', cart, event(2, **order), later) == [(True, 2)]
    assert of('sequence("A", then_not="B", wait="30m")', cart, event(2, **order), later) == []
    assert of('sequence("B", "A", within="1h")', cart, event(2, **order)) == []
    assert of('sequence("B", then_not="A", wait="1ms")', cart, event(2, **order), later) != []
    assert of('sequence("A", "A", within="1ms")', cart, event(2, **AT_ONCE)) == [(True, 2)]
    assert of('sequence("A", "A", within="1ms")', cart) == [], "no event follows itself"


def test_the_trait_of_an_event_wins_over_its_context_in_the_time_zone() -> None:
    """And a later event's context over both, unless no such zone is known."""
    both = event(1, traits={"timezone": "Asia/Tokyo"}, context={"timezone": "Europe/Berlin"})
    assert of("hour() == 21", both)[0] == (True, 1)
    assert of("hour() == 13", both, event(2, context={"timezone": "Europe/Berlin"}))[0] == (True, 2)
    assert of("hour() == 13", both, event(2, context={"timezone": "Mars/Base"}), event(3, traits={"timezone": None}))[0] != (True, 2)


def test_a_run_of_equal_values_is_broken_by_other_elements_and_not_by_another_way_to_write_them() -> None:
    """``[1]`` is ``[1.0]`` and is not ``[true]``; objects are compared whole."""
    for same in ([[1], [1.0]], [{"x": 1}, {"x": 1.0}], [5, 5.0]):
        assert of('unchanged(trait("a")) >= "1ms"', event(1, traits={"a": same[0]}), event(2, traits={"a": same[1]})) == [(True, 2)]
    for other in ([[1], [True]], [{"x": 1}, {"x": 2}], [1, True], [1, "1"]):
        found = of('unchanged(trait("a")) >= "1ms"', event(1, traits={"a": other[0]}), event(2, traits={"a": other[1]}))
        assert found == [(True, 2), (False, 2), (True, 3)]


def test_the_same_definitions_under_another_version_change_nothing_but_the_version() -> None:
    """Changes name the version in force."""
    definitions = {"segments": {"s": {"when": 'did("A", within="1d")'}}}
    again = Record(2, START + 2, {"control": "definitions", "version": 7, "definitions": definitions})
    assert agreed(definitions, event(1), again) == [("s", True, 1), ("s", False, DAY + 1)]


def test_a_segment_that_comes_back_counts_on_and_knows_no_more() -> None:
    """Its number of changes goes on, its cool-down does not."""
    one = {"when": 'did("A")', "cooldown": "7d"}
    gone = Record(2, START + 2, {"control": "definitions", "version": 2, "definitions": {"segments": {"t": {"when": 'did("A")'}}}})
    back = Record(
        3, START + 3, {"control": "definitions", "version": 3, "definitions": {"segments": {"s": one, "t": {"when": 'did("A")'}}}}
    )
    found = agreed({"segments": {"s": one, "t": {"when": 'did("A")'}}}, event(1), gone, back)
    assert found == [("s", True, 1), ("t", True, 1), ("s", False, 2), ("s", True, 3)]


def test_the_very_first_millisecond_is_a_time_like_any_other() -> None:
    """Nobody's memory of ids begins with a loss."""
    first, second = (Record(n, 1000, {"type": "track", "event": "A", "userId": "c", "messageId": f"m{n}", "timestamp": 0}) for n in (1, 2))
    found = agreed({"segments": {"s": {"when": 'count("A") == 2'}}}, first, second)
    assert [entered for _, entered, _ in found] == [True]


def test_a_time_that_the_definition_names_turns_for_everybody() -> None:
    """``date("…")`` is a time like any other: also before and after it is reached, and on either side of a comparison."""
    one_pm, after = START + 3_600_000, 3_600_000
    assert of('until(date("2026-03-04T13:00:00Z")) <= "10m"', event(1)) == [(True, after - 600_000), (False, after)]
    assert of('since(date("2026-03-04T13:00:00Z")) < "10m"', event(1)) == [(True, after), (False, after + 600_000)]
    assert of('date("2026-03-01") < last("A") and not date("2026-03-05") <= last("A")', event(1)) == IN_AT_ONCE
    assert of('not date("2026-03-05") > last("B")', event(1)) == IN_AT_ONCE
    due = event(1, properties={"due": one_pm})
    assert of('did("A", where=date(prop("due")) < date("2026-03-05"))', due) == IN_AT_ONCE
    assert of('did("A", where=date("2026-03-05") > date(prop("due")))', due) == IN_AT_ONCE
    assert of('did("A", where=date(prop("due")) > date(prop("absent")))', due) == IN_AT_ONCE
    assert of('did("A", where=date(prop("absent")) < date("2026-03-05"))', due) == []


def test_of_equal_times_the_later_in_the_log_is_the_newer() -> None:
    """For what is known and for the newest event; the oldest event is the earlier one."""
    twins = [event(1, traits={"a": 1}, properties={"a": 1}), event(2, traits={"a": 2}, properties={"a": 2})]
    twins[1].body["timestamp"] = twins[0].body["timestamp"]
    assert of('trait("a") == 2', *twins) == [(True, 2)]
    assert of('latest("A", "a") == 2', *twins) == [(True, 2)]
    assert of('earliest("A", "a") == 1', *twins) == IN_AT_ONCE
    for offset, twin in enumerate(twins):  # of a value that time turns, too
        twin.body["traits"] = {"a": f"2026-03-0{4 + offset}"}
    assert of('since(date(trait("a"))) < "1h"', *twins) == [(True, DAY // 2), (False, DAY // 2 + 3_600_000)]


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("day", "2026-03-04T00:00:00+01:00", "2026-03-05T00:00:00+01:00"),
        ("week", "2026-03-02T00:00:00+01:00", "2026-03-09T00:00:00+01:00"),
        ("month", "2026-03-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00"),
        ("year", "2026-01-01T00:00:00+01:00", "2027-01-01T00:00:00+01:00"),
    ],
)
def test_a_period_begins_and_ends_at_local_midnight(period: str, start: str, end: str) -> None:
    """The first millisecond is in, the one before is not, and the end turns it by itself."""
    definitions = {"zone": "Europe/Berlin", "segments": {"s": {"when": f'did("A", this="{period}")'}}}
    first, last = ms_of(start), ms_of(end)
    for at, expected in ((first, [True, False]), (first - 1, [])):
        body = {"type": "track", "event": "A", "userId": "c", "messageId": "m", "timestamp": at}
        log = (Record(1, START, body), Record(2, last, {"control": "tick"}))
        case = Case(definitions, log, lateness_ms=80 * DAY)
        driver, _ = drive(case)
        changes = changes_by(driver)
        assert [change.entered for change in changes] == expected
        assert [change.at_ms for change in changes[1:]] == [last] * len(expected[1:])


def test_a_clock_that_moves_takes_the_timer_along() -> None:
    """Whoever comes back each time after a month has their clock moved at each visit. The timer is then as far from where it begins as the
    one before was from where that began, and is another moment all the same."""
    visits = [replace(event(1), offset=offset, arrival_ms=START + days * DAY) for offset, days in enumerate([0, 50, 76], 1)]
    visits = [replace(visit, body={**visit.body, "messageId": f"m{visit.offset}", "timestamp": visit.arrival_ms}) for visit in visits]
    log = (*visits, Record(4, START + 200 * DAY, {"control": "tick"}))
    definitions = {"segments": {"s": {"when": 'did("A", within="30d")'}, "t": {"when": 'count("A") >= 3'}}}  # at the third all is judged
    driver, _ = drive(Case(definitions, log))
    story = Story(definitions)
    for record in log:
        story.tell(record)
    left = [(change.entered, (change.at_ms - START) // DAY) for change in story.changes if change.segment == "s"]
    assert left == [(True, 0), (False, 30), (True, 50), (False, 106)]
    assert changes_by(driver) == story.changes
