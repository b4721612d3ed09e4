"""Checks of the store: that it answers, what threatens it, and what waits in it to be published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from streamer.errors import StoreError
from streamer.flow.checkpoint import CheckpointBody, decode_body
from streamer.settings import Settings
from streamer.stores.base import Checkpoint, Store
from streamer.stores.health import Severity
from streamer.wire import DEAD_LETTERS, decode_outputs

from .finding import CheckResult, Verdict, ok, shard_numbers, warning, wrong

OUTBOX_ENTRIES: Final = 10  # entries are read whole and may be a megabyte: enough to say that there are some
VERDICTS: Final[dict[Severity, Verdict]] = {"danger": "wrong", "unfit": "wrong", "warning": "warning", "advice": "warning"}


@dataclass(frozen=True, slots=True)
class StoredShard:
    """What the store knows of one shard; ``body`` is None when nobody has run it yet."""

    number: int
    checkpoint: Checkpoint
    body: CheckpointBody | None


async def check_store(settings: Settings, store: Store) -> list[CheckResult]:
    """Whether the store answers, as the first result, and what it says of itself."""
    address = settings.shown()["store"]
    try:
        health = await store.health()
    except StoreError as error:
        remedy = "see whether it runs, and whether STREAMER_STORE has its address, user and password"
        return [wrong("store", f"no answer from {address}: {str(error).split(':', 1)[0]}", remedy)]
    found = [CheckResult("store", VERDICTS[finding.severity], finding.found, finding.remedy) for finding in health.findings]
    return [ok("store", f"answers at {address}: {health.description}"), *found]


async def read_shards(settings: Settings, store: Store) -> list[StoredShard]:
    """All shards, by number."""
    found: list[StoredShard] = []
    for number in range(settings.shards):
        checkpoint = await store.checkpoint(number)
        found.append(StoredShard(number, checkpoint, decode_body(checkpoint.body) if checkpoint.body else None))
    return found


async def check_outbox(store: Store, shards: Sequence[StoredShard]) -> CheckResult:
    """What was committed and is not published yet."""
    waiting: dict[int, int] = {}
    letters = 0
    for shard in shards:
        entries = await store.outbox(shard.number, after=None, limit=OUTBOX_ENTRIES)
        if entries:
            waiting[shard.number] = len(entries)
            letters += sum(output.topic == DEAD_LETTERS for _, blob in entries for output in decode_outputs(blob))
    if not waiting:
        return ok("outbox", "empty: everything that was committed is published")
    most = max(waiting.values())
    counted = f"{most} or more" if most == OUTBOX_ENTRIES else f"up to {most}"
    among = f", {letters} dead letters among the first" if letters else ""
    remedy = (
        "a running worker publishes them within a second; if they stay, start one, or see whether Kafka accepts writes to the output topics"
    )
    return warning("outbox", f"{counted} commits wait to be published in {shard_numbers(sorted(waiting))}{among}", remedy)
