"""Who was in a segment at a moment of the past, page by page.

To find that out costs as much for a page as for all of them, so what was found is kept for a while, and whoever asks for the next page has
the rest of it. Where it was forgotten meanwhile it is found out anew, and is the same.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from streamer.errors import HaltError, SettingsError, TooMuchError, UnansweredError
from streamer.previews.past_members import NoSuchSegmentError, PastMembers
from streamer.values import time_text

from .answers import LogPosition, PastMembersAnswer
from .cursors import CURSOR, SegmentCursor, cursor_text, read_cursor_of
from .errors import AnswerError

KEPT_SECONDS: Final = 300.0  # after the last question
FAILURE_SECONDS: Final = 15.0  # for whoever comes back to read it; what went wrong longer ago may be well by now
KEPT_IDS: Final = 1_000_000  # of all that is kept
ASKED_AT_ONCE: Final = 4
PATIENCE_SECONDS: Final = 10.0  # then whoever asked is to come back: it goes on meanwhile

_PastQuestion = tuple[str, int]  # a segment and a moment


class FindPastMembers(Protocol):
    """Finds out: ``previews.past_members_aside``."""

    async def members_at(self, segment: str, at_ms: int) -> PastMembers:
        """See ``previews.past_members.members_at``; TooMuchError where it takes too long, or they are too many."""
        ...


class PastCursor(SegmentCursor, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Where a walk goes on: behind the id ``after``."""

    at_ms: int
    after: str


@dataclass
class _KeptMembers:
    """``timer`` drops it: it runs once the answer is there."""

    task: asyncio.Task[PastMembers]
    timer: asyncio.TimerHandle | None = None

    @property
    def is_found(self) -> bool:
        """Whether there is an answer, and no failure."""
        return self.task.done() and not self.task.cancelled() and self.task.exception() is None

    @property
    def ids(self) -> int:
        """How many it keeps."""
        return len(self.task.result().members) if self.is_found else 0


class PastMemberAnswers:
    """Answers. Raises AnswerError, and what reading the store may. ``log_time_ms`` is the log time that all shards have come to."""

    def __init__(self, find: FindPastMembers, generation: int, log_time_ms: Callable[[], Awaitable[int]]) -> None:
        self._find = find
        self._generation = generation
        self._log_time_ms = log_time_ms
        self._asked: dict[_PastQuestion, _KeptMembers] = {}

    async def page(self, segment: str, at_ms: int, cursor: str | None, limit: int) -> PastMembersAnswer:
        """A page of at most ``limit`` members."""
        after = "" if cursor is None else self._read_cursor(cursor, segment, at_ms).after
        reached_ms = await self._log_time_ms()
        if at_ms > reached_ms:
            raise AnswerError("bad_request", f"expected no moment after {time_text(reached_ms)}, to which all shards have come", "query.at")
        found = await self._found((segment, at_ms))
        begin = bisect_right(found.members, after) if after else 0
        members = found.members[begin : begin + limit]
        is_last = begin + limit >= len(found.members)
        follows = None if is_last else cursor_text(PastCursor(self._generation, segment, at_ms, members[-1]))
        read = [LogPosition(self._generation, shard, offset) for shard, offset in sorted(found.read.items())]
        return PastMembersAnswer(segment, time_text(at_ms), len(found.members), read, members, follows)

    def _read_cursor(self, text: str, segment: str, at_ms: int) -> PastCursor:
        found = read_cursor_of(PastCursor, text, self._generation)
        if (found.segment, found.at_ms) != (segment, at_ms):
            raise AnswerError("bad_cursor", "it is of another segment or moment: expected one of the same, or none to begin", CURSOR)
        return found

    async def _found(self, question: _PastQuestion) -> PastMembers:
        asked = self._asked.pop(question, None) or self._begin(question)
        self._asked[question] = asked  # the last one
        await asyncio.wait({asked.task}, timeout=PATIENCE_SECONDS)
        if not asked.task.done():
            raise AnswerError("overloaded", "who was in it is still being found out; come back")
        if asked.is_found:
            self._keep(question, asked)
        else:
            self._drop(question, asked)  # the next one who asks tries again
        return _result(asked.task)

    def _begin(self, question: _PastQuestion) -> _KeptMembers:
        if sum(not one.task.done() for one in self._asked.values()) >= ASKED_AT_ONCE:
            raise AnswerError("overloaded", "as many moments of the past are being found out as are at a time; come back")
        asked = _KeptMembers(asyncio.create_task(self._find.members_at(*question)))
        asked.task.add_done_callback(lambda _: self._keep(question, asked))
        return asked

    def _keep(self, question: _PastQuestion, asked: _KeptMembers) -> None:
        """Begin the time anew after which it is dropped, and drop what is more than is kept, the longest unused first."""
        if self._asked.get(question) is not asked:
            return
        if asked.timer is not None:
            asked.timer.cancel()
        seconds = KEPT_SECONDS if asked.is_found else FAILURE_SECONDS
        asked.timer = asyncio.get_running_loop().call_later(seconds, self._drop, question, asked)
        kept = sum(one.ids for one in self._asked.values())
        for other, one in list(self._asked.items()):
            if kept <= KEPT_IDS:
                return
            if one.task.done():
                kept -= one.ids
                self._drop(other, one)

    def _drop(self, question: _PastQuestion, asked: _KeptMembers) -> None:
        if asked.timer is not None:
            asked.timer.cancel()
        if self._asked.get(question) is asked:
            del self._asked[question]


def _result(task: asyncio.Task[PastMembers]) -> PastMembers:
    """What was found; AnswerError where nothing was."""
    try:
        return task.result()
    except NoSuchSegmentError:
        raise AnswerError("unknown_segment", "there is no segment of this name, and nothing was said of one since then", "url") from None
    except (SettingsError, TooMuchError) as error:
        raise AnswerError("past_unknown", str(error), "query.at") from None
    except UnansweredError:
        raise AnswerError("kafka_away", "the log does not answer at the moment; come back") from None
    except asyncio.CancelledError:
        raise HaltError("it was given up") from None


__all__ = ["FindPastMembers", "PastCursor", "PastMemberAnswers"]
