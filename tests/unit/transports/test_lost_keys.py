"""Redis has lost something under a running worker, or takes nothing: what the worker does, and what it says of itself."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiokafka import TopicPartition

from streamer.errors import StoreUnavailableError
from streamer.flow.relay import Relay
from streamer.flow.shard import Plans, Shard
from streamer.segments.definitions import parse_definitions
from streamer.settings import load_settings
from streamer.stores.memory import MemoryStore
from streamer.telemetry.metrics import Metrics
from streamer.transports.alerts import Alerts
from streamer.transports.memory import MemoryLog, MemorySink
from streamer.transports.segmenter import Owned, Segmenter
from streamer.wire import EVENTS, definitions_control

if TYPE_CHECKING:
    from streamer.stores.base import Commit

SEEN = parse_definitions({"segments": {"seen": {"for": "x", "when": 'did("Product Viewed")'}}})


class Worker:
    """A segmenter with one shard, over a log and a store in memory."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.log, self.store = MemoryLog(1, lambda: 1_000), store or MemoryStore()
        self.log.send_control(definitions_control(SEEN.content(), SEEN.digest, 1))
        for number in range(20):
            raw = b'{"event": "Product Viewed", "messageId": "m%d", "userId": "c%d", "timestamp": 900}' % (number, number)
            self.log.append(EVENTS, 0, raw)
        self.begin, self.sought = 0, list[int]()
        self.settings, self.published = load_settings(shards=1), list[bytes]()
        metrics = Metrics()
        alerts = Alerts(self._publish, metrics, "/shop")
        self.segmenter = Segmenter(self.settings, self.store, cast("Any", None), MemorySink(self.log), metrics, alerts)
        partition = TopicPartition(self.settings.topic(EVENTS), 0)
        self.segmenter._consumer = cast("Any", self._consumer(partition))
        self.segmenter._lookout = cast("Any", SimpleNamespace(look=self.log.look))
        self.owned = self.segmenter.owned[partition] = Owned(partition)
        self.segmenter._dealt = True

    async def _publish(self, raw: bytes) -> None:
        self.published.append(raw)

    def _consumer(self, partition: TopicPartition) -> SimpleNamespace:
        async def beginning_offsets(_partitions: object) -> dict[TopicPartition, int]:
            return {partition: self.begin}

        return SimpleNamespace(
            assignment=lambda: {partition},
            beginning_offsets=beginning_offsets,
            seek=lambda _partition, offset: self.sought.append(offset),
            pause=lambda *_: None,
            resume=lambda *_: None,
            highwater=lambda _: None,
        )

    async def own(self) -> Shard:
        """Acquire the shard, and read its log to the end."""
        self.owned.state = "acquiring"
        await self.segmenter._own(self.owned)
        shard = self.owned.shard
        assert shard is not None, self.owned.why
        await self.segmenter._process(self.owned.partition, shard, self.log.fetch(0, shard.position.offset, 100))
        await self.segmenter._relay_all()
        return shard

    def read(self) -> list[tuple[str, int]]:
        """The changes as a reader sees them."""
        return [(change.subject, change.data.sequence) for change in self.log.read_changes()]


