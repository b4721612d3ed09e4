"""Logs for Hypothesis: late, repeated, early, out of order, with quiet stretches, erasures and changes of definitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from tests.oracle.story import Record
from tests.oracle.values import UNITS_MS, duration_ms, to_ms
from tests.property.driving import Case
from tests.property.sentences import DATES, DURATIONS, OTHER, SCALARS, ZONES, definitions

H, D = UNITS_MS["h"], UNITS_MS["d"]
ANCHORS = tuple(
    to_ms(datetime.fromisoformat(text))
    for text in (
        "2026-03-04T12:00:00+00:00",
        "2026-03-29T00:30:00+00:00",  # half an hour before summer time in Berlin
        "2026-10-25T00:30:00+00:00",  # and before its end
        "2026-03-08T06:30:00+00:00",  # the same in New York
        "2026-04-04T14:30:00+00:00",  # the end of summer time on Lord Howe, by half an hour
        "2026-04-23T21:30:00+00:00",  # the midnight that Cairo skips
        "2025-12-31T22:30:00+00:00",
        "2028-02-28T23:00:00+00:00",
        "1970-01-03T00:00:00+00:00",
    )
)
LENGTHS = tuple(duration_ms(text) or 0 for text in DURATIONS)
CUSTOMERS = ("c", "d", "é")
EVENT_NAMES = ("A", "A", "B", "AB", "C", "CB", "D", "Message Sent")

scalars = st.sampled_from((*SCALARS, None))
lists = st.lists(scalars | st.lists(scalars, max_size=2) | st.just({"x": 1}), max_size=3)
anything = scalars | st.sampled_from(DATES) | lists | st.just({"x": 1}) | st.sampled_from([1_772_625_600_000, 1_772_629_200_000.0])
items = st.lists(st.fixed_dictionaries({}, optional={"sku": scalars | lists, "price": st.sampled_from([1, 2.5, "3", True])}), max_size=3)
properties = st.fixed_dictionaries(
    {},
    optional={
        "price": st.sampled_from([0, 1, 2.5, 5, 0.1, 0.2, -1, "5", True, None]) | st.lists(st.sampled_from([1, 2.5, 1]), max_size=3),
        "tag": scalars | lists,
        "flag": st.sampled_from([True, False, 1]),
        "due": st.sampled_from(DATES) | anything,
        "items": items,
    },
)
traits = st.fixed_dictionaries(
    {},
    optional={
        "plan": scalars,
        "score": st.sampled_from([0, 1, 5, 5.0, 2.5, "5", None]),
        "tags": lists,
        "address": st.fixed_dictionaries({}, optional={"city": scalars}) | scalars,
        "born": st.sampled_from(DATES) | anything,
        "due": st.sampled_from(DATES) | anything,
        "level": scalars,
        "since": st.sampled_from(DATES),
        "timezone": st.sampled_from((*ZONES, "Mars/Base", None, 5)),
    },
)
contexts = st.fixed_dictionaries(
    {},
    optional={
        "device": st.fixed_dictionaries({}, optional={"type": st.sampled_from(["a", "b", None])}),
        "locale": st.sampled_from(["a-AT", "A_b", "b", "", 5, None]),
        "app": st.just({"name": "a"}),
        "timezone": st.sampled_from((*ZONES, "Mars/Base", None)),
    },
)


@st.composite
def events(draw: st.DrawFn, customers: tuple[str, ...] = CUSTOMERS) -> dict[str, Any]:
    """An event but for its time and id."""
    kind = draw(st.sampled_from(["track"] * 5 + ["identify", "identify", "page", "screen", "group"]))
    body: dict[str, Any] = {"type": kind, draw(st.sampled_from(["userId", "userId", "anonymousId"])): draw(st.sampled_from(customers))}
    if draw(st.integers(0, 15)) == 0:  # what programs write where an id is missing
        body["userId"] = draw(st.sampled_from(["undefined", "NULL", " ", "0", "[object Object]"]))
    if kind == "track":
        body["event"] = draw(st.sampled_from(EVENT_NAMES))
    for name, strategy, chance in (
        ("properties", properties, 6),
        ("traits", traits, 9 if kind == "identify" else 2),
        ("context", contexts, 3),
    ):
        if draw(st.integers(0, 9)) < chance:
            body[name] = draw(strategy)
    return body


@st.composite
def delays(draw: st.DrawFn, lateness_ms: int, skew_ms: int) -> int:
    """How long before its record's log time an event happened: around each bound of the definitions and of admission."""
    match draw(st.integers(0, 9)):
        case 0 | 1 | 2 | 3 | 4:
            return 0
        case 5:
            return draw(st.sampled_from([lateness_ms, -skew_ms]) | st.sampled_from([-1, 1])) + draw(st.integers(-1, 1))
        case 6:
            return draw(st.integers(-1000, 5000))
        case _:
            return draw(st.sampled_from(LENGTHS)) + draw(st.integers(-1, 1))


@st.composite
def steps_ms(draw: st.DrawFn) -> int:
    """How long after the record before it a record arrives."""
    match draw(st.integers(0, 9)):
        case 0 | 1 | 2:
            return 0
        case 3:
            return -draw(st.sampled_from([1, 1000, H]))
        case 4 | 5:
            return draw(st.sampled_from([1, 500, 1000, 60_000]))
        case _:
            return draw(st.sampled_from(LENGTHS)) + draw(st.integers(-1, 1))


