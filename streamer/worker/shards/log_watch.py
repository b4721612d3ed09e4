"""Whether the log is still the one that the shards have read, and its topic as the settings say: looked at beside the loop."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from aiokafka.errors import ConsumerStoppedError, KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.errors import HaltError
from streamer.flow.same_log import look_again
from streamer.transports.kafka.topics import partitions_problems

from .edges import Edges
from .guard import ShardGuard
from .owned_shard import OwnedShard

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.segmenter")


class LogWatch:
    """Looks at the log of each shard and at the topic as a whole. ``problems`` is what is wrong with the topic."""

    def __init__(self, edges: Edges, guard: ShardGuard) -> None:
        self.problems: list[str] = []
        self._settings = edges.settings
        self._inspector = edges.inspector
        self._alerts = edges.alerts
        self._guard = guard

    async def look_at(self, owned: OwnedShard) -> None:
        """Halt a shard whose log is no longer the one that it has read. A log that does not answer says nothing."""
        shard = owned.shard
        if shard is None:
            return
        try:
            await look_again(self._inspector.look, owned.number, shard.position.offset, shard.body.last, asyncio.sleep)
        except HaltError as error:
            async with owned.lock:
                if owned.shard is shard:
                    await self._guard.fail(owned, error)
        except (TimeoutError, KafkaError, ConsumerStoppedError, OSError) as error:
            log.debug("the log was not looked at", action="look", shard=owned.number, why=type(error).__name__)

    async def look_at_topic(self) -> None:
        """Say it at once when the topic of events has another number of partitions than the log has shards."""
        try:
            partitions = await self._inspector.partitions()
        except (TimeoutError, KafkaError, ConsumerStoppedError, OSError):
            return
        problems = partitions_problems(self._settings, partitions)
        for problem in problems:
            if problem not in self.problems:
                log.error("the log changed", action="look", why=problem)
                self._alerts.say("log_changed", problem)
        self.problems = problems


__all__ = ["LogWatch"]
