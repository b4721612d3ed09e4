"""Whoever was erased stays forgotten: stragglers do not bring them back, a restart does not either, and no mark is kept for longer."""

from __future__ import annotations

import json

from streamer.customers import erased
from streamer.errors import StoreUnavailableError
from streamer.flow.catalog import Plans
from streamer.flow.checkpoint import decode_body
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import parse_definitions
from streamer.stores.memory import MemoryStore
from streamer.wire import TICK, Control, LogRecord, definitions_control, encode_control
from tests.walk import customers_of

NOW_MS = 1_767_225_600_000
HOUR_MS = 3_600_000
RULES = Rules(shards=1, lateness_ms=24 * HOUR_MS)
DEFINITIONS = parse_definitions('segments: {seen: {for: x, when: did("*")}}')
ID = "mila-canary@example.com"


class Log:
    """A log of one shard that is told record by record, each time by a new owner."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self._offset = 0
        self._first = definitions_control(DEFINITIONS.content(), DEFINITIONS.digest, 1)

    async def tell(self, at_ms: int, raw: bytes, *, control: bool = False) -> dict[str, int]:
        """One more record; the counts after it."""
        shard = await Shard.acquire(0, self.store, Plans(self.store, RULES), RULES, pause=_never)
        if not self._offset:
            await shard.process([LogRecord(0, NOW_MS, self._first, control=True)])
        self._offset += 1
        await shard.process([LogRecord(self._offset, at_ms, raw, control=control)])
        return {name: number for name, number in shard.body.counts.items() if name != "definitions"}

    async def event(self, at_ms: int, timestamp_ms: int, number: int) -> dict[str, int]:
        """An event of the customer."""
        raw = {"event": "Product Viewed", "messageId": f"m-{number}", "userId": ID, "timestamp": timestamp_ms}
        return await self.tell(at_ms, json.dumps(raw).encode())

    async def erase(self, at_ms: int) -> dict[str, int]:
        """Their erasure."""
        return await self.tell(at_ms, encode_control(Control("erase", customer=ID)), control=True)

    async def kept(self) -> bytes:
        """The body of the checkpoint, and all states."""
        checkpoint = await self.store.checkpoint(0)
        customers = await customers_of(self.store)
        return checkpoint.body + b"".join(name.encode() for name in customers)


async def _never(_seconds: float) -> None:
    raise StoreUnavailableError("this store does not come and go")


async def test_a_straggler_of_an_erased_customer_does_not_bring_them_back() -> None:
    """A phone that was offline sent its events an hour after the erasure, and the customer was there again."""
    log = Log()
    await log.event(NOW_MS, NOW_MS, 1)
    await log.erase(NOW_MS + HOUR_MS)
    assert await log.event(NOW_MS + 2 * HOUR_MS, NOW_MS + HOUR_MS, 2) == {"accepted": 1, "erased": 1, "of_erased": 1}
    assert await log.event(NOW_MS + 2 * HOUR_MS, NOW_MS, 1) == {"accepted": 1, "erased": 1, "of_erased": 2}, "a repetition, too"
    assert await customers_of(log.store) == []
    assert ID.encode() not in await log.kept()


async def test_what_they_do_after_the_erasure_is_somebody_new() -> None:
    """They may come back of their own will; what they did before stays away also then."""
    log = Log()
    await log.erase(NOW_MS)
    assert (await log.event(NOW_MS + HOUR_MS, NOW_MS + 1, 1))["accepted"] == 1
    assert (await log.event(NOW_MS + HOUR_MS, NOW_MS - 1, 2))["of_erased"] == 1
    assert await customers_of(log.store) == [ID]


async def test_a_mark_lasts_as_long_as_a_straggler_may_come_and_no_longer() -> None:
    """Afterwards they are late; a list of all who ever left would be what they asked us not to keep."""
    log = Log()
    await log.erase(NOW_MS)
    assert "late" not in await log.event(NOW_MS + RULES.lateness_ms - 1, NOW_MS, 1)
    assert (await log.event(NOW_MS + RULES.lateness_ms, NOW_MS, 2))["late"] == 1
    await log.tell(NOW_MS + 2 * RULES.lateness_ms - 1, TICK, control=True)
    assert decode_body((await log.store.checkpoint(0)).body).erased
    await log.tell(NOW_MS + 2 * RULES.lateness_ms, TICK, control=True)
    assert not decode_body((await log.store.checkpoint(0)).body).erased


def test_more_erasures_than_marks_forget_the_oldest() -> None:
    """The marks are part of every commit, so they are bounded; an erasure that is repeated counts as new."""
    marks: erased.Marks = {}
    for number in range(erased.MARKS_MAX):
        erased.mark(marks, f"c-{number}", number)
    erased.mark(marks, "c-0", erased.MARKS_MAX)
    erased.mark(marks, "one more", erased.MARKS_MAX)
    assert len(marks) == erased.MARKS_MAX
    assert erased.was_erased(marks, "c-0", erased.MARKS_MAX)
    assert not erased.was_erased(marks, "c-1", 0)
    assert erased.was_erased(marks, "c-2", 2)
    assert not erased.was_erased(marks, "c-2", 3)