@st.composite
def cases(draw: st.DrawFn, *, records_max: int = 14, switches: bool = True, erases: bool = True, end_ms: int = 9 * D) -> Case:
    """Definitions and a log that ends in a long quiet stretch."""
    source = draw(definitions())
    lateness_ms, skew_ms = draw(st.sampled_from([86_400_000, H, 8 * D])), draw(st.sampled_from([300_000, 0]))
    now = draw(st.sampled_from(ANCHORS))
    arrival, bodies, ids = now, list[tuple[int, dict[str, Any]]](), 0
    switched = False
    for _ in range(draw(st.integers(1, records_max))):
        arrival = max(0, arrival + draw(steps_ms()))
        now = max(now, arrival)
        choice = draw(st.integers(0, 19))
        if choice < 2:
            bodies.append((arrival, {"control": "tick"}))
        elif choice == 2 and erases:
            bodies.append((arrival, {"control": "erase", "customer": draw(st.sampled_from(CUSTOMERS))}))
        elif choice == 3 and switches and not switched:
            switched = True
            bodies.append((arrival, {"control": "definitions", "version": 2, "definitions": draw(others(source))}))
        else:
            event = draw(events())
            repeat = ids and draw(st.integers(0, 7)) == 0
            id_ = draw(st.integers(0, ids - 1)) if repeat else ids
            ids = max(ids, id_ + 1)
            timestamp = max(0, now - draw(delays(lateness_ms, skew_ms)))
            bodies.append((arrival, {**event, "messageId": f"m{id_}", "timestamp": timestamp}))
    bodies.append((now + draw(st.sampled_from([0, 1000, D, end_ms])), {"control": "tick"}))
    records = tuple(Record(offset, at, body) for offset, (at, body) in enumerate(bodies, 1))
    return Case(source, records, lateness_ms, skew_ms)


@st.composite
def switching_cases(draw: st.DrawFn) -> Case:
    """Cases in which other definitions come when customers are there already, and most of the log is still to come or most is past."""
    case = draw(cases(records_max=12, switches=False, end_ms=2 * D))
    bodies = bodies_of(case)
    place = draw(st.integers(min(2, len(bodies) - 1), len(bodies) - 1))
    record = {"control": "definitions", "version": 2, "definitions": draw(others(case.definitions))}
    return with_records(case, [*bodies[:place], (bodies[place - 1][0], record), *bodies[place:]])


@st.composite
def successors(draw: st.DrawFn, source: dict[str, Any]) -> dict[str, Any]:
    """New definitions: some segments stay, the others go or are replaced by ones that share no memory with them."""
    kept = {name: given for name, given in source["segments"].items() if draw(st.booleans())}
    mentioned = {name for name in source["segments"] if any(f'("{name}")' in text for given in kept.values() for text in given.values())}
    kept |= {name: source["segments"][name] for name in mentioned}
    while more := {
        name
        for name in source["segments"]
        if name not in kept and any(f'("{name}")' in text for given in kept.values() for text in given.values())
    }:
        kept |= {name: source["segments"][name] for name in more}
    fresh = draw(definitions(OTHER, names=("a", "b", "m")))["segments"]
    fresh = {name: given for name, given in fresh.items() if name not in kept}
    while dangling := {
        name
        for name in fresh
        if any(f'("{other}")' in text for text in fresh[name].values() for other in ("a", "b", "m") if other not in fresh)
    }:
        fresh = {name: given for name, given in fresh.items() if name not in dangling}
    segments = {**kept, **fresh}
    segments = segments or {"b": {"when": 'did("C")'}}
    return {"zone": draw(st.sampled_from([source["zone"], "Asia/Tokyo"])), "segments": segments}


def others(source: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """New definitions, that have some segments of the old ones, or other segments under their names, or nothing of them."""
    return st.one_of(successors(source), definitions(), mixed(source))


@st.composite
def mixed(draw: st.DrawFn, source: dict[str, Any]) -> dict[str, Any]:
    """The same zone and segments, and others besides that ask about the same events."""
    fresh = draw(definitions(names=("x", "y")))["segments"]
    return {**source, "segments": {**source["segments"], **fresh}}


def with_records(case: Case, bodies: Sequence[tuple[int, dict[str, Any]]]) -> Case:
    """The case with other records, given as (arrival, body)."""
    return replace(case, records=tuple(Record(offset, at, body) for offset, (at, body) in enumerate(bodies, 1)))


def bodies_of(case: Case) -> list[tuple[int, dict[str, Any]]]:
    """The (arrival, body) of each record."""
    return [(record.arrival_ms, record.body) for record in case.records]


@st.composite
def same_time_cases(draw: st.DrawFn) -> tuple[Case, Case]:
    """The same events, accepted at the same arrivals in two orders, under definitions that ask about the present only."""
    source = draw(definitions())
    plain = {name: {"when": given["when"]} for name, given in source["segments"].items() if "exit" not in given}
    plain = {name: given for name, given in plain.items() if not any(f'("{other}")' in given["when"] for other in source["segments"])}
    case = Case({"zone": source["zone"], "segments": plain or {"m": {"when": 'count("A") >= 2'}}}, ())
    start = draw(st.sampled_from(ANCHORS[:8]))
    ages = draw(st.lists(st.sampled_from([*range(1, 30), *LENGTHS[:7], H + 1, H - 1]), min_size=2, max_size=10, unique=True))
    happened = [{**draw(events(("c", "d"))), "messageId": f"m{index}", "timestamp": start - age} for index, age in enumerate(ages)]
    arrivals = sorted(start + draw(st.sampled_from([0, 1, 500, 60_000, H])) for _ in happened)
    end = (arrivals[-1] + draw(st.sampled_from([0, 1, H, D, 3 * D])), {"control": "tick"})
    ways = [[*zip(arrivals, order, strict=True), end] for order in (happened, draw(st.permutations(happened)))]
    lasting = replace(case, lateness_ms=8 * D)
    return with_records(lasting, ways[0]), with_records(lasting, ways[1])
