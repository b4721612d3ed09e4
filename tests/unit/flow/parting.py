"""Has two customers told apart by logs in memory, by the code that does it by those of Kafka."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from streamer.customers.state import decode_state
from streamer.customers.tombstone import decode_tombstone, is_tombstone
from streamer.deployment.unmerging import Stored, Telling, UnderWayError, control_of
from streamer.flow.amendments import Amendments
from streamer.flow.committed import CommittedCustomer, ShardView
from streamer.flow.rules import Rules
from streamer.flow.shard_history import ShardHistory
from streamer.flow.whole_log import ShardRecords, ShardStory
from streamer.signing import NO_KEYS
from streamer.stores.base import Position
from streamer.transports.memory import MemoryLog
from streamer.wire import LogRecord, shard_of

EVERYTHING = 1_000_000


async def told_apart(
    log: MemoryLog, rules: Rules, stored: Stored, old: str, history: Sequence[int] = (), until_ms: int = 0
) -> tuple[str, bytes] | None:
    """Who survived ``old``, and the record that parts them; None where ``old`` is nobody's other id, or is about to be. ``history``: below
    which offsets of it, by shard, it is a part of the past, as far as it had happened at ``until_ms``."""
    survivor, passed = old, list[str]()
    while (blob := await stored(survivor)) is not None and is_tombstone(blob) and survivor not in passed:
        passed.append(survivor)
        survivor = decode_tombstone(blob).to
    if blob is None or is_tombstone(blob) or survivor == old:
        return None

    async def open_logs() -> Sequence[ShardStory]:
        pasts = [ShardHistory(log, number, end) for number, end in enumerate(history)] or [None] * rules.shards
        records = [ShardRecords(number, rules, Amendments(()), NO_KEYS) for number in range(rules.shards)]
        return [ShardStory(_read(log, number), records[number], pasts[number], until_ms) for number in range(rules.shards)]

    view = ShardView(shard_of(survivor, rules.shards), Position(EVERYTHING, 0), None)
    found = CommittedCustomer(survivor, tuple(passed), view, decode_state(blob), blob)
    try:
        parting = await Telling(rules, open_logs, stored, history).tell(found, old, dict.fromkeys(range(rules.shards), EVERYTHING))
    except UnderWayError:
        return None
    return survivor, control_of(parting)


async def _read(log: MemoryLog, number: int) -> AsyncGenerator[Sequence[LogRecord]]:
    yield log.fetch(number, 0, EVERYTHING)
