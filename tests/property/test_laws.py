"""One story: how a log is cut, by whom it is told, who dies while telling it and what is told twice changes nothing."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.customers import rebase
from streamer.customers.state import decode_state, encode_state
from streamer.flow import evaluation, walk_pace
from streamer.flow.catalog import Plans
from streamer.flow.machine import Limits
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.segments.plan import plan_change
from streamer.stores.memory import MemoryStore
from streamer.wire import LogRecord, shard_of
from tests.property.driving import (
    Case,
    CrashingStore,
    Shown,
    changes_by,
    drive,
    log_of,
    look,
    memberships_of,
    never,
    shown,
    without_positions,
)
from tests.property.effort import effort
from tests.property.logs import CUSTOMERS, bodies_of, cases, same_time_cases, switching_cases, with_records
from tests.walk import at_each_record

if TYPE_CHECKING:
    from collections.abc import Sequence

NARROW = Limits(records=3, states=2, wakes=2)
NARROWEST = Limits(records=1, states=1, wakes=1)
WAYS = (
    {"batch": 1},
    {"batch": 7},
    {"batch": 500, "limits": NARROW},
    {"batch": 500, "limits": NARROWEST},
)


@given(case=cases(end_ms=2 * 86_400_000))
@effort(0.3)
def test_how_the_log_is_cut_changes_nothing(case: Case) -> None:
    """Digest, outputs, states and wake-ups are the same for any batch and any slice; so each state survives being stored at any point."""
    expected = shown(case)
    for way in WAYS:
        assert shown(case, **way) == expected, way
    for state in expected.states.values():
        assert encode_state(decode_state(state)) == state


@given(case=cases())
@effort(0.3)
def test_where_the_clocks_of_customers_begin_changes_nothing(case: Case) -> None:
    """Their origins move once in seven weeks; here they do at each event that comes a millisecond after them."""
    expected = shown(case)
    with patch.object(evaluation, "AFTER_ORIGIN_MAX_MS", 0), patch.object(rebase, "BEFORE_ORIGIN_MS", 3_600_000):
        moved = shown(case)
    assert (moved.output_digest, moved.outputs, moved.wakes) == (expected.output_digest, expected.outputs, expected.wakes)


@given(case=cases(end_ms=2 * 86_400_000), crashes=st.dictionaries(st.integers(2, 14), st.sampled_from(["before", "after"]), min_size=1))
@effort(0.3)
def test_a_crash_at_any_commit_changes_nothing(case: Case, crashes: dict[int, str]) -> None:
    """Whoever takes over begins where the last commit ended, whether or not the one before learned that it went through."""
    store = CrashingStore({1: "after", **crashes})
    assert shown(case, batch=2, limits=NARROW, store=store) == shown(case)
    assert store.happened, "no crash happened"


@given(case=switching_cases())
@effort(0.6)
def test_when_a_customer_comes_under_new_definitions_changes_only_the_position(case: Case) -> None:
    """Each is brought as of the definitions record, so it makes no difference to anybody how many others had their turn before: the same
    changes with the same times and causes, the same states and timers."""
    expected = shown(case)
    assert without_positions(_each_at_last(case)) == without_positions(expected)


@given(case=switching_cases(), crashes=st.dictionaries(st.integers(2, 14), st.sampled_from(["before", "after"]), min_size=1))
@effort(0.3)
def test_how_the_log_is_cut_changes_nothing_while_customers_come_under_new_definitions(case: Case, crashes: dict[int, str]) -> None:
    """Who has their turn at which record is a function of the log, also where the owner dies in between: one at each record, and as time
    passes."""
    slowly = patch.multiple(walk_pace, FIRST=1, A_SECOND=1, RECORDS_EACH=2)
    for pace in (at_each_record(1), slowly):
        with pace:
            expected = shown(case)
            for way in WAYS:
                assert shown(case, **way) == expected, way
            assert shown(case, batch=2, limits=NARROW, store=CrashingStore({1: "after", **crashes})) == expected


@given(case=switching_cases())
@effort(0.6)
def test_what_new_definitions_do_not_concern_need_not_be_found_out_anew(case: Case) -> None:
    """A customer keeps what holds of segments and memories that are the same under both: the same as if all of it were judged once more.
    Without lanes too, which find out who is in what is new."""
    case = _under_one_clock(case)
    for has_lanes in (True, False):
        expected = shown(case, has_lanes=has_lanes)
        with patch.object(plan_change, "changed_segments", lambda *_: None):
            assert shown(case, has_lanes=has_lanes) == expected


def _under_one_clock(case: Case) -> Case:
    """The case, with definitions of one time zone: by another one everything is another question."""
    zone = {"zone": case.definitions["zone"]}
    bodies = [
        (at_ms, {**body, "definitions": {**body["definitions"], **zone}} if body.get("control") == "definitions" else body)
        for at_ms, body in bodies_of(case)
    ]
    return with_records(case, bodies)


def _each_at_last(case: Case) -> Shown:
    """What a case comes to when nobody has their turn but by what concerns them, and the others have it behind the last record."""
    store, arrival_ms = MemoryStore(), max(record.arrival_ms for record in case.records)
    with at_each_record(0):
        drive(case, store=store)
    with at_each_record(1):
        ticks = [(arrival_ms, {"control": "tick"})] * (1 + len(CUSTOMERS))
        return shown(with_records(case, [*bodies_of(case), *ticks]), store=store)


@given(case=cases(erases=False, switches=False), chosen=st.lists(st.tuples(st.integers(0, 13), st.integers(0, 13)), min_size=1, max_size=6))
@effort(0.3)
def test_what_is_sent_twice_counts_once(case: Case, chosen: list[tuple[int, int]]) -> None:
    """A copy of an event, at once or later, is known or too late; it says nothing and moves nothing."""
    bodies, now, past = bodies_of(case), 0, set[int]()
    for index, (arrival, body) in enumerate(bodies):
        now = max(now, arrival)
        if body.get("timestamp", now + 1) <= now:  # one from the future may be refused first and accepted later
            past.add(index)
    copies = sorted(((first + later) % len(bodies), first) for first, later in chosen if first in past and first + later < len(bodies))
    longer = list(bodies)
    for after, first in reversed(copies):
        longer.insert(after + 1, (bodies[after][0], bodies[first][1]))
    plain, _ = drive(case)
    doubled, _ = drive(with_records(case, longer))
    assert [_without_position(each) for each in changes_by(doubled)] == [_without_position(each) for each in changes_by(plain)]
    assert _without_seen(doubled.store) == _without_seen(plain.store)


def _without_position(change: Any) -> tuple[Any, ...]:
    return astuple(change)[:-2]


def _without_seen(store: MemoryStore) -> dict[str, Any]:
    states = {customer: decode_state(blob) for customer, blob in asyncio.run(look(store)).states.items()}
    return {customer: (state.slots, state.members, state.truth_bits) for customer, state in states.items()}


@given(pair=same_time_cases())
@effort(0.5)
def test_the_order_in_which_events_arrive_does_not_matter_in_the_end(pair: tuple[Case, Case]) -> None:
    """Late events count where they belong, so who is in a segment of the present depends on what happened and not on its arrival."""
    (one, first), (two, second) = (drive(case) for case in pair)
    counts = first.body.counts
    assert counts == second.body.counts
    assert counts.get("accepted", 0) + counts.get("placeholder_id", 0) == len(pair[0].records) - 1, "none of them is late or early"
    assert memberships_of(one, first) == memberships_of(two, second)


SHARDS = 4
CROWD = tuple(f"{name}{number}" for name in CUSTOMERS for number in range(4))


def _split(case: Case, draws: random.Random) -> list[list[LogRecord]]:
    """The log of each of four shards: events by their customer (many more than the case's), control records in all."""
    logs: list[list[LogRecord]] = [[] for _ in range(SHARDS)]
    for record in log_of(case):
        if record.control:
            homes = range(SHARDS)
        else:
            event = json.loads(record.value)
            event["userId"] = draws.choice(CROWD)
            record = record._replace(value=json.dumps(event).encode())  # noqa: PLW2901
            homes = (shard_of(event["userId"], SHARDS),)
        for home in homes:
            logs[home].append(record._replace(offset=len(logs[home])))
    return logs


@given(case=cases(records_max=20, end_ms=86_400_000), seed=st.integers(0, 2**32))
@effort(0.3)
def test_how_many_workers_share_the_shards_changes_nothing(case: Case, seed: int) -> None:
    """One, two or eight workers in any interleaving, and shards that change hands, come to the same."""
    logs = _split(case, random.Random(seed))
    rules = Rules(shards=SHARDS, lateness_ms=case.lateness_ms, skew_ms=case.skew_ms)
    found = [asyncio.run(_share(logs, rules, workers, random.Random(seed + workers))) for workers in (1, 2, 8)]
    assert found[0] == found[1] == found[2]


async def _share(logs: Sequence[Sequence[LogRecord]], rules: Rules, workers: int, draws: random.Random) -> list[Any]:
    store = MemoryStore()
    plans = [Plans(store, rules) for _ in range(workers)]
    owned: dict[int, Shard] = {}
    todo = set(range(SHARDS))
    while todo:
        number = draws.choice(sorted(todo))
        if number not in owned or draws.random() < 0.2:
            owned[number] = await Shard.acquire(number, store, draws.choice(plans), rules, limits=NARROW, pause=never)
        shard = owned[number]
        await shard.process(logs[number][shard.position.offset :][: draws.randint(1, 5)])
        if shard.position.offset == len(logs[number]):
            todo.discard(number)
    return [await look(store, number) for number in range(SHARDS)]


DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def events_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few hundred events of people who look, add and buy, late and twice."""
    draws = random.Random(7)
    lines: list[str] = []
    for number in range(400):
        at = 1_772_625_600_000 + number * 61_000
        event = {
            "type": "track",
            "event": draws.choice(["Product Viewed", "Product Added", "Order Completed", "Cart Viewed"]),
            "messageId": f"m{draws.randrange(380)}",
            "userId": f"u{draws.randrange(40)}",
            "timestamp": at - draws.choice([0, 0, 60_000, 3_600_000]),
            "properties": {"product_id": f"p{draws.randrange(9)}", "price": draws.randrange(1, 90), "category": draws.choice("abc")},
        }
        lines.append(json.dumps(event))
    path = tmp_path_factory.mktemp("events") / "events.ndjson"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_order_of_pythons_sets_is_nowhere_in_the_story(events_file: Path, tmp_path: Path) -> None:
    """The same bytes under another hash seed: nothing that is said hangs on the order of a set or on ``hash()``."""
    said = [_replayed(events_file, tmp_path / f"changes{seed}.ndjson", seed) for seed in ("0", "1")]
    assert said[0] == said[1]
    assert said[0].count(b"segment.entered") > 10


def _replayed(events_file: Path, changes: Path, seed: str) -> bytes:
    command = [sys.executable, "-m", "streamer", "replay", str(events_file), "--until", "30d", "--changes", str(changes), "--members"]
    run = subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True)
    return changes.read_bytes() + run.stdout.replace(str(changes).encode(), b"CHANGES")
