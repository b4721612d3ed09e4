"""A run of ticks costs what one tick costs, and says what each of them would have said."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.events.codec import encode
from streamer.events.event import Event
from streamer.flow.catalog import Plans
from streamer.flow.machine import Limits
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.flow.step import Step
from streamer.language.definitions import parse_definitions
from streamer.stores.base import Checkpoint
from streamer.stores.memory import MemoryStore
from streamer.wire import TICK, LogRecord, definitions_control
from tests.walk import customers_of

RULES = Rules(1)
T0 = 1_767_225_600_000
MINUTE_MS = 60_000
DEFINITIONS = parse_definitions("""
segments:
  quiet: {for: Nothing for a while., when: idle("*") >= "5m"}
  recent: {for: Viewed lately., when: 'did("Product Viewed", within="3m")'}
""")


def log_of(steps: list[tuple[str, int]]) -> list[LogRecord]:
    """Records of customers, or ticks where none is named, each so many seconds after the one before; a broker's clock may go back."""
    now = T0
    records = [LogRecord(0, now, definitions_control(DEFINITIONS.content(), DEFINITIONS.digest, 1), control=True)]
    for offset, (customer, seconds) in enumerate(steps, 1):
        now += seconds * 1_000
        event = Event(event="Product Viewed", message_id=f"m{offset}", user_id=customer, timestamp_ms=now)
        records.append(LogRecord(offset, now, encode(event) if customer else TICK, control=not customer))
    return records


async def told(records: list[LogRecord], batch: int, limits: Limits) -> tuple[Checkpoint, list[bytes | None]]:
    """The checkpoint, and the customers' states."""
    store = MemoryStore()
    shard = await Shard.acquire(0, store, Plans(store, RULES), RULES, limits=limits, pause=asyncio.sleep)
    for start in range(0, len(records), batch):
        await shard.process(records[start : start + batch])
    customers = await customers_of(store)
    return shard.checkpoint, (await store.fetch(0, customers, until_ms=0, limit=0)).states


@given(st.lists(st.tuples(st.sampled_from(["", "", "", "ada", "bo"]), st.integers(-90, 200)), max_size=40), st.sampled_from([1, 500]))
def test_what_is_said_does_not_depend_on_how_many_ticks_are_read_at_once(steps: list[tuple[str, int]], wakes: int) -> None:
    """A tick is passed over only where the record behind it lets the same time pass, and nothing is due before."""
    records = log_of(steps)
    one_by_one, states = asyncio.run(told(records, 1, Limits()))
    at_once, others = asyncio.run(told(records, 1_000, Limits(wakes=wakes)))
    assert (at_once.output_digest, at_once.body, others) == (one_by_one.output_digest, one_by_one.body, states)


def test_a_night_of_ticks_is_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the years of a quiet shard has a million, and a shard that is told anew reads them all."""
    applied: list[int] = []
    sound = Step.apply
    monkeypatch.setattr(Step, "apply", lambda step, record, *rest: (applied.append(record.offset), sound(step, record, *rest))[1])
    asyncio.run(told(log_of([("ada", 0), *[("", 30)] * 100]), 1_000, Limits()))
    assert applied == [1, 7, 11, 101], "the event, the tick at three minutes, the one at five, and the last"
