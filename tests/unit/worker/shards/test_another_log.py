"""A log that is another one than a shard has read: noticed when the shard is acquired, and while it is owned."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import pytest

from streamer.flow import same_log
from streamer.wire import EVENTS
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
