"""A record from the future: whose clock is off, and whether to wait with it."""

from __future__ import annotations

from typing import Final

import pytest

from streamer.wire import TICK, LogRecord
from streamer.worker.shards.clocks import Clocks, RecordAhead, first_ahead

NOW: Final = 1_790_000_000_000
SKEW_MS: Final = 300_000
DAY_MS: Final = 86_400_000


def ahead(*arrivals_ms: int, ours_ms: int = NOW, log_ms: int = NOW, broker_ahead_ms: int | None = 0) -> RecordAhead | None:
    """What is found among records that arrived then, one after another."""
    records = [LogRecord(7 + index, at_ms, TICK, control=True) for index, at_ms in enumerate(arrivals_ms)]
    return first_ahead(records, Clocks(ours_ms, log_ms, broker_ahead_ms), SKEW_MS)


def test_a_record_within_the_skew_is_of_now() -> None:
    """Two clocks are never the same."""
    assert ahead(NOW - DAY_MS, NOW, NOW + SKEW_MS) is None


@pytest.mark.parametrize(
    ("broker_ahead_ms", "says"),
    [
        (0, "with which the broker's agrees by now: the broker's clock was ahead"),
        (3 * DAY_MS, "the broker's clock is 3d ahead of it now"),
        (None, "the broker's clock was not asked yet"),
    ],
)
def test_a_jump_of_the_brokers_clock_is_waited_for(broker_ahead_ms: int | None, says: str) -> None:
    """Read on, it would make everybody's events late for three days. What arrived before it is read."""
    found = ahead(NOW, NOW + 3 * DAY_MS, NOW, broker_ahead_ms=broker_ahead_ms)
    assert found is not None
    assert (found.at, found.waits) == (1, True)
    assert "the record at offset 8 arrived at 2026-" in found.why
    assert "3d ahead of this machine's clock" in found.why
    assert says in found.why


def test_a_machine_whose_own_clock_is_behind_reads_on() -> None:
    """The log's time is there already: to read on does no harm, and to wait would be an outage for the sake of one wrong worker."""
    found = ahead(NOW, NOW + 1_000, ours_ms=NOW - DAY_MS, broker_ahead_ms=DAY_MS)
    assert found is not None
    assert not found.waits
    assert "this machine's clock is behind" in found.why


def test_a_log_that_is_read_from_its_beginning_by_a_machine_that_is_behind_is_read_on() -> None:
    """Each record is a little later than the one before; only a jump is one."""
    steps = range(NOW - DAY_MS, NOW, 240_000)
    found = ahead(*steps, ours_ms=NOW - DAY_MS // 2, log_ms=NOW - DAY_MS)
    assert found is not None
    assert not found.waits


def test_a_record_with_its_producers_time_moves_none_and_is_not_waited_for() -> None:
    """Its clock says nothing of the broker's."""
    wild = LogRecord(7, NOW + DAY_MS, TICK, control=True, broker_time=False)
    assert first_ahead([wild], Clocks(NOW, NOW, 0), SKEW_MS) is None
