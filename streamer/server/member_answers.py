"""The members of a segment, page by page; and how many there are.

The store keeps customers in buckets and no list of members: a page is found by walking (shard, bucket, id) and looking at each state. What
it costs is what is read, so a page ends after ``SCANNED_MAX`` states, full or not. Sizes are counted by the shards themselves.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Mapping
from typing import Final

import msgspec

from streamer.flow.committed import CommittedCustomer, CommittedCustomers, ShardView
from streamer.segments.plan.plan import Plan
from streamer.stores.base import Store
from streamer.stores.buckets import BUCKETS, bucket_of
from streamer.values import time_text

from .answers import Member, MembersAnswer, SegmentAnswer, SegmentsAnswer, ShardSize
from .cursors import CURSOR, SegmentCursor, cursor_text, no_cursor, read_cursor_of
from .customer_answers import Ages, unknown_segment
from .errors import AnswerError
from .limits import SCANNED_MAX

SLICE: Final = 250  # states read at a time: others get their turn between


class Cursor(SegmentCursor, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Where a walk goes on: behind ``after`` in a bucket of a shard."""

    shard: int = 0
    bucket: int = 0
    after: str = ""


def read_cursor(text: str, generation: int, segment: str, shards: int) -> Cursor:
    """The cursor of a text; AnswerError for one that is none, or is of another log or another segment."""
    found = read_cursor_of(Cursor, text, generation)
    if found.segment != segment:
        raise AnswerError("bad_cursor", "it is of another segment: expected one of the same, or none to begin", CURSOR)
    if not (0 <= found.shard < shards and 0 <= found.bucket < BUCKETS):
        raise no_cursor()
    return found


class MemberAnswers:
    """Answers questions about segments as a whole. Raises AnswerError, and what reading the store may."""

    def __init__(self, store: Store, customers: CommittedCustomers, ages: Ages, shards: int, generation: int) -> None:
        self._store = store
        self._customers = customers
        self._ages = ages
        self._shards = shards
        self._generation = generation

    async def members(self, segment: str, cursor: str | None, limit: int) -> MembersAnswer:
        """A page of at most ``limit`` members."""
        views = await self._views()
        sizes = [await self._size(view, segment) for view in views]
        if all(size is None for size in sizes):
            raise unknown_segment(segment, (await self._newest(views)).known_numbers, "url")
        at = Cursor(self._generation, segment) if cursor is None else read_cursor(cursor, self._generation, segment, self._shards)
        walk = _Walk(self._store, self._customers, self._shards, at, limit)
        await walk.run()
        shown = [self._shard_size(view, size or 0) for view, size in zip(views, sizes, strict=True)]
        follows = None if walk.at is None else cursor_text(walk.at)
        return MembersAnswer(segment, sum(one.members for one in shown), shown, walk.members, walk.scanned, follows)

    async def segments(self) -> SegmentsAnswer:
        """All segments in force, and their sizes."""
        views = await self._views()
        newest, sizes = await self._newest(views), dict[str, int]()
        shown: list[ShardSize] = []
        for view in views:
            of_shard = await self._sizes(view)
            shown.append(self._shard_size(view, sum(of_shard.values())))
            for name, size in of_shard.items():
                sizes[name] = sizes.get(name, 0) + size
        found = [SegmentAnswer(one.name, one.purpose, sizes.get(one.name, 0)) for one in newest.definitions.segments]
        return SegmentsAnswer(max(_version(view) for view in views), sorted(found, key=lambda one: one.name), shown)

    async def _views(self) -> list[ShardView]:
        return await asyncio.gather(*[self._customers.view(shard) for shard in range(self._shards)])

    async def _newest(self, views: list[ShardView]) -> Plan:
        """The newest definitions that hold in any shard."""
        view = max(views, key=_version)
        if view.body is None or not view.body.digest:
            raise AnswerError("not_ready", "no shard has definitions yet: has a worker run, and have definitions been published?", "url")
        return await self._customers.newest_plan(view)

    async def _sizes(self, view: ShardView) -> Mapping[str, int]:
        if view.body is None:
            return {}
        plan = await self._customers.newest_plan(view)
        return dict(zip(plan.names, view.body.sizes, strict=False))

    async def _size(self, view: ShardView, segment: str) -> int | None:
        return (await self._sizes(view)).get(segment)

    def _shard_size(self, view: ShardView, members: int) -> ShardSize:
        return ShardSize(self._ages.of(view).position, time_text(view.log_time_ms), members)


def _version(view: ShardView) -> int:
    return 0 if view.body is None else view.body.version


class _Walk:
    """One page's part of the walk. ``at`` is where the next page goes on, None behind the last customer."""

    def __init__(self, store: Store, customers: CommittedCustomers, shards: int, at: Cursor, limit: int) -> None:
        self.members: list[Member] = []
        self.scanned = 0
        self.at: Cursor | None = at
        self._store = store
        self._customers = customers
        self._shards = shards
        self._limit = limit
        self._segment = at.segment

    async def run(self) -> None:
        """Walk until the page is full, enough was read, or nobody comes any more."""
        while self.at is not None and not self._is_enough:
            self.at = await self._walk_bucket(self.at)

    @property
    def _is_enough(self) -> bool:
        return len(self.members) >= self._limit or self.scanned >= SCANNED_MAX

    async def _walk_bucket(self, at: Cursor) -> Cursor | None:
        """Go on in one bucket; where the walk stands then."""
        page = await self._store.customers(at.shard, at.bucket, limit=1)
        names, here = page.customers, at
        if names:
            here = msgspec.structs.replace(at, bucket=bucket_of(names[0]), after="")
            if at.after and here.bucket == at.bucket:
                names = names[bisect_right(names, at.after) :]
        for start in range(0, len(names), SLICE):
            for found in await self._customers.in_shard(at.shard, names[start : start + SLICE]):
                await self._look(found)
                if self._is_enough:
                    return msgspec.structs.replace(here, after=found.customer)
        if page.next_bucket is not None:
            return msgspec.structs.replace(at, bucket=page.next_bucket, after="")
        return None if at.shard + 1 == self._shards else Cursor(at.generation, at.segment, at.shard + 1)

    async def _look(self, found: CommittedCustomer) -> None:
        self.scanned += 1
        if found.state is None:
            return
        number = (await self._customers.plan_of(found)).known_numbers.get(self._segment)
        entry = None if number is None else found.state.members.get(number)
        if entry is not None and entry.inside:
            since = time_text(entry.at_ms + found.state.origin_ms)
            self.members.append(Member(found.customer, since, entry.changes))
