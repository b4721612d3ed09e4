"""Whose clock is off, when a record arrived later than it is now: ours, or the broker's, which is the log's.

A record far ahead moves the log's time for good: everybody's events are late until the time comes that it names. So a shard does not read
on where the broker's clock is the one ahead; where the log's time is there already, reading on does no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from streamer.language.durations import format_duration
from streamer.values import time_text
from streamer.wire import LogRecord

AGAIN_SECONDS: Final = 1.0  # between two looks at a record that is ahead: time comes nearer, and clocks are set right


class Clocks(NamedTuple):
    """What time it is, in UTC milliseconds: by our clock and by the log so far. ``broker_ahead_ms`` is how far the broker's clock was
    ahead of ours at the last tick that it acknowledged; None before the first."""

    ours_ms: int
    log_ms: int
    broker_ahead_ms: int | None


class RecordAhead(NamedTuple):
    """The first record that arrived later than it is now: its place among those fetched, whether to wait with it, and what is off."""

    at: int
    waits: bool
    why: str


def first_ahead(records: Sequence[LogRecord], clocks: Clocks, skew_ms: int) -> RecordAhead | None:
    """The first record more than ``skew_ms`` ahead of our clock; the one to wait with, if there is one."""
    log_ms, found = clocks.log_ms, None
    for index, record in enumerate(records):
        if not record.broker_time:
            continue
        if record.arrival_ms > clocks.ours_ms + skew_ms:
            ahead = _judge(index, record, clocks._replace(log_ms=log_ms), skew_ms)
            if ahead.waits:
                return ahead
            found = found or ahead
        log_ms = max(log_ms, record.arrival_ms)
    return found


def _judge(index: int, record: LogRecord, clocks: Clocks, skew_ms: int) -> RecordAhead:
    far = format_duration(record.arrival_ms - clocks.ours_ms)
    what = f"the record at offset {record.offset} arrived at {time_text(record.arrival_ms)}, {far} ahead of this machine's clock"
    if record.arrival_ms <= clocks.log_ms + skew_ms:
        return RecordAhead(index, waits=False, why=f"{what}, and so did those before it: this machine's clock is behind")
    if clocks.broker_ahead_ms is None:
        return RecordAhead(index, waits=True, why=f"{what}; the broker's clock was not asked yet")
    if clocks.broker_ahead_ms <= skew_ms:
        return RecordAhead(index, waits=True, why=f"{what}, with which the broker's agrees by now: the broker's clock was ahead")
    now = format_duration(clocks.broker_ahead_ms)
    return RecordAhead(
        index, waits=True, why=f"{what}; the broker's clock is {now} ahead of it now, and has jumped against the log's time so far"
    )


__all__ = ["AGAIN_SECONDS", "Clocks", "RecordAhead", "first_ahead"]
