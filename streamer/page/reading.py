"""Whether what a view shows was read: a topic that cannot be read is not one that is still being read."""

from __future__ import annotations

from typing import Literal

ReadingState = Literal["reading", "ready", "unread"]


def reading_of(*, is_ready: bool, is_failing: bool) -> ReadingState:
    """``unread`` while Kafka refuses or does not answer, whatever was read before; ``reading`` until the beginning has been read."""
    return "unread" if is_failing else "ready" if is_ready else "reading"


def worst(*all_of: ReadingState) -> ReadingState:
    """Of several that are shown together the one of which there is most to say.

    >>> worst("ready", "reading"), worst("unread", "reading"), worst("ready")
    ('reading', 'unread', 'ready')
    """
    return max(all_of, key=("ready", "reading", "unread").index)


__all__ = ["ReadingState", "reading_of", "worst"]
