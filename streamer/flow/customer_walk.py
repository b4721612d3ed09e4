"""All customers of a shard, one after the other, a page of ids in hand; and with them those whom it is about to know."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from streamer.stores.base import Page
from streamer.stores.buckets import BUCKETS, bucket_of, place_of

from .store_session import StoreSession


class CustomerPages(Protocol):
    """Customers by their bucket; see ``Store.customers``."""

    async def customers(self, bucket: int, *, limit: int) -> Page:
        """Those in ``bucket`` and in as many behind it as it takes to come to ``limit``."""
        ...


class NextCustomers:
    """The next customers of a walk, whose states are loaded together. ``is_over``: there is nobody left."""

    def __init__(self, customers: Sequence[str]) -> None:
        self.is_over = not customers
        self.todo = deque(customers)


class CustomerWalk:
    """Goes through the customers of a shard in the order of ``buckets.place_of``, from behind ``cursor`` on (empty: from the first).
    ``also`` has others, who are walked with them.

    Who comes or goes meanwhile may be among them or not.
    """

    def __init__(self, session: StoreSession, cursor: str, page_customers: int, also: CustomerPages | None = None) -> None:
        self._session = session
        self._also = also
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
            self._page, self._next_bucket = await self._turn(self._next_bucket)

    async def _turn(self, bucket: int) -> Page:
        """The page that begins with a bucket."""
        page = await self._session.customers(bucket, limit=self._page_customers)
        if self._also is None:
            return page
        other = await self._also.customers(bucket, limit=self._page_customers)
        end = min(BUCKETS if one.next_bucket is None else one.next_bucket for one in (page, other))
        both = {customer for one in (page, other) for customer in one.customers if bucket_of(customer) < end}
        return Page(sorted(both, key=place_of), end if end < BUCKETS else None)
