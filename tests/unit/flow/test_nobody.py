"""Ids that name nobody, on their way through a shard."""

from __future__ import annotations

from streamer.events.dead_letter import read_dead_letter
from streamer.flow.catalog import Plans
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.stores.memory import MemoryStore
from streamer.wire import DEAD_LETTERS, LogRecord
from tests.walk import customers_of

NOW_MS = 1_767_225_600_000


async def test_a_shard_takes_placeholders_away_before_an_event_has_a_customer() -> None:
    """Else one customer is made of everybody whose id a program did not know; what the list has is a rule of the story."""
    ids = ['"userId": "undefined"', '"userId": "null", "anonymousId": "a-9"', '"userId": "nobody"', '"userId": "c-1"']
    raws = [f'{{"event": "A", "messageId": "m{at}", "timestamp": {NOW_MS}, {who}}}'.encode() for at, who in enumerate(ids)]
    store, rules = MemoryStore(), Rules(shards=1, placeholder_ids=("nobody", "null", "undefined"))
    shard = await Shard.acquire(0, store, Plans(store, rules), rules, pause=_never)
    entries = await shard.process([LogRecord(at, NOW_MS, raw) for at, raw in enumerate(raws)])
    said = [one for _, entry in entries for one in entry]
    assert [one.topic for one in said] == [DEAD_LETTERS, DEAD_LETTERS], "and nobody is linked to a placeholder"
    assert [read_dead_letter(one.value).reason for one in said] == ["placeholder_id", "placeholder_id"]
    assert sorted(await customers_of(store)) == ["a-9", "c-1"]


async def _never(_seconds: float) -> None:
    raise AssertionError("a store in memory does not come and go")
