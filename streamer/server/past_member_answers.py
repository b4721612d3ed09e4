"""Who was in a segment at a moment of the past, page by page.

To find that out costs as much for a page as for all of them, so what was found is kept for a while, and whoever asks for the next page has
the rest of it. Where it was forgotten meanwhile it is found out anew, and is the same.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from bisect import bisect_right
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final, Protocol

import msgspec

from streamer.errors import HaltError, SettingsError, TooMuchError, UnansweredError
from streamer.previews.past_members import NoSuchSegmentError, PastMembers
from streamer.values import time_text

from .answers import LogPosition, PastMembersAnswer
from .errors import AnswerError

KEPT_SECONDS: Final = 300.0
KEPT_IDS: Final = 1_000_000  # of all that is kept
ASKED_AT_ONCE: Final = 4
PATIENCE_SECONDS: Final = 10.0  # then whoever asked is to come back: it goes on meanwhile


class FindPastMembers(Protocol):
    """Finds out: ``previews.past_members_aside``."""

    async def members_at(self, segment: str, at_ms: int) -> PastMembers:
        """See ``previews.past_members.members_at``; TooMuchError where it takes too long, or they are too many."""
        ...


class PastCursor(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Where a walk goes on: behind the id ``after``. ``generation`` is that of the log."""

    generation: int
    segment: str
    at_ms: int
    after: str


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(PastCursor).decode


@dataclass
class _KeptMembers:
    task: asyncio.Task[PastMembers]
    used_s: float

    @property
    def ids(self) -> int:
        """How many it keeps."""
        return len(self.task.result().members) if self.task.done() and not self.task.cancelled() and self.task.exception() is None else 0


class PastMemberAnswers:
    """Answers. Raises AnswerError, and what reading the store may. ``log_time_ms`` is the log time that all shards have come to."""

    def __init__(self, find: FindPastMembers, generation: int, log_time_ms: Callable[[], Awaitable[int]]) -> None:
        self._find = find
        self._generation = generation
        self._log_time_ms = log_time_ms
        self._asked: dict[tuple[str, int], _KeptMembers] = {}

    async def page(self, segment: str, at_ms: int, cursor: str | None, limit: int) -> PastMembersAnswer:
        """A page of at most ``limit`` members."""
        after = "" if cursor is None else self._read_cursor(cursor, segment, at_ms).after
        reached_ms = await self._log_time_ms()
        if at_ms > reached_ms:
            raise AnswerError("bad_request", f"expected no moment after {time_text(reached_ms)}, to which all shards have come", "query.at")
        found = await self._found(segment, at_ms)
        begin = bisect_right(found.members, after) if after else 0
        members = found.members[begin : begin + limit]
        follows = None
        if begin + limit < len(found.members):
            text = base64.urlsafe_b64encode(_encode(PastCursor(self._generation, segment, at_ms, members[-1])))
            follows = text.decode().rstrip("=")
        read = [LogPosition(self._generation, shard, offset) for shard, offset in sorted(found.read.items())]
        return PastMembersAnswer(segment, time_text(at_ms), len(found.members), read, members, follows)

    def _read_cursor(self, text: str, segment: str, at_ms: int) -> PastCursor:
        path = "query.cursor"
        try:
            found = _decode(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        except (binascii.Error, ValueError, msgspec.DecodeError):
            raise AnswerError("bad_cursor", "expected the next_cursor of an answer, or none to begin", path) from None
        if found.generation != self._generation:
            said = f"it is of generation {found.generation} of the log, which is at {self._generation}: begin without a cursor"
            raise AnswerError("cursor_expired", said, path)
        if (found.segment, found.at_ms) != (segment, at_ms):
            raise AnswerError("bad_cursor", "it is of another segment or moment: expected one of the same, or none to begin", path)
        return found

    async def _found(self, segment: str, at_ms: int) -> PastMembers:
        self._forget()
        asked = self._asked.pop((segment, at_ms), None)
        if asked is None:
            if sum(not one.task.done() for one in self._asked.values()) >= ASKED_AT_ONCE:
                raise AnswerError("overloaded", "as many moments of the past are being found out as are at a time; come back")
            asked = _KeptMembers(asyncio.create_task(self._find.members_at(segment, at_ms)), monotonic())
        asked.used_s = monotonic()
        self._asked[segment, at_ms] = asked  # the last one
        await asyncio.wait({asked.task}, timeout=PATIENCE_SECONDS)
        if not asked.task.done():
            raise AnswerError("overloaded", "who was in it is still being found out; come back")
        try:
            return _result(asked.task)
        except Exception:
            self._asked.pop((segment, at_ms), None)  # the next one who asks tries again
            raise

    def _forget(self) -> None:
        """What nobody has asked for lately, and what is more than is kept."""
        now = monotonic()
        self._asked = {key: one for key, one in self._asked.items() if not one.task.done() or now - one.used_s < KEPT_SECONDS}
        kept = sum(one.ids for one in self._asked.values())
        for key in list(self._asked):
            if kept <= KEPT_IDS:
                return
            if self._asked[key].task.done():
                kept -= self._asked.pop(key).ids


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
