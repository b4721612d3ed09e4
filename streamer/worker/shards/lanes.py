"""The lanes of one worker: opened for its shards, folded beside live traffic, and given to a shard that has come to its definitions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from time import time
from typing import Final

from aiokafka import TopicPartition

from streamer import stores
from streamer.deployment.history import has_past
from streamer.errors import ReleasedError
from streamer.flow.brought import brings_history, history_end
from streamer.flow.catalog import Plans
from streamer.flow.checkpoint import NOTHING_BROUGHT
from streamer.flow.lane.inherited import inherited_from
from streamer.flow.lane.kept_lanes import drop_lanes
from streamer.flow.lane.lane import SideLane
from streamer.flow.lane.lane_plan import LanePlan, plan_lane, version_of
from streamer.flow.lane.lanes import OnTheSpot, Wanted
from streamer.flow.same_log import View
from streamer.flow.shard import Shard
from streamer.flow.shard_log import Log
from streamer.segments.plan.plan_change import changed_segments
from streamer.wire import Control, LogRecord, encode_control
from streamer.worker.status.shard_state import ShardState

from .compiling import beside
from .edges import Edges
from .lane_opening import LaneOpener
from .lane_pace import LanePace
from .lane_processes import LaneProcesses
from .lane_run import LaneRun, Tell
from .owned_shard import OwnedShard

HELD: Final = (ShardState.OWNED, ShardState.ACQUIRING)


class LaneService:
    """Opens lanes. ``stop`` ends the one that is folded beside a shard, before the shard itself brings it to its definitions."""

    def __init__(
        self,
        edges: Edges,
        shards: Mapping[TopicPartition, OwnedShard],
        plans: Plans,
        is_stopping: Callable[[], bool],
        stop: Callable[[int, int], Awaitable[None]],
    ) -> None:
        self.pace = LanePace(self._lag_ms, self._is_live_at_work)
        self._processes: LaneProcesses | None = None
        if edges.settings.lane_processes and stores.is_shared(edges.settings.store.get_secret_value()):
            self._processes = LaneProcesses(edges.settings, edges.keyring, edges.background, edges.metrics, self._lag_ms)
        rules, scorers = edges.settings.rules, plans.scorers
        self._opener = LaneOpener(edges.store, edges.inspector, edges.sink, rules, edges.keyring, self.pace, scorers)
        self._planning = asyncio.Lock()  # all shards want the same plan, which is made once
        self._joining = set[int]()  # shards that stand at definitions and bring their lane there
        self._plans = plans
        self._store = edges.store
        self._sink = edges.sink
        self._inspector = edges.inspector
        self._consumer = edges.consumer
        self._keyring = edges.keyring
        self._rules = edges.settings.rules
        self._shards = shards
        self._is_stopping = is_stopping
        self._stop = stop

    def of(self, owned: OwnedShard) -> LanesOfShard:
        """Where a shard of this worker gets its lanes from."""
        return LanesOfShard(self._on_the_spot(owned), owned.number, self._stop, self._joining)

    def _on_the_spot(self, owned: OwnedShard) -> OnTheSpot:
        log = _WhileHeld(self._inspector, lambda: owned.is_ours and owned.state in HELD and not self._is_stopping())
        scorers = self._plans.scorers
        return OnTheSpot(self._store, log, self._rules, pause=asyncio.sleep, keyring=self._keyring, sink=self._sink, scorers=scorers)

    async def open(self, shard: Shard, control: Control, tell: Tell) -> LaneRun | None:
        """The lane of a shard towards definitions, where its checkpoint stands, or at the log's beginning; None where nothing is to be
        folded. RefusedError where the definitions cannot be read."""
        version, before = control.version, shard.body.digest
        history = max(shard.body.history, history_end(control, shard.shard))
        brought = shard.body.history if brings_history(control, shard.body) else NOTHING_BROUGHT
        plan = await self._plan(shard, control, history, brought)
        name = "" if plan is None else plan.name(version)
        await self.tidy(shard, lambda kept: kept == name)
        if plan is None:
            return None
        inherited = inherited_from(shard.body)
        if self._processes is None:
            return await self._opener.open(shard.shard, plan, version, shard.amendments, inherited, tell, lambda: shard.position.offset)
        run = await self._processes.begin(shard, tell)
        try:
            await run.open(encode_control(control), before, history, brought, inherited)
        except BaseException:
            run.close()
            raise
        return run

    async def stop(self) -> None:
        """End the processes in which lanes are folded."""
        if self._processes is not None:
            await self._processes.stop()

    async def tidy(self, shard: Shard, is_wanted: Callable[[str], bool]) -> None:
        """Forget the lanes of a shard that were overtaken, and those that owners have left who are gone: all but those that are wanted, by
        their names, and that of definitions which customers are coming under."""
        await drop_lanes(self._store, shard.shard, lambda name: is_wanted(name) or version_of(name) == shard.body.version)

    async def _plan(self, shard: Shard, control: Control, history: int, brought: int) -> LanePlan | None:
        before = shard.plan
        if brought == NOTHING_BROUGHT and not has_past(shard.body):
            return None
        after, _ = await self._plans.read(control)
        lateness_ms = self._rules.lateness_ms
        async with self._planning:
            await beside(lambda: changed_segments(before, after))  # the shard asks for it where it comes to the definitions
            return await beside(lambda: plan_lane(before, after, lateness_ms=lateness_ms, history=history, brought=brought))

    def _lag_ms(self) -> float:
        """How far the shard that is furthest behind has come: the age of what it has read last, where more is there."""
        now_ms = time() * 1_000
        return max((now_ms - owned.log_time_ms for owned in self._shards.values() if self._has_more(owned)), default=0.0)

    def _is_live_at_work(self) -> bool:
        return any(owned.lock.locked() and owned.number not in self._joining for owned in self._shards.values())

    def _has_more(self, owned: OwnedShard) -> bool:
        if owned.shard is None or owned.state is not ShardState.OWNED or not self._consumer.holds(owned.partition):
            return False
        end, _ = self._consumer.reach(owned.partition)
        return end is not None and owned.shard.position.offset < end


class LanesOfShard:
    """``flow.lane.lanes.Lanes`` for one shard of a worker."""

    def __init__(self, on_the_spot: OnTheSpot, shard: int, stop: Callable[[int, int], Awaitable[None]], joining: set[int]) -> None:
        self._joining = joining
        self._on_the_spot = on_the_spot
        self._shard = shard
        self._stop = stop

    async def at(self, wanted: Wanted) -> SideLane:
        """See ``Lanes``. The one that is folded beside the shard has come near to there; what is left is folded here."""
        self._joining.add(self._shard)
        try:
            await self._stop(self._shard, wanted.version)
            return await self._on_the_spot.at(wanted)
        finally:
            self._joining.discard(self._shard)


class _WhileHeld:
    """The log of a shard, for as long as the shard is held; then ReleasedError: a rebalance waits for what is in hand."""

    def __init__(self, log: Log, is_held: Callable[[], bool]) -> None:
        self._log = log
        self._is_held = is_held

    async def look(self, shard: int, offset: int) -> View:
        """See ``Log``."""
        self._check(shard)
        return await self._log.look(shard, offset)

    async def read(self, shard: int, offset: int, limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
        """See ``Log``."""
        async with aclosing(self._log.read(shard, offset, limit)) as batches:
            async for records in batches:
                self._check(shard)
                yield records

    async def history(self, shard: int, begin: int, end: int, limit: int) -> Sequence[LogRecord]:
        """See ``Log``."""
        self._check(shard)
        return await self._log.history(shard, begin, end, limit)

    def _check(self, shard: int) -> None:
        if not self._is_held():
            raise ReleasedError(f"shard {shard} is let go")


__all__ = ["LaneService", "LanesOfShard"]
