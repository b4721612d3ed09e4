"""What a store of customers' state promises; nobody outside this folder knows more of any store.

A store keeps, for each shard: a checkpoint, one blob per customer, a wake-up index, and an outbox. They change only
together, by ``commit``, all or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from streamer.errors import FencedError, StoreOlderError

from .health import Health


class Position(NamedTuple):
    """How far a shard is: the offset of the next record to apply, and how many slices of it are already committed."""

    offset: int
    step: int


class OutputPosition(NamedTuple):
    """Where an output stands within its shard; compares in the order of the story.

    A function of the log, which a ``Position`` is not: into how many slices a record is cut is each owner's own affair.
    """

    offset: int
    ordinal: int


class Holdings(NamedTuple):
    """How many entries a shard has besides its checkpoint. Should the store have another number, some were lost.

    ``customers`` are counted by bucket, see ``buckets``: so a commit need look at none but those that it touches.
    """

    customers: tuple[int, ...]
    wakes: int
    documents: int


def fenced(shard: int, expected: Checkpoint, found: Checkpoint) -> FencedError:
    """What to raise for a checkpoint that is not the one expected."""
    places = f"expected epoch {expected.epoch} at {tuple(expected.position)}, found {found.epoch} at {tuple(found.position)}"
    is_own = (found.epoch, found.owner) == (expected.epoch, expected.owner)
    if found.epoch < expected.epoch or (is_own and found.position < expected.position):
        what = "older than what was committed" if found.epoch else "empty"
        return StoreOlderError(f"shard {shard}: the store is {what}: {places}; it failed over, was restored, or was emptied")
    return FencedError(f"shard {shard}: {places}")


def lost(expected: Holdings, found: Holdings) -> str:
    """Which numbers differ, in words.

    >>> lost(Holdings((2, 3), 1_000, 1), Holdings((2, 0), 0, 1))
    'expected 5 customers, found 2, expected 1,000 wakes, found 0'
    >>> lost(Holdings((2, 3), 1, 1), Holdings((3, 2), 1, 1))
    'expected 5 customers, found 5 in other buckets'
    """
    words: list[str] = []
    if expected.customers != found.customers:
        total, now = sum(expected.customers), sum(found.customers)
        words.append(f"expected {total:,} customers, found {now:,}" + (" in other buckets" if now == total else ""))
    pairs = (("wakes", expected.wakes, found.wakes), ("documents", expected.documents, found.documents))
    return ", ".join(words + [f"expected {one:,} {name}, found {other:,}" for name, one, other in pairs if one != other])


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a shard's owner needs to go on.

    ``epoch`` rises by one at each ``acquire``; 0 means the shard was never acquired. ``output_digest`` is the running digest over the
    outputs so far (empty before the first commit). ``body`` belongs to the segmenter; the store does not look into it. ``owner`` is drawn
    by each ``acquire``: should the store lose one and come back older, the next has the same epoch and yet is another. ``holds`` is what
    the shard's other keys hold; None: nobody has said so, and it is not compared.
    """

    epoch: int
    position: Position
    output_digest: bytes
    body: bytes
    owner: bytes = b""
    holds: Holdings | None = None

    @property
    def mark(self) -> tuple[int, bytes, Position, bytes]:
        """What must be as expected for a commit to go through."""
        return self.epoch, self.owner, self.position, self.output_digest


