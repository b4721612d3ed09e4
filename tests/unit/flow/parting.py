"""Tells two customers apart by what logs in memory say, as ``streamer customers unmerge`` does by those of Kafka."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from streamer.customers.state import decode_state
from streamer.customers.tombstone import Tombstone, decode_tombstone, is_tombstone
from streamer.flow.amendments import Amendments
from streamer.flow.own_past import encode_past
from streamer.flow.rules import Rules
from streamer.flow.ties import Erased, Ties, TwoPasts, under
from streamer.flow.whole_log import ShardRecords, ShardStory, whole_log
from streamer.signing import NO_KEYS
from streamer.transports.memory import MemoryLog
from streamer.wire import LogRecord, unmerge_control

EVERYTHING = 1_000_000
Stored = Callable[[str], Awaitable[bytes | None]]  # what the store has under an id


async def told_apart(log: MemoryLog, rules: Rules, stored: Stored, old: str) -> tuple[str, bytes] | None:
    """Who survived ``old``, and the record that parts them; None where ``old`` is nobody's other id, or is about to be."""
    survivor, passed = old, set[str]()
    while (blob := await stored(survivor)) is not None and is_tombstone(blob) and survivor not in passed:
        passed.add(survivor)
        survivor = decode_tombstone(blob).to
    if blob is None or is_tombstone(blob) or survivor == old:
        return None
    ties = Ties()
    for number in range(rules.shards):
        records = _records(rules, number)
        for record in log.fetch(number, 0, EVERYTHING):
            if (records.take(record) is not None and record.control) or records.is_of_a_shard(record):
                ties.take(number, record, records.reached_ms)
    into, erased = ties.told()
    gone = under(into, old, survivor)
    own = ({survivor, *decode_state(blob).links} | under(into, survivor, survivor)) - gone
    if ties.under_way(own | gone, survivor, EVERYTHING, dict.fromkeys(range(rules.shards), EVERYTHING)):
        return None
    ids = [survivor, *sorted(own - {survivor})], [old, *sorted(gone - {old})]
    tombstones = {id_: decode_tombstone(blob) for id_ in own | gone if (blob := await stored(id_)) is not None and is_tombstone(blob)}
    return survivor, await _record(log, rules, ids, tombstones, erased)


async def _record(
    log: MemoryLog, rules: Rules, ids: tuple[list[str], list[str]], tombstones: dict[str, Tombstone], erased: Sequence[Erased]
) -> bytes:
    pasts = TwoPasts(ids, ids[0][0], tombstones, frozenset(rules.placeholder_ids), rules.skew_ms)
    async for arrivals in whole_log([ShardStory(_read(log, number), _records(rules, number)) for number in range(rules.shards)]):
        pasts.take(arrivals)
    mine, theirs = pasts.pasts(erased)
    return unmerge_control(ids[0][0], encode_past(mine), ids[1][0], encode_past(theirs))


def _records(rules: Rules, number: int) -> ShardRecords:
    return ShardRecords(number, rules, Amendments(()), NO_KEYS)


async def _read(log: MemoryLog, number: int) -> AsyncGenerator[Sequence[LogRecord]]:
    yield log.fetch(number, 0, EVERYTHING)
