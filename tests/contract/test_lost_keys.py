"""A store that has lost some of a shard's entries and kept others, and how a shard is emptied to be told anew."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from streamer.errors import FencedError, KeysLostError
from streamer.stores.base import Checkpoint, Holdings, Position, Store
from streamer.stores.buckets import bucket_of, bucket_sizes
from streamer.stores.memory import MemoryStore
from streamer.stores.redis import RedisStore

from .dump import dump, next_commit, ownerless
from .sqlite_store import SqliteStore

FULL: dict[str, Any] = {
    "states": {"a": b"1", "b": b"2"},
    "wakes": {"a": 10},
    "outbox": b"said",
    "documents": {"doc": b"text"},
    "holds": Holdings(bucket_sizes("ab"), 1, 1),
}
LOSSES = [("customers", "a"), ("customers", None), ("wakes", "a"), ("wakes", None), ("documents", None)]


async def lose(store: Store, what: str, entry: str | None) -> None:
    """Take an entry of shard 0 away behind the store's back; None: the whole key."""
    if isinstance(store, RedisStore):
        key = store._bucket_key(0, bucket_of("a")) if what == "customers" else store._key(0, what)
        command = ("DEL", key) if entry is None else ("ZREM" if what == "wakes" else "HDEL", key, entry)
        assert await store._call(*command) == 1
        return
    if isinstance(store, SqliteStore):
        found = store.sql.execute(f"DELETE FROM {what} WHERE shard = 0 AND ? IN (name, '')", (entry or "",))  # noqa: S608 - names of ours
        assert found.rowcount >= 1
        return
    assert isinstance(store, MemoryStore)
    held = getattr(store._shards[0], {"customers": "states"}.get(what, what))
    if entry is None:
        held.clear()
    else:
        del held[entry]


@pytest.mark.parametrize(("what", "entry"), LOSSES)
async def test_entries_that_are_gone_are_noticed_before_anything_is_written(store: Store, what: str, entry: str | None) -> None:
    """A customer who is not known any more enters again what they never left; a wake-up that is gone never comes."""
    await store.commit(0, next_commit(await store.acquire(0), **FULL))
    now = await store.checkpoint(0)
    await store.verify(0, now)
    await lose(store, what, entry)
    before = await dump(store)
    with pytest.raises(KeysLostError, match=what):
        await store.verify(0, now)
    with pytest.raises(KeysLostError, match=what):
        await store.commit(0, next_commit(now, **FULL))
    with pytest.raises(KeysLostError, match=what):
        await store.acquire(0)
    assert await dump(store) == before


async def test_what_a_commit_forgets_is_gone_and_counted(store: Store) -> None:
    """Definitions that nothing refers to any more."""
    await store.commit(0, next_commit(await store.acquire(0), **FULL))
    more = next_commit(
        await store.checkpoint(0), documents={"new": b"x"}, forgotten=["doc", "none"], holds=Holdings(bucket_sizes("ab"), 1, 1)
    )
    await store.commit(0, more)
    assert (await store.get_document("doc", shard=0), await store.get_document("new", shard=0)) == (None, b"x")
    await store.verify(0, more.checkpoint)


async def test_who_does_not_say_what_there_is_is_not_held_to_it(store: Store) -> None:
    """The learner keeps its checkpoint in the same way and nothing else."""
    await store.commit(0, next_commit(await store.acquire(0), states={"a": b"1"}))
    await lose(store, "customers", "a")
    await store.verify(0, await store.checkpoint(0))
    await store.acquire(0)


async def test_a_shard_that_is_reset_is_empty_under_a_new_epoch(store: Store) -> None:
    """It is told anew from the beginning of its log, and whoever owned it is fenced."""
    await store.commit(0, next_commit(await store.acquire(0), **FULL))
    await store.commit(1, next_commit(await store.acquire(1), **FULL))
    old, other = await store.checkpoint(0), await dump(store, 1)
    found = await store.reset(0)
    assert ownerless(found) == Checkpoint(2, Position(0, 0), b"", b"")
    assert await dump(store) == (found, [], [], [])
    assert await store.get_document("doc", shard=0) is None
    assert await dump(store, 1) == other
    with pytest.raises(FencedError):
        await store.commit(0, next_commit(old))
    with pytest.raises(FencedError):
        await store.verify(0, old)
    await store.commit(0, next_commit(await store.acquire(0), **FULL))


@pytest.mark.parametrize(("what", "entry"), LOSSES)
async def test_a_shard_that_has_lost_entries_can_be_reset(store: Store, what: str, entry: str | None) -> None:
    """It is what the reset is for."""
    await store.commit(0, next_commit(await store.acquire(0), **FULL))
    await lose(store, what, entry)
    await store.reset(0, expected=await store.checkpoint(0))
    assert (await store.acquire(0)).epoch == 3


@pytest.mark.parametrize("wrong", [{"epoch": 3}, {"output_digest": b"other"}, {"owner": b"other"}, {"position": Position(7, 0)}])
async def test_a_reset_by_a_former_owner_does_nothing(store: Store, wrong: dict[str, Any]) -> None:
    """It may have seen keys missing because another emptied the shard, and is well on its way."""
    await store.commit(0, next_commit(await store.acquire(0), **FULL))
    before = await dump(store)
    with pytest.raises(FencedError):
        await store.reset(0, expected=replace(before.checkpoint, **wrong))
    assert await dump(store) == before


async def test_of_resets_from_one_checkpoint_one_is_done(store: Store) -> None:
    """Two who noticed at the same time."""
    await store.commit(0, next_commit(await store.acquire(0), **FULL))
    now = await store.checkpoint(0)
    results = await asyncio.gather(*(store.reset(0, expected=now) for _ in range(5)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Checkpoint", *["FencedError"] * 4]
    assert (await store.checkpoint(0)).epoch == 2


async def test_a_document_for_all_can_be_dropped(store: Store) -> None:
    """An old scorer that no shard and nobody's pin refers to."""
    await store.put_document("model:x:v1", b"1")
    await store.drop_document("model:x:v1")
    await store.drop_document("model:x:v1")
    assert await store.get_document("model:x:v1") is None
