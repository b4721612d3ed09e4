"""What every member of a consumer group does that keeps its own positions: hear of rebalances, and begin where nobody has read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

RebalanceHandler = Callable[[Collection[TopicPartition]], Awaitable[None]]


class RebalanceListener(ConsumerRebalanceListener):
    """Called by the client around a rebalance; whoever is told may wait."""

    def __init__(self, dealt: RebalanceHandler, taken_away: RebalanceHandler) -> None:
        self._dealt = dealt
        self._taken_away = taken_away

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """These are this member's from now on."""
        await self._dealt(assigned)

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """These may be another's as soon as this returns."""
        await self._taken_away(revoked)


async def first_offset(client: AIOKafkaConsumer, place: TopicPartition, since_ms: int) -> int:
    """The first record that is not older than ``since_ms``, else the end. Raises KafkaError."""
    end = (await client.end_offsets([place]))[place]  # asked first: what comes meanwhile lies behind it
    found = (await client.offsets_for_times({place: since_ms}))[place]
    return end if found is None else found.offset
