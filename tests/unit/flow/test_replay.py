"""A file in which people log in: what two shards would send each other happens at once, between two lines."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from streamer.customers.ids import digest
from streamer.flow.lookup import KnownAs, look_up
from streamer.flow.replay import Arrival, Pending, Replay, ReplayOutput
from streamer.flow.rules import Rules
from streamer.language.definitions import Definitions
from streamer.segments.change import decode_change
from streamer.segments.merge import decode_merge, is_merge
from streamer.stores.memory import MemoryStore
from streamer.wire import CHANGES
from tests.unit.flow.persons import MINUTE_MS, START_MS, Persons, named, segments
from tests.unit.flow.test_identity import CART, COUNTS

BATCHES = (1, 2, 3, 1_000)


def lines(*events: dict[str, Any]) -> list[Arrival]:
    """Events a minute apart, one a line."""
    times = [START_MS + number * MINUTE_MS for number in range(len(events))]
    return [
        Arrival(number, at, json.dumps({"messageId": f"m{number}", "timestamp": at, **event}).encode(), "shop.ndjson")
        for number, (at, event) in enumerate(zip(times, events, strict=True), 1)
    ]


LOGIN: dict[str, Any] = {"type": "identify", "anonymousId": "an-1", "userId": "u-1"}
SHIRT: dict[str, Any] = {"event": "Product Added", "anonymousId": "an-1"}
ORDER: dict[str, Any] = {"event": "Order Completed", "anonymousId": "an-1", "userId": "u-1"}


async def replayed(definitions: Definitions, arrivals: list[Arrival], batch: int = 1_000) -> tuple[Replay, list[ReplayOutput]]:
    """The run, and what it said up to an hour after the last line."""
    run = await Replay.begin(definitions, MemoryStore(), Rules(shards=1), batch=batch)
    said = [item async for item in run.feed(arrivals, batch=batch)]
    said += [item async for item in run.until(run.body.log_time_ms + 60 * MINUTE_MS)]
    return run, said


@pytest.mark.parametrize("batch", BATCHES)
async def test_a_visitor_who_logs_in_and_buys_has_left_no_cart(batch: int) -> None:
    """The first thing that anybody tries on a file of their own: a reminder to somebody who has bought."""
    run, said = await replayed(CART, lines(SHIRT, LOGIN, ORDER), batch)
    merge, change = (item.output.value for item in said)
    assert (decode_merge(merge).data.from_, decode_merge(merge).subject) == ("an-1", "u-1")
    entered = decode_change(change)
    assert (entered.subject, entered.data.segment) == ("u-1", "bought_from_cart")
    assert [item.line for item in said] == [2, 3], "what a login brings about stands at its line"
    assert [name async for name, _ in run.states()] == ["u-1"], "what is left under the old id is no customer"


async def test_how_a_file_with_logins_is_cut_changes_nothing() -> None:
    """Records that the shard has sent are numbered where they come, in every batch."""
    many = [
        {**event, **{name: f"{event[name]}-{person}" for name in ("userId", "anonymousId") if name in event}}
        for person in range(5)
        for event in (SHIRT, SHIRT, LOGIN, SHIRT, ORDER)
    ]
    mixed = lines(*(many[number % 5 * 5 + number // 5] for number in range(25)))
    runs = [await replayed(COUNTS, mixed, batch) for batch in BATCHES]
    assert runs[0][0].body.identity["adopted"] == 5
    assert runs[0][0].body.counts["sent_on"] == 5, "a line of the old id after the login"
    for run, said in runs[1:]:
        assert run.output_digest == runs[0][0].output_digest
        assert [item for item in said if item.output.topic == CHANGES] == [item for item in runs[0][1] if item.output.topic == CHANGES]


@pytest.mark.parametrize("asked", ["an-1", "u-1"])
async def test_a_customer_is_found_by_any_id(asked: str) -> None:
    """Support asks by the id that is in the complaint."""
    run, _ = await replayed(COUNTS, lines(SHIRT, LOGIN, ORDER))
    found, state = await run.look_up(asked)
    assert (found.customer, found.passed) == ("u-1", ("an-1",) if asked == "an-1" else ())
    assert state is not None
    assert digest("m1").hex() in state.seen.hex(), "the visitor's past is in it"


async def test_a_customer_of_another_shard_is_found_by_an_old_id() -> None:
    """In a deployment the two ids rarely live in one shard."""
    shop = Persons(COUNTS)
    shop.stores = [MemoryStore()] * 2
    visitor, user = named("an", 0, 2), named("u", 1, 2)
    shop.write("A", anonymousId=visitor)
    shop.write("A", anonymousId=visitor, userId=user)
    await shop.settle()
    found = await look_up(shop.stores[0], visitor, 2)
    assert (found.customer, found.passed) == (user, (visitor,))
    assert found.state is not None
    assert await look_up(shop.stores[0], "nobody", 2) == KnownAs("nobody", None)


async def test_looking_up_ends_where_ids_point_at_each_other() -> None:
    """Between two commits crossing links may be a circle."""
    shop = Persons(COUNTS)
    shop.stores = [MemoryStore()] * 2
    one, two = named("u", 0, 2), named("w", 1, 2)
    for old, new in ((one, two), (two, one)):
        shop.alias(old, new)
    await shop.catch_up(0)
    await shop.catch_up(1)
    await shop.catch_up(0)  # from here on both are tombstones, and both pasts are under way
    found = await look_up(shop.stores[0], one, 2)
    assert (found.state, found.passed) == (None, (one, two))
    await shop.settle()
    assert {(await look_up(shop.stores[0], id_, 2)).customer for id_ in (one, two)} == {min(one, two)}


def test_what_was_sent_comes_before_the_next_line_in_the_order_of_sending() -> None:
    """Of each shard a reader drops what is not above the newest."""
    a, b, c, x, y, z = (Arrival(number, 0, b"") for number in range(6))
    pending = Pending([a, b, c])
    assert pending.next() == [a, b, c]
    pending.done(1, [x, y])
    assert pending.next() == [x], "what lies behind the one that had to stop was read in vain"
    pending.done(1, [z])
    order = list[Arrival]()
    while some := pending.next():
        order += some
        pending.done(len(some), [])
    assert order == [y, z, b, c]


def test_a_merge_is_no_change() -> None:
    """The two have their own types on one topic."""
    _, said = asyncio.run(replayed(segments(one='count("A") >= 1'), lines(SHIRT, LOGIN)))
    assert [is_merge(item.output.value) for item in said] == [True]
