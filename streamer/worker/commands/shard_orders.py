"""What a person may order a shard to do: go on at a place, pass over a record, bound its arrival, or be told anew.

An order is given as the shard's owner for a moment: its worker is fenced in Kafka and in the store, and the amendment is written. The
worker, halted or not, notices within its probe interval that the checkpoint's mark has changed, and acquires the shard anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import msgspec

from streamer.errors import FencedError, SettingsError
from streamer.flow.amendments import Amendment
from streamer.flow.checkpoint import decode_body
from streamer.flow.same_log import LogLookupBehind
from streamer.stores.base import Checkpoint, Store
from streamer.transports.kafka.journal import OpenJournal

TRIES: Final = 8  # each takes a fraction of a second, and a worker looks at its shards every other second
Open = Callable[[int], Awaitable[OpenJournal]]
Decide = Callable[[Checkpoint], Awaitable[Amendment]]


async def amend(store: Store, open_journal: Open, shard: int, decide: Decide, command: str) -> Amendment:
    """Write what ``decide`` makes of the shard's checkpoint, under the id of ``command``; return it, or what was written for that command
    before. Raises what the store and the broker raise, FencedError when its worker was quicker each of ``TRIES`` times."""
    for _ in range(TRIES - 1):
        with suppress(FencedError):  # the worker took the shard up in between, as it does now and then
            return await _amend_once(store, open_journal, shard, decide, command)
    return await _amend_once(store, open_journal, shard, decide, command)


async def _amend_once(store: Store, open_journal: Open, shard: int, decide: Decide, command: str) -> Amendment:
    journal = await open_journal(shard)
    try:
        checkpoint = await store.acquire(shard)
        amendment = journal.amendments.of_command(command)
        if amendment is None:
            amendment = msgspec.structs.replace(await decide(checkpoint), command=command)
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


def going_on(shard: int, log: int, who: str, why: str, look: LogLookupBehind, *, at: int | None, arrival_ms: int | None) -> Decide:
    """The amendment of a person: at an offset; or with a bounded arrival of all that the log has by now and the shard has not read; or
    (neither) without the next record, which need not lie at the position: markers of transactions take offsets too.

    SettingsError where the shard cannot go on so: an amendment is for ever.
    """

    async def decide(checkpoint: Checkpoint) -> Amendment:
        offset, step = checkpoint.position
        first, end = await look(shard, offset)
        if at is not None:
            _check_place(shard, offset, at, end)
            return Amendment("resume", shard, offset, log, to=at, who=who, why=why)
        if arrival_ms is not None:
            if step:
                raise SettingsError(
                    f"--arrival: the record at offset {offset} of shard {shard} is done in part, with the arrival that it has"
                )
            if end <= offset:
                raise _nothing_unread(shard, offset)
            return Amendment("arrival", shard, offset, log, to=end, arrival_ms=arrival_ms, who=who, why=why)
        if step and checkpoint.body and _began_at(checkpoint, offset):
            raise SettingsError(f"--skip: shard {shard} has begun to change its definitions at {offset}, which cannot be undone")
        if first is None:
            raise _nothing_unread(shard, offset)
        return Amendment("skip", shard, first, log, who=who, why=why)

    return decide


def _began_at(checkpoint: Checkpoint, offset: int) -> bool:
    """Whether a change of definitions has begun at ``offset``."""
    switch = decode_body(checkpoint.body).switch
    return switch is not None and switch.offset == offset


def _check_place(shard: int, offset: int, at: int, end: int) -> None:
    """SettingsError unless a shard that stands at ``offset`` can go on at ``at``: further on, where its log has been."""
    if at <= offset:
        raise SettingsError(
            f"--at {at}: shard {shard} stands at {offset}, and positions never go back; "
            f"`streamer shards rebuild {shard}` tells it anew from the beginning of the log"
        )
    if at > end:
        raise SettingsError(f"--at {at}: the log of shard {shard} ends at {end}, and a shard that stands behind that is halted")


def _nothing_unread(shard: int, offset: int) -> SettingsError:
    return SettingsError(f"the log of shard {shard} has no record at or behind its position {offset} that it could read")


__all__ = ["amend", "going_on", "rebuild"]
