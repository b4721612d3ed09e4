"""All customers of a shard, as every walk goes through them."""

from __future__ import annotations

from streamer.stores.base import Store


async def customers_of(store: Store, shard: int = 0, *, limit: int = 1_000) -> list[str]:
    """Page by page, in the order of the walk."""
    found: list[str] = []
    bucket: int | None = 0
    while bucket is not None:
        page = await store.customers(shard, bucket, limit=limit)
        found += page.customers
        bucket = page.next_bucket
    return found
