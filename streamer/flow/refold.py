"""One customer folded anew from the log, where the store has something of theirs that is no state.

A second shard in memory is told the log up to where the first one stands, with everything of other customers taken out of it: what is left
of their records is that time passed. So it comes to the same state as the first one did, to the byte, and holds that of one customer. What
it says was said before and is dropped. Where it can still be read from what the store has where the customer's records lie, only those are
read (``folding``); else the whole log of the shard.

Meanwhile the shard waits, for as long as reading its log takes: to go on without the customer would tell another story.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from math import inf
from typing import Final

from streamer.customers.state import NO_TIMER, decode_state, salvaged
from streamer.customers.tombstone import is_tombstone
from streamer.errors import HaltError, UnreadableStateError
from streamer.stores.base import Position
from streamer.stores.buckets import place_of
from streamer.stores.memory import MemoryStore
from streamer.wire import FORWARD_HEADER, TICK, LogRecord

from .amendments import Amendment, Amendments
from .driver import Entry
from .folding import ONE_CUSTOMER, FoldError, FoldRecords, FoldUntil, Picker, Settled, ToldLog, fold
from .machine import Limits
from .same_log import View
from .shard import Shard
from .shard_log import Log

BATCH_RECORDS: Final = 1_000  # about 20 ms of work between two looks at the event loop
ALL_AT_ONCE: Final = Limits(records=BATCH_RECORDS, wakes=1_000_000)  # timers are those of one customer


async def refold(shard: Shard, customer: str, log: Log, picker: Picker | None = None) -> bool:
    """Put back the state of a customer as the log has it; ``shard`` goes on after that as if nothing had been. Returns whether no more than
    their own records was read, by ``picker``, and not the whole log.

    HaltError where the log does not have the whole story any more. Raises what the store and the log raise, and changes nothing then.
    """
    await shard.begin_anew()  # it may stand in the middle of what it failed at
    found = await _by_places(shard, customer, picker) if picker is not None and not (shard.position.step or shard.body.switch) else None
    if found is not None:
        await _put_back(shard, customer, found, shard.position.offset)
        return True
    store = MemoryStore()
    twin = await shard.beside(store, Obeyed(shard.shard, shard.amendments), ALL_AT_ONCE, _LogOfOne(shard, customer, log))
    twin.walk_customers = lambda: 0 if _is_not_passed(shard, twin, customer) else inf
    following = await _tell(twin, customer, shard.position, log, store)
    if shard.position.step:
        await twin.fire_below(following, await shard.first_timer())
    found = (await store.fetch(shard.shard, [customer], until_ms=0, limit=0)).states[0]
    if found is None:
        raise UnreadableStateError(shard.shard, customer, "and the log does not know them")
    await _put_back(shard, customer, found, following.offset)
    return False


async def _by_places(shard: Shard, customer: str, picker: Picker) -> bytes | None:
    """The state by where the customer's records lie; None where that is not known, or these do not tell it."""
    kept, controls = salvaged(await shard.stored(customer) or b""), shard.control_places()
    if not kept.is_kept or not controls:
        return None
    store = MemoryStore()
    log = ToldLog()
    twin = await shard.beside(store, Settled(shard.amendments), ONE_CUSTOMER, log, log.pause)
    until = FoldUntil(shard.position.offset, shard.body.log_time_ms)
    try:
        await fold(twin, store, customer, FoldRecords.of(kept, controls), until, picker, shard.amendments, log)
    except FoldError:
        return None
    return (await store.fetch(shard.shard, [customer], until_ms=0, limit=0)).states[0]


async def _put_back(shard: Shard, customer: str, found: bytes, offset: int) -> None:
    due_ms = NO_TIMER if is_tombstone(found) else decode_state(found).due_ms
    await shard.put_back(customer, found, due_ms if due_ms < NO_TIMER else None, offset)


class _LogOfOne:
    """The log with everything of other customers taken out of it: lanes of the twin read it so."""

    def __init__(self, shard: Shard, customer: str, log: Log) -> None:
        self._shard = shard
        self._customer = customer
        self._log = log

    async def look(self, shard: int, offset: int) -> View:
        """See ``Log``."""
        return await self._log.look(shard, offset)

    async def read(self, shard: int, offset: int, limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
        """See ``Log``."""
        async with aclosing(self._log.read(shard, offset, limit)) as batches:
            async for records in batches:
                yield [_without_others(self._shard, record, self._customer) for record in records]

    async def history(self, shard: int, begin: int, end: int, limit: int) -> Sequence[LogRecord]:
        """See ``Log``. Whoever brings history in writes the customer as its key."""
        own = self._customer.encode()
        records = await self._log.history(shard, begin, end, limit)
        return [record if record.key == own else record._replace(value=TICK, control=True) for record in records]


def _is_not_passed(shard: Shard, twin: Shard, customer: str) -> bool:
    """Whether the walk of a change of definitions that both are in has not come to the customer in the shard yet.

    Where it has, and in changes that are over, the twin has them done at once: as of when they are done is the same for all.
    """
    switch, own = shard.body.switch, twin.body.switch
    if switch is None or own is None or own.offset != switch.offset:
        return False
    return not shard.body.cursor or place_of(customer) > place_of(shard.body.cursor)


class Obeyed:
    """A journal that is obeyed and not written to: at what the shard did not fail at before, its twin must not be passed over."""

    def __init__(self, shard: int, amendments: Amendments) -> None:
        self.amendments = amendments
        self._shard = shard

    async def write(self, amendment: Amendment) -> None:
        """HaltError: the twin would come to another state than the shard did."""
        raise HaltError(
            f"shard {self._shard}: the state of a customer cannot be read, and folding it anew fails at offset {amendment.offset} "
            f"({amendment.detail}); `streamer shards rebuild {self._shard}` passes over what fails"
        )


async def _tell(twin: Shard, customer: str, upto: Position, log: Log, store: MemoryStore) -> LogRecord:
    """Tell the twin everything of ``customer`` below a position; return the record that follows."""

    async def forget(entry: Entry) -> None:
        await store.trim(twin.shard, upto=entry[0])

    await twin.resume_where_chosen()
    view = await log.look(twin.shard, -1)
    if view.begin > twin.position.offset:
        raise HaltError(
            f"shard {twin.shard}: the state of a customer cannot be read, and the log begins at offset {view.begin:,} by now, so that "
            f"it cannot be folded anew; restore a backup of the store, or `streamer shards rebuild {twin.shard}` begins with what is left"
        )
    async with aclosing(log.read(twin.shard, twin.position.offset, BATCH_RECORDS)) as batches:
        async for records in batches:
            left = [record for record in records if record.offset >= twin.position.offset]  # it may have gone on where a person chose
            below = [_without_others(twin, record, customer) for record in left if record.offset < upto.offset]
            if below:
                await twin.process(below, forget)
            if len(below) < len(left):
                return _without_others(twin, left[len(below)], customer)
            await asyncio.sleep(0)  # the heartbeats share the loop
    raise HaltError(f"the log of shard {twin.shard} ends before the position {upto.offset}; its tail was lost, or this is another cluster")


def _without_others(twin: Shard, record: LogRecord, customer: str) -> LogRecord:
    """The record, or what it means to a customer whom it is not of: that time passed. What other shards sent on stays whole, whoever it is
    of: how much of theirs was seen decides what is taken for a second delivery."""
    if record.control or any(name == FORWARD_HEADER for name, _ in record.headers) or twin.customer_of(record) == customer:
        return record
    return record._replace(value=TICK, control=True, key=b"", headers=())


__all__ = ["Log", "refold"]
