"""A state that cannot be read under a running worker: that customer is folded anew, their shard waits, and people are told."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import msgspec
import pytest

from streamer.errors import HaltError
from streamer.flow.same_log import View
from streamer.flow.shard import Shard
from streamer.wire import EVENTS, LogRecord
from streamer.worker.status.shard_state import ShardState
from tests.unit.worker.one_worker import Worker


def again(customer: str) -> bytes:
    return b'{"event": "Product Viewed", "messageId": "again-%s", "userId": "%s", "timestamp": 950}' % ((customer.encode(),) * 2)


async def damaged() -> tuple[Worker, Shard]:
    """A worker whose store has two states that are none, and two records for which it needs them."""
    worker = Worker()
    shard = await worker.own()
    for customer in ("c3", "c4"):
        worker.store._shards[0].states[customer] = b"\xc1"
        worker.log.append(EVENTS, 0, again(customer))
    return worker, shard


async def process(worker: Worker, shard: Shard) -> None:
    """What the loop does with what it fetches."""
    await worker.segmenter.processing.process(worker.owned, shard, worker.log.fetch(0, shard.position.offset, 10_000))


async def settled(worker: Worker) -> None:
    """Until nothing runs beside the loop."""
    while beside := list(worker.segmenter.background.tasks):
        await asyncio.wait_for(asyncio.gather(*beside), 10)


async def test_each_customer_whose_state_is_unreadable_is_put_back_and_the_shard_goes_on() -> None:
    """One after the other; the shard stays this worker's, and the whole story is as if nothing had been."""
    worker, shard = await damaged()
    sound = Worker()
    await sound.own()
    for customer in ("c3", "c4"):
        sound.log.append(EVENTS, 0, again(customer))
        await process(sound, sound.owned.shard or shard)
    for _ in range(2):
        await process(worker, shard)
        assert worker.owned.state == ShardState.REFOLDING
        assert "the state of a customer cannot be read" in worker.segmenter.problems()[0]
        await process(worker, shard)
        assert worker.owned.state == ShardState.REFOLDING, "the shard waits"
        await settled(worker)
        assert worker.owned.state == ShardState.OWNED
        assert worker.sought[-1] == shard.position.offset
    await process(worker, shard)
    assert (worker.owned.shard, shard.position.offset) == (shard, worker.log.end(EVENTS, 0))
    assert worker.store._shards[0].states == sound.store._shards[0].states
    assert sound.owned.shard is not None
    assert shard.checkpoint.output_digest == sound.owned.shard.checkpoint.output_digest
    assert worker.segmenter.metrics.registry.get_sample_value("segmenter_customers_refolded_total") == 2
    await worker.segmenter.alerts.flush()
    said = msgspec.json.decode(worker.published[0])
    assert said["type"] == "alert.refolded"
    assert "c3" not in said["data"]["text"]


async def test_where_the_log_is_not_whole_any_more_the_shard_halts_and_says_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """That one is for a person."""
    worker, shard = await damaged()

    async def look(_shard: int, _offset: int) -> View:
        return View(7, worker.log.end(EVENTS, 0), None)

    monkeypatch.setattr(worker.segmenter.inspector, "look", look)
    await process(worker, shard)
    await settled(worker)
    assert worker.owned.state == ShardState.HALTED
    assert "begins at offset 7" in worker.owned.why
    assert "streamer shards rebuild 0" in worker.owned.why


async def test_a_rebalance_does_not_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a log takes long; whoever gets the shard next folds the customer anew."""
    worker, shard = await damaged()
    before, reading, may_go_on = shard.checkpoint, asyncio.Event(), asyncio.Event()

    async def read(number: int, offset: int, limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
        reading.set()
        await may_go_on.wait()
        yield worker.log.fetch(number, offset, limit)

    monkeypatch.setattr(worker.segmenter.inspector, "read", read)
    await process(worker, shard)
    await asyncio.wait_for(reading.wait(), 10)
    await asyncio.wait_for(worker.segmenter.ownership.revoked([worker.owned.partition]), 10)
    may_go_on.set()
    await settled(worker)
    assert worker.owned.state == ShardState.RELEASED
    assert await worker.store.checkpoint(0) == before


async def test_what_goes_wrong_after_the_shard_was_let_go_is_nothing_to_its_next_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker itself may be that owner: it would let go of a shard that is well, or halt it."""
    worker, shard = await damaged()
    reading, may_fail = asyncio.Event(), asyncio.Event()

    async def read(_shard: int, _offset: int, _limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
        reading.set()
        await may_fail.wait()
        raise HaltError("the log was not read to its end")
        yield []

    monkeypatch.setattr(worker.segmenter.inspector, "read", read)
    await process(worker, shard)
    await asyncio.wait_for(reading.wait(), 10)
    worker.segmenter.stopper.wait(worker.owned, "the store is away", 0)
    worker.owned.enter(ShardState.ACQUIRING)
    await worker.segmenter.ownership.own(worker.owned)
    may_fail.set()
    await settled(worker)
    assert worker.owned.state is ShardState.OWNED
    assert worker.owned.shard is not shard


async def test_a_halted_shard_goes_on_publishing_what_was_committed() -> None:
    """What was decided before the halt is right, and readers wait for it."""
    worker = Worker()
    worker.owned.state = ShardState.ACQUIRING
    await worker.segmenter.ownership.own(worker.owned)
    shard = worker.owned.shard
    assert shard is not None
    await process(worker, shard)
    worker.segmenter.stopper.halt(worker.owned, "a test")
    assert (worker.owned.relay, worker.read()) == (None, []), "committed and not published"
    await worker.segmenter.upkeep.look_at_halted(worker.owned)
    assert worker.owned.state == ShardState.HALTED
    await worker.segmenter.publisher.publish_all()
    assert len(worker.read()) == 20
