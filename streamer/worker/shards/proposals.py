"""Bring what was published into the shards of this worker: each shard obeys from a record of its own log on, which its owner writes.

Publishing only proposes. A worker that finds a shard of its own under an older version first lets it read its log up to where that ended,
since the record may lie there already; then it writes the record. A shard that has it takes a repeated one for nothing, so two who write it
do no harm. What is published meanwhile overtakes what was not written yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.deployment.history import has_past
from streamer.errors import HaltError, RefusedError, StoreError, place_of
from streamer.flow.published import Publication, Published
from streamer.flow.shard import Shard
from streamer.transports.kafka.control import send_control
from streamer.transports.kafka.definitions_topic import DefinitionsTopic
from streamer.wire import definitions_control
from streamer.worker.status.lane_status import LaneStatus
from streamer.worker.status.shard_state import ShardState

from .edges import Edges
from .owned_shard import OwnedShard

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.proposals")

POLL_SECONDS: Final = 0.1
PUBLISHER_SECONDS: Final = 2.0  # within which whoever publishes writes into shards that have no past
WRITTEN_SECONDS: Final = 30.0  # after which a record that the shard has not come to is written once more
AGAIN_SECONDS: Final = (1.0, 3.0, 10.0, 30.0)  # after errors, one after the other
FAULT_SECONDS: Final = 300.0  # after a fault of our own code

UNANSWERED: Final = (KafkaError, StoreError, TimeoutError, OSError)


class _Work:
    """One shard on its way to one publication. ``status`` is what is said of it."""

    def __init__(self, owned: OwnedShard, shard: Shard, publication: Publication) -> None:
        self.owned = owned
        self.shard = shard
        self.publication = publication
        self.status = LaneStatus(publication.version, "reads")
        self.task: asyncio.Task[None] | None = None
        self.failures = 0
        self.again_at = 0.0  # of a clock that never goes back

    def is_of(self, shard: Shard, publication: Publication) -> bool:
        """Whether this is the way of the same shard, under the same epoch, to the same definitions."""
        return self.shard is shard and (self.publication.version, self.publication.digest) == (publication.version, publication.digest)

    def stand(self, why: str, seconds: float) -> None:
        """Nothing more is done for a while."""
        self.status = LaneStatus(self.publication.version, "stands", self.status.folded, self.status.of, why=why)
        self.again_at = monotonic() + seconds

    def fail(self, why: str) -> None:
        """Try again later, ever later."""
        self.stand(why, AGAIN_SECONDS[min(self.failures, len(AGAIN_SECONDS) - 1)])
        self.failures += 1


class Proposals:
    """What was published, on its way into the shards of one worker."""

    def __init__(self, edges: Edges, shards: Mapping[TopicPartition, OwnedShard], topic: DefinitionsTopic) -> None:
        self._settings = edges.settings
        self._producer = edges.producer
        self._consumer = edges.consumer
        self._alerts = edges.alerts
        self._background = edges.background
        self._shards = shards
        self._topic = topic
        self._works: dict[int, _Work] = {}

    def status(self, shard: int) -> LaneStatus | None:
        """How far a shard is on the way to what was published; None where it obeys that already."""
        work = self._works.get(shard)
        return work.status if work is not None else None

    def look_after(self, published: Published) -> None:
        """Begin what is to be done for each shard, and end what is not to be done any more. Waits for nothing."""
        wanted = {owned.number: found for owned in self._shards.values() if (found := self._wanted(owned, published)) is not None}
        for number, work in list(self._works.items()):
            if number not in wanted or not work.is_of(wanted[number][1], wanted[number][2]):
                del self._works[number]
                if work.task is not None:
                    work.task.cancel()
        for number, (owned, shard, publication) in wanted.items():
            work = self._works.setdefault(number, _Work(owned, shard, publication))
            if (work.task is None or work.task.done()) and monotonic() >= work.again_at:
                work.task = self._background.spawn(self._run(work))

    def _wanted(self, owned: OwnedShard, published: Published) -> tuple[OwnedShard, Shard, Publication] | None:
        """What a shard is to come to; None where it obeys it already, or is not at work."""
        shard, newest = owned.shard, published.newest
        if shard is None or owned.state is not ShardState.OWNED or not owned.is_ours:
            return None
        if newest is None or shard.body.version >= newest.version:
            return None
        return owned, shard, newest

    async def _run(self, work: _Work) -> None:
        """Do what is to be done, until the shard obeys. An error is said in the status, and never the shard's."""
        try:
            await self._bring(work)
        except UNANSWERED as error:
            work.fail(f"{type(error).__name__}: {error}")
            log.warning("publication waits", action="publish", shard=work.owned.number, why=work.status.why)
        except (RefusedError, HaltError) as error:
            work.stand(str(error), FAULT_SECONDS)
            log.error("publication stands", action="publish", shard=work.owned.number, why=work.status.why)
        except Exception as error:  # a fault of ours, whose text may quote a customer's data; the shard goes on without it
            why = f"unexpected {type(error).__name__} in {place_of(error)}"
            work.stand(why, FAULT_SECONDS)
            text = f"version {work.publication.version} of the definitions is held up by a fault of our own: {why}; report it"
            self._alerts.say("publication_fault", text, shard=work.owned.number)

    async def _bring(self, work: _Work) -> None:
        shard, publication = work.shard, work.publication
        await self._read_whole(work)
        if not has_past(shard.body):
            await asyncio.sleep(PUBLISHER_SECONDS)
            await self._read_whole(work)
        content = await self._topic.vouched(publication.version)
        if content is None:
            work.stand("it is not signed by a key of this worker's; publish it again with one that holds", FAULT_SECONDS)
            return
        raw = definitions_control(content, publication.digest, publication.version)
        await send_control(self._producer, self._settings, raw, [work.owned.number])
        work.status = LaneStatus(publication.version, "written", work.status.folded, work.status.of)
        log.info("definitions written", action="publish", shard=work.owned.number, version=publication.version)
        await _until(lambda: shard.body.version >= publication.version, WRITTEN_SECONDS)

    async def _read_whole(self, work: _Work) -> None:
        """Wait until the shard has read its log up to where that ends now: what was published may lie in it."""
        partition = work.owned.partition
        end = (await self._consumer.ends([partition]))[partition]
        await _until(lambda: work.shard.position.offset >= end)


async def _until(holds: Callable[[], bool], seconds: float | None = None) -> None:
    """Wait for something that others bring about, for so long at most."""
    until = monotonic() + seconds if seconds is not None else None
    while not holds() and (until is None or monotonic() < until):  # noqa: ASYNC110 - a shard has no event for each of its records
        await asyncio.sleep(POLL_SECONDS)


__all__ = ["Proposals"]
