"""History on its way into a lane is given out by when it happened, and read ahead in stretches that are each read once."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest

from streamer.flow.lane import recall
from streamer.flow.lane.recall import Recall
from streamer.wire import ARRIVED_HEADER, LogRecord, arrived_text

pytestmark = pytest.mark.fast

OFFSETS = (0, 1, 4, 5, 6, 9)  # the others are markers of transactions


class Histories:
    """History whose records happened at ten times their offset; ``asked`` has what was read. Those at ``silent`` do not say when: what
    they have is the time at which a broker took them."""

    def __init__(self, silent: Collection[int] = ()) -> None:
        self._silent = silent
        self.asked: list[tuple[int, int]] = []

    async def history(self, shard: int, begin: int, end: int, limit: int) -> Sequence[LogRecord]:
        assert shard == 3
        self.asked.append((begin, end))
        return [self._record(at) for at in OFFSETS if begin <= at < end][:limit]

    def _record(self, at: int) -> LogRecord:
        if at in self._silent:
            return LogRecord(at, 1_000_000, b"")
        return LogRecord(at, 10 * at, b"", headers=((ARRIVED_HEADER, arrived_text(10 * at, "00000000000000aa")),))


@pytest.fixture(autouse=True)
def three_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "READ_AHEAD", 3)


async def test_what_had_happened_by_a_moment_is_given_out_and_no_more_than_is_wanted() -> None:
    """A lane folds so many at once, and none that happened behind the record of the log before which they come."""
    found = Recall(Histories(), 3, 0, 10)
    assert offsets(await found.until(0, 40, 10)) == [0, 1, 4]
    assert offsets(await found.until(0, 40, 2)) == [0, 1]
    assert offsets(await found.until(1, 39, 10)) == [1]
    assert offsets(await found.until(5, 49, 10)) == []


async def test_each_stretch_is_read_once_and_the_last_ends_where_history_does() -> None:
    """However often it is asked; and what was passed over stays so."""
    histories = Histories()
    found = Recall(histories, 3, 1, 9)
    given = list[int]()
    at = 1
    while (record := await found.next(at)) is not None:
        given.append(record.offset)
        at = record.offset + 1
        assert await found.next(record.offset) == record
    assert given == [1, 4, 5, 6]
    assert histories.asked == [(1, 9), (6, 9), (7, 9)]
    assert await found.until(at, 1_000, 10) == []


async def test_what_does_not_say_when_it_happened_holds_up_nothing() -> None:
    """It is refused, and in the fold of one customer it is not seen at all: history behind it must come at the same moment in both."""
    found = Recall(Histories(silent=(1, 5)), 3, 0, 10)
    assert offsets(await found.until(0, 40, 10)) == [0, 1, 4]
    record = await found.next(5)
    assert record is not None
    assert (record.offset, record.arrival_ms) == (5, 0)
    assert offsets(await found.until(5, 60, 10)) == [5, 6]


def offsets(records: Sequence[LogRecord]) -> list[int]:
    return [record.offset for record in records]
