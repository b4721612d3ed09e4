"""Whether a log is still the one that a shard has read: told by asking the log, never by counting offsets.

Markers of transactions take offsets and are never delivered, and records of aborted transactions are not either, so a missing offset says
nothing. What says something is where the log begins and where it ends.
"""

from __future__ import annotations

from streamer.errors import HaltError


def check_reach(shard: int, position: int, begin: int, end: int) -> None:
    """HaltError unless the log of a shard, from ``begin`` up to but not including ``end``, reaches to ``position``, the next to read."""
    if begin > position:
        raise HaltError(
            f"the log of shard {shard} begins at offset {begin}, after the position {position}: "
            "its retention took records that were not read yet"
        )
    if end < position:
        raise HaltError(
            f"the log of shard {shard} ends at offset {end}, before the position {position}: "
            "its tail was lost, or the topic was made anew, or this is another cluster"
        )
