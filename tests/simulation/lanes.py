"""Side lanes of the simulated workers: folded beside live traffic as ``worker.shards.proposals`` does it, or on the spot.

A lane is crashed at any await, handed over where its shard comes to the definitions, dropped where something newer was published, and kept
while it is a shadow.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, Final

from streamer.deployment.history import has_past
from streamer.errors import HaltError, ReleasedError, StoreError
from streamer.flow.lane.hearing import Hearing
from streamer.flow.lane.lane import LaneSettings, SideLane
from streamer.flow.lane.lane_plan import plan_lane
from streamer.flow.lane.lanes import OnTheSpot, Wanted
from streamer.flow.published import Publication, Published
from streamer.flow.relay import Relay
from streamer.flow.same_log import View
from streamer.flow.shard import Shard
from streamer.transports.memory import CONTROL, MemoryLog
from streamer.wire import EVENTS, LogRecord, decode_control, definitions_control, unpack

from .faults import BrokerAwayError, FaultySink
from .loop import Halt, Task
from .shop import SHARDS

if TYPE_CHECKING:
    from .world import Owner

NO_EPOCH: Final = 1 << 62  # a lane is fenced by its own checkpoint
NEAR_RECORDS: Final = 3
UNANSWERED: Final = (StoreError, BrokerAwayError, ReleasedError, HaltError, ArithmeticError)  # the last: what nobody foresaw


class Publications:
    """The topic of definitions, as all workers read it, and which versions stand in the log of any shard."""

    def __init__(self) -> None:
        self.topic = Published()
        self.raws: list[bytes] = []
        self.written: dict[int, set[int]] = {shard: set() for shard in range(SHARDS)}

    def publish(self, raw: bytes) -> None:
        """One record more in the topic."""
        self.topic.take(LogRecord(len(self.raws), 0, raw, control=True))
        self.raws.append(raw)

    def wanted(self, version: int) -> Publication | None:
        """What a shard under this version is to come to: what stands in the log of another shard is left out by none."""
        newest, shadow = self.topic.newest, self.topic.shadow
        ahead = sorted(other for versions in self.written.values() for other in versions if other > version)
        if ahead:
            return self.topic.at(ahead[0])
        return newest if newest is not None and version < newest.version else shadow

    def raw(self, publication: Publication) -> bytes:
        """The record that has a shard obey it."""
        content = unpack(decode_control(self.raws[publication.offset]))
        return definitions_control(content, publication.digest, publication.version)


class LogBeside:
    """The log of a shard as its lanes read it, while their owner has the shard."""

    def __init__(self, log: MemoryLog, is_held: Callable[[], bool]) -> None:
        self._log, self._is_held = log, is_held

    async def history(self, shard: int, begin: int, end: int, limit: int) -> Sequence[LogRecord]:
        return await self._log.history(shard, begin, end, limit)

    async def look(self, shard: int, offset: int) -> View:
        await Halt("log looked at")
        return await self._log.look(shard, offset)

    async def read(self, shard: int, offset: int, limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
        while records := self._log.fetch(shard, offset, min(limit, 15)):
            if not self._is_held():
                raise ReleasedError("the shard is another worker's by now")
            yield records  # it does not stand still here: a generator cannot be crashed in the middle
            offset = records[-1].offset + 1


class LanesOfOwner:
    """``flow.lane.lanes.Lanes`` of one shard of one worker, and the lane that is folded beside it."""

    def __init__(self, owner: Owner) -> None:
        world = owner.world
        self._owner, self._world, self._number = owner, world, owner.number
        self._sink = FaultySink(world.redis, world.log, owner.number, NO_EPOCH)
        self._log = LogBeside(world.log, lambda: owner.is_assigned)
        self._spot = OnTheSpot(world.store, self._log, world.rules, pause=_pause, sink=self._sink)
        self._taken = 0  # the highest version to which the shard itself brings its lane
        self._task: Task | None = None
        self.begin()

    def begin(self) -> None:
        """Fold beside the shard what is wanted; whatever did so before is gone at the await where it stands."""
        if self._task is not None and not self._task.is_done:
            self._task.crash()
        worker = self._owner.worker.number
        self._task = self._world.loop.start(worker, f"lane {self._number} in worker {worker}", self._run())

    @property
    def is_folding(self) -> bool:
        """Whether a lane is under way beside the shard."""
        return self._task is not None and not self._task.is_done and self._task.place.startswith("lane")

    async def at(self, wanted: Wanted) -> SideLane:
        """See ``Lanes``: what is folded beside the shard ends, wherever it stands, and the rest is folded here."""
        self._world.faults.happened["lane on the spot"] += 1
        self._taken = max(self._taken, wanted.version)
        self.begin()
        return await self._spot.at(wanted)

    async def _run(self) -> None:
        owner = self._owner
        while not owner.is_ended:
            shard = owner.shard
            is_ahead = shard is not None and shard.body.version < self._taken  # the shard itself brings its lane there
            wanted = None if shard is None or is_ahead else self._world.publications.wanted(shard.body.version)
            if shard is None or wanted is None or not owner.is_assigned:
                await Halt("nothing published", 0.1)
                continue
            try:
                await self._bring(shard, wanted)
            except UNANSWERED as error:
                self._world.faults.happened[f"lane stopped: {type(error).__name__}"] += 1
                await Halt("a lane stands", 0.5)

    async def _bring(self, shard: Shard, wanted: Publication) -> None:
        world, number = self._world, self._number
        raw, before = world.publications.raw(wanted), shard.body.version
        lane = await self._open(shard, raw, wanted.version) if has_past(shard.body) else None
        relay = Relay(number, lane.store, self._sink, topics=()) if lane is not None else None
        if relay is not None:
            await relay.start()
        hearing = Hearing(lane, self._log) if lane is not None else None
        while shard.body.version == before and self._is_wanted(shard, wanted):
            if lane is not None and relay is not None and hearing is not None:
                await self._fold(shard, lane, relay, hearing)
            is_near = lane is None or lane.position >= shard.position.offset - NEAR_RECORDS
            if is_near and not wanted.is_shadow and world.loop.random.random() < 0.5:
                self._write(raw, wanted.version)
            await Halt("lane waits", 0.05)
        is_written = wanted.version in world.publications.written[number]
        if lane is not None and owner_has(self._owner, shard) and not is_written:
            world.faults.happened["lane dropped"] += 1
            await lane.drop()

    def _is_wanted(self, shard: Shard, wanted: Publication) -> bool:
        if not owner_has(self._owner, shard) or shard.body.version >= wanted.version:
            return False
        if wanted.version in self._world.publications.written[self._number]:
            return True  # what was published since waits for it
        return self._world.publications.wanted(shard.body.version) == wanted

    async def _open(self, shard: Shard, raw: bytes, version: int) -> SideLane | None:
        after, _ = await self._owner.worker.plans.read(decode_control(raw))
        plan = plan_lane(shard.plan, after, lateness_ms=self._world.rules.lateness_ms)
        if plan is None:
            return None
        await Halt("lane opened")
        return await SideLane.open(
            LaneSettings(self._number, self._world.store, self._world.rules, shard.amendments, _pause), plan, version
        )

    async def _fold(self, shard: Shard, lane: SideLane, relay: Relay, hearing: Hearing) -> None:
        """No further than the shard has come: what is amended about a record is so before that."""
        await Halt("lane reads")
        if self._world.faults.hit("broker away"):
            raise BrokerAwayError
        records = self._world.log.fetch(self._number, lane.position, self._world.loop.random.randrange(1, 12))
        records = [record for record in records if record.offset < shard.position.offset]
        if not records:
            await relay.turn()
            return
        await Halt("lane folds")
        relay.add(await lane.fold(records))
        self._world.faults.happened["folded beside"] += 1
        await relay.turn()
        if lane.awaits is not None:
            self._world.faults.happened["a lane waited for another"] += 1
            if not await hearing.has_come(lane.awaits):
                await Halt("lane waits for another", 0.2)

    def _write(self, raw: bytes, version: int) -> None:
        """Into the log of the shard; again, if it is not sure that it is there."""
        world = self._world
        if version not in world.publications.written[self._number] or world.loop.random.random() < 0.05:
            world.log.append(EVENTS, self._number, raw, headers=CONTROL)
            world.publications.written[self._number].add(version)
            world.faults.happened["definitions written by an owner"] += 1


def owner_has(owner: Owner, shard: Shard) -> bool:
    """Whether the worker still has this shard, under the same epoch."""
    return owner.shard is shard and owner.is_assigned


async def _pause(seconds: float) -> None:
    await Halt("pausing", seconds)
