"""Whether the log is still the one that the shards have read, and its topic as the settings say: looked at beside the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import structlog
from aiokafka.errors import ConsumerStoppedError, KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.errors import HaltError
from streamer.flow.same_log import Delivered, check_same_log, look_again
from streamer.flow.shard import Shard
from streamer.transports.kafka.topics import partitions_problems

from .edges import Edges
from .guard import ShardGuard
from .owned_shard import OwnedShard

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.segmenter")

UNANSWERED: Final = (TimeoutError, KafkaError, ConsumerStoppedError, OSError)


class _Read(NamedTuple):
    """What a shard has read of its log: the next offset, and the record that was delivered last."""

    owned: OwnedShard
    shard: Shard
    position: int
    last: Delivered


class LogWatch:
    """Looks at the log of each shard and at the topic as a whole. ``problems`` is what is wrong with the topic."""

    def __init__(self, edges: Edges, guard: ShardGuard) -> None:
        self.problems: list[str] = []
        self._settings = edges.settings
        self._inspector = edges.inspector
        self._alerts = edges.alerts
        self._guard = guard

    async def look_at_all(self, shards: Sequence[OwnedShard]) -> None:
        """Halt the shards whose log is no longer the one that they have read. A log that does not answer says nothing.

        All logs are asked together, and one by one what this leaves open: a partition without a leader hides no other.
        """
        for one in await self._suspects(_reads(shards)):
            await self._look_again(one)

    async def look_at(self, owned: OwnedShard) -> None:
        """``look_at_all`` for one shard."""
        await self.look_at_all([owned])

    async def _suspects(self, read: Sequence[_Read]) -> Sequence[_Read]:
        """Those whose log may be another one, or did not answer."""
        if len(read) < 2:
            return read
        try:
            views = await self._inspector.look_at_all({one.owned.number: one.last[0] for one in read})
        except UNANSWERED as error:
            log.debug("the logs were not looked at", action="look", why=type(error).__name__)
            return read
        found: list[_Read] = []
        for one in read:
            try:
                check_same_log(one.owned.number, one.position, one.last, views[one.owned.number])
            except HaltError:
                found.append(one)
        return found

    async def _look_again(self, read: _Read) -> None:
        owned, shard, position, last = read
        try:
            await look_again(self._inspector.look, owned.number, position, last, asyncio.sleep)
        except HaltError as error:
            async with owned.lock:
                if owned.shard is shard:
                    await self._guard.fail(owned, error)
        except UNANSWERED as error:
            log.debug("the log was not looked at", action="look", shard=owned.number, why=type(error).__name__)

    async def look_at_topic(self) -> None:
        """Say it at once when the topic of events has another number of partitions than the log has shards."""
        try:
            partitions = await self._inspector.partitions()
        except UNANSWERED:
            return
        problems = partitions_problems(self._settings, partitions)
        for problem in problems:
            if problem not in self.problems:
                log.error("the log changed", action="look", why=problem)
                self._alerts.say("log_changed", problem)
        self.problems = problems


def _reads(shards: Sequence[OwnedShard]) -> list[_Read]:
    return [_Read(owned, shard, shard.position.offset, shard.body.last) for owned in shards if (shard := owned.shard) is not None]


__all__ = ["LogWatch"]
