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
