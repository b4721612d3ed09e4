"""What one event costs, counted in calls of Python functions and not in time, so that a loaded machine says the same."""

from __future__ import annotations

import asyncio
import json
import sys
from types import FrameType
from typing import Final

import pytest

from streamer.flow.catalog import Plans
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import parse_definitions
from streamer.stores.memory import MemoryStore
from streamer.units import MINUTE_MS
from streamer.wire import LogRecord, definitions_control

START_MS: Final = 1_767_225_600_000
RULES: Final = (
    'count("Product Viewed", within="7d") >= 3',
    'distinct("Product Viewed", "product_id", within="30d") >= 2',
    'top("Product Viewed", "category") == "shoes"',
    'since(last("*")) < "30m"',
)


async def calls_of_the_last_event(whens: list[str], events: int) -> int:
    """Python functions called to process the last of a customer's events, a view a minute, from the record to the commit."""
    parsed = parse_definitions({"segments": {f"s{at}": {"for": "x", "when": when} for at, when in enumerate(whens)}})
    values = [definitions_control(parsed.content(), parsed.digest, 1)]
    values += [_event(number) for number in range(1, events + 1)]
    records = [LogRecord(at, START_MS + at * MINUTE_MS, value, control=at == 0) for at, value in enumerate(values)]
    rules, store = Rules(shards=1), MemoryStore()
    shard = await Shard.acquire(0, store, Plans(store, rules), rules, pause=asyncio.sleep)
    await shard.process(records[:-1])
    calls = 0

    def count(_frame: FrameType, what: str, _argument: object) -> None:
        nonlocal calls
        calls += what == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        await shard.process(records[-1:])
    finally:
        sys.setprofile(before)
    assert shard.position.offset == len(records)
    assert shard.body.counts["accepted"] == events
    return calls


def _event(number: int) -> bytes:
    properties = {"product_id": f"p{number % 7}", "category": "shoes" if number % 3 else "hats"}
    at_ms = START_MS + number * MINUTE_MS
    return json.dumps(
        {"event": "Product Viewed", "messageId": f"m-{number}", "userId": "c-17", "timestamp": at_ms, "properties": properties}
    ).encode()


async def test_an_event_costs_the_same_beside_100_and_beside_10_000_segments_of_other_events() -> None:
    """A rule about something else is neither fed nor asked."""
    few, many = [await calls_of_the_last_event([*RULES, *[f'did("Other {at}")' for at in range(others)]], 20) for others in (100, 10_000)]
    assert 100 < few == many


@pytest.mark.parametrize(("few", "many"), [(20, 1_000), (2_000, 5_000)], ids=["within a day", "when old ids are forgotten"])
async def test_an_event_costs_the_same_after_few_and_after_many_events_of_the_customer(few: int, many: int) -> None:
    """A memory takes what is new; it does not go through what it holds."""
    short, long = [await calls_of_the_last_event(list(RULES), events) for events in (few, many)]
    assert 100 < short == long
