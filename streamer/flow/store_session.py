"""The store as the owner of one shard works with it: reads are checked and tried again, and a commit goes through once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from streamer.customers.state import NO_TIMER
from streamer.errors import CommitUnknownError, FencedError, StoreUnavailableError
from streamer.stores.base import Checkpoint, Commit, Fetched, Page, Store

from .first_timer import FirstTimer

Result = TypeVar("Result")
Pause = Callable[[float], Awaitable[None]]

TRIES_MAX: Final = 8  # of a call that the store refuses, about a quarter of a minute; then the worker gives the shard up
RETRY_SECONDS: Final = 0.05


async def retry(call: Callable[[], Awaitable[Result]], pause: Pause, stall: Callable[[str], None] | None = None) -> Result:
    """What ``call`` returns, tried again while the store refuses it; ``stall`` is told why. Raises StoreUnavailableError in the end."""
    for attempt in range(TRIES_MAX):
        try:
            return await call()
        except StoreUnavailableError as error:
            if stall is not None:
                stall(str(error))
            if attempt == TRIES_MAX - 1:
                raise
        await pause(RETRY_SECONDS * 2**attempt)
    raise AssertionError("unreachable")


class StoreSession:
    """One shard in the store under one epoch. Every call but ``commit`` leaves ``checkpoint`` as it is.

    ``stalled`` says why the store does not take what it is asked right now; empty when it does. Calls raise FencedError when the shard has
    another owner, StoreUnavailableError when the store did not come back.
    """

    def __init__(self, shard: int, store: Store, checkpoint: Checkpoint, pause: Pause) -> None:
        self.shard = shard
        self.checkpoint = checkpoint
        self.stalled = ""
        self.first_timer = FirstTimer()
        self.pause = pause
        self._store = store

    async def fetch(self, customers: Sequence[str], *, until_ms: int, limit: int) -> Fetched:
        """States of ``customers`` and at most ``limit`` timers up to ``until_ms``."""
        return await self._retry(lambda: self._store.fetch(self.shard, customers, until_ms=until_ms, limit=limit, expected=self.checkpoint))

    async def states(self, customers: Sequence[str]) -> dict[str, bytes | None]:
        """States by customer; None for one who is not known."""
        if not customers:
            return {}
        fetched = await self.fetch(customers, until_ms=0, limit=0)
        return dict(zip(customers, fetched.states, strict=True))

    async def find_first_timer(self) -> tuple[int, str] | None:
        """The earliest timer that the store has, as (due_ms, customer); ``first_timer`` knows it from then on."""
        due = (await self.fetch([], until_ms=NO_TIMER, limit=1)).due
        self.first_timer.found(due[0] if due else None)
        return due[0] if due else None

    async def customers(self, bucket: int, *, limit: int) -> Page:
        """The customers with a state in ``bucket`` and in as many behind it as it takes to come to ``limit``; see ``Store``."""
        return await self._retry(lambda: self._store.customers(self.shard, bucket, limit=limit, expected=self.checkpoint))

    async def verify(self) -> None:
        """Compare with the store, once. Also raises KeysLostError."""
        await self._store.verify(self.shard, self.checkpoint)

    async def commit(self, commit: Commit) -> None:
        """Commit once. A refused commit is tried again as it is; the digest tells whether one went through whose reply was lost."""
        for attempt in range(TRIES_MAX):
            try:
                await self._store.commit(self.shard, commit)
                break
            except StoreUnavailableError as error:
                self.stalled = str(error)
                if attempt == TRIES_MAX - 1:
                    raise
            except CommitUnknownError as error:
                self.stalled = str(error)
                if await self._went_through(commit):
                    break
            await self.pause(RETRY_SECONDS * 2**attempt)
        else:
            raise StoreUnavailableError(f"shard {self.shard}: no commit went through in {TRIES_MAX} tries")
        self.stalled = ""
        self.checkpoint = commit.checkpoint
        self.first_timer.committed(commit.wakes)

    async def _went_through(self, commit: Commit) -> bool:
        """Whether a commit whose reply was lost was made."""
        stored = await self._retry(lambda: self._store.checkpoint(self.shard))
        if stored != commit.checkpoint and stored != commit.expected:
            raise FencedError(f"shard {self.shard}: after a lost reply found epoch {stored.epoch} at {tuple(stored.position)}")
        return stored == commit.checkpoint

    async def _retry(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Read from the store, and say while it refuses."""
        found = await retry(call, self.pause, self._stall)
        self.stalled = ""
        return found

    def _stall(self, why: str) -> None:
        self.stalled = why
