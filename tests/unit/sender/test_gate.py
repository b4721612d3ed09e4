"""The last look: what it lets through, what it stops, and when it says that nobody can tell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from streamer.customers.state import decode_state
from streamer.customers.tombstone import Tombstone, encode_tombstone
from streamer.errors import StoreError
from streamer.flow.catalog import Plans
from streamer.flow.replay import Replay
from streamer.flow.rules import Rules
from streamer.sender.decision import SendDecision, read_decision
from streamer.sender.gate import StoreGate
from streamer.sender.judging import MessageJudge
from streamer.stores.base import Committed
from streamer.stores.memory import MemoryStore
from streamer.wire import MESSAGES, TICK, LogRecord, definitions_control
from tests.unit.messages.desk import arrivals, definitions, event

THANKS = '  thanks: {for: x, on: entered("buyer"), channel: console, topic: offers}'  # a buyer is one for an hour
AN_HOUR_LATER = [event("01T11:30", "Product Viewed")]


class Shelf(MemoryStore):
    """A store that can be away, and has what is ``instead`` under single ids."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.instead: dict[str, bytes] = {}

    async def committed(self, shard: int, customers: Sequence[str]) -> Committed:
        if self.error is not None:
            raise self.error
        found = await super().committed(shard, customers)
        return Committed(found.checkpoint, [self.instead.get(one, state) for one, state in zip(customers, found.states, strict=True)])


class Tail:
    """Where the log ends, and from where on it has nothing but marks. ``meanwhile`` happens at the first look behind what is committed."""

    def __init__(self, end: int) -> None:
        self.end_at = end
        self.marks_from: int | None = None
        self.error: Exception | None = None
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def end(self, shard: int) -> int:
        assert shard == 0
        if self.error is not None:
            raise self.error
        return self.end_at

    async def behind_last(self, shard: int, begin: int, end: int) -> int:
        assert (shard, end) == (0, self.end_at)
        if self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            await happens()
        return end if self.marks_from is None else max(begin, self.marks_from)


class Look:
    """A shard in which Ada bought and is to be thanked, and a gate before the thanks."""

    def __init__(self, store: Shelf, run: Replay, decision: SendDecision, committed: int) -> None:
        rules = Rules(shards=1)
        self.store, self.run, self.decision = store, run, decision
        self.committed = committed
        self.tail = Tail(committed)
        self.gate = StoreGate(store, Plans(store, rules), self.tail, MessageJudge())

    @classmethod
    async def make(cls) -> Look:
        store = Shelf()
        run = await Replay.begin(definitions(THANKS), store, Rules(shards=1), batch=10)
        said = [one.output async for one in run.feed(arrivals([event("01T10:00", "Order Completed")]), batch=10)]
        [decision] = [read_decision(one.value) for one in said if one.topic == MESSAGES]
        assert decision is not None
        return cls(store, run, decision, (await store.checkpoint(0)).position.offset)

    async def happens(self, events: Sequence[dict[str, Any]]) -> None:
        """The shard commits these."""
        async for _ in self.run.feed(arrivals(events), batch=10):
            pass

    async def __call__(self, decision: SendDecision | None = None) -> str | None:
        [verdict] = await self.gate.look(0, [decision or self.decision])
        return verdict


@pytest.fixture
async def look(monkeypatch: pytest.MonkeyPatch) -> Look:
    """With a wait that a test can afford."""
    monkeypatch.setattr("streamer.sender.gate.WAIT_SECONDS", 0.03)
    monkeypatch.setattr("streamer.sender.gate.POLL_SECONDS", 0.005)
    return await Look.make()


async def test_what_is_still_right_may_leave(look: Look) -> None:
    """The plain case."""
    assert await look() == ""
    assert look.gate.problem == ""


async def test_what_was_in_the_log_when_it_was_asked_is_waited_for(look: Look) -> None:
    """The shard is behind: a record that contradicts the message lies in the log, and is committed while the gate waits."""
    look.tail.end_at = look.committed + 1
    look.tail.meanwhile = lambda: look.happens(AN_HOUR_LATER)
    assert await look() == "stay", "nobody who is no buyer any more is thanked for buying"
    assert look.tail.meanwhile is None, "the gate had to wait"


