"""The store in memory: for replays and tests. It keeps bytes only, so whoever uses it pays for encoding like everywhere else."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import count

from streamer.errors import KeysLostError

from .base import Checkpoint, Commit, Committed, Fetched, Holdings, OutputPosition, Page, Position, fenced, lost
from .buckets import bucket_of, bucket_sizes, place_of
from .health import Health, StoreFinding
from .opening import Access

HEALTH = Health(
    "in the memory of this process",
    (
        StoreFinding(
            "not_durable",
            "advice",
            "what is kept ends with this process, and no other process sees it: a worker tells its whole log anew at each start",
            "name a server: redis://HOST:PORT/0",
        ),
    ),
)
EMPTY = Checkpoint(0, Position(0, 0), b"", b"")
_owners = count(1)  # over all stores: a copy, too, must not draw a name again


@dataclass(slots=True)
class _MemoryShard:
    checkpoint: Checkpoint = EMPTY
    states: dict[str, bytes] = field(default_factory=dict[str, bytes])
    wakes: dict[str, int] = field(default_factory=dict[str, int])
    heap: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])  # may hold entries that ``wakes`` no longer has
    outbox: list[tuple[OutputPosition, bytes]] = field(default_factory=list[tuple[OutputPosition, bytes]])
    documents: dict[str, bytes] = field(default_factory=dict[str, bytes])
    walk: list[str] | None = None  # all customers in their order; None when it is to be found anew

    @property
    def holds(self) -> Holdings:
        return Holdings(bucket_sizes(self.states), len(self.wakes), len(self.documents))

    def lacks(self) -> str:
        """What is not as the checkpoint says, in words; empty when all is there."""
        said = self.checkpoint.holds
        if said is None or (sum(said.customers), said.wakes, said.documents) == (len(self.states), len(self.wakes), len(self.documents)):
            return ""
        return lost(said, self.holds)

    def page(self, bucket: int, limit: int) -> Page:
        walk = self.walk
        if walk is None or len(walk) != len(self.states):
            walk = self.walk = sorted(self.states, key=place_of)
        begin = bisect_left(walk, (bucket, ""), key=place_of)
        end = len(walk)
        if begin + limit < end:
            end = bisect_left(walk, (bucket_of(walk[begin + limit - 1]) + 1, ""), begin, key=place_of)
        return Page(walk[begin:end], bucket_of(walk[end]) if end < len(walk) else None)

    def set_state(self, customer: str, state: bytes | None) -> None:
        if (state is None) == (customer in self.states):
            self.walk = None  # somebody came or went
        if state is None:
            self.states.pop(customer, None)
        else:
            self.states[customer] = bytes(state)

    def due(self, until_ms: int, limit: int) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        while self.heap and self.heap[0][0] <= until_ms and len(found) < limit:
            entry = heappop(self.heap)
            if self.wakes.get(entry[1]) == entry[0] and (not found or found[-1] != entry):
                found.append(entry)
        for entry in found:
            heappush(self.heap, entry)
        return found

    def set_wake(self, customer: str, due_ms: int | None) -> None:
        if due_ms is None:
            self.wakes.pop(customer, None)
        else:
            self.wakes[customer] = due_ms
            heappush(self.heap, (due_ms, customer))


def open_memory(url: str, *, namespace: str, access: Access) -> MemoryStore:  # noqa: ARG001 - there is one log, and nobody to log in to
    """A new and empty store, for ``memory://``."""
    return MemoryStore()


