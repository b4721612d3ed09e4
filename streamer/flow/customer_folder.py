"""Customers of a shard that others own, folded anew from their records beside its work: for the audit, and for the past of one customer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from streamer.customers.offsets import TOO_MANY, RecordOffsets, history_places, places
from streamer.signing import NO_KEYS, Keyring
from streamer.stores.base import Position, Store
from streamer.stores.documents import definitions_document
from streamer.stores.memory import MemoryStore
from streamer.wire import LogRecord, definitions_control

from .amendments import Amendments
from .catalog import Plans
from .checkpoint import CheckpointBody
from .folding import (
    ONE_CUSTOMER,
    FoldError,
    FoldRecords,
    FoldUntil,
    Picker,
    Settled,
    ToldLog,
    TooManyRecordsError,
    as_it_happened,
    fold,
    tell,
    told_history,
)
from .lane.lanes import OnTheSpot
from .rules import Rules
from .shard import Shard

AmendmentsOf = Callable[[int], Awaitable[Amendments]]
"""The amendments of a shard, read whole."""


class FoldedCustomer(NamedTuple):
    """What a customer's records come to: the state (None: nothing is known then), the shard in memory that has it, and what it was told, of
    its log and of its history."""

    state: bytes | None
    twin: Shard
    told: Sequence[LogRecord]
    history: Sequence[LogRecord]


class CustomerFolder:
    """Folds committed customers. Raises FoldError where their records do not tell it, and what the store and the log raise."""

    def __init__(self, store: Store, rules: Rules, plans: Plans, keyring: Keyring, picker: Picker, amendments: AmendmentsOf) -> None:
        self._store = store
        self._rules = rules
        self._plans = plans
        self._keyring = keyring
        self._picker = picker
        self._amendments = amendments

    async def fold(
        self,
        shard: int,
        customer: str,
        position: Position,
        body: CheckpointBody,
        offsets: RecordOffsets,
        at_ms: int | None = None,
        *,
        records_max: int | None = None,
    ) -> FoldedCustomer:
        """The customer as of a commit, in which their state had ``offsets``; or, before it, as of the log time ``at_ms``.

        TooManyRecordsError where more than ``records_max`` would have to be read.
        """
        if not offsets.is_kept:
            why = "are too many to be kept in the state" if offsets.newest == TOO_MANY else "were not noted from the first one on"
            raise FoldError(f"where the records of the customer lie is not known: they {why}")
        controls = await self._plans.control_offsets(body, shard)
        if not controls.is_kept:
            raise FoldError(f"where the records of shard {shard} lie that concern everybody was not noted from the first one on")
        try:
            records = FoldRecords.of(offsets, places(controls))
        except ValueError:
            raise FoldError("what says where the records of the customer lie is damaged") from None
        if records_max is not None and sum(map(len, records)) > records_max:
            raise TooManyRecordsError(f"there are more than {records_max:,} records to be read")
        decided, memory = await self._amendments(shard), MemoryStore()
        log = ToldLog()
        twin = await twin_of_one(shard, memory, self._plans.over(memory), self._rules, decided, log, self._keyring)
        log_time_ms = body.log_time_ms if at_ms is None else min(at_ms, body.log_time_ms)
        await fold(twin, memory, customer, records, FoldUntil(position.offset, log_time_ms), self._picker, decided, log)
        state = (await memory.fetch(shard, [customer], until_ms=0, limit=0)).states[0]
        return FoldedCustomer(state, twin, log.records, log.past)

    async def from_history(
        self, shard: int, customer: str, body: CheckpointBody, offsets: RecordOffsets, at_ms: int
    ) -> FoldedCustomer | None:
        """What the history of the shard alone says of the customer as of ``at_ms``, under the definitions in force in ``body``, as if these
        had held since; None where it says nothing of before that."""
        try:
            known = history_places(offsets)
        except ValueError:
            raise FoldError("what says where the records of the customer lie is damaged") from None
        content = await self._store.get_document(definitions_document(body.digest), shard=shard) if known and body.digest else None
        if content is None:
            return None
        memory, log = MemoryStore(), ToldLog()
        twin = await twin_of_one(shard, memory, self._plans.over(memory), self._rules, Amendments(), log)
        past = await told_history(twin, customer, known, self._picker)
        if not past or past[0].arrival_ms > at_ms:
            return None
        defined = LogRecord(0, past[0].arrival_ms, definitions_control(content, body.digest, body.version), control=True)
        log.records = [defined, *as_it_happened(past, at_ms)]
        await tell(twin, memory, log.records)
        state = (await memory.fetch(shard, [customer], until_ms=0, limit=0)).states[0]
        return FoldedCustomer(state, twin, log.records, ())


async def twin_of_one(
    shard: int, memory: MemoryStore, plans: Plans, rules: Rules, decided: Amendments, log: ToldLog, keyring: Keyring = NO_KEYS
) -> Shard:
    """A shard in memory, over ``plans`` of that store, in which one customer is told anew from ``log``."""
    return await Shard.acquire(
        shard,
        memory,
        plans,
        rules,
        limits=ONE_CUSTOMER,
        journal=Settled(decided),
        keyring=keyring,
        lanes=OnTheSpot(memory, log, rules, pause=log.pause, keyring=keyring, scorers=plans.scorers),
        keeps_offsets=True,
        pause=log.pause,
    )