async def test_nobody_can_tell_of_whoever_is_still_to_come_under_new_definitions(look: Look) -> None:
    """By the old ones it is not to be judged any more, and their state cannot be read by the new ones."""
    shard = look.run._shard  # pyright: ignore[reportPrivateUsage]
    shard.walk_customers = lambda: 0
    after = definitions(THANKS + "\n" + THANKS.replace("thanks", "more_thanks"))
    switches = definitions_control(after.content(), after.digest, 2)
    at_ms = shard.body.log_time_ms
    await shard.process([LogRecord(shard.position.offset, at_ms, switches, control=True)])
    look.tail.end_at = shard.position.offset
    assert shard.is_switching
    assert await look() is None
    shard.walk_customers = lambda: inf
    await shard.process([LogRecord(shard.position.offset, at_ms, TICK, control=True)])
    look.tail.end_at = shard.position.offset
    assert await look() == "", "and a moment later it may leave"


async def test_of_a_shard_that_stays_behind_nobody_can_tell(look: Look) -> None:
    """The messages wait; and it is said once, not at each try."""
    look.tail.end_at = look.committed + 1
    with capture_logs() as said:
        assert (await look(), await look()) == (None, None)
    assert look.gate.problem == "shard 0 has not committed all of its log"
    assert len(said) == 1
    look.tail.end_at = look.committed
    assert await look() == ""
    assert look.gate.problem == ""


async def test_marks_of_transactions_at_the_end_hold_nothing_up(look: Look) -> None:
    """They have offsets and are no records, so a shard never commits them."""
    look.tail.end_at, look.tail.marks_from = look.committed + 3, look.committed
    assert await look() == ""


@pytest.mark.parametrize("error", [StoreError("away"), TimeoutError(), OSError()])
async def test_without_a_store_nobody_can_tell(look: Look, error: Exception) -> None:
    """A message that waits is no harm; one that leaves unseen may be."""
    look.store.error = error
    assert await look() is None
    assert look.gate.problem == type(error).__name__
    look.store.error = None
    assert await look() == ""


async def test_without_the_end_of_the_log_nobody_can_tell(look: Look) -> None:
    """What is committed alone does not say whether it is all."""
    look.tail.error = TimeoutError()
    assert await look() is None


async def test_who_was_erased_or_goes_by_another_id_gets_nothing(look: Look) -> None:
    """Of the first nothing is known, and the second is decided for under the other id."""
    assert await look(msgspec.structs.replace(look.decision, subject="nobody")) == "erased"
    look.store.instead["old"] = encode_tombstone(Tombstone("ada"))
    assert await look(msgspec.structs.replace(look.decision, subject="old")) == "merged"


async def test_another_stay_or_a_message_that_is_no_more_is_stopped(look: Look) -> None:
    """In, out and in again is another decision; and what was taken out of the definitions is sent to nobody."""
    data = look.decision.data
    later = msgspec.structs.replace(data, trigger=msgspec.structs.replace(data.trigger, sequence=data.trigger.sequence + 2))
    assert await look(msgspec.structs.replace(look.decision, data=later)) == "stay"
    gone = msgspec.structs.replace(data, message="welcome")
    assert await look(msgspec.structs.replace(look.decision, data=gone)) == "withdrawn"


async def test_each_of_several_gets_its_own_verdict(look: Look) -> None:
    """In the order in which they were asked."""
    nobody = msgspec.structs.replace(look.decision, subject="nobody")
    assert await look.gate.look(0, [nobody, look.decision, nobody]) == ["erased", "", "erased"]


@pytest.mark.parametrize("paused", [["thanks"], ["*"]])
async def test_what_is_paused_waits(look: Look, paused: list[str]) -> None:
    """It is neither sent nor given up: None, as for whatever cannot be told now."""
    blob = (await look.store.fetch(0, ["ada"], until_ms=0, limit=0)).states[0]
    assert blob is not None
    body = look.run.body
    judge, state = MessageJudge(), decode_state(blob)
    assert judge(look.run.plan, body, state, look.decision) == ""
    assert judge(look.run.plan, msgspec.structs.replace(body, paused=paused), state, look.decision) is None
    assert judge(look.run.plan, msgspec.structs.replace(body, paused=["another"]), state, look.decision) == ""
