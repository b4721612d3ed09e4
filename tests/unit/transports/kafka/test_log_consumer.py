"""The consumer of the log: nothing is delivered of a shard before it is owned, and nothing is fetched for one that can take no more."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import Fetcher

from streamer.settings import load_settings
from streamer.transports.kafka.log_consumer import LINGER, QUIET, LogConsumer, _Listener

PARTITIONS = [TopicPartition("streamer.events", number) for number in (2, 0, 1)]


class Client:
    """A client that notes what it is told."""

    def __init__(self, paused: Sequence[TopicPartition] = ()) -> None:
        self.told: list[tuple[str, int]] = []
        self._paused = set(paused)

    def assignment(self) -> set[TopicPartition]:
        return set(PARTITIONS)

    def paused(self) -> set[TopicPartition]:
        return self._paused

    def pause(self, *partitions: TopicPartition) -> None:
        self.told += [("pause", at.partition) for at in partitions]

    def resume(self, *partitions: TopicPartition) -> None:
        self.told += [("resume", at.partition) for at in partitions]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.told.append((f"seek {offset}", partition.partition))


class Fetching(Client):
    """A client whose fetches find this, one after the other."""

    def __init__(self, found: Sequence[dict[TopicPartition, list[Any]]]) -> None:
        super().__init__()
        self._found = list(found)
        self._fetcher = SimpleNamespace()

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        return self._found.pop(0)

    @property
    def asks(self) -> tuple[int, int]:
        return self._fetcher._fetch_min_bytes, self._fetcher._fetch_max_wait_ms


def consumer(client: Client) -> LogConsumer:
    found = LogConsumer(load_settings())
    found.client = cast("Any", client)
    return found


class Told:
    """Notes what the client had been told when shards were dealt or taken away."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.dealt: list[tuple[list[int], int]] = []
        self.taken: list[int] = []

    async def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        self.dealt.append(([at.partition for at in partitions], len(self._client.told)))
        await asyncio.sleep(0)

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self.taken += [at.partition for at in partitions]


async def test_what_is_dealt_is_paused_before_anybody_can_wait() -> None:
    """Records from the group's offset would slip in first, and a shard starts at the position of its store."""
    client = Client()
    told = Told(client)
    listener = _Listener(consumer(client), told)
    await listener.on_partitions_assigned(PARTITIONS)
    assert sorted(client.told) == [("pause", 0), ("pause", 1), ("pause", 2), ("seek 0", 0), ("seek 0", 1), ("seek 0", 2)]
    assert told.dealt == [([0, 1, 2], 6)]
    await listener.on_partitions_revoked(PARTITIONS[:2])
    assert told.taken == [0, 2]


def test_only_shards_that_can_take_more_are_fetched() -> None:
    """And the client is told only what changes."""
    client = Client(paused=PARTITIONS[:2])  # 2 and 0
    consumer(client).fetch_only(lambda at: at.partition in (0, 1))
    assert client.told == [("resume", 0)]
    consumer(client).fetch_only(lambda at: at.partition == 2)
    assert sorted(client.told[1:]) == [("pause", 1), ("resume", 2)]


def test_before_it_is_started_it_holds_nothing_and_moves_nothing() -> None:
    """A worker may be asked for its status, or stopped, before it has reached a broker."""
    idle = LogConsumer(load_settings())
    assert not idle.holds(PARTITIONS[0])
    idle.seek(PARTITIONS[0], 7)
    idle.pause(PARTITIONS[0])
    assert not idle.is_started


async def test_the_broker_holds_a_fetch_back_only_while_records_flow() -> None:
    """Then each answer costs more than its records; the first after a silence comes at once."""
    client = Fetching([{PARTITIONS[0]: []}, {}])
    found = consumer(client)
    await found.fetch(10)
    assert client.asks == LINGER
    await found.fetch(10)
    assert client.asks == QUIET


def test_the_client_reads_how_long_to_wait_for_each_request() -> None:
    """It has no public way to change that while it runs: this fails first where an upgrade calls it something else."""
    source = inspect.getsource(Fetcher._get_actions_per_node)
    assert "self._fetch_max_wait_ms,\n                self._fetch_min_bytes," in source
    assert "self._fetcher = Fetcher(" in inspect.getsource(AIOKafkaConsumer.start)
