"""Where history and the log meet: it ends where the log of its shard begins, or a property says which of it the log has."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from streamer.errors import RefusedError
from streamer.flow.replay import Arrival
from streamer.imports.head import HistoryHead
from streamer.imports.importer import Importer
from streamer.imports.overlap import KNOWN, OVERLAP, read_overlap
from streamer.transports.memory import MemoryLog
from streamer.wire import COMPARED_HEADER, EVENTS, Headers
from tests.unit.flow.persons import HOUR_MS, START_MS

pytestmark = pytest.mark.fast

NAME: Final = "00000000000000aa"


def order(order_id: object, at_ms: int, name: str = "Order Completed") -> bytes:
    body: dict[str, Any] = {"event": name, "messageId": f"{name}{order_id}{at_ms}", "userId": "u", "timestamp": at_ms}
    return json.dumps(body if order_id is None else {**body, "properties": {"order_id": order_id}}).encode()


def begun_log() -> MemoryLog:
    """A log of one shard that began with a tick, something that is no event, and two orders an hour apart."""
    now = START_MS
    log = MemoryLog(1, lambda: now)
    log.send_tick(0)
    log.append(EVENTS, 0, b"{")
    log.append(EVENTS, 0, order(7, START_MS))
    now += HOUR_MS
    log.append(EVENTS, 0, order(8, START_MS))
    return log


class Kept:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.records: list[tuple[int, Arrival, Headers]] = []

    async def write(self, records: list[tuple[int, Arrival, Headers]]) -> None:
        self.records += records


async def imported(lines: list[bytes], dedupe: str = "") -> tuple[list[tuple[int, bool]], list[tuple[int, str]]]:
    """By their places in ``lines`` what is kept, and whether as compared; and what is left out, with the reason."""
    kept, left_out = Kept(), list[tuple[int, str]]()
    overlap = await read_overlap(begun_log(), 1, dedupe)

    def refuse(arrival: Arrival, error: RefusedError) -> None:
        left_out.append((arrival.line, error.reason))

    importer = Importer(NAME, {0: HistoryHead()}, kept, refuse, overlap)
    arrivals = [Arrival(at, json.loads(raw)["timestamp"], raw, "orders.ndjson", b"u") for at, raw in enumerate(lines)]
    await importer.write(arrivals)
    assert importer.written == len(kept.records)
    return [(one.line, any(name == COMPARED_HEADER for name, _ in headers)) for _, one, headers in kept.records], left_out


async def test_history_ends_where_the_log_of_its_shard_begins() -> None:
    """What happened at the arrival of its first event may be that event."""
    lines = [order(1, START_MS - 1), order(2, START_MS), order(3, START_MS + HOUR_MS)]
    assert await imported(lines) == ([(0, False)], [(1, OVERLAP), (2, OVERLAP)])


async def test_a_property_tells_what_the_log_has_and_that_one_counts() -> None:
    """Also of what happened before the log began, since an event may arrive a day late; what has no such property cannot be compared."""
    lines = [
        order(1, START_MS - 2),
        order(8, START_MS - 1),
        order(9, START_MS),
        order(7, START_MS + 1),
        order(7, START_MS + 2, "Order Refunded"),
        order(None, START_MS + 3),
    ]
    assert await imported(lines, "order_id") == ([(0, False), (2, True), (4, True)], [(1, KNOWN), (3, KNOWN), (5, OVERLAP)])


async def test_a_log_without_events_bounds_nothing() -> None:
    """Ticks and control records are no events of customers."""
    log = MemoryLog(1, lambda: START_MS)
    log.send_tick(0)
    overlap = await read_overlap(log, 1)
    assert not overlap.is_compared(Arrival(1, START_MS + HOUR_MS, order(1, START_MS + HOUR_MS)), 0)
