"""A Redis and a Kafka that fail in every way they can, at every await, as a seed decides."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import NamedTuple, TypeVar

from streamer.errors import CommitUnknownError, FencedError, KeysLostError, StoreUnavailableError
from streamer.flow.amendments import Amendment, Amendments
from streamer.stores.base import Checkpoint, Commit, Committed, Fetched, OutputPosition, Page
from streamer.stores.health import Health
from streamer.stores.memory import MemoryStore
from streamer.transports.memory import MemoryLog, MemorySink
from streamer.wire import Output

from .loop import Halt, Loop, now

Result = TypeVar("Result")

CALL_FAULTS = {  # how often at most, of the calls that can suffer it
    "store refused": 0.03,
    "reply lost, not applied": 0.05,
    "reply lost, applied": 0.05,
    "reply lost, applied late": 0.05,
    "acquired, reply lost": 0.1,
    "broker away": 0.05,
    "sent in part": 0.1,
    "acknowledgement lost": 0.1,
    "amendment refused": 0.5,
    "amendment written, reply lost": 0.9,
}
SNAPSHOTS = 60


class BrokerAwayError(Exception):
    """What a producer raises: some first part of what was sent may be published."""


class Snapshot(NamedTuple):
    """Redis as it was after some write."""

    store: MemoryStore
    commits: int


class Faults:
    """Which faults this seed has, and how often each has happened. ``heal`` ends them."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.happened: Counter[str] = Counter()
        self.is_healed = False
        self._rates = {kind: rate * random.random() for kind, rate in CALL_FAULTS.items() if random.random() < 0.6}

    def hit(self, kind: str) -> bool:
        """Whether a fault happens now."""
        if self.is_healed or self.random.random() >= self._rates.get(kind, 0):
            return False
        self.happened[kind] += 1
        return True


class LossyStore(MemoryStore):
    """A store in memory of which single entries can be lost."""

    @classmethod
    def of(cls, store: MemoryStore) -> LossyStore:
        found = cls()
        found._shards, found._documents, found._lanes = (copied := store.copy())._shards, copied._documents, copied._lanes
        return found

    def lose(self, shard: int, what: str, most: int) -> int:
        """Drop at most so many entries behind everybody's back; how many."""
        kept: dict[str, object] = getattr(self._shard(shard), what)
        gone = sorted(kept)[:most]
        for name in gone:
            del kept[name]
        return len(gone)


class Redis:
    """One server for all workers: what it holds, and what it held before."""

    def __init__(self, faults: Faults, loop: Loop) -> None:
        self.faults = faults
        self.loop = loop
        self.store: LossyStore = LossyStore()
        self.commits = 0
        self.server = 0  # a packet on its way to one does not arrive at the next
        self._snapshots: deque[Snapshot] = deque(maxlen=SNAPSHOTS)

    def written(self, *, commits: int = 0) -> None:
        """Remember how it is now."""
        self.commits += commits
        self._snapshots.append(Snapshot(self.store.copy(), self.commits))

    def fail_over(self, writes: int) -> None:
        """A replica takes over that had not got the last so many writes."""
        for _ in range(min(writes, len(self._snapshots) - 1)):
            self._snapshots.pop()
        if self._snapshots:
            kept = self._snapshots[-1]
            self.server += 1
            self.faults.happened["failover"] += 1
            self.faults.happened["commits lost"] += self.commits - kept.commits
            self.store, self.commits = LossyStore.of(kept.store), kept.commits

    def is_whole(self, shard: int) -> bool:
        """Whether the shard has what its checkpoint says."""
        kept = self.store._shard(shard)
        return kept.checkpoint.holds in (None, kept.holds)

    def checkpoint(self, shard: int) -> Checkpoint:
        """As it stands, seen from outside the story."""
        return now(self.store.checkpoint(shard))

    def lose_keys(self, shard: int) -> None:
        """An eviction policy, or somebody with DEL: some of a shard's entries are gone, and the rest is as it was."""
        what = self.faults.random.choice(("states", "states", "wakes", "wakes", "documents"))
        if self.store.lose(shard, what, self.faults.random.choice((1, 3, 1_000))):
            self.faults.happened[f"{what} lost"] += 1
            self.written()

    def empty(self) -> None:
        """Somebody typed FLUSHALL."""
        self.faults.happened["emptied"] += 1
        self.server += 1
        self.store, self.commits = LossyStore(), 0
        self._snapshots.clear()
        self.written()


