"""What a store holds, so that two stores, or one before and after, can be compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from streamer.stores.base import Checkpoint, Commit, OutputPosition, Position, Store
from tests.walk import customers_of

FAR_MS = 1 << 52
ALL = 1_000_000


class Dump(NamedTuple):
    """All of a shard."""

    checkpoint: Checkpoint
    states: list[tuple[str, bytes | None]]
    wakes: list[tuple[int, str]]
    outbox: list[tuple[OutputPosition, bytes]]


async def dump(store: Store, shard: int = 0) -> Dump:
    """Read everything through the store's own calls."""
    customers = await customers_of(store, shard)
    states, wakes = await store.fetch(shard, customers, until_ms=FAR_MS, limit=ALL)
    outbox = await store.outbox(shard, after=None, limit=ALL)
    return Dump(await store.checkpoint(shard), list(zip(customers, states, strict=True)), wakes, outbox)


def next_commit(checkpoint: Checkpoint, *, offset: int = 1, step: int = 0, outbox: bytes | None = None, **more: Any) -> Commit:
    """A commit ``offset`` records on."""
    position = Position(checkpoint.position.offset + offset, step)
    entry = None if outbox is None else (OutputPosition(*position), outbox)
    return Commit(checkpoint, position, b"digest-%d-%d" % position, b"body", outbox=entry, **more)


def ownerless(checkpoint: Checkpoint) -> Checkpoint:
    """Without what each acquisition draws."""
    return replace(checkpoint, owner=b"")
