"""Whose time counts: log time is the broker's, and a producer's clock moves it only where producers are trusted."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from streamer.events.codec import encode
from streamer.events.event import Event
from streamer.flow.catalog import Plans
from streamer.flow.checkpoint import CheckpointBody
from streamer.flow.machine import Limits
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.stores.memory import MemoryStore
from streamer.transports.memory import CONTROL, MemoryLog
from streamer.wire import EVENTS, TICK

T0: Final = 1_790_000_000_000
DAY_MS: Final = 86_400_000


async def told(log: MemoryLog, rules: Rules, *, records: int = 1_000) -> CheckpointBody:
    """The body of the first shard of a log after all of it, committed by so many records."""
    store = MemoryStore()
    shard = await Shard.acquire(0, store, Plans(store, rules), rules, limits=Limits(records=records), pause=asyncio.sleep)
    await shard.process(log.fetch(0, 0, 1_000))
    return shard.body


def a_wild_clock() -> MemoryLog:
    """A record of the broker's time, one whose producer is three days ahead, and an event of now."""
    log = MemoryLog(1, lambda: T0)
    log.append(EVENTS, 0, TICK, headers=CONTROL)
    log.append(EVENTS, 0, _view("wild", T0), producer_ms=T0 + 3 * DAY_MS)
    log.append(EVENTS, 0, _view("right", T0))
    return log


def _view(customer: str, at_ms: int) -> bytes:
    return encode(Event(event="Product Viewed", message_id=customer, user_id=customer, timestamp_ms=at_ms))


@pytest.mark.parametrize("records", [1, 2, 1_000])
async def test_a_record_with_its_producers_time_moves_none(records: int) -> None:
    """Else one wrong clock makes everybody's events late for as long as it is ahead."""
    body = await told(a_wild_clock(), Rules(shards=1), records=records)
    assert (body.log_time_ms, body.counts) == (T0, {"accepted": 2})


@pytest.mark.parametrize("records", [1, 2, 1_000])
async def test_where_producers_are_trusted_their_time_counts(records: int) -> None:
    """As the setting says: it is the only time that a topic with CreateTime has."""
    body = await told(a_wild_clock(), Rules(shards=1, trust_producer_time=True), records=records)
    assert (body.log_time_ms, body.counts) == (T0 + 3 * DAY_MS, {"late": 2})
