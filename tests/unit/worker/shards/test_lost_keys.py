"""Redis has lost something under a running worker, or takes nothing: what the worker does, and what it says of itself."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from streamer.deployment.connecting import check_store
from streamer.errors import StoreUnavailableError
from streamer.flow.catalog import Plans
from streamer.flow.relay import Relay
from streamer.flow.shard import Shard
from streamer.stores.health import Health, StoreFinding
from streamer.stores.memory import HEALTH, MemoryStore
from streamer.stores.redis_health import read_health
from streamer.transports.memory import MemorySink
from streamer.wire import EVENTS
from streamer.worker.status.shard_state import ShardState
from tests.unit.worker.one_worker import Worker

if TYPE_CHECKING:
    from streamer.stores.base import Commit


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
        await worker.segmenter.processing.process(worker.owned, shard, worker.log.fetch(0, shard.position.offset, 1))
    else:
        await worker.segmenter.guard.run(worker.owned, shard.probe)
    assert worker.owned.state == ShardState.WAITING
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
    await worker.segmenter.guard.run(worker.owned, shard.probe)
    assert worker.owned.state == ShardState.HALTED
    assert "begins at offset 7" in worker.owned.why
    assert "streamer shards rebuild 0" in worker.owned.why
    assert await worker.store.checkpoint(0) == before


async def test_an_owner_that_finds_keys_missing_at_the_start_tells_the_shard_anew() -> None:
    """They may go while no worker runs."""
    worker = Worker()
    await worker.own()
    worker.store._shards[0].states.clear()
    worker.owned.shard, worker.owned.state = None, ShardState.ACQUIRING
    await worker.segmenter.ownership.own(worker.owned)
    assert (worker.owned.state, worker.store._shards[0].checkpoint.position.offset) == (ShardState.WAITING, 0)
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
    worker.owned.state, worker.owned.relay = ShardState.OWNED, Relay(0, store, MemorySink(worker.log))
    await worker.segmenter.processing.process(worker.owned, shard, worker.log.fetch(0, 0, 100))
    assert said == [["shard 0: no commit goes through: OutOfMemoryError: command not allowed"]] * 3
    assert worker.segmenter.problems() == []
    assert shard.position.offset == worker.log.end(EVENTS, 0)


async def test_a_policy_that_was_changed_under_the_worker_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was looked at only when the worker started."""
    worker = Worker()
    await worker.own()

    async def health() -> Health:
        return Health("a server", (StoreFinding("eviction", "danger", "keys may be dropped", "set another policy"), *HEALTH.findings))

    monkeypatch.setattr(worker.store, "health", health)
    await worker.segmenter.store_watch.look()
    assert worker.segmenter.problems() == ["store: keys may be dropped; set another policy"]
    await worker.segmenter.alerts.flush()
    assert b"alert.store" in worker.published[0]
    await asyncio.sleep(0)


async def test_a_store_that_is_nearly_full_raises_an_alert_and_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was restarted in the middle of a campaign was refused, although the store still took commits."""
    worker = Worker()
    await worker.own()
    server = {"used_memory": 80, "maxmemory": 100, "maxmemory_policy": "noeviction", "role": "master", "redis_version": "7.4.1"}

    async def health() -> Health:
        return read_health(server)

    monkeypatch.setattr(worker.store, "health", health)
    await check_store(worker.settings, worker.store)
    await worker.segmenter.store_watch.look()
    assert worker.segmenter.problems() == []
    await worker.segmenter.alerts.flush()
    assert [b"80 of 100 bytes are used" in alert for alert in worker.published] == [True]
    await asyncio.sleep(0)
