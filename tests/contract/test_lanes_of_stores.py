"""A store beside a store, for a lane: nothing of one is seen in the other, and it can be forgotten whole."""

from __future__ import annotations

from typing import Any

import pytest

from streamer.errors import FencedError
from streamer.stores.base import Checkpoint, OutputPosition, Position, Store

from .dump import dump, next_commit

FULL: dict[str, Any] = {"states": {"a": b"1"}, "wakes": {"a": 10}, "outbox": b"said", "documents": {"doc": b"text"}}
EMPTY = Checkpoint(0, Position(0, 0), b"", b"")


async def test_a_lane_and_the_store_beside_it_know_nothing_of_each_other(store: Store) -> None:
    """A lane of a shard has customers of the same names as the shard itself."""
    lane = store.lane("2-abc")
    await lane.commit(0, next_commit(await lane.acquire(0), **FULL))
    there = await dump(lane)
    assert await store.checkpoint(0) == EMPTY
    await store.commit(0, next_commit(await store.acquire(0), offset=9, states={"a": b"live"}, wakes={"a": 99}))
    assert await dump(lane) == there
    assert (await dump(store.lane("3-abc"))).checkpoint == EMPTY, "each name is a store of its own"
    assert await dump(store.lane("2-abc")) == there, "the same name is the same store"


async def test_a_dropped_shard_is_as_if_nobody_had_ever_had_it(store: Store) -> None:
    """What a lane kept is not to stay; and who still works at it is fenced."""
    await store.commit(0, next_commit(await store.acquire(0), states={"a": b"live"}))
    lane = store.lane("2-abc")
    await lane.commit(0, next_commit(await lane.acquire(0), **FULL))
    await lane.commit(1, next_commit(await lane.acquire(1), **FULL))
    before = await lane.checkpoint(0)
    for _ in range(2):
        await lane.drop(0)
    assert await lane.checkpoint(0) == EMPTY
    assert (await lane.fetch(0, ["a"], until_ms=100, limit=5)) == ([None], [])
    assert await lane.outbox(0, after=None, limit=5) == []
    assert await lane.get_document("doc", shard=0) is None
    assert (await lane.checkpoint(1)).position == Position(1, 0), "another shard of the lane stays"
    assert (await store.checkpoint(0)).position == Position(1, 0), "and so does the store beside it"
    with pytest.raises(FencedError):
        await lane.commit(0, next_commit(before, states={"b": b"2"}))


async def test_to_close_a_lane_leaves_the_store_open(store: Store) -> None:
    """They share their connections."""
    lane = store.lane("2-abc")
    await lane.acquire(0)
    await lane.close()
    await store.acquire(0)
    assert (await lane.checkpoint(0)).epoch == 1
    assert await lane.outbox(0, after=OutputPosition(0, 0), limit=1) == []


async def test_the_lanes_of_a_shard_are_known_until_they_are_dropped(store: Store) -> None:
    """Whoever opened one may be gone: the next owner of the shard has to find it to drop it."""
    assert await store.lanes(0) == []
    for name in ("3-abc", "2-abc"):
        await store.lane(name).acquire(0)
    await store.lane("2-abc").acquire(1)
    assert (await store.lanes(0), await store.lanes(1)) == (["2-abc", "3-abc"], ["2-abc"])
    for _ in range(2):  # once more does no harm
        await store.lane("2-abc").drop(0)
    assert (await store.lanes(0), await store.lanes(1)) == (["3-abc"], ["2-abc"])
