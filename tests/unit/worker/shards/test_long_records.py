"""One record may wake a hundred thousand customers: what it says goes out slice by slice, and the worker can be stopped in the middle."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from streamer.flow import relay as relay_module
from streamer.flow.machine import Limits
from streamer.language.definitions import parse_definitions
from streamer.transports.memory import CONTROL, MemorySink
from streamer.wire import CHANGES, EVENTS, TICK, Output, definitions_control
from streamer.worker.shards import processing as processing_module
from streamer.worker.status.shard_state import ShardState
from tests.unit.worker.one_worker import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

CUSTOMERS, SLICE, MOST = 1_200, 50, 150
QUIET = parse_definitions({"segments": {"quiet": {"for": "x", "when": 'idle("*") >= "1h"'}}})


class Watched(MemorySink):
    """Notes how far the shard was at each turn."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(worker.log)
        self.worker = worker
        self.steps: list[int] = []
        self.backlogs: list[int] = []

    async def send(self, outputs: Sequence[Output]) -> None:
        owned = self.worker.owned
        if owned.shard is not None and owned.relay is not None:
            self.steps.append(owned.shard.position.step)
            self.backlogs.append(owned.relay.backlog)
        await super().send(outputs)


@pytest.fixture
async def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    """Every customer falls quiet at the same millisecond; small slices, and a small outbox."""
    monkeypatch.setattr(relay_module, "BACKLOG_MAX", MOST)
    found = Worker()
    found.segmenter.ownership.limits = Limits(wakes=SLICE)
    found.log._topics[EVENTS][0].clear()
    found.log.send_control(definitions_control(QUIET.content(), QUIET.digest, 1))
    for number in range(CUSTOMERS):
        raw = b'{"event": "Product Viewed", "messageId": "m%d", "userId": "c%d", "timestamp": 900}' % (number, number)
        found.log.append(EVENTS, 0, raw)
    await found.own()
    found.log._now = lambda: 3_700_000
    found.log.append(EVENTS, 0, TICK, headers=CONTROL)
    return found


async def process(worker: Worker) -> Watched:
    """The tick, with a relay that publishes beside it."""
    sink = Watched(worker)
    shard, relay = worker.owned.shard, worker.owned.relay
    assert shard is not None
    assert relay is not None
    relay._sink = sink
    working = asyncio.create_task(worker.segmenter.processing.process(worker.owned, shard, worker.log.fetch(0, shard.position.offset, 10)))
    while not working.done():
        await worker.segmenter.publisher.publish_all()
        await asyncio.sleep(0)
    await working
    return sink


async def test_the_first_change_is_out_before_the_last_is_computed(worker: Worker) -> None:
    """Fifteen seconds after midnight is late for a change of midnight; and a hundred thousand of them are 44 MB."""
    sink = await process(worker)
    await worker.segmenter.publisher.publish_all()
    assert sink.steps[:3] == [4, 8, 12], "of 24 slices"
    assert max(sink.backlogs) <= MOST + SLICE
    assert len(worker.read()) == CUSTOMERS
    assert worker.segmenter.problems() == []


async def test_a_worker_that_is_stopped_in_the_middle_of_a_record_leaves_at_once(worker: Worker) -> None:
    """SIGTERM has ten seconds, and one record may take longer; the next owner goes on in the middle of it."""
    worker.segmenter.processing.is_stopping = True
    shard = worker.owned.shard
    assert shard is not None
    await process(worker)
    assert shard.position.step == 1
    worker.segmenter.processing.is_stopping = False
    worker.owned.shard, worker.owned.state = None, ShardState.ACQUIRING
    await worker.segmenter.ownership.own(worker.owned)
    await process(worker)
    await worker.segmenter.publisher.publish_all()
    changes = worker.read()
    assert len(changes) == len(set(changes)) == CUSTOMERS
    assert len(worker.log.records(CHANGES, 0)) == CUSTOMERS


async def test_a_shard_whose_broker_takes_nothing_holds_up_the_others_for_a_moment_only(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All shards of a worker share the loop that fetches."""
    monkeypatch.setattr(processing_module, "FULL_SECONDS", 0.05)
    shard, relay = worker.owned.shard, worker.owned.relay
    assert shard is not None
    assert relay is not None
    await worker.segmenter.processing.process(worker.owned, shard, worker.log.fetch(0, shard.position.offset, 10))
    assert (worker.owned.state, worker.owned.shard) == (ShardState.WAITING, None)
    assert "the outbox is full" in worker.owned.why
    assert MOST < relay.backlog <= MOST + SLICE
    assert shard.position.step == relay.backlog // SLICE