class MemoryStore:
    """Keeps the promises of ``stores.base.Store`` within one process."""

    def __init__(self) -> None:
        self._shards: dict[int, _MemoryShard] = {}
        self._documents: dict[str, bytes] = {}
        self._lanes: dict[str, MemoryStore] = {}

    def copy(self) -> MemoryStore:
        """The store as it stands: what a snapshot, or a replica that lags behind, would come back with."""
        copied = MemoryStore()
        copied._documents = dict(self._documents)
        copied._shards = {
            number: _MemoryShard(
                kept.checkpoint, dict(kept.states), dict(kept.wakes), list(kept.heap), list(kept.outbox), dict(kept.documents)
            )
            for number, kept in self._shards.items()
        }
        copied._lanes = {name: lane.copy() for name, lane in self._lanes.items()}
        return copied

    def _shard(self, shard: int) -> _MemoryShard:
        return self._shards.setdefault(shard, _MemoryShard())

    async def acquire(self, shard: int) -> Checkpoint:
        """See ``Store``."""
        kept = self._shard(shard)
        old = kept.checkpoint
        _check_whole(shard, kept)
        kept.checkpoint = replace(old, epoch=old.epoch + 1, owner=b"%d" % next(_owners))
        return kept.checkpoint

    async def verify(self, shard: int, expected: Checkpoint) -> None:
        """See ``Store``."""
        kept = self._shard(shard)
        _check(shard, expected, kept.checkpoint)
        _check_whole(shard, kept)

    async def reset(self, shard: int, *, expected: Checkpoint | None = None) -> Checkpoint:
        """See ``Store``."""
        old = self._shard(shard).checkpoint
        _check(shard, expected, old)
        emptied = self._shards[shard] = _MemoryShard(replace(EMPTY, epoch=old.epoch + 1, owner=b"%d" % next(_owners)))
        return emptied.checkpoint

    async def checkpoint(self, shard: int) -> Checkpoint:
        """See ``Store``."""
        return self._shard(shard).checkpoint

    async def fetch(
        self, shard: int, customers: Sequence[str], *, until_ms: int, limit: int, expected: Checkpoint | None = None
    ) -> Fetched:
        """See ``Store``."""
        kept = self._shard(shard)
        _check(shard, expected, kept.checkpoint)
        return Fetched([kept.states.get(customer) for customer in customers], kept.due(until_ms, limit))

    async def committed(self, shard: int, customers: Sequence[str]) -> Committed:
        """See ``Store``."""
        kept = self._shard(shard)
        return Committed(kept.checkpoint, [kept.states.get(customer) for customer in customers])

    async def customers(self, shard: int, bucket: int, *, limit: int, expected: Checkpoint | None = None) -> Page:
        """See ``Store``."""
        kept = self._shard(shard)
        _check(shard, expected, kept.checkpoint)
        return kept.page(bucket, limit)

    async def commit(self, shard: int, commit: Commit) -> None:
        """See ``Store``."""
        kept = self._shard(shard)
        _check(shard, commit.expected, kept.checkpoint)
        _check_whole(shard, kept)
        for customer, state in commit.states.items():
            kept.set_state(customer, state)
        for customer, due_ms in commit.wakes.items():
            kept.set_wake(customer, due_ms)
        if commit.outbox is not None:
            kept.outbox.append(commit.outbox)
        kept.documents |= commit.documents
        for name in commit.forgotten:
            kept.documents.pop(name, None)
        kept.checkpoint = commit.checkpoint

    async def outbox(self, shard: int, *, after: OutputPosition | None, limit: int) -> list[tuple[OutputPosition, bytes]]:
        """See ``Store``."""
        return [entry for entry in self._shard(shard).outbox if after is None or entry[0] > after][:limit]

    async def trim(self, shard: int, *, upto: OutputPosition) -> None:
        """See ``Store``."""
        kept = self._shard(shard)
        kept.outbox = [entry for entry in kept.outbox if entry[0] > upto]

    async def put_document(self, name: str, content: bytes) -> bytes:
        """See ``Store``."""
        return self._documents.setdefault(name, content)

    async def get_document(self, name: str, *, shard: int | None = None) -> bytes | None:
        """See ``Store``."""
        own = self._shard(shard).documents.get(name) if shard is not None else None
        return self._documents.get(name) if own is None else own

    async def replace_document(self, name: str, content: bytes) -> None:
        """See ``Store``."""
        self._documents[name] = content

    async def drop_document(self, name: str) -> None:
        """See ``Store``."""
        self._documents.pop(name, None)

    def lane(self, name: str) -> MemoryStore:
        """See ``Store``."""
        return self._lanes.setdefault(name, MemoryStore())

    async def lanes(self, shard: int) -> list[str]:
        """See ``Store``."""
        return sorted([name for name, lane in self._lanes.items() if (await lane.checkpoint(shard)).epoch])

    async def drop(self, shard: int) -> None:
        """See ``Store``."""
        self._shards.pop(shard, None)

    async def health(self) -> Health:
        """See ``Store``."""
        return HEALTH

    async def close(self) -> None:
        """See ``Store``."""


def _check_whole(shard: int, kept: _MemoryShard) -> None:
    if lacks := kept.lacks():
        raise KeysLostError(f"shard {shard}: {lacks}")


def _check(shard: int, expected: Checkpoint | None, found: Checkpoint) -> None:
    if expected is not None and found.mark != expected.mark:
        raise fenced(shard, expected, found)
