"""The consumer of the log in the segmenter's group: whole fetches, positions set by hand, and rebalances.

The group only deals out the shards. Offsets are committed to it so that dashboards can show lag, and never read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from streamer.settings import Settings
from streamer.wire import EVENTS, LogRecord

from .clients import METADATA_MS, log_record, reader

POLL_MS: Final = 50


class FetchWait(NamedTuple):
    """When the broker answers a fetch: with so many bytes, or after so long."""

    bytes_min: int
    ms_max: int


LINGER: Final = FetchWait(1 << 16, 20)  # while records flow: at low rates each round costs more than its records
QUIET: Final = FetchWait(1, 100)  # else: the first record at once; who is resumed meanwhile is fetched by the next request only


class Rebalance(Protocol):
    """Who is told which shards are dealt to this worker, and which are taken from it."""

    async def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """These are dealt to this worker from now on; nothing of them is delivered before they are resumed."""
        ...

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """These may be another worker's as soon as this returns."""
        ...


class LogConsumer:
    """Reads the log for the shards of one worker. Before ``start`` it holds nothing, and seeking or pausing does nothing."""

    def __init__(self, settings: Settings) -> None:
        self.client: AIOKafkaConsumer | None = None
        self._settings = settings

    def _set_wait(self, wait: FetchWait) -> None:
        """From the next request on. The client takes it at its start only, and reads it for each request."""
        client: Any = self._started
        fetcher = client._fetcher  # noqa: SLF001 - it has no public way
        fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms = wait.bytes_min, wait.ms_max  # noqa: SLF001

    async def start(self, rebalance: Rebalance) -> None:
        """Join the group. Raises what the client raises."""
        settings = self._settings
        self.client = reader(
            settings,
            group_id=f"{settings.group}-segmenter",
            enable_auto_commit=False,
            auto_offset_reset="none",  # a position that the log does not have is an error: nothing is skipped in silence
            max_partition_fetch_bytes=1 << 20,
            metadata_max_age_ms=METADATA_MS,  # by default the group would not see for five minutes that a topic is back
            session_timeout_ms=settings.session_timeout,
            heartbeat_interval_ms=max(100, min(3_000, settings.session_timeout // 10)),
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
        )
        self.client.subscribe([settings.topic(EVENTS)], listener=_Listener(self, rebalance))
        await self.client.start()

    async def stop(self) -> None:
        """Leave the group and close the connections."""
        if self.client is not None:
            await self.client.stop()

    @property
    def is_started(self) -> bool:
        """Whether there is a client, connected or not."""
        return self.client is not None

    def holds(self, partition: TopicPartition) -> bool:
        """Whether the group has dealt a partition to this worker, at this moment."""
        return self.client is not None and partition in self.client.assignment()

    async def fetch(self, max_records: int) -> Mapping[TopicPartition, Sequence[LogRecord]]:
        """What is there of the partitions that are not paused, after ``POLL_MS`` at the latest.

        OffsetOutOfRangeError names partitions whose position their log does not have, KafkaError is of one partition, ConsumerStoppedError
        is the end. With an error the client drops what it had ready, of other partitions too, so whoever calls has to seek all of them.
        """
        found = await self._started.getmany(timeout_ms=POLL_MS, max_records=max_records)
        self._set_wait(LINGER if found else QUIET)  # before the client asks for more
        return {partition: [log_record(record) for record in records] for partition, records in found.items()}

    def fetch_only(self, is_ready: Callable[[TopicPartition], bool]) -> None:
        """Pause the partitions that are not ready, resume those that are."""
        client = self._started
        paused = client.paused()
        for partition in client.assignment():
            ready = is_ready(partition)
            if ready and partition in paused:
                client.resume(partition)
            elif not ready and partition not in paused:
                client.pause(partition)

    def assigned(self) -> Collection[TopicPartition]:
        """The partitions dealt to this worker."""
        return self._started.assignment()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read a partition from an offset on."""
        if self.client is not None:
            self.client.seek(partition, offset)

    def resume(self, partition: TopicPartition) -> None:
        """Fetch a partition again."""
        self._started.resume(partition)

    def pause(self, partition: TopicPartition) -> None:
        """Fetch nothing more of a partition, if it is still this worker's."""
        if self.client is not None and self.holds(partition):
            self.client.pause(partition)

    def pause_new(self, partitions: Collection[TopicPartition]) -> None:
        """Stop delivery of partitions just dealt. They get a position of no meaning: without one the client looks for the group's."""
        client = self._started
        client.pause(*partitions)
        for partition in partitions:
            client.seek(partition, 0)

    async def begin(self, partition: TopicPartition) -> int:
        """The first offset that the log of a partition still has."""
        return (await self._started.beginning_offsets([partition]))[partition]

    async def ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The offset behind the last record, by partition."""
        return await self._started.end_offsets(partitions)

    def reach(self, partition: TopicPartition) -> tuple[int | None, int | None]:
        """How far the log of a partition reaches and how far it is decided, as the last fetch said; None where that is not known."""
        client = self._started
        return client.highwater(partition), client.last_stable_offset(partition)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Tell the group where the shards are."""
        await self._started.commit(dict(offsets))

    @property
    def _started(self) -> AIOKafkaConsumer:
        assert self.client is not None, "the consumer was not started"
        return self.client


class _Listener(ConsumerRebalanceListener):
    """Called by the client around a rebalance."""

    def __init__(self, consumer: LogConsumer, rebalance: Rebalance) -> None:
        self._consumer = consumer
        self._rebalance = rebalance

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        # Before anything is awaited: else records from the group's offset would slip in first.
        self._consumer.pause_new(assigned)
        await self._rebalance.assigned(sorted(assigned))

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        await self._rebalance.revoked(sorted(revoked))


__all__ = ["LogConsumer", "Rebalance"]
