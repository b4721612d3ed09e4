"""What a person may order a shard to do: go on at a place, pass over a record, bound its arrival, or be told anew.

An order is given as the shard's owner for a moment: its worker is fenced in Kafka and in the store, and the amendment is written. The
worker, halted or not, notices within its probe interval that the checkpoint's mark has changed, and acquires the shard anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from streamer.errors import SettingsError
from streamer.flow.amendments import Amendment
from streamer.flow.step import decode_body
from streamer.stores.base import Checkpoint, Store

from .journal import OpenJournal

Open = Callable[[int], Awaitable[OpenJournal]]
Decide = Callable[[Checkpoint], Amendment]


async def amend(store: Store, open_journal: Open, shard: int, decide: Decide) -> Amendment:
    """Write what ``decide`` makes of the shard's checkpoint; return it. Raises what the store and the broker raise, FencedError when its
    worker was quicker: nothing was written then, try again."""
    journal = await open_journal(shard)
    try:
        amendment = decide(await store.acquire(shard))
        await journal.write(amendment)
        await store.acquire(shard)  # once more: a worker that took the shard up in between has not read it
    finally:
        await journal.close()
    return amendment


async def rebuild(store: Store, open_journal: Open, shard: int, begin: int, who: str, why: str, log: int) -> None:
    """Empty a shard, so that it is told anew from its log. Where that no longer begins at 0 it begins at ``begin``, by an amendment."""
    if begin == 0:
        await store.reset(shard)
        return
    journal = await open_journal(shard)
    try:
        await store.reset(shard)
        await journal.write(Amendment("resume", shard, 0, log, to=begin, who=who, why=why))
        await store.acquire(shard)
    finally:
        await journal.close()


def going_on(shard: int, log: int, who: str, why: str, *, at: int | None, arrival_ms: int | None) -> Decide:
    """The amendment of a person: at an offset, or with a bounded arrival, or (neither) without the record at the position.

    SettingsError where the shard cannot go on so.
    """

    def decide(checkpoint: Checkpoint) -> Amendment:
        offset = checkpoint.position.offset
        if at is not None:
            if at <= offset:
                raise SettingsError(
                    f"--at {at}: shard {shard} stands at {offset}, and positions never go back; "
                    f"`streamer shards rebuild {shard}` tells it anew from the beginning of the log"
                )
            return Amendment("resume", shard, offset, log, to=at, who=who, why=why)
        if arrival_ms is not None:
            return Amendment("arrival", shard, offset, log, arrival_ms=arrival_ms, who=who, why=why)
        if checkpoint.body and decode_body(checkpoint.body).cursor:
            raise SettingsError(f"--skip: shard {shard} is in the middle of a change of definitions at {offset}, which cannot be undone")
        return Amendment("skip", shard, offset, log, who=who, why=why)

    return decide


__all__ = ["amend", "going_on", "rebuild"]
