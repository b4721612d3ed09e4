"""What would change at the cut-over: the members that the lanes of a shadow have found, against those that there are now."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import msgspec

from streamer.customers.state import State
from streamer.customers.tombstone import is_tombstone
from streamer.errors import SettingsError
from streamer.flow.catalog import Plans, compile_plan, read_definitions
from streamer.flow.committed import CommittedCustomers
from streamer.flow.lane.lane_plan import LanePlan, plan_lane
from streamer.flow.published import Publication
from streamer.flow.states import read_state
from streamer.language.definitions import Definitions
from streamer.segments.plan.plan import Plan
from streamer.settings import Settings
from streamer.stores.base import Store
from streamer.transports.kafka.definitions_topic import definitions_of

from .segment_status import published_now
from .terminal import echo

CUSTOMERS_AT_ONCE: Final = 2_000
SAMPLE: Final = 5  # customers named of those who enter, and of those who leave


class SegmentDifference(msgspec.Struct):
    """Of one segment: how many are inside now, how many would be, how many enter and leave, and some of them."""

    segment: str
    now: int = 0
    then: int = 0
    enter: int = 0
    leave: int = 0
    entering: list[str] = []
    leaving: list[str] = []

    def add(self, customer: str, is_inside: bool, will_be: bool) -> None:
        """Count one customer."""
        self.now += is_inside
        self.then += will_be
        if will_be and not is_inside:
            self.enter += 1
            self.entering = [*self.entering, customer][:SAMPLE]
        if is_inside and not will_be:
            self.leave += 1
            self.leaving = [*self.leaving, customer][:SAMPLE]


async def read_difference(settings: Settings) -> tuple[Publication, list[SegmentDifference]]:
    """The shadow, and of each segment in which it differs from what holds what would change. SettingsError where nothing is in shadow."""
    shadow = (await published_now(settings)).shadow
    if shadow is None:
        raise SettingsError("no version is in shadow; `streamer segments publish --shadow FILE` begins one")
    content = await definitions_of(settings, shadow)
    store = settings.open_store()
    try:
        return shadow, await difference(settings, store, shadow, content)
    finally:
        await store.close()


async def difference(settings: Settings, store: Store, shadow: Publication, content: bytes) -> list[SegmentDifference]:
    """What would change by a shadow, whose definitions are ``content``, over all shards; by segment, in the order of their names."""
    after = compile_plan(read_definitions(content), settings.rules)
    customers = CommittedCustomers(store, settings.rules, Plans(store, settings.rules))
    found: defaultdict[str, SegmentDifference] = defaultdict(lambda: SegmentDifference(""))
    for shard in range(settings.shards):
        await _Compared(settings, store, customers, shadow.version, shard, after).add_to(found)
    return [found[name] for name in sorted(found)]


class _Compared:
    """One shard's members now and at the cut-over."""

    def __init__(self, settings: Settings, store: Store, customers: CommittedCustomers, version: int, shard: int, after: Plan) -> None:
        self._settings = settings
        self._store = store
        self._customers = customers
        self._version = version
        self._shard = shard
        self._after = after

    async def add_to(self, found: defaultdict[str, SegmentDifference]) -> None:
        """Count the customers of this shard. HaltError where what holds cannot be read."""
        before = await self._before()
        lane = plan_lane(before, self._after, lateness_ms=self._settings.rules.lateness_ms)
        folded = lane.segments if lane is not None else frozenset[str]()
        gone = set(before.names) - set(self._after.names)
        names = sorted((folded & set(self._after.names)) | gone)
        for name in names:
            found[name].segment = name
        bucket: int | None = 0
        while bucket is not None and names:
            page = await self._store.customers(self._shard, bucket, limit=CUSTOMERS_AT_ONCE)
            bucket = page.next_bucket
            theirs = {} if lane is None else await self._lane_states(lane, page.customers)
            for one in await self._customers.in_shard(self._shard, page.customers):
                if one.state is None:
                    continue
                numbers = (await self._customers.plan_of(one)).numbers  # of the definitions under which their state is
                for name in names:
                    then = name not in gone and lane is not None and _is_inside(theirs.get(one.customer), lane, name)
                    found[name].add(one.customer, name in numbers and one.state.is_inside(numbers[name]), then)

    async def _before(self) -> Plan:
        view = await self._customers.view(self._shard)
        if view.body is None or not view.body.digest:
            return compile_plan(Definitions(()), self._settings.rules)
        return await self._customers.newest_plan(view)

    async def _lane_states(self, lane: LanePlan, customers: list[str]) -> dict[str, State]:
        blobs = (await self._store.lane(lane.name(self._version)).fetch(self._shard, customers, until_ms=0, limit=0)).states
        pairs = zip(customers, blobs, strict=True)
        return {one: read_state(self._shard, one, blob) for one, blob in pairs if blob is not None and not is_tombstone(blob)}


def _is_inside(state: State | None, lane: LanePlan, name: str) -> bool:
    return state is not None and state.is_inside(lane.plan.numbers[name])


def say_difference(shadow: Publication, found: list[SegmentDifference]) -> None:
    """Print it: a line a segment, and some of the customers."""
    echo(f"version {shadow.version} ({shadow.digest}), in shadow, against what holds:")
    if not any(one.enter or one.leave for one in found):
        echo("  nobody would enter or leave")
    for one in found:
        echo(f"  {one.segment}: {one.now:,} now, {one.then:,} then; {one.enter:,} enter, {one.leave:,} leave")
        for word, customers in (("enter", one.entering), ("leave", one.leaving)):
            if customers:
                echo(f"    {word}: {', '.join(customers)}")


__all__ = ["SegmentDifference", "difference", "read_difference", "say_difference"]