@dataclass(frozen=True, slots=True)
class Commit:
    """One all-or-nothing change of a shard.

    The ``mark`` of ``expected`` must be that of the stored checkpoint, or nothing is written. ``position`` is above ``expected.position``.
    In ``states`` and ``wakes`` a value of None removes. ``wakes`` are UTC milliseconds. ``outbox`` is one opaque entry and the place of its
    last output, under which it is kept until it is trimmed; None when there is nothing to say. ``documents`` are contents by names, without
    which the states cannot be read or folded anew; see ``get_document``. The shard's documents of the names in ``forgotten`` are removed.
    ``holds`` is what there is after this commit.
    """

    expected: Checkpoint
    position: Position
    output_digest: bytes
    body: bytes
    states: Mapping[str, bytes | None] = field(default_factory=dict[str, bytes | None])
    wakes: Mapping[str, int | None] = field(default_factory=dict[str, int | None])
    outbox: tuple[OutputPosition, bytes] | None = None
    documents: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    forgotten: Sequence[str] = ()
    holds: Holdings | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that holds once this commit went through."""
        return Checkpoint(self.expected.epoch, self.position, self.output_digest, self.body, self.expected.owner, self.holds)


class Fetched(NamedTuple):
    """States in the order asked for (None: not known) and the wake-ups that are due, as (due_ms, customer), ascending."""

    states: list[bytes | None]
    due: list[tuple[int, str]]


class Committed(NamedTuple):
    """States in the order asked for (None: not known), and the checkpoint under which they hold."""

    checkpoint: Checkpoint
    states: list[bytes | None]


class Page(NamedTuple):
    """Customers of whole buckets that follow one another, in the order of the walk, and the bucket at which to go on.

    ``next_bucket`` is None where no customer comes behind them.
    """

    customers: list[str]
    next_bucket: int | None


class Store(Protocol):
    """Keeps the shards. ``tests/contract`` holds every implementation to these promises.

    Errors: ``StoreUnavailableError`` (nothing was written, try again), ``CommitUnknownError`` only from
    ``commit``, ``FencedError`` from whatever is told what to expect, ``KeysLostError`` from ``acquire``, ``commit`` and ``verify``: the
    first and the last look at all that the shard has, a commit at least at the buckets of its customers and at what it writes besides.
    No call retries by itself. No key ever expires.
    """

    async def acquire(self, shard: int) -> Checkpoint:
        """Raise the epoch by one and return the checkpoint under it. From then on commits of older epochs are fenced.

        After an error it may have risen all the same. KeysLostError unless the shard has what its checkpoint says.
        """
        ...

    async def verify(self, shard: int, expected: Checkpoint) -> None:
        """FencedError unless the shard is where ``expected`` says; KeysLostError unless it has what its checkpoint says."""
        ...

    async def reset(self, shard: int, *, expected: Checkpoint | None = None) -> Checkpoint:
        """Empty a shard, to be told anew from the beginning of its log: the checkpoint that holds then, at position (0, 0).

        All or nothing. The epoch rises by one, so whoever owned the shard is fenced. FencedError, and nothing done, unless the shard is
        where ``expected`` says (None: wherever it is). After another error it may be done all the same; once more does no harm.
        """
        ...

    async def checkpoint(self, shard: int) -> Checkpoint:
        """The checkpoint as it stands, changing nothing (epoch 0, position (0, 0), output digest and body empty if there is none)."""
        ...

    async def fetch(
        self, shard: int, customers: Sequence[str], *, until_ms: int, limit: int, expected: Checkpoint | None = None
    ) -> Fetched:
        """States of ``customers``, and at most ``limit`` wake-ups at or before ``until_ms``, in one round trip.

        Wake-ups come ordered by (due_ms, customer), customers compared by code point. FencedError unless the shard is where ``expected``
        says: what another owner wrote must not be reckoned with, even if a failover should undo it before the commit.
        """
        ...

    async def committed(self, shard: int, customers: Sequence[str]) -> Committed:
        """States of ``customers`` and the checkpoint, as of one moment: for those who read a shard that others own. Changes nothing."""
        ...

    async def customers(self, shard: int, bucket: int, *, limit: int, expected: Checkpoint | None = None) -> Page:
        """The customers with a state in ``bucket``, and in as many buckets behind it as it takes to come to ``limit``.

        Ascending by (bucket, id), ids compared by code point. The last bucket is given whole, so there may be more. ``expected`` as for
        ``fetch``.
        """
        ...

    async def commit(self, shard: int, commit: Commit) -> None:
        """Apply ``commit`` whole, or raise and write nothing (``CommitUnknownError``: one of the two)."""
        ...

    async def outbox(self, shard: int, *, after: OutputPosition | None, limit: int) -> list[tuple[OutputPosition, bytes]]:
        """At most ``limit`` outbox entries above ``after`` (None: from the first), oldest first."""
        ...

    async def trim(self, shard: int, *, upto: OutputPosition) -> None:
        """Forget the outbox entries at or below ``upto``. Harmless when repeated, also by a former owner."""
        ...

    async def put_document(self, name: str, content: bytes) -> bytes:
        """Keep ``content`` under ``name`` unless something is there already; return what is kept now."""
        ...

    async def replace_document(self, name: str, content: bytes) -> None:
        """Keep ``content`` under ``name``, whatever was there: for what is only a note."""
        ...

    async def get_document(self, name: str, *, shard: int | None = None) -> bytes | None:
        """What ``put_document`` kept, or None. With a ``shard`` what its commits kept comes first: it cannot be lost without them."""
        ...

    async def drop_document(self, name: str) -> None:
        """Forget what ``put_document`` kept; nothing if there is nothing."""
        ...

    def lane(self, name: str) -> Store:
        """A store beside this one, over the same connections, with shards of its own: nothing that is done there is seen here. The same
        name is the same store; ``name`` is of a-z, 0-9 and -. It keeps no documents but those of its commits, and closing it does nothing.
        """
        ...

    async def lanes(self, shard: int) -> list[str]:
        """The names of the lanes beside this store that were acquired for a shard and not dropped, ascending. One whose ``acquire`` or
        ``drop`` was broken off may be among them."""
        ...

    async def drop(self, shard: int) -> None:
        """Forget all that is kept of a shard, its checkpoint too: whoever owns it is fenced. For a shard of a ``lane`` that is not wanted
        any more; once more does no harm."""
        ...

    async def health(self) -> Health:
        """What it is, and what threatens what is kept: a policy that evicts keys, a server that takes no writes."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
