"""Letting go of a shard: everything held of it is dropped, nothing more of it is fetched, and people can read why."""

from __future__ import annotations

from time import time
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from streamer.transports.kafka.journal import OpenJournal
from streamer.worker.status.shard_state import ShardState

from .edges import Edges
from .owned_shard import OwnedShard

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.segmenter")


class ShardStopper:
    """Lets go of shards, for a while or until a person looks."""

    def __init__(self, edges: Edges) -> None:
        self._consumer = edges.consumer
        self._metrics = edges.metrics
        self._alerts = edges.alerts
        self._background = edges.background

    def wait(self, owned: OwnedShard, why: str, seconds: float) -> None:
        """Let go of a shard; it is acquired anew in ``seconds`` at the earliest."""
        owned.again_at = time() + seconds
        if self._let_go(owned, ShardState.WAITING, why) and owned.is_news(why):
            log.warning("shard let go", action="let_go", shard=owned.number, why=why)

    def halt(self, owned: OwnedShard, why: str) -> None:
        """Let go of a shard until a person has looked: see ``Upkeep.look_at_halted``."""
        if self._let_go(owned, ShardState.HALTED, why):
            log.error("shard halted", action="halt", shard=owned.number, why=why)
            self._alerts.say("halted", why, shard=owned.number)

    def release(self, owned: OwnedShard) -> None:
        """Forget a shard that is another worker's from now on."""
        self.close_journal(owned.drop())
        owned.enter(ShardState.RELEASED)
        self._metrics.show_state(owned.number, ShardState.RELEASED.value)

    def _let_go(self, owned: OwnedShard, state: ShardState, why: str) -> bool:
        """Drop what is held of a shard; False where it was released before, so that its state is nobody's here any more."""
        mark = owned.shard.checkpoint.mark if owned.shard is not None else owned.mark
        self.close_journal(owned.drop())
        if owned.state is ShardState.RELEASED:
            return False
        owned.mark = mark  # what a person orders before the first look at it is seen by then
        owned.enter(state, why)
        if owned.is_ours:  # how one that was revoked is doing is another worker's to show
            self._metrics.show_state(owned.number, state.value)
            self._consumer.pause(owned.partition)
        return True

    def close_journal(self, journal: OpenJournal | None) -> None:
        """Close a journal beside the loops: its broker may be away."""
        if journal is not None:
            self._background.spawn(journal.close())


__all__ = ["ShardStopper"]
