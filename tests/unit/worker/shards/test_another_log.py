"""A log that is another one than a shard has read: noticed when the shard is acquired, and while it is owned."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from aiokafka import TopicPartition

from streamer.flow import same_log
from streamer.flow.same_log import View
from streamer.wire import EVENTS
from streamer.worker.shards.owned_shard import OwnedShard
from streamer.worker.status.shard_state import ShardState
from tests.unit.worker.one_worker import Worker


@pytest.fixture
def made_anew(monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker whose topic will have been deleted and made anew, and has grown past the position by the time anybody looks."""
    monkeypatch.setattr(same_log, "AGAIN_SECONDS", 0.0)
    return Worker()


def make_anew(worker: Worker) -> None:
    records = worker.log._topics[EVENTS][0]
    count = len(records)
    records.clear()
    for number in range(2 * count):
        raw = b'{"event": "Product Viewed", "messageId": "n%d", "userId": "n%d", "timestamp": 900}' % (number, number)
        worker.log.append(EVENTS, 0, raw)


async def test_it_is_noticed_while_the_shard_is_owned(made_anew: Worker) -> None:
    """Nobody starts a worker for it: the topic is deleted under a running one."""
    await made_anew.own()
    make_anew(made_anew)
    await made_anew.segmenter.log_watch.look_at(made_anew.owned)
    assert (made_anew.owned.state, made_anew.owned.shard) == (ShardState.HALTED, None)
    assert "is another one" in made_anew.owned.why


async def test_it_is_noticed_when_the_shard_is_acquired(made_anew: Worker) -> None:
    """Before a record of the new log is read: the first ones would be skipped as if they had been processed."""
    await made_anew.own()
    make_anew(made_anew)
    made_anew.owned.shard, made_anew.owned.state = None, ShardState.ACQUIRING
    await made_anew.segmenter.ownership.own(made_anew.owned)
    assert (made_anew.owned.state, made_anew.owned.shard) == (ShardState.HALTED, None)
    assert "is another one" in made_anew.owned.why


@pytest.mark.parametrize("is_looked_at", [False, True], ids=["before the first look", "after it"])
@pytest.mark.parametrize("while_acquired", [False, True], ids=["halted while owned", "halted while acquired"])
async def test_what_a_person_orders_for_a_halted_shard_is_seen_whenever_it_comes(
    made_anew: Worker, while_acquired: bool, is_looked_at: bool
) -> None:
    """The first look took an order that came before it for what had been there at the halt, and the shard stayed halted for good."""
    await made_anew.own()
    make_anew(made_anew)
    owned, upkeep = made_anew.owned, made_anew.segmenter.upkeep
    if while_acquired:
        owned.shard, owned.state = None, ShardState.ACQUIRING
        await made_anew.segmenter.ownership.own(owned)
    else:
        await made_anew.segmenter.log_watch.look_at(owned)
    assert owned.state is ShardState.HALTED
    if is_looked_at:
        await upkeep.look_at_halted(owned)
        assert owned.state.name == "HALTED", "nobody has ordered anything yet"
    await made_anew.store.acquire(0)  # as each order does
    await upkeep.look_at_halted(owned)
    assert owned.state.name == "ACQUIRING"
    made_anew.segmenter.background.cancel()


async def test_a_log_that_does_not_answer_hides_no_other(made_anew: Worker) -> None:
    """All logs are asked together, and one partition without a leader leaves that question open: then each is asked by itself."""
    await made_anew.own()
    make_anew(made_anew)
    silent, asked = OwnedShard(TopicPartition(made_anew.owned.partition.topic, 1)), list[int]()
    silent.shard = made_anew.owned.shard
    inspector: Any = made_anew.segmenter.inspector

    async def look(shard: int, offset: int) -> View:
        asked.append(shard)
        if shard == silent.number:
            raise TimeoutError
        return await made_anew.log.look(shard, offset)

    async def look_at_all(_offsets: Mapping[int, int]) -> dict[int, View]:
        raise TimeoutError

    inspector.look, inspector.look_at_all = look, look_at_all
    await made_anew.segmenter.log_watch.look_at_all([silent, made_anew.owned])
    assert asked == [1, 0, 0]
    assert (made_anew.owned.state, silent.state) == (ShardState.HALTED, ShardState.ACQUIRING)


async def test_a_log_that_is_as_it_was_read_is_asked_once(made_anew: Worker) -> None:
    """The question to all logs together is all that a worker asks while nothing is wrong."""
    shard = await made_anew.own()
    inspector: Any = made_anew.segmenter.inspector
    asked: list[dict[int, int]] = []

    async def look_at_all(offsets: Mapping[int, int]) -> dict[int, View]:
        asked.append(dict(offsets))
        return {one: await made_anew.log.look(0, offset) for one, offset in offsets.items()}

    async def look(_shard: int, _offset: int) -> View:
        raise AssertionError("nothing was suspect")

    inspector.look, inspector.look_at_all = look, look_at_all
    other = OwnedShard(TopicPartition(made_anew.owned.partition.topic, 1))
    other.shard = shard
    await made_anew.segmenter.log_watch.look_at_all([made_anew.owned, other])
    assert asked == [dict.fromkeys((0, 1), shard.body.last[0])]
    assert made_anew.owned.shard is shard
