"""All customers of a shard, one after the other, a page of ids in hand."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from streamer.stores.buckets import bucket_of, place_of

from .store_session import StoreSession


class CustomerWalk:
    """Goes through the customers of a shard in the order of ``buckets.place_of``, from behind ``cursor`` on (empty: from the first).

    Who comes or goes meanwhile may be among them or not.
    """

    def __init__(self, session: StoreSession, cursor: str, page_customers: int) -> None:
        self._session = session
        self._page: Sequence[str] = ()
        self._page_customers = page_customers
        self._next_bucket: int | None = bucket_of(cursor) if cursor else 0

    async def behind(self, cursor: str, count: int) -> Sequence[str]:
        """At most ``count`` customers that follow ``cursor``, which never goes back; empty behind the last."""
        while True:
            start = bisect_right(self._page, place_of(cursor), key=place_of) if cursor else 0
            if start < len(self._page):
                return self._page[start : start + count]
            if self._next_bucket is None:
                return ()
            page = await self._session.customers(self._next_bucket, limit=self._page_customers)
            self._page, self._next_bucket = page.customers, page.next_bucket
