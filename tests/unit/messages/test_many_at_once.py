"""A great many decisions are due in one millisecond: they are said in slices, none twice, and others get their turn between any two."""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec
import pytest

from streamer.flow.catalog import Plans
from streamer.flow.driver import Entry
from streamer.flow.machine import Limits
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import Definitions, parse_definitions
from streamer.messages.decision import MessageDecision, decode_decision
from streamer.stores.base import Commit
from streamer.stores.memory import MemoryStore
from streamer.wire import LEDGER, MESSAGES, TICK, LogRecord, definitions_control
from tests.property.driving import never
from tests.unit.messages.desk import event, ms

CUSTOMERS = 2_400
NUMBERS = range(1, CUSTOMERS + 1)
DUE = ms("01T12:00")
SALE = """
segments: {member: {for: Has joined., when: 'did("Joined")'}}
topics: {offers: opt_out}
messages: {sale: {for: All two hours later., on: entered("member"), delay: 2h, channel: console, topic: offers}}
"""


class CountingStore(MemoryStore):
    """Knows how much each commit held, and gives others their turn, as a store over a network does."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.turns_at: list[int] = []
        self.turns = 0

    async def commit(self, shard: int, commit: Commit) -> None:
        await asyncio.sleep(0)
        await super().commit(shard, commit)
        self.sizes.append(len(commit.states))
        self.turns_at.append(self.turns)

    async def beat(self) -> None:
        """A heartbeat: it counts how often it is its turn."""
        while True:
            self.turns += 1
            await asyncio.sleep(0)


def log_of(definitions: Definitions) -> list[LogRecord]:
    """Everybody joins in one millisecond, two hours before noon; then it is noon."""
    first = LogRecord(0, ms("01T09:00"), definitions_control(definitions.content(), definitions.digest, 1), control=True)
    joined = [LogRecord(number, ms("01T10:00"), msgspec.json.encode(event("01T10:00", "Joined", user=f"c-{number}"))) for number in NUMBERS]
    return [first, *joined]


def decisions_in(entry: Entry) -> list[MessageDecision]:
    return [decode_decision(output.value) for output in entry[1] if output.topic == MESSAGES]


async def test_what_is_due_at_one_moment_is_committed_in_slices_and_handed_over_as_it_is_decided() -> None:
    """100,000 reminders at noon hold up nobody's heartbeat, and the first leaves before the last is decided."""
    store, rules, handed = CountingStore(), Rules(shards=1), list[int]()
    shard = await Shard.acquire(0, store, Plans(store, rules), rules, limits=Limits(), pause=never)
    records = log_of(parse_definitions(SALE))
    await shard.process(records)
    store.sizes.clear()
    found: list[MessageDecision] = []

    async def hand_over(entry: Entry) -> None:
        found.extend(decisions_in(entry))
        handed.append(len(found))
        assert {output.topic for output in entry[1]} == {MESSAGES, LEDGER}

    heart = asyncio.create_task(store.beat())
    began = store.turns_at[-1]
    await shard.process([LogRecord(len(records), DUE, TICK, control=True)], hand_over)
    heart.cancel()
    slices = store.turns_at[-len(store.sizes) :]
    assert max(store.sizes) <= Limits().wakes
    assert len(store.sizes) >= CUSTOMERS // Limits().wakes
    assert handed[0] <= Limits().wakes < CUSTOMERS == handed[-1]
    assert all(after > before for before, after in zip([began, *slices], slices, strict=False)), "each commit lets the others run"
    assert {(one.outcome, one.time) for one in found} == {("send", "2026-03-01T12:00:00.000Z")}
    assert set(Counter(one.data.key for one in found).values()) == {1}


@pytest.mark.parametrize("crash_after", [0, 1, 3])
async def test_whoever_takes_over_amid_them_decides_the_rest_and_nothing_twice(crash_after: int) -> None:
    """A worker dies at noon."""
    store, rules, found = CountingStore(), Rules(shards=1), list[MessageDecision]()
    records = log_of(parse_definitions(SALE))
    tick = LogRecord(len(records), DUE, TICK, control=True)
    shard = await Shard.acquire(0, store, Plans(store, rules), rules, limits=Limits(), pause=never)
    await shard.process(records)
    handed: list[int] = []

    async def die(entry: Entry) -> None:
        found.extend(decisions_in(entry))
        handed.append(len(found))
        if len(handed) > crash_after:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await shard.process([tick], die)
    assert len(found) < CUSTOMERS, "else nothing was left to decide"
    heir = await Shard.acquire(0, store, Plans(store, rules), rules, limits=Limits(), pause=never)
    for entry in await heir.process([tick]):
        found.extend(decisions_in(entry))
    assert len(found) == CUSTOMERS
    assert set(Counter(one.data.key for one in found).values()) == {1}


async def test_one_customer_to_whom_a_thousand_messages_are_due_is_one_slice_and_others_are_the_next() -> None:
    """What one customer does at one moment is never divided; a commit is bounded by bytes all the same."""
    one = {"for": "x", "on": 'entered("member")', "channel": "console", "kind": "transactional", "delay": "2h"}
    messages = {f"m{number:03d}": one for number in range(1_000)}
    rules = parse_definitions({"segments": {"member": {"for": "x", "when": 'did("Joined")'}}, "messages": messages})
    store, shards = CountingStore(), Rules(shards=1)
    shard = await Shard.acquire(0, store, Plans(store, shards), shards, limits=Limits(), pause=never)
    few = log_of(rules)[:5]
    await shard.process(few)
    store.sizes.clear()
    entries = await shard.process([LogRecord(len(few), DUE, TICK, control=True)])
    said = [decisions_in(entry) for entry in entries]
    assert sum(map(len, said)) == 4 * 1_000
    assert len(store.sizes) > 1, "not all of them are one commit"
    assert all(len({one.subject for one in slice_}) * 1_000 == len(slice_) for slice_ in said), "all of a customer's are together"
    assert [one.data.message for one in said[0][:1_000]] == sorted(messages)
