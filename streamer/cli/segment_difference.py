"""What would change at the cut-over: the members that the lanes of a shadow have found, against those that there are now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

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

from .checks.finding import shard_numbers
from .segment_status import PublicationStatus, ShardVersion, published_now, read_status
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


class ShadowDifference(NamedTuple):
    """What would change by the version in ``shadow``, by segment, of the customers of the shards that were compared. ``left_out`` are
    those whose lanes have not come to the end of the log: they are on their way to other definitions, still fold, or have no worker."""

    shadow: Publication
    segments: list[SegmentDifference]
    compared: list[int]
    left_out: list[int]


async def read_difference(settings: Settings) -> ShadowDifference:
    """The shadow, and of each segment in which it differs from what holds what would change. SettingsError where nothing is in shadow, or
    nothing is any more when all are compared: a shard that has switched would count as one where nobody comes or goes."""
    status = await read_status(settings)
    shadow = (await published_now(settings)).shadow
    if shadow is None:
        raise SettingsError(_why_no_shadow(status))
    compared = [one.shard for one in status.shards if _stands_in_shadow(one, shadow.version)]
    content = await definitions_of(settings, shadow)
    store = settings.open_store()
    try:
        found = await difference(settings, store, shadow, content, compared)
    finally:
        await store.close()
    if (await published_now(settings)).shadow != shadow:
        raise SettingsError(f"version {shadow.version} was cut over, overtaken or given up while it was compared; look again")
    return ShadowDifference(shadow, found, compared, [shard for shard in range(settings.shards) if shard not in compared])


def _stands_in_shadow(one: ShardVersion, version: int) -> bool:
    return one.lane is not None and (one.lane.version, one.lane.state) == (version, "shadow")


def _why_no_shadow(status: PublicationStatus) -> str:
    if status.newest is not None and not status.is_obeyed:
        return f"no version is in shadow: version {status.newest.version} is on its way; `streamer segments status` says how far it is"
    return "no version is in shadow; `streamer segments publish --shadow FILE` begins one"


async def difference(
    settings: Settings, store: Store, shadow: Publication, content: bytes, shards: Iterable[int]
) -> list[SegmentDifference]:
    """What would change by a shadow, whose definitions are ``content``, in these shards; by segment, in the order of their names."""
    after = compile_plan(read_definitions(content), settings.rules)
    customers = CommittedCustomers(store, settings.rules, Plans(store, settings.rules))
    found: defaultdict[str, SegmentDifference] = defaultdict(lambda: SegmentDifference(""))
    for shard in shards:
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


def say_difference(found: ShadowDifference) -> None:
    """Print it: a line a segment, and some of the customers."""
    where = f", in {shard_numbers(found.compared)}" if found.left_out and found.compared else ""
    echo(f"version {found.shadow.version} ({found.shadow.digest}), in shadow, against what holds{where}:")
    if not found.compared:
        echo("  no shard has folded the past for it yet, so nothing can be said")
    elif not any(one.enter or one.leave for one in found.segments):
        echo("  nobody would enter or leave")
    for one in found.segments:
        echo(f"  {one.segment}: {one.now:,} now, {one.then:,} then; {one.enter:,} enter, {one.leave:,} leave")
        for word, customers in (("enter", one.entering), ("leave", one.leaving)):
            if customers:
                echo(f"    {word}: {', '.join(customers)}")


__all__ = ["SegmentDifference", "ShadowDifference", "difference", "read_difference", "say_difference"]
