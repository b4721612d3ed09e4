"""All customers of a shard, as every walk goes through them; and a walk at a pace of its own."""

from __future__ import annotations

from contextlib import AbstractContextManager
from unittest.mock import patch

from streamer.flow import walk_pace
from streamer.stores.base import Store


def at_each_record(customers: int) -> AbstractContextManager[object]:
    """A change of definitions brings so many at each record, whatever time has passed."""
    return patch.object(walk_pace, "allowed_at", lambda *_: customers)


async def customers_of(store: Store, shard: int = 0, *, limit: int = 1_000) -> list[str]:
    """Page by page, in the order of the walk."""
    found: list[str] = []
    bucket: int | None = 0
    while bucket is not None:
        page = await store.customers(shard, bucket, limit=limit)
        found += page.customers
        bucket = page.next_bucket
    return found
