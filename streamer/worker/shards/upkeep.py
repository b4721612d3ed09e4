"""What is done for a shard once in a while: it is acquired anew or taken up again, and asked whether it is still ours."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic, time
from typing import Final

import structlog
from aiokafka.errors import KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.errors import StreamerError
from streamer.flow.relay import Relay
from streamer.worker.status.shard_state import ShardState

from .edges import Edges
from .guard import ShardGuard
from .owned_shard import OwnedShard
from .ownership import Ownership
from .publisher import Publisher

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.segmenter")


class Upkeep:
    """Looks after the shards of one worker, each according to its state."""

    def __init__(self, edges: Edges, ownership: Ownership, guard: ShardGuard, publisher: Publisher) -> None:
        self._settings = edges.settings
        self._store = edges.store
        self._sink = edges.sink
        self._consumer = edges.consumer
        self._alerts = edges.alerts
        self._background = edges.background
        self._ownership = ownership
        self._guard = guard
        self._publisher = publisher

    async def look_after(self, shards: Sequence[OwnedShard]) -> None:
        """Do what is due for each shard now. Those that are compared with the store are so together, and share its round trips."""
        now = time()
        await asyncio.gather(*[self._probe(owned) for owned in shards if self._is_to_be_compared(owned, now)])

    def _is_to_be_compared(self, owned: OwnedShard, now: float) -> bool:
        """Whether a shard is to be compared with the store now; what else is due for it is begun."""
        if not owned.is_ours:
            return False
        owned.look()
        match owned.state:
            case ShardState.WAITING:
                if now >= owned.again_at:
                    self._ownership.acquire_again(owned)
            case ShardState.HALTED:
                if self._is_probe_due(owned, now) and owned.number < self._settings.shards:
                    self._background.spawn(self.look_at_halted(owned))
            case ShardState.OWNED:
                self._see_held(owned)
                return not owned.lock.locked() and self._is_probe_due(owned, now)  # each commit looks as well as a probe
            case ShardState.ACQUIRING | ShardState.REFOLDING | ShardState.RELEASED:
                pass
        return False

    async def _probe(self, owned: OwnedShard) -> None:
        async with owned.lock:
            if (shard := owned.shard) is not None:  # it may have gone while we waited
                await self._guard.run(owned, shard.probe)

    def _is_probe_due(self, owned: OwnedShard, now: float) -> bool:
        """Whether a shard is to be looked at now; if so, the next time is an interval later."""
        if now - owned.last_probe < self._settings.probe / 1_000:
            return False
        owned.last_probe = now
        return True

    def _see_held(self, owned: OwnedShard) -> None:
        """Whether an open transaction holds the log; each fetch says how far the log reaches and how far it is decided."""
        if self._consumer.holds(owned.partition):
            owned.held.see(*self._consumer.reach(owned.partition), monotonic())
            if problem := owned.held.problem(monotonic()):
                self._alerts.say("open_transaction", problem, shard=owned.number)

    async def look_at_halted(self, owned: OwnedShard) -> None:
        """A halted shard is taken up again when a person has done something about it: each such command changes its checkpoint's mark.
        Until then what was committed is published all the same."""
        number = owned.number
        try:
            mark = (await self._store.checkpoint(number)).mark
            if owned.mark is None:
                owned.mark = mark
            elif owned.mark != mark and owned.state is ShardState.HALTED:
                log.info("shard is taken up again", action="resume", shard=number)
                self._ownership.acquire_again(owned)
                return
            if owned.relay is None:
                relay = Relay(number, self._store, self._sink)
                await relay.start()
                if owned.state is ShardState.HALTED and owned.relay is None:
                    owned.relay = relay
                    self._publisher.wake()
        except (StreamerError, KafkaError, OSError, TimeoutError) as error:  # the next look comes soon
            log.debug("halted shard", action="look", shard=number, why=type(error).__name__)


__all__ = ["Upkeep"]
