"""Whether a log is still the one that a shard has read: told by asking the log, never by counting offsets.

Markers of transactions take offsets and are never delivered, and records of aborted transactions are not either, so a missing offset says
nothing. What says something is where the log begins, where it ends, and whether the record that was delivered last is still in it: a topic
that was made anew soon reaches as far as the old one did.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Final, NamedTuple

from streamer.errors import HaltError
from streamer.values import time_text
from streamer.wire import LogRecord

DIGEST_BYTES: Final = 8
AGAIN_SECONDS: Final = 1.0  # a broker that became the leader a moment ago may not know its end yet

Delivered = tuple[int, int, bytes]
"""A record by which a log is known again: its offset, its arrival in UTC milliseconds, and a digest of its key and value."""

WAY_OUT: Final = (
    "see that STREAMER_KAFKA and STREAMER_TOPIC_PREFIX are the right ones; where this log is to hold, stop all workers, set "
    "STREAMER_LOG_GENERATION one higher everywhere, and run `streamer shards rebuild --new-log`"
)

NOTHING: Final[Delivered] = (-1, 0, b"")
"""No record was delivered yet, or a person chose the position."""


class View(NamedTuple):
    """What the log of a shard says: its first offset, the one behind its last committed record, and what it has where it was asked.

    ``record`` is None where there is no such record.
    """

    begin: int
    end: int
    record: LogRecord | None = None


class Unread(NamedTuple):
    """What lies at or behind an offset: where the first record is that a reader gets, None where there is none, and the log's end, open
    transactions included."""

    first: int | None
    end: int


LogLookup = Callable[[int, int], Awaitable[View]]
"""Asks the log of a shard for what it has at an offset; a negative offset asks for no record."""

LogLookupBehind = Callable[[int, int], Awaitable[Unread]]
"""Asks the log of a shard for what it has at or behind an offset."""


def delivered(record: LogRecord) -> Delivered:
    """What is kept of the record that was delivered last."""
    sized = b"%d " % len(record.key)
    return record.offset, record.arrival_ms, blake2b(sized + record.key + record.value, digest_size=DIGEST_BYTES).digest()


def check_same_log(shard: int, position: int, last: Delivered, view: View) -> None:
    """HaltError unless the log reaches to ``position``, the next offset to read, and still has the record that was delivered last."""
    if view.begin > position:
        raise HaltError(
            f"the log of shard {shard} begins at offset {view.begin}, after the position {position}: "
            "its retention took records that were not read yet; "
            f"`streamer shards resume {shard} --at {view.begin} --why TEXT` goes on behind the loss"
        )
    if view.end < position:
        raise HaltError(
            f"the log of shard {shard} ends at offset {view.end}, before the position {position}: "
            f"its tail was lost, or the topic was made anew, or this is another cluster; {WAY_OUT}"
        )
    if last[0] < view.begin:
        return  # read before its retention took it, or there is none
    if view.record is None or delivered(view.record) != last:
        now = "there is none" if view.record is None else f"it has one that arrived at {time_text(view.record.arrival_ms)}"
        raise HaltError(
            f"the log of shard {shard} is another one: of the record at offset {last[0]}, read when it had arrived at "
            f"{time_text(last[1])}, {now}; the topic was made anew, its tail was lost, or this is another cluster; {WAY_OUT}"
        )


async def look_again(look: LogLookup, shard: int, position: int, last: Delivered, pause: Callable[[float], Awaitable[None]]) -> None:
    """``check_same_log`` against what the log says now. HaltError only when a second look finds the same."""
    try:
        check_same_log(shard, position, last, await look(shard, last[0]))
    except HaltError:
        await pause(AGAIN_SECONDS)
        check_same_log(shard, position, last, await look(shard, last[0]))
