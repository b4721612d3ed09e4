"""What the store has of every shard of a deployment."""

from __future__ import annotations

from typing import NamedTuple

from streamer.flow.checkpoint import CheckpointBody, decode_body
from streamer.settings import Settings
from streamer.stores.base import Store


class ShardNow(NamedTuple):
    """A shard by its checkpoint: what it knows, and the offset of the next record of its log. Of one that has not begun, the beginning."""

    body: CheckpointBody
    offset: int


async def shards_now(settings: Settings, store: Store) -> list[ShardNow]:
    """Every shard. Whoever asks for several reasons within a moment asks once. Raises what the store raises."""
    found = [await store.checkpoint(shard) for shard in range(settings.shards)]
    return [ShardNow(decode_body(one.body) if one.body else CheckpointBody(), one.position.offset) for one in found]


async def shard_bodies(settings: Settings, store: Store) -> list[CheckpointBody]:
    """What every shard knows."""
    return [shard.body for shard in await shards_now(settings, store)]


__all__ = ["ShardNow", "shard_bodies", "shards_now"]