class FaultyStore:
    """``stores.base.Store`` over the simulated Redis. Every call stands still before and after."""

    def __init__(self, redis: Redis, lane: str = "") -> None:
        self._redis = redis
        self._faults = redis.faults
        self._lane = lane

    def _at(self) -> MemoryStore:
        store = self._redis.store
        return store.lane(self._lane) if self._lane else store

    def lane(self, name: str) -> FaultyStore:
        return FaultyStore(self._redis, name)

    async def lanes(self, shard: int) -> list[str]:
        return await self._call("look for lanes", lambda store: store.lanes(shard))

    async def drop(self, shard: int) -> None:
        await self._call("drop a lane", lambda store: store.drop(shard), writes=True)

    async def _call(self, name: str, call: Callable[[MemoryStore], Awaitable[Result]], *, writes: bool = False) -> Result:
        await Halt(f"{name} sent")
        if self._faults.hit("store refused"):
            raise StoreUnavailableError("refused")
        result = await call(self._at())
        if writes:
            self._redis.written()
        await Halt(f"{name} done")
        return result

    async def acquire(self, shard: int) -> Checkpoint:
        found = await self._call("acquire", lambda store: store.acquire(shard), writes=True)
        if self._faults.hit("acquired, reply lost"):
            raise StoreUnavailableError("the reply was lost")
        return found

    async def verify(self, shard: int, expected: Checkpoint) -> None:
        await self._call("verify", lambda store: store.verify(shard, expected))

    async def reset(self, shard: int, *, expected: Checkpoint | None = None) -> Checkpoint:
        return await self._call("reset", lambda store: store.reset(shard, expected=expected), writes=True)

    async def checkpoint(self, shard: int) -> Checkpoint:
        return await self._call("checkpoint", lambda store: store.checkpoint(shard))

    async def fetch(
        self, shard: int, customers: Sequence[str], *, until_ms: int, limit: int, expected: Checkpoint | None = None
    ) -> Fetched:
        return await self._call("fetch", lambda store: store.fetch(shard, customers, until_ms=until_ms, limit=limit, expected=expected))

    async def committed(self, shard: int, customers: Sequence[str]) -> Committed:
        return await self._call("committed", lambda store: store.committed(shard, customers))

    async def customers(self, shard: int, bucket: int, *, limit: int, expected: Checkpoint | None = None) -> Page:
        return await self._call("customers", lambda store: store.customers(shard, bucket, limit=limit, expected=expected))

    async def commit(self, shard: int, commit: Commit) -> None:
        await Halt("commit sent")
        if self._faults.hit("store refused"):
            raise StoreUnavailableError("refused")
        if self._faults.hit("reply lost, not applied"):
            raise CommitUnknownError("no reply")
        if self._faults.hit("reply lost, applied late"):
            self._redis.loop.start(-1, "late commit", self._apply_late(shard, commit))
            raise CommitUnknownError("no reply")
        await self._apply(shard, commit)
        await Halt("commit applied")
        if self._faults.hit("reply lost, applied"):
            raise CommitUnknownError("no reply")

    async def _apply(self, shard: int, commit: Commit) -> None:
        try:
            await self._at().commit(shard, commit)
        except FencedError:
            self._faults.happened["fenced"] += 1
            raise
        self._faults.happened["slice of a record"] += commit.position.step > 0
        self._redis.written(commits=1)

    async def _apply_late(self, shard: int, commit: Commit) -> None:
        """The packet was only slow."""
        server = self._redis.server
        for _ in range(self._faults.random.randrange(1, 5)):
            await Halt("on the way", self._faults.random.random())
        if server != self._redis.server:
            return
        try:
            await self._apply(shard, commit)
        except FencedError:
            self._faults.happened["late commit fenced"] += 1
        except KeysLostError:
            self._faults.happened["late commit on lost keys"] += 1  # refused whole; nobody waits for the answer

    async def outbox(self, shard: int, *, after: OutputPosition | None, limit: int) -> list[tuple[OutputPosition, bytes]]:
        return await self._call("outbox", lambda store: store.outbox(shard, after=after, limit=limit))

    async def trim(self, shard: int, *, upto: OutputPosition) -> None:
        await self._call("trim", lambda store: store.trim(shard, upto=upto), writes=True)

    async def put_document(self, name: str, content: bytes) -> bytes:
        return await self._call("put", lambda store: store.put_document(name, content), writes=True)

    async def get_document(self, name: str, *, shard: int | None = None) -> bytes | None:
        return await self._call("get", lambda store: store.get_document(name, shard=shard))

    async def replace_document(self, name: str, content: bytes) -> None:
        await self._call("replace", lambda store: store.replace_document(name, content), writes=True)

    async def drop_document(self, name: str) -> None:
        await self._call("drop", lambda store: store.drop_document(name), writes=True)

    async def health(self) -> Health:
        return Health("simulated")

    async def close(self) -> None:
        return None


