"""The sink in memory keeps a sink's promises; simulations stand on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from streamer.transports.memory import MemoryLog, MemorySink, position_of
from streamer.wire import CHANGES, EVENTS

from .sink_promises import PROMISES, SHARDS, Desk, Found, output


class MemoryDesk:
    """Topics in memory."""

    def __init__(self) -> None:
        self.log = MemoryLog(SHARDS, lambda: 0)
        self.sink = MemorySink(self.log)

    async def read(self, topic: str, partition: int) -> list[Found]:
        return [Found(record.key, record.value, dict(record.headers)) for record in self.log.records(topic, partition)]


@pytest.mark.parametrize("promise", PROMISES)
async def test_the_sink_in_memory_keeps(promise: Callable[[Desk], Awaitable[None]]) -> None:
    """Each promise, over fresh topics."""
    await promise(MemoryDesk())


def test_the_log_in_memory_is_read_as_a_shard_reads_it() -> None:
    """Times are the broker's, and our own records are told from the producers'."""
    times = iter((5, 3, 9))
    log = MemoryLog(2, lambda: next(times))
    assert [log.append(EVENTS, 1, b"a"), log.end(EVENTS, 1), log.append(EVENTS, 1, b"b")] == [0, 1, 1]
    log.send_tick(1)
    records = log.fetch(1, 0, 9)
    assert [(record.offset, record.arrival_ms, record.control) for record in records] == [(0, 5, False), (1, 3, False), (2, 9, True)]
    assert log.fetch(1, 1, 1) == records[1:2]
    assert (log.fetch(0, 0, 9), log.fetch(1, 3, 9)) == ([], [])


async def test_the_tail_of_another_generation_of_the_log_is_none_of_ours() -> None:
    """A log that was sharded anew begins again at offset 0: behind the old tail nothing of it would ever be published."""
    log = MemoryLog(SHARDS, lambda: 0)
    await MemorySink(log, generation=1).send([output(1_000, 3)])
    renewed = MemorySink(log, generation=2)
    assert await renewed.tail(CHANGES, 1) is None
    await renewed.send([output(0, 0)])
    assert await renewed.tail(CHANGES, 1) == (0, 0)
    assert [position_of(record) for record in log.records(CHANGES, 1)] == [(1, 1_000, 3), (2, 0, 0)]


def test_offsets_of_markers_in_the_log_in_memory_are_used_and_never_read() -> None:
    """As with a real broker's transactions: a reader goes on behind them, and one that has read everything stands before the last."""
    log = MemoryLog(1, lambda: 0)
    log.append(EVENTS, 0, b"a")
    log.use_offset(EVENTS, 0)
    log.append(EVENTS, 0, b"b")
    log.use_offset(EVENTS, 0)

    assert [(record.offset, record.value) for record in log.fetch(0, 0, 9)] == [(0, b"a"), (2, b"b")]
    assert [record.offset for record in log.fetch(0, 1, 1)] == [2]
    assert (log.end(EVENTS, 0), log.read_end(EVENTS, 0)) == (4, 3)
    assert [record.value for record in log.records(EVENTS, 0)] == [b"a", b"b"]
