"""Where a member of an ingest stands: at its group's position, else at the first record that is not too old, and never elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError, OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord, OffsetAndTimestamp

import streamer.transports.kafka.source_consumer
from streamer.settings import Settings
from streamer.transports.kafka.source_consumer import SourceConsumer

NOW_MS = 1_790_000_000_000
OLD, NEW = TopicPartition("shop.clicks", 0), TopicPartition("shop.clicks", 1)


class FakeClient:
    """A broker with two partitions of ten records, of which the group has read four of the first."""

    def __init__(self) -> None:
        self.committed_at: dict[TopicPartition, int] = {OLD: 4}
        self.at: dict[TopicPartition, int] = {}
        self.held: set[TopicPartition] = set()
        self.begin = 0
        self.since: OffsetAndTimestamp | None = OffsetAndTimestamp(7, NOW_MS)
        self.error: KafkaError | None = None
        self.commits = 0

    def assignment(self) -> set[TopicPartition]:
        return {OLD, NEW}

    def pause(self, *places: TopicPartition) -> None:
        self.held |= {*places}

    def resume(self, *places: TopicPartition) -> None:
        self.held -= {*places}

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.at[place] = offset

    async def committed(self, place: TopicPartition) -> int | None:
        return self.committed_at.get(place)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        assert offsets, "the client takes it for a mistake"
        self.commits += 1
        if self.error is not None:
            raise self.error
        self.committed_at |= offsets

    async def end_offsets(self, places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 10)

    async def beginning_offsets(self, places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, self.begin)

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        return dict.fromkeys(times, self.since)

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]:
        assert timeout_ms + max_records > 0
        if any(self.at[place] < self.begin for place in self.at.keys() - self.held):
            raise OffsetOutOfRangeError({place: self.at[place] for place in self.at.keys() - self.held if self.at[place] < self.begin})
        found = {place: [record(place, at) for at in range(self.at[place], 10)] for place in self.at.keys() - self.held}
        self.at |= dict.fromkeys(found, 10)
        return found


def record(place: TopicPartition, offset: int) -> ConsumerRecord[bytes, bytes]:
    headers = (("x", None),)  # as a producer in Java may leave it
    return ConsumerRecord(*place, offset, NOW_MS, 0, b"", b"{}", None, 0, 2, headers)  # type: ignore[arg-type]


class Member:
    """A consumer over the fake broker, both partitions dealt to it."""

    def __init__(self) -> None:
        self.lost: list[tuple[TopicPartition, int]] = []
        settings = Settings()  # pyright: ignore[reportCallIssue]
        self.consumer = SourceConsumer(settings, ["shop.clicks"], "g", lambda: NOW_MS, lambda *lost: self.lost.append(lost))
        self.client = FakeClient()
        client: AIOKafkaConsumer = self.client  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
        self.consumer._client = client  # pyright: ignore[reportPrivateUsage] - in the place of start

    async def fetched(self) -> dict[TopicPartition, list[int]]:
        """Offsets by partition."""
        found: dict[TopicPartition, list[int]] = {}
        for message in await self.consumer.fetch(100):
            found.setdefault(message.place, []).append(message.offset)
        return found


@pytest.fixture
async def member() -> Member:
    made = Member()
    await made.consumer.dealt({OLD, NEW})
    return made


async def test_it_goes_on_where_the_group_was_and_begins_where_records_are_not_too_old(member: Member) -> None:
    """The beginning is committed before anything is read: what comes before a crash would else count as too old after it."""
    assert member.client.held == {OLD, NEW}, "nothing is read before it stands at its position"
    assert await member.fetched() == {OLD: [4, 5, 6, 7, 8, 9], NEW: [7, 8, 9]}
    assert member.client.committed_at == {OLD: 4, NEW: 7}


async def test_where_all_records_are_too_old_it_begins_at_the_end(member: Member) -> None:
    """As it was asked before the times were: what came in between is behind it."""
    member.client.since = None
    assert await member.fetched() == {OLD: [4, 5, 6, 7, 8, 9]}
    assert member.client.committed_at[NEW] == 10


async def test_records_that_were_deleted_unread_are_counted_and_passed(member: Member) -> None:
    """Nobody can have them any more; to stand still would lose the next ones too."""
    member.client.begin = 6
    assert await member.fetched() == {}
    assert member.lost == [(OLD, 2)]
    assert await member.fetched() == {OLD: [6, 7, 8, 9], NEW: [7, 8, 9]}


async def test_what_is_another_members_by_now_is_not_committed(member: Member) -> None:
    """It would set the other one back, or the client would end us for a commit of nothing."""
    await member.fetched()
    member.consumer.finish()
    await member.consumer.taken_away({OLD, NEW})
    commits = member.client.commits
    await member.consumer.commit({OLD: 10, NEW: 10})
    assert (member.client.committed_at, member.client.commits) == ({OLD: 4, NEW: 7}, commits)


async def test_a_group_that_deals_anew_is_no_error(member: Member) -> None:
    """Whoever gets the partitions reads once more what was written: it counts once."""
    await member.fetched()
    member.client.error = CommitFailedError()
    await member.consumer.commit({OLD: 10})
    assert member.client.committed_at[OLD] == 4


async def test_partitions_go_when_what_is_in_hand_is_done(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each deployment would write some of it twice; but nobody waits for ever."""
    await member.fetched()
    going = asyncio.create_task(member.consumer.taken_away({OLD, NEW}))
    await asyncio.sleep(0)
    assert not going.done()
    await member.consumer.commit({OLD: 10})
    member.consumer.finish()
    await going
    assert member.client.committed_at[OLD] == 10
    await member.consumer.dealt({NEW})
    await member.fetched()
    monkeypatch.setattr(streamer.transports.kafka.source_consumer, "HAND_OVER_SECONDS", 0.001)
    await member.consumer.taken_away({NEW})
    assert await member.fetched() == {}, "none of it is this member's"
