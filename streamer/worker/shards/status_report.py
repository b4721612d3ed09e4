"""What a worker says of itself at the moment of asking: to ``/readyz``, to the metrics, and to its other services."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from time import time

from aiokafka import TopicPartition
from msgspec.structs import replace

from streamer.worker.status.audit_status import AuditStatus
from streamer.worker.status.lane_status import LaneStatus
from streamer.worker.status.readiness import Readiness, ShardStatus, readiness, status_of
from streamer.worker.status.shard_state import ShardState

from .edges import Edges
from .owned_shard import OwnedShard


class StatusReport:
    """How the shards of one worker are doing. ``is_dealt``: whether the group has dealt any yet; ``others``: what is wrong besides them;
    ``lane``: how far a shard is on the way to what was published; ``audit``: what its audit has found."""

    def __init__(
        self,
        edges: Edges,
        shards: Mapping[TopicPartition, OwnedShard],
        *,
        is_dealt: Callable[[], bool],
        others: Callable[[], list[str]],
        lane: Callable[[int], LaneStatus | None],
        audit: Callable[[int], AuditStatus | None],
    ) -> None:
        self._settings = edges.settings
        self._keyring = edges.keyring
        self._brokers = edges.brokers
        self._metrics = edges.metrics
        self._shards = shards
        self._is_dealt = is_dealt
        self._others = others
        self._lane = lane
        self._audit = audit

    def statuses(self) -> list[ShardStatus]:
        """How each shard of this worker is doing, at this moment."""
        now_ms = int(time() * 1_000)
        seen = [owned.seen(self._brokers.end(owned.number)) for owned in self._shards.values()]
        statuses = [status_of(one, now_ms=now_ms, tick_ms=self._settings.tick) for one in sorted(seen, key=lambda one: one.shard)]
        return [replace(status, lane=self._lane(status.shard), audit=self._audit(status.shard)) for status in statuses]

    def show_now(self) -> None:
        """Bring the metrics up to this moment: called for each scrape, so that none is older than it looks."""
        self._metrics.show_members(self.sizes())
        self._metrics.kafka_silent.set(self._brokers.silent_seconds)
        for status in self.statuses():
            self._metrics.show_shard(
                status.shard,
                works=not status.problem,
                outbox=status.outbox,
                lag_records=status.lag_records,
                lag_seconds=status.lag_seconds,
                log_time_ms=status.log_time_ms,
            )
            if (lane := status.lane) is not None:
                self._metrics.show_lane(status.shard, lane.state, lane.folded, lane.of, lane.ends_at_ms)
            else:
                self._metrics.show_lane(status.shard, None)

    def readiness(self, learner: str = "") -> Readiness:
        """Whether this worker does its work; ``learner`` says why its learner does not."""
        silent, away = self._brokers.silent_seconds, self._brokers.problem
        others = [*self._others(), *self._unheard()]
        others += [f"learner: {learner}"] if learner else []
        return readiness(self.statuses(), dealt=self._is_dealt(), away=away, others=others, kafka_silent_seconds=silent)

    def _unheard(self) -> list[str]:
        """Shards that refuse what this worker signs: keys were changed, and its first key is not one of those that hold."""
        shards = [owned.shard for owned in self._shards.values() if owned.shard is not None]
        refusals = {shard.shard: self._keyring.refusal(shard.body.trust.keys) for shard in shards}
        return [f"shard {number} refuses what this worker signs: {why}" for number, why in sorted(refusals.items()) if why]

    def sizes(self) -> Counter[str]:
        """Members by segment over the shards of this worker."""
        found: Counter[str] = Counter()
        for owned in self._shards.values():
            if owned.shard is not None:
                found.update(owned.shard.sizes)
        return found

    def owns(self, shard: int) -> bool:
        """Whether a shard is this worker's, and at work."""
        return any(owned.number == shard and owned.state is ShardState.OWNED for owned in self._shards.values())


__all__ = ["StatusReport"]
