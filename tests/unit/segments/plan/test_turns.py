"""Timers are for moments at which time alone can change a membership; see ``segments.plan.turns``."""

from __future__ import annotations

import json
from typing import Final

from streamer.customers.state import NO_TIMER
from streamer.flow.catalog import Plans
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import parse_definitions
from streamer.segments.change import decode_change
from streamer.stores.memory import MemoryStore
from streamer.units import HOUR_MS, MINUTE_MS
from streamer.wire import TICK, LogRecord, definitions_control

START_MS: Final = 1_767_225_600_000
COMPARES: Final = 'distinct("Product Viewed", "product_id", within="1h") >= 3 and distinct("Product Viewed", "category", within="1h") == 1'
LEFT: Final = 'idle("*") >= "30m" and last("Product Added") > last("Order Completed")'

Event = tuple[int, str, dict[str, str]]  # minutes after the start, name, properties


async def told(when: str, events: list[Event], until_ms: int) -> tuple[list[tuple[int, str]], list[tuple[str, str]]]:
    """The timers after these events of one customer, and then all changes up to a moment: (type, time)."""
    parsed = parse_definitions({"segments": {"s": {"for": "x", "when": when}}})
    values = [(0, definitions_control(parsed.content(), parsed.digest, 1))]
    for number, (minute, name, properties) in enumerate(events):
        at_ms = START_MS + minute * MINUTE_MS
        event = {"event": name, "messageId": f"m-{number}", "userId": "c-17", "timestamp": at_ms, "properties": properties}
        values.append((minute, json.dumps(event).encode()))
    rules, store = Rules(shards=1), MemoryStore()
    shard = await Shard.acquire(0, store, Plans(store, rules), rules, pause=_never)
    records = [LogRecord(at, START_MS + minute * MINUTE_MS, value, control=at == 0) for at, (minute, value) in enumerate(values)]
    outputs = [output for _, found in await shard.process(records) for output in found]
    timers = (await store.fetch(0, [], until_ms=NO_TIMER, limit=10)).due
    end = LogRecord(len(records), until_ms, TICK, control=True)
    outputs += [output for _, found in await shard.process([end]) for output in found]
    changes = [decode_change(output.value) for output in outputs]
    return list(timers), [(change.type, change.time) for change in changes]


async def test_what_takes_a_customer_who_is_outside_further_out_sets_no_timer() -> None:
    """One view is of one category; after an hour it is of none, which lets nobody in."""
    viewed: list[Event] = [(0, "Product Viewed", {"product_id": "a", "category": "Hats"})]
    timers, changes = await told(COMPARES, viewed, START_MS + 3 * HOUR_MS)
    assert timers == []
    assert changes == []


async def test_a_number_that_time_lowers_to_the_one_asked_for_lets_a_customer_in() -> None:
    """``== 1`` becomes true when the second category is an hour old, while three products are not: the moment must not be missed."""
    viewed: list[Event] = [
        (0, "Product Viewed", {"product_id": "a", "category": "Hats"}),
        *[(5, "Product Viewed", {"product_id": product, "category": "Shoes"}) for product in "bcd"],
    ]
    _, changes = await told(COMPARES, viewed, START_MS + 3 * HOUR_MS)
    assert changes == [("segment.entered", "2026-01-01T01:00:00.000Z"), ("segment.exited", "2026-01-01T01:05:00.000Z")]


async def test_a_segment_that_only_an_event_can_open_sets_no_timer() -> None:
    """Nobody with an empty cart need be looked at half an hour after each event."""
    assert (await told(LEFT, [(0, "Product Viewed", {})], START_MS + HOUR_MS))[0] == []
    timers, changes = await told(LEFT, [(0, "Product Added", {})], START_MS + HOUR_MS)
    assert timers == [(START_MS + HOUR_MS // 2, "c-17")]
    assert changes == [("segment.entered", "2026-01-01T00:30:00.000Z")]


async def _never(_seconds: float) -> None:
    raise AssertionError("a store in memory is always there")