@pytest.mark.parametrize("what", ["states", "wakes", "documents"])
@pytest.mark.parametrize("quiet", [True, False], ids=["probe", "commit"])
async def test_a_shard_that_has_lost_keys_is_told_anew_and_nobody_reads_a_wrong_word(what: str, quiet: bool) -> None:
    """Customers who are not known any more would enter a second time: a break of alternation for each of them."""
    worker = Worker()
    shard = await worker.own()
    before, states = worker.read(), worker.store._shards[0].states.copy()
    kept = worker.store._shards[0]
    lost: dict[str, Any] = getattr(kept, what)
    if what == "wakes":
        kept.wakes["nobody"] = 5  # one too many is as wrong as one too few
    else:
        del lost[next(iter(lost))]
    if not quiet:
        worker.log.append(EVENTS, 0, b'{"event": "Product Viewed", "messageId": "n", "userId": "c0", "timestamp": 900}')
        await worker.segmenter._process(worker.owned.partition, shard, worker.log.fetch(0, shard.position.offset, 1))
    else:
        await worker.segmenter._guarded(worker.owned, shard.probe)
    assert worker.owned.state == "waiting"
    assert "told anew from the log" in worker.segmenter.problems()[0]
    assert worker.segmenter.metrics.registry.get_sample_value("streamer_alerts_total", {"kind": "keys_lost"}) == 1
    await worker.segmenter.alerts.flush()
    assert b"alert.keys_lost" in worker.published[0]

    again = await worker.own()
    assert worker.sought == [0, 0]
    assert again.position.offset == worker.log.end(EVENTS, 0)
    assert worker.read() == before
    if quiet:
        assert worker.store._shards[0].states == states


async def test_a_shard_whose_logs_beginning_is_gone_halts_with_the_way_out() -> None:
    """To begin in the middle would be another story: that is for a person to choose."""
    worker = Worker()
    shard = await worker.own()
    worker.store._shards[0].states.clear()
    worker.begin = 7
    before = await worker.store.checkpoint(0)
    await worker.segmenter._guarded(worker.owned, shard.probe)
    assert worker.owned.state == "halted"
    assert "begins at offset 7" in worker.owned.why
    assert "streamer shards rebuild 0" in worker.owned.why
    assert await worker.store.checkpoint(0) == before


async def test_an_owner_that_finds_keys_missing_at_the_start_tells_the_shard_anew() -> None:
    """They may go while no worker runs."""
    worker = Worker()
    await worker.own()
    worker.store._shards[0].states.clear()
    worker.owned.shard, worker.owned.state = None, "acquiring"
    await worker.segmenter._own(worker.owned)
    assert (worker.owned.state, worker.store._shards[0].checkpoint.position.offset) == ("waiting", 0)
    assert (await worker.own()).position.offset == worker.log.end(EVENTS, 0)


class Full(MemoryStore):
    """Out of memory until told otherwise."""

    is_full = False

    async def commit(self, shard: int, commit: Commit) -> None:
        if self.is_full:
            raise StoreUnavailableError("OutOfMemoryError: command not allowed")
        await super().commit(shard, commit)


async def test_while_no_commit_goes_through_the_worker_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """It tries for a quarter of a minute before it lets go of the shard, and looked ready meanwhile."""
    store = Full()
    worker = Worker(store)
    store.is_full = True
    said = list[list[str]]()

    async def pause(_seconds: float) -> None:
        said.append(worker.segmenter.problems())
        store.is_full = len(said) < 3

    shard = worker.owned.shard = await Shard.acquire(0, store, Plans(store, worker.settings.rules), worker.settings.rules, pause=pause)
    worker.owned.state, worker.owned.relay = "owned", Relay(0, store, MemorySink(worker.log))
    await worker.segmenter._process(worker.owned.partition, shard, worker.log.fetch(0, 0, 100))
    assert said == [["shard 0: no commit goes through: OutOfMemoryError: command not allowed"]] * 3
    assert worker.segmenter.problems() == []
    assert shard.position.offset == worker.log.end(EVENTS, 0)


async def test_a_policy_that_was_changed_under_the_worker_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was looked at only when the worker started."""
    worker = Worker()
    await worker.own()

    async def dangers() -> list[str]:
        return ["maxmemory-policy is allkeys-random"]

    monkeypatch.setattr(worker.store, "dangers", dangers)
    await worker.segmenter._look_at_store()
    assert worker.segmenter.problems() == ["Redis: maxmemory-policy is allkeys-random"]
    await worker.segmenter.alerts.flush()
    assert b"alert.redis" in worker.published[0]
    await asyncio.sleep(0)