class FaultySink:
    """``flow.relay.Sink`` over the simulated Kafka, of one owner under one epoch."""

    def __init__(self, redis: Redis, log: MemoryLog, shard: int, epoch: int) -> None:
        self._redis = redis
        self._faults = redis.faults
        self._sink = MemorySink(log)
        self._shard, self._epoch = shard, epoch

    async def tail(self, topic: str, shard: int) -> OutputPosition | None:
        await Halt("tail asked")
        if self._faults.hit("broker away"):
            raise BrokerAwayError
        found = await self._sink.tail(topic, shard)
        await Halt("tail read")
        return found

    async def send(self, outputs: Sequence[Output]) -> None:
        await Halt("send")
        if self._faults.hit("broker away"):
            raise BrokerAwayError
        end = self._faults.random.randrange(len(outputs)) if outputs and self._faults.hit("sent in part") else len(outputs)
        for output in outputs[:end]:
            if (await self._redis.store.checkpoint(self._shard)).epoch > self._epoch:
                self._faults.happened["published by a zombie"] += 1
            await self._sink.send([output])
            if self._faults.random.random() < 0.2:
                await Halt("sending")
        if end < len(outputs):
            raise BrokerAwayError
        await Halt("acknowledged")
        if self._faults.hit("acknowledgement lost"):
            raise BrokerAwayError


class Decisions:
    """The topic of amendments: what each shard has, and how often its writer's id was taken."""

    def __init__(self) -> None:
        self.kept: defaultdict[int, list[Amendment]] = defaultdict(list)
        self.takings: Counter[int] = Counter()


class FaultyJournal:
    """``flow.amendments.Journal`` of one owner over the simulated Kafka. Whoever opens it fences whoever had it open before."""

    def __init__(self, decisions: Decisions, faults: Faults, shard: int) -> None:
        decisions.takings[shard] += 1
        self.amendments = Amendments(decisions.kept[shard])
        self.taking = decisions.takings[shard]
        self._decisions, self._faults, self._shard = decisions, faults, shard

    @classmethod
    async def open(cls, decisions: Decisions, faults: Faults, shard: int) -> FaultyJournal:
        """Take the id, then read whole."""
        await Halt("journal asked")
        found = cls(decisions, faults, shard)
        await Halt("journal read")
        return found

    async def write(self, amendment: Amendment) -> None:
        await Halt("amending")
        if self._faults.hit("amendment refused"):
            raise StoreUnavailableError("refused")
        self.check_fence()
        self.keep(amendment)
        await Halt("amended")
        if self._faults.hit("amendment written, reply lost"):
            raise StoreUnavailableError("no reply")
        self.amendments.add(amendment)

    def check_fence(self) -> None:
        if self.taking != self._decisions.takings[self._shard]:
            self._faults.happened["amendment fenced"] += 1
            raise FencedError("another owner writes the amendments now")

    def keep(self, amendment: Amendment) -> None:
        self._decisions.kept[self._shard].append(amendment)
        self._faults.happened[f"amended {amendment.what}"] += 1
