"""A customer's time line has the events themselves, with what each brought about, and says how far it looked."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import pytest

from streamer.customers import offsets
from streamer.customers.state import State
from streamer.errors import UnansweredError
from streamer.flow.checkpoint import CheckpointBody
from streamer.flow.committed import CommittedCustomer, ShardView
from streamer.language.definitions import parse_definitions
from streamer.page import customer_events
from streamer.page.customer_events import CustomerEvents, EventLine
from streamer.stores.base import Position
from streamer.wire import shard_of
from tests.unit.flow.persons import MINUTE_MS, Persons, segments
from tests.unit.server.desk import SHARDS

from .desk import PageDesk, RecordsOfShop, looking
from .test_hostile_texts import SCRIPTS, check_harmless

RULES: Final = parse_definitions(
    {
        "segments": {"seen": {"for": "x", "when": 'did("A")'}, "idle": {"for": "x", "when": 'idle("*") >= "30m"'}},
        "messages": {
            "word": {"for": "x", "on": 'entered("seen")', "channel": "console", "kind": "transactional", "require": 'did("A")'},
        },
    }
)


def records_of(desk: PageDesk) -> RecordsOfShop:
    """Where the page reads events."""
    found = desk.page.sources.events.records
    assert isinstance(found, RecordsOfShop)
    return found


async def test_an_event_stands_in_the_line_with_what_it_brought_about() -> None:
    """The change beneath it, the message with a link to the change that began it, and what time brought about by itself."""
    async with looking(RULES) as desk:
        desk.shop.write("A", userId="ada", properties={"price": 12.5, "note": SCRIPTS[0]})
        await desk.settle()
        desk.shop.wait(31 * MINUTE_MS)
        desk.shop.write("B", userId="ada")
        await desk.settle()
        found = await desk.look("/customers/ada")
        check_harmless(found.html)
        line = found.text.partition("Time line")[2]
        b, idle, word, a = (line.index(text) for text in (" B → left idle", "entered idle", "send word", " A → entered seen"))
        assert b < idle < word < a, "the newest first"
        assert '"price": 12.5' in line
        assert "&lt;img src=x onerror=alert(1)&gt;" in found.html
        [anchor] = [part.partition('"')[0] for part in found.html.split('<a href="#c-')[1:]]
        assert f'id="c-{anchor}"' in found.html, "the message leads to the change that began it"


async def test_events_are_found_by_the_notes_in_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few records are read, not the shard; and none again before the state says that there are more."""
    monkeypatch.setattr(customer_events, "SHOWN", 2)
    shop = Persons(segments(seen='did("A")'), SHARDS)
    for name in "ABC":
        shop.write(name, userId="ada")
        shop.write(name, userId="bob")
    shard, records = shard_of("ada", SHARDS), RecordsOfShop(shop)
    places = [place for place, record in enumerate(shop.log.fetch(shard, 0, 100)) if record.key == b"ada"]
    state = noting(*places)
    found, events = committed(shard), CustomerEvents(records)
    line = await seen(events, found, state)
    assert ([one.event.event for one in line.events], line.all) == (["C", "B"], 3)
    await seen(events, found, state)
    assert records.asked == [("at", 2)]
    offsets.follow(state, places[-1] + 50, 0)
    await seen(events, found, state)
    assert records.asked == [("at", 2)] * 2


async def test_without_notes_the_end_of_the_shard_is_looked_through_and_that_is_said() -> None:
    """Where somebody has more records than are noted, or notes are off."""
    async with looking(RULES) as desk:
        desk.shop.write("A", userId="ada")
        desk.shop.write("A", userId="bob", properties={"said": "ada"})
        raw = {"event": "S", "messageId": "s", "timestamp": desk.shop.now_ms, "userId": "ada"}
        desk.shop.log.append("events", shard_of("ada", SHARDS), json.dumps(raw).replace('"ada"', '"\\u0061da"').encode())
        await desk.settle()
        found = await desk.look("/customers/ada")
        assert "Events among the newest 20,000 records of their shard; older ones are not looked for." in found.text
        assert found.html.count('<li class="event">') == 2
        assert records_of(desk).asked == [("newest", 20_000)]
        await desk.look("/customers/ada")
        assert len(records_of(desk).asked) == 1, "not for each who looks"


async def test_a_log_that_does_not_answer_costs_nothing_but_the_events() -> None:
    """Who looks sees everything else, and is told."""
    async with looking(RULES) as desk:
        records_of(desk).error = UnansweredError("Kafka did not do its part (TimeoutError)")
        desk.shop.write("A", userId="ada")
        await desk.settle()
        found = await desk.look("/customers/ada")
        assert found.status == 200
        assert "Events cannot be read at the moment." in found.text
        assert "entered seen" in found.text


async def test_damaged_notes_are_said_to_be_unread() -> None:
    """They are no reason for a page that ends in an error."""
    events = CustomerEvents(RecordsOfShop(Persons(segments(seen='did("A")'), SHARDS)))
    line = await seen(events, committed(0), State(1, newest_offset=3, offset_gaps=b"\xff"))
    assert not line.is_answered


async def test_whoever_looks_does_not_wait_for_a_slow_log() -> None:
    """The page is there at once; its live part has the events later."""

    class Slow(RecordsOfShop):
        async def at(self, shard: int, offsets: Any) -> Any:
            await asyncio.sleep(3_600)

    events = CustomerEvents(Slow(Persons(segments(seen='did("A")'), SHARDS)))
    assert await events.of(committed(0), noting(3)) is None
    task = asyncio.create_task(events.run())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_only_the_last_customers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may look at all of them."""
    monkeypatch.setattr(customer_events, "CUSTOMERS_KEPT", 1)
    records = RecordsOfShop(Persons(segments(seen='did("A")'), SHARDS))
    events, state = CustomerEvents(records), noting(0)
    for name in ("ada", "bob", "ada"):
        await seen(events, committed(0, name), state)
    assert len(records.asked) == 3


def noting(*places: int) -> State:
    """A state whose records lie there."""
    state = State(1)
    offsets.begin(state, places[0], 0)
    for place in places[1:]:
        offsets.follow(state, place, 0)
    return state


def committed(shard: int, customer: str = "ada") -> CommittedCustomer:
    """A customer of whom nothing else is asked."""
    return CommittedCustomer(customer, (), ShardView(shard, Position(1, 0), CheckpointBody()))


async def seen(events: CustomerEvents, found: CommittedCustomer, state: State) -> EventLine:
    """The line once it was read."""
    line = await events.of(found, state)
    assert line is not None
    return line
