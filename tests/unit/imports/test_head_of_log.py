"""History at the head of a log: it counts when it happened, once, and nothing else may be there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any, Final

import pytest

import streamer
from streamer.errors import RefusedError, SettingsError
from streamer.flow.catalog import Plans
from streamer.flow.lane.lanes import OnTheSpot
from streamer.flow.replay import Arrival
from streamer.flow.shard import Shard
from streamer.imports.head import HistoryHead, head_of
from streamer.imports.importer import BEFORE, Importer
from streamer.imports.sifting import AFTER, Sifter
from streamer.segments.change import ENTERED, Change
from streamer.segments.merge import decode_change_or_merge
from streamer.stores.memory import MemoryStore
from streamer.values import time_text
from streamer.wire import ARRIVED_HEADER, CHANGES, EVENTS, Headers, arrival_of, arrived_text, shard_of
from tests.unit.flow.persons import DAY_MS, HOUR_MS, MINUTE_MS, START_MS, segments
from tests.unit.flow.persons import Persons as Shop

pytestmark = pytest.mark.fast

SHARDS: Final = 2
RULES: Final = segments(
    buyer='did("Order Completed")',
    regular='count("Order Completed", within="90d") >= 2',
    lost='did("Order Completed") and idle("*") >= "30d"',
)
FIRST: Final = "00000000000000aa"
SECOND: Final = "00000000000000bb"


def line(number: int, at_ms: int, **fields: Any) -> Arrival:
    """An event of a file."""
    body = {"event": "Order Completed", "messageId": f"h{number}", "userId": f"u{number % 5}", "timestamp": at_ms, **fields}
    return Arrival(number, START_MS, json.dumps(body).encode(), "orders.ndjson")


YEAR: Final = [line(number, START_MS - 300 * DAY_MS + number * 9 * DAY_MS) for number in range(30)]


class IntoShop:
    """Writes history into the log of a shop; ``breaks_after`` records it fails."""

    def __init__(self, shop: Shop, breaks_after: int | None = None) -> None:
        self.count = 0
        self._shop = shop
        self._breaks_after = breaks_after

    async def write(self, records: list[tuple[int, Arrival, Headers]]) -> None:
        for shard, event, headers in records:
            if self.count == self._breaks_after:
                raise ConnectionError
            self.count += 1
            self._shop.log.append(EVENTS, shard, event.value, key=event.key, headers=headers)


def new_shop() -> Shop:
    """A shop whose log has nothing at all."""
    shop = Shop(RULES, SHARDS)
    shop.log = type(shop.log)(SHARDS, lambda: shop.now_ms)
    return shop


def heads(shop: Shop) -> dict[int, HistoryHead]:
    """Where history stands."""
    return {shard: head_of(shard, shop.log.fetch(shard, 0, 999)) for shard in range(SHARDS)}


async def brought_in(shop: Shop, name: str, lines: Iterable[Arrival], breaks_after: int | None = None) -> tuple[Importer, list[str]]:
    """An import, and why events were left out."""
    why: list[str] = []

    def refuse(_: Arrival, error: RefusedError) -> None:
        why.append(error.reason)

    importer = Importer(name, heads(shop), IntoShop(shop, breaks_after), refuse)
    events = sorted(Sifter((), shop.now_ms, refuse).sift(lines), key=lambda event: event.arrival_ms)
    await importer.write(events)
    return importer, why


async def test_history_is_what_would_have_been_had_the_log_been_there() -> None:
    """The law: states equal, to the byte, those of a log into which the same events came when they happened."""
    late, early = new_shop(), new_shop()
    await brought_in(late, FIRST, YEAR)
    for event in YEAR:
        early.now_ms = json.loads(event.value)["timestamp"]
        customer = json.loads(event.value)["userId"]
        early.log.append(EVENTS, shard_of(customer, SHARDS), event.value, key=customer.encode())
    early.now_ms = late.now_ms = START_MS
    for shop in (late, early):
        shop.define(RULES, 1)
        shop.write("Order Completed", userId="u1")
        shop.wait(HOUR_MS)
        await shop.settle()
    assert late.now_ms == early.now_ms
    assert (await late.counts())["accepted"] == len(YEAR) + 1, "nothing of the past was late"
    for customer in (f"u{number}" for number in range(5)):
        found = await late.entry(customer)
        assert found is not None
        assert found == await early.entry(customer)
    assert late.said() == early.said()
    assert all(change.time >= "2026-01-01" for change in late.changes()), "nothing is said of the past"


async def test_the_first_publication_knows_history_as_if_it_had_always_been_there() -> None:
    """A shop starts with its orders of years: who is in which segment, and since when, is what a replay of the files says."""
    shop, told = new_shop(), list[Change]()
    await brought_in(shop, FIRST, YEAR)
    shop.define(RULES, 1)
    for number in range(SHARDS):
        store = MemoryStore()
        lanes = OnTheSpot(store, shop.log, shop.rules, pause=asyncio.sleep)
        shard = await Shard.acquire(number, store, Plans(store, shop.rules), shop.rules, lanes=lanes, pause=asyncio.sleep)
        said = await shard.process(shop.log.fetch(number, 0, 999))
        changes = [decode_change_or_merge(output.value) for _, outputs in said for output in outputs if output.topic == CHANGES]
        told += [change for change in changes if isinstance(change, Change)]
    inside: dict[tuple[str, str], int] = {}
    for change in streamer.replay([event.value for event in YEAR], RULES, until_ms=START_MS):
        inside[change.subject, change.data.segment] = change.data.sequence
    assert {(one.subject, one.data.segment): one.data.sequence for one in told} == {
        place: sequence for place, sequence in inside.items() if sequence % 2
    }
    assert {one.data.segment for one in told} == {"buyer", "regular", "lost"}
    assert {(one.data.cause.kind, one.type, one.time) for one in told} == {("definitions", ENTERED, time_text(START_MS))}
    assert not any(clause.warming for one in told for clause in one.data.because)


async def test_the_same_import_adds_nothing_and_goes_on_where_it_broke_off() -> None:
    """A machine that went to sleep in the middle: whoever does the same again has the same log as without the break."""
    whole, broken = new_shop(), new_shop()
    await brought_in(whole, FIRST, YEAR)
    with pytest.raises(ConnectionError):
        await brought_in(broken, FIRST, YEAR, breaks_after=11)
    again, _ = await brought_in(broken, FIRST, YEAR)
    assert (again.was_there, again.written) == (11, len(YEAR) - 11)
    once_more, _ = await brought_in(broken, FIRST, YEAR)
    assert (once_more.was_there, once_more.written) == (len(YEAR), 0)
    assert [broken.log.fetch(shard, 0, 99) for shard in range(SHARDS)] == [whole.log.fetch(shard, 0, 99) for shard in range(SHARDS)]


async def test_of_events_of_one_moment_those_that_are_there_are_told_by_their_ids() -> None:
    """A nightly export has thousands of rows of midnight."""
    midnight = [line(number, START_MS - DAY_MS, userId="ann") for number in range(6)]
    shop = new_shop()
    await brought_in(shop, FIRST, midnight[:3])
    again = Importer(FIRST, heads(shop), IntoShop(shop), lambda *_: None)
    await again.write(Sifter((), START_MS, lambda *_: None).sift(midnight))
    assert (again.was_there, again.written) == (3, 3)


async def test_another_import_goes_on_behind_the_first_and_says_what_lies_before_it() -> None:
    """An older file, brought in second, would be late without anybody knowing."""
    shop = new_shop()
    await brought_in(shop, FIRST, [line(1, START_MS - 20 * DAY_MS, userId="ann"), line(2, START_MS - 10 * DAY_MS, userId="ann")])
    more = [line(3, START_MS - 15 * DAY_MS, userId="ann"), line(4, START_MS - 5 * DAY_MS, userId="ann")]
    second, why = await brought_in(shop, SECOND, more)
    assert (second.written, second.was_there, why) == (1, 0, [BEFORE])


@pytest.mark.parametrize("first", ["event", "control", "tick"])
async def test_a_log_that_has_begun_takes_no_history(first: str) -> None:
    """Time has gone on there, so all of it would be late."""
    shop = new_shop()
    match first:
        case "event":
            shop.write("Order Completed", userId="ann")
        case "control":
            shop.define(RULES, 1)
        case _:
            shop.log.send_tick(0)
    with pytest.raises(SettingsError, match="the log has begun"):
        heads(shop)


async def test_who_writes_in_between_is_noticed() -> None:
    """A worker that was started too early: its tick says that it is today."""
    shop = new_shop()
    await brought_in(shop, FIRST, YEAR[:10])
    shop.log.send_tick(1)
    with pytest.raises(SettingsError, match="shard 1: the log has begun"):
        heads(shop)


def test_what_happens_after_history_is_left_out_and_what_is_no_event_too() -> None:
    """The import goes on."""
    why: list[tuple[int, str]] = []
    lines = [line(1, START_MS), line(2, START_MS - 1), line(3, START_MS - 2, userId=None), Arrival(4, 0, b"{", "orders.ndjson")]
    kept = list(Sifter((), START_MS, lambda arrival, error: why.append((arrival.line, error.reason))).sift(lines))
    assert [(one.line, one.arrival_ms, one.key) for one in kept] == [(2, START_MS - 1, b"u2")]
    assert why == [(1, AFTER), (3, why[1][1]), (4, why[2][1])]


@pytest.mark.parametrize(
    ("headers", "arrived"),
    [
        ((), START_MS),
        (((ARRIVED_HEADER, arrived_text(START_MS - DAY_MS, FIRST)),), START_MS - DAY_MS),
        (((ARRIVED_HEADER, arrived_text(START_MS + DAY_MS, FIRST)),), START_MS),
        (((ARRIVED_HEADER, b"yesterday"),), START_MS),
        ((("other", b"1"), (ARRIVED_HEADER, b"-5-00000000000000aa")), START_MS),
    ],
)
def test_the_header_moves_time_neither_way(headers: Headers, arrived: int) -> None:
    """Anybody who may write events may write it."""
    assert arrival_of(headers, START_MS) == arrived


async def test_a_header_in_a_log_that_has_begun_makes_an_event_late_and_nothing_else() -> None:
    """Log time is that of the record before it."""
    shop = Shop(RULES, 1)
    shop.write("Order Completed", userId="ann")
    shop.now_ms += MINUTE_MS
    old = line(1, START_MS - 9 * DAY_MS, userId="ann")
    shop.log.append(EVENTS, 0, old.value, key=b"ann", headers=((ARRIVED_HEADER, arrived_text(START_MS - 9 * DAY_MS, FIRST)),))
    await shop.settle()
    assert shop.reasons() == ["late"]
    assert (await shop.catch_up(0)).body.log_time_ms == START_MS
