"""The seeded world: the real shard, step, commit and relay, owned by workers that die, freeze and lose their shards.

``World(seed).run()`` plays one history and returns what happened; ``verdict.judge`` says whether it was right.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from streamer.errors import FencedError, KeysLostError, ReleasedError, StoreError
from streamer.flow.catalog import Plans
from streamer.flow.machine import Limits
from streamer.flow.relay import Relay
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard, start_anew
from streamer.transports.memory import CONTROL, MemoryLog
from streamer.wire import EVENTS

from .faults import BrokerAwayError, Decisions, Faults, FaultyJournal, FaultySink, FaultyStore, Redis
from .lanes import LanesOfOwner, Publications
from .loop import Halt, Loop, Task
from .people import CALM, manner_of
from .poison import Poison, PoisonError
from .shop import EVERYWHERE, SHARDS, START_MS, Entry, script

RULES: Final = Rules(shards=SHARDS)
PROBE_MS: Final = 2_000
TICK_MS: Final = 1_000
SETTLE_STEPS: Final = 40_000
LENGTH: Final = 90
WORLD_FAULTS: Final = {
    "worker killed": 0.003,
    "worker frozen": 0.004,
    "rebalance": 0.004,
    "failover": 0.003,
    "emptied": 0.0004,
    "keys lost": 0.001,
    "lane killed": 0.01,
}
WRITTEN_PLACES: Final = {"commit applied": 1, "acquire done": 1, "trim done": 1, "put done": 20}  # documents are rare, so more of them
FATAL_PLACES: Final = {
    "acknowledged": "killed between publish and trim",
    "commit applied": "killed before the reply",
    "amended": "killed between amendment and commit",
}
OFTEN: Final = {"amended": 8}  # amendments are rare, so more of them


class ViolationError(AssertionError):
    """The world is not as it should be."""


@dataclass(slots=True)
class Worker:
    """One process."""

    number: int
    plans: Plans
    owners: dict[int, Owner] = field(default_factory=dict[int, "Owner"])
    frozen_until_ms: int = 0
    restart_ms: int | None = None


class Owner:
    """One shard in one worker, as ``worker.segmenter`` runs it: fetch, process, publish, probe, tick, let go."""

    def __init__(self, world: World, worker: Worker, shard: int) -> None:
        self.world, self.worker, self.number = world, worker, shard
        self.shard: Shard | None = None
        self.relay: Relay | None = None
        self.is_ended = self.is_processing = False
        self._last_probe_ms = self._last_tick_ms = 0
        world.loop.start(worker.number, f"shard {shard} in worker {worker.number}", self._run())
        world.loop.start(worker.number, f"relay {shard} in worker {worker.number}", self._publish())
        self.lanes = LanesOfOwner(self)

    @property
    def is_assigned(self) -> bool:
        return self.world.assigned[self.number] == self.worker.number and self.worker.owners.get(self.number) is self

    async def _run(self) -> None:
        while self.is_assigned:
            try:
                await self._own_or_reset()
            except FencedError:
                self.shard = self.relay = None
                await Halt("fenced", 5)
            except (StoreError, BrokerAwayError, ReleasedError, ConnectionError):
                self.shard = self.relay = None
                await Halt("waiting", 1)
            except PoisonError as error:
                raise ViolationError(f"shard {self.number}: an error of ours stopped it: {error}") from error
        self.is_ended = True

    async def _own_or_reset(self) -> None:
        try:
            await self._own()
        except KeysLostError:
            before = self.shard.checkpoint if self.shard is not None else await self.world.store.checkpoint(self.number)
            self.shard = self.relay = None
            await start_anew(self.number, self.world.store, before)
            self.world.faults.happened["told anew"] += 1

    async def _own(self) -> None:
        world, random = self.world, self.world.loop.random
        limits = Limits(
            random.choice((1, 3, 10, 50)),
            random.choice((1, 2, 5, 500)),
            random.choice((1, 2, 5, 500)),
            random.choice((1, 500, 3_000, 10**6)),
        )
        journal = await FaultyJournal.open(world.decisions, world.faults, self.number)
        options: dict[str, Any] = {"limits": limits, "journal": journal, "lanes": self.lanes, "pause": _pause}
        shard = await Shard.acquire(self.number, world.store, self.worker.plans, RULES, **options)
        relay = Relay(self.number, world.store, FaultySink(world.redis, world.log, self.number, shard.checkpoint.epoch))
        await relay.start()
        self.shard, self.relay, self.is_processing = shard, relay, False
        while self.is_assigned:
            await self._turn(shard, relay)
        until_ms = world.loop.now_ms + 2_000
        while relay.backlog and world.loop.now_ms < until_ms:
            await Halt("draining", 0.05)

    async def _turn(self, shard: Shard, relay: Relay) -> None:
        world, now_ms = self.world, self.world.loop.now_ms
        records = world.log.fetch(self.number, shard.position.offset, world.loop.random.randrange(1, 20))
        if records and not relay.is_full:
            self.is_processing = True  # also behind its last commit, where a lane that is done with is dropped
            relay.add(await shard.process(records))
            self.is_processing = False
        else:
            await Halt("idle", 0.05)
        if now_ms - self._last_tick_ms >= TICK_MS and (world.may_tick() or shard.is_switching):
            self._last_tick_ms = now_ms
            world.log.send_tick(self.number)
        if now_ms - self._last_probe_ms >= PROBE_MS:
            self._last_probe_ms = now_ms
            try:
                await shard.probe()
            except FencedError:
                world.faults.happened["found by a probe"] += 1
                raise

    async def _publish(self) -> None:
        while not self.is_ended:
            relay = self.relay
            try:
                if relay is None or not await relay.turn():
                    await Halt("nothing to publish", 0.05)
            except (StoreError, BrokerAwayError):
                await Halt("not published yet", 0.2)


class World:
    """One history."""

    def __init__(self, seed: int, *, length: int = LENGTH) -> None:
        random = Random(seed)
        self.seed, self.manner = seed, manner_of(seed)
        self.loop = Loop(random, START_MS)
        self.faults = Faults(random)
        self.redis = Redis(self.faults, self.loop)
        self.store = FaultyStore(self.redis)
        self.decisions = Decisions()
        self.poison = Poison(seed, self.faults.happened, lambda: self.loop.now_ms)
        self.log = MemoryLog(SHARDS, self._broker_ms)
        self.rules, self.publications = RULES, Publications()
        self.workers = [Worker(number, Plans(self.store, RULES)) for number in range(random.choice((2, 3)))]
        self.assigned = {shard: random.randrange(len(self.workers)) for shard in range(SHARDS)}
        self._script: list[Entry] = script(random, length, self.manner)[::-1]
        self._ticks = length // 3
        self._rates = {kind: rate * 2 * random.random() for kind, rate in WORLD_FAULTS.items() if random.random() < 0.7}
        self._lost_at_once = random.random() * 0.04 if random.random() < 0.5 else 0.0
        self._marked = random.random() if random.random() < 0.5 else 0.0  # how many of the producers' records end a transaction
        self._wild = random.random() * 0.2 if random.random() < 0.5 else 0.0
        begin_ms = START_MS + random.randrange(0, 7_200_000)
        self._ahead = (begin_ms, begin_ms + random.randrange(1, 600_000), random.choice((0, 0, 7_200_000, 3 * 86_400_000)))
        if self.manner in CALM:  # nothing arrives too late, or too early for its time
            self._wild, self._ahead = 0.0, (0, 0, 0)
        self._replaced = random.random() if random.random() < 0.5 else 0.0
        self._fatal = {place: random.random() * 0.1 * OFTEN.get(place, 1) for place in FATAL_PLACES if random.random() < 0.5}

    def _broker_ms(self) -> int:
        """Brokers' clocks differ: arrival times go back now and then."""
        return self.loop.now_ms - self.loop.random.choice((0, 0, 0, 300)) + self._jump()

    def _jump(self) -> int:
        """How far the brokers' clocks are ahead now: they jump once, and are set right after a while."""
        begin_ms, end_ms, ahead_ms = self._ahead
        if not ahead_ms or not begin_ms <= self.loop.now_ms < end_ms:
            return 0
        self.faults.happened["clock jumped"] += 1
        return ahead_ms

    def _producer_ms(self, entry: Entry) -> int | None:
        """A record with its producer's time now and then, and that clock is wild."""
        if entry.is_control or self.loop.random.random() >= self._wild:
            return None
        self.faults.happened["wild clock written"] += 1
        return self.loop.now_ms + self.loop.random.choice((-1, 1)) * 10 * 86_400_000

    def may_tick(self) -> bool:
        """Whether a worker may still write a tick: after the story's end the shards are quiet."""
        self._ticks -= 1
        return self._ticks >= 0 and not self.faults.is_healed

    # the story

    def run(self) -> None:
        """Play the script under faults; then heal, and wait for the end. Raises ViolationError if it does not come."""
        with self.poison.at_work():
            self._play()

    def _play(self) -> None:
        self._deal()
        while self._script:
            self._write()
            self._trouble()
            self._step()
        for _ in range(self.loop.random.randrange(300)):
            self._trouble()
            self._step()
        self._settle()
        if self.loop.random.random() < 0.5:  # nobody writes any more: who will notice?
            self.redis.fail_over(self.loop.random.randrange(1, 30))
            self.faults.happened["failover of quiet shards"] += 1
            self._settle()

    def close(self) -> None:
        """Leave nothing half awaited."""
        for task in self.loop.tasks:
            task.crash()

    def _write(self) -> None:
        if self.loop.random.random() >= 0.08:
            return
        entry = self._script.pop()
        self.loop.now_ms = max(self.loop.now_ms, entry.at_ms)
        if entry.shard == EVERYWHERE:
            self.publications.publish(entry.value)
            self.faults.happened[f"{entry.kind} published"] += 1
            return
        self.log.append(EVENTS, entry.shard, entry.value, headers=CONTROL if entry.is_control else (), producer_ms=self._producer_ms(entry))
        self.faults.happened[f"{entry.kind} written"] += 1
        if self.loop.random.random() < self._marked:
            self.log.use_offset(EVENTS, entry.shard)
            self.faults.happened["marker written"] += 1

    def _step(self) -> None:
        now_ms = self.loop.now_ms
        for worker in self.workers:
            if worker.restart_ms is not None and worker.restart_ms <= now_ms:
                worker.restart_ms = None
                self._deal()
        task = self.loop.turn(frozenset(worker.number for worker in self.workers if worker.frozen_until_ms > now_ms))
        if task is not None and task.worker >= 0 and not self.faults.is_healed:
            self._kill_at_worst(task)

    def _settle(self) -> None:
        self.faults.is_healed = True
        for worker in self.workers:
            worker.frozen_until_ms = 0
            worker.restart_ms = None
        self._deal()
        for step in range(SETTLE_STEPS):
            self._step()
            if step % 25 == 0 and self._is_quiet():
                return
        raise ViolationError(f"stuck: {self._where()}")

    def _is_quiet(self) -> bool:
        newest = self.publications.topic.newest
        return all(self._is_done(shard, newest.version if newest is not None else 1) for shard in range(SHARDS))

    def _is_done(self, number: int, version: int) -> bool:
        owner = self.workers[self.assigned[number]].owners.get(number)
        if (
            owner is None
            or owner.shard is None
            or owner.relay is None
            or owner.relay.backlog
            or owner.shard.is_switching
            or owner.is_processing
        ):
            return False
        if owner.shard.body.version < version:
            return False
        stored = self.redis.checkpoint(number)
        return (
            self.redis.is_whole(number) and owner.shard.checkpoint == stored and stored.position == (self.log.read_end(EVENTS, number), 0)
        )

    def _where(self) -> str:
        ends = [self.log.read_end(EVENTS, shard) for shard in range(SHARDS)]
        stored = [self.redis.checkpoint(shard) for shard in range(SHARDS)]
        return f"log {ends}, store {[(at.epoch, *at.position) for at in stored]}, tasks {[(t.name, t.place) for t in self.loop.tasks]}"

    # trouble

    def _trouble(self) -> None:
        random = self.loop.random
        for kind, rate in self._rates.items():
            if random.random() < rate:
                self._do(kind)

    def _do(self, kind: str) -> None:
        random = self.loop.random
        worker = random.choice(self.workers)
        if kind == "failover":
            self.redis.fail_over(random.randrange(0, 25))
        elif kind == "emptied":
            self.redis.empty()
        elif kind == "keys lost":
            self.redis.lose_keys(random.randrange(SHARDS))
        elif kind == "rebalance":
            self._rebalance()
        elif kind == "worker killed":
            self._kill(worker)
        elif kind == "lane killed":
            self._kill_a_lane()
        else:
            worker.frozen_until_ms = self.loop.now_ms + random.choice((100, 8_000, 60_000))
            if random.random() < 0.7:  # longer than the session: its shards go to others while it believes that they are its own
                self._rebalance(without=worker)
        self.faults.happened[kind] += kind not in ("failover", "emptied", "keys lost", "lane killed")

    def _kill_at_worst(self, task: Task) -> None:
        if task.place == "amending" and self.loop.random.random() < self._replaced:
            self._replace(self.workers[task.worker])
        if self.loop.random.random() < self._lost_at_once * WRITTEN_PLACES.get(task.place, 0):
            self.faults.happened["lost once acknowledged"] += 1
            self.redis.fail_over(1)
        if self.loop.random.random() < self._fatal.get(task.place, 0):
            self.faults.happened[FATAL_PLACES[task.place]] += 1
            self._kill(self.workers[task.worker])

    def _kill_a_lane(self) -> None:
        """At whichever await it stands."""
        lanes = [owner.lanes for worker in self.workers for owner in worker.owners.values() if owner.lanes.is_folding]
        if lanes:
            self.faults.happened["lane killed"] += 1
            self.loop.random.choice(lanes).begin()

    def _replace(self, worker: Worker) -> None:
        """It stands still before it amends; others take its shards, perhaps of a release in which the fault is mended."""
        self.faults.happened["replaced before amending"] += 1
        worker.frozen_until_ms = self.loop.now_ms + 60_000
        if self.loop.random.random() < 0.5:
            self.poison.mend()
        self._rebalance(without=worker)

    def _kill(self, worker: Worker) -> None:
        for task in self.loop.tasks:
            if task.worker == worker.number and not task.is_done:
                task.crash()
        worker.owners.clear()
        worker.plans = Plans(self.store, RULES)
        worker.frozen_until_ms = 0
        worker.restart_ms = self.loop.now_ms + self.loop.random.choice((10, 3_000))
        if self.loop.random.random() < 0.5:
            self._rebalance(without=worker)

    def _rebalance(self, without: Worker | None = None) -> None:
        others = [worker.number for worker in self.workers if worker is not without]
        self.assigned = {shard: self.loop.random.choice(others) for shard in range(SHARDS)}
        self._deal()

    def _deal(self) -> None:
        """Let every worker that is up begin with the shards that are its own now."""
        for shard, number in self.assigned.items():
            worker = self.workers[number]
            for other in self.workers:
                if other is not worker:
                    other.owners.pop(shard, None)
            if worker.restart_ms is None and shard not in worker.owners:
                worker.owners[shard] = owner = Owner(self, worker, shard)
                assert owner.is_assigned


async def _pause(seconds: float) -> None:
    await Halt("pausing", seconds)
