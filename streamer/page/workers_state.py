"""How shards are doing, as ``streamer shards`` says it."""

from __future__ import annotations

import asyncio

from streamer.worker.status.shard_line import ShardLine, shard_line

from .sources import PageSources


async def shard_lines(sources: PageSources) -> list[ShardLine]:
    """A line for each."""
    now_ms = sources.now_ms()
    asked = [shard_line(sources.store, shard, now_ms, end=sources.ends.end(shard)) for shard in range(sources.settings.shards)]
    return list(await asyncio.gather(*asked))
