"""Who is in which segments of a deployment now, as its shards have committed it."""

from __future__ import annotations

from typing import Final

from streamer.flow.committed import CommittedCustomers
from streamer.segments.plan.plan import Plan
from streamer.stores.base import Store

from .share import Share
from .survey import MembersInForce, bits_of

SLICE: Final = 250  # states read at a time


async def read_in_force(store: Store, customers: CommittedCustomers, shards: int, share: Share) -> MembersInForce:
    """The members of all segments, of customers in the share. Shards go on meanwhile. Raises what reading the store may."""
    walk = _CommittedWalk(store, customers, share)
    for shard in range(shards):
        await walk.shard(shard)
    return MembersInForce(list(walk.bits), walk.members)


class _CommittedWalk:
    """``bits``: the bit of each segment, by name; shards may be under different definitions for a while."""

    def __init__(self, store: Store, customers: CommittedCustomers, share: Share) -> None:
        self.bits: dict[str, int] = {}
        self.members: dict[str, int] = {}
        self._store = store
        self._customers = customers
        self._share = share
        self._bits_by_plan: dict[str, dict[int, int]] = {}

    async def shard(self, shard: int) -> None:
        """All customers of a shard, in the order of the walk."""
        view = await self._customers.view(shard)
        if view.body is None:
            return
        self._bits_of(await self._customers.newest_plan(view))
        bucket: int | None = 0
        while bucket is not None:
            page = await self._store.customers(shard, bucket, limit=1)
            bucket, names = page.next_bucket, [name for name in page.customers if self._share.takes(name)]
            for start in range(0, len(names), SLICE):
                await self._look(shard, names[start : start + SLICE])

    async def _look(self, shard: int, names: list[str]) -> None:
        for found in await self._customers.in_shard(shard, names):
            if found.state is None or not found.state.members:
                continue
            plan = await self._customers.plan_of(found)
            if bits := bits_of(found.state, len(plan.names), self._bits_of(plan)):
                self.members[found.customer] = bits

    def _bits_of(self, plan: Plan) -> dict[int, int]:
        """The bit of each segment by its number in a plan."""
        found = self._bits_by_plan.get(plan.digest)
        if found is None:
            found = {number: self.bits.setdefault(name, len(self.bits)) for number, name in enumerate(plan.names)}
            self._bits_by_plan[plan.digest] = found
        return found
