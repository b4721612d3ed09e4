"""Lanes that a store keeps beside a shard: those that are wanted, and what was left over by owners who are gone."""

from __future__ import annotations

from collections.abc import Callable

from streamer.stores.base import Store

from .lane_plan import version_of


async def drop_lanes(store: Store, shard: int, is_wanted: Callable[[str], bool]) -> list[str]:
    """Drop the lanes of a shard that are not wanted, by their names; return these. ``store`` is that of the shard."""
    names = [name for name in await store.lanes(shard) if not is_wanted(name)]
    for name in names:
        await store.lane(name).drop(shard)
    return names


async def drop_lanes_upto(store: Store, shard: int, version: int) -> None:
    """Drop those towards definitions up to this version: the shard obeys them, and has taken what they had for it."""
    await drop_lanes(store, shard, lambda name: version_of(name) > version)
