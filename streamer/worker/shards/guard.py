"""What an error means for the shard at which it came up: it waits, begins anew, has one customer folded anew, or halts.

No error leaves here: one that ended the worker would end in turn every worker that gets the shard.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from time import monotonic
from typing import Final

import structlog
from aiokafka.errors import KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.errors import (
    FencedError,
    HaltError,
    KeysLostError,
    ReleasedError,
    StoreError,
    StoreOlderError,
    StoreUnavailableError,
    UnreadableStateError,
    place_of,
)
from streamer.flow.folding import Picker
from streamer.flow.refold import Log, refold
from streamer.flow.same_log import View
from streamer.flow.shard import Shard, start_anew
from streamer.wire import LogRecord
from streamer.worker.status.shard_state import ShardState

from .edges import Edges
from .owned_shard import OwnedShard
from .stopper import ShardStopper

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.segmenter")

WAIT_FENCED_SECONDS: Final = 5.0  # a zombie learns within two heartbeats that its shards are somebody else's
WAIT_STORE_SECONDS: Final = 1.0


class ShardGuard:
    """Runs work on shards and decides what its errors mean."""

    def __init__(self, edges: Edges, stopper: ShardStopper) -> None:
        self._store = edges.store
        self._consumer = edges.consumer
        self._inspector = edges.inspector
        self._picker = edges.picker
        self._metrics = edges.metrics
        self._alerts = edges.alerts
        self._background = edges.background
        self._stopper = stopper

    async def run(self, owned: OwnedShard, work: Callable[[], Awaitable[None]]) -> None:
        """Do something with a shard; on any error let go of it, in the way that the error asks for."""
        owned.busy_since = monotonic()
        try:
            await work()
        except ReleasedError:  # whoever asked for it does the rest
            pass
        except KeysLostError as error:
            why = str(error)
            await self.run(owned, lambda: self._begin_anew(owned, why))  # one level deep: a reset finds nothing lost
        except Exception as error:
            self._sort_out(owned, error)
        finally:
            owned.busy_since = None

    async def fail(self, owned: OwnedShard, error: Exception) -> None:
        """The same for an error that came up elsewhere."""

        async def work() -> None:
            raise error

        await self.run(owned, work)

    def _sort_out(self, owned: OwnedShard, error: Exception) -> None:
        match error:
            case FencedError():
                self._fenced(owned, error)
            case UnreadableStateError():
                self._begin_refold(owned, error)
            case HaltError():
                self._stopper.halt(owned, str(error))
            case StoreUnavailableError():
                self._metrics.store_errors.inc()
                self._stopper.wait(owned, str(error), WAIT_STORE_SECONDS)
            case TimeoutError() | StoreError() | KafkaError() | OSError():
                self._stopper.wait(owned, f"{type(error).__name__}: {error}", WAIT_STORE_SECONDS)
            case _:  # a fault of ours; its text may quote a customer's data
                self._broken(owned, f"unexpected {type(error).__name__} in {place_of(error)}")

    def _fenced(self, owned: OwnedShard, error: FencedError) -> None:
        self._metrics.fenced.inc()
        if isinstance(error, StoreOlderError):
            self._alerts.say("store_older", f"{error}; the rest is told again from the log", shard=owned.number)
        self._stopper.wait(owned, str(error), WAIT_FENCED_SECONDS)

    def _broken(self, owned: OwnedShard, why: str) -> None:
        """An error that nobody foresaw: once may be chance, twice at the same position is the record, and each further try in vain."""
        at = owned.shard.position.offset if owned.shard is not None else -1
        if owned.broken_at != at:
            owned.broken_at = at
            self._stopper.wait(owned, why, WAIT_STORE_SECONDS)
            return
        number = owned.number
        self._stopper.halt(
            owned,
            f"{why}; report it; `streamer shards resume {number} --skip --why TEXT` passes over the next record, "
            f"`streamer shards rebuild {number}` tells the shard anew from its log",
        )

    async def _begin_anew(self, owned: OwnedShard, why: str) -> None:
        """The store has lost keys of a shard: empty it and begin again at the beginning of the log, where that is still there."""
        number, shard = owned.number, owned.shard
        before = shard.checkpoint if shard is not None else await self._store.checkpoint(number)
        await start_anew(number, self._store, before, await self._consumer.begin(owned.partition))
        self._alerts.say("keys_lost", f"{why}; the shard is told anew from the log", shard=number)
        self._stopper.wait(owned, f"{why}; it is told anew from the log", 0)

    # one state that cannot be read

    def _begin_refold(self, owned: OwnedShard, error: UnreadableStateError) -> None:
        """Have one customer folded anew beside the loop: only their shard waits for it."""
        shard = owned.shard
        if shard is None or owned.state is not ShardState.OWNED:  # or folding them anew did not help
            self._stopper.halt(owned, str(error))
            return
        log.warning("one customer is folded anew", action="refold", shard=shard.shard, offset=shard.position.offset, why=error.why)
        owned.enter(ShardState.REFOLDING, f"the state of a customer cannot be read ({error.why}); it is folded anew from the log")
        self._metrics.show_state(shard.shard, ShardState.REFOLDING.value)
        self._background.spawn(self._refold(owned, shard, error.customer))

    async def _refold(self, owned: OwnedShard, shard: Shard, customer: str) -> None:
        """Without the shard's lock, as a rebalance must not wait for it; until it is over nobody else works on the shard."""
        before = shard.position
        await self.run(owned, lambda: _refold_while_owned(owned, shard, customer, self._inspector, self._picker))
        if owned.state is ShardState.REFOLDING and owned.shard is shard and shard.position != before:
            self._metrics.refolded.inc()
            text = "the state of a customer could not be read; it was folded anew from the log, and nothing was said twice"
            self._alerts.say("refolded", text, shard=shard.shard)
            owned.enter(ShardState.OWNED)
            self._metrics.show_state(shard.shard, ShardState.OWNED.value)
            self._consumer.seek(owned.partition, shard.position.offset)


async def _refold_while_owned(owned: OwnedShard, shard: Shard, customer: str, inspector: Log, picker: Picker) -> None:
    """``refold``; ReleasedError where the shard was let go meanwhile, whatever else went wrong: its new owner is no part of it."""
    try:
        by_records = await refold(shard, customer, _WhileOwned(inspector, lambda: owned.shard is shard), picker)
    except Exception as error:
        if owned.shard is not shard:
            raise ReleasedError(f"shard {shard.shard} was let go") from error
        raise
    read = "their own records" if by_records else "the whole log of the shard"
    log.info("one customer was folded anew", action="refold", shard=shard.shard, offset=shard.position.offset, read=read)


class _WhileOwned:
    """The log of a shard, for as long as the shard is ours; then ReleasedError."""

    def __init__(self, log: Log, is_ours: Callable[[], bool]) -> None:
        self._log = log
        self._is_ours = is_ours

    async def look(self, shard: int, offset: int) -> View:
        """See ``Log``."""
        return await self._log.look(shard, offset)

    async def read(self, shard: int, offset: int, limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
        """See ``Log``."""
        async with aclosing(self._log.read(shard, offset, limit)) as batches:
            async for records in batches:
                if not self._is_ours():
                    raise ReleasedError(f"shard {shard} was let go")
                yield records

    async def history(self, shard: int, begin: int, end: int, limit: int) -> Sequence[LogRecord]:
        """See ``Log``."""
        if not self._is_ours():
            raise ReleasedError(f"shard {shard} was let go")
        return await self._log.history(shard, begin, end, limit)


__all__ = ["WAIT_STORE_SECONDS", "ShardGuard"]
