"""Cursors: where a walk over pages goes on, as clients carry it. It is no secret how one is made, so whatever comes back is looked at."""

from __future__ import annotations

import base64
import binascii
from typing import Final, TypeVar

import msgspec

from .errors import AnswerError

CURSOR: Final = "query.cursor"  # the place of such an error


class SegmentCursor(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What each says first: of which generation of the log it is, and of which segment."""

    generation: int
    segment: str


AnyCursor = TypeVar("AnyCursor", bound=SegmentCursor)
_encode: Final = msgspec.msgpack.Encoder().encode


def cursor_text(cursor: SegmentCursor) -> str:
    """A cursor as clients carry it."""
    return base64.urlsafe_b64encode(_encode(cursor)).decode().rstrip("=")


def read_cursor_of(kind: type[AnyCursor], text: str, generation: int) -> AnyCursor:
    """The cursor of a text; AnswerError for one that is none, or is of another generation of the log."""
    try:
        found = msgspec.msgpack.decode(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True), type=kind)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise no_cursor() from None
    if found.generation != generation:
        said = f"it is of generation {found.generation} of the log, which is at {generation}: begin without a cursor"
        raise AnswerError("cursor_expired", said, CURSOR)
    return found


def no_cursor() -> AnswerError:
    """Of a text that no answer has given out."""
    return AnswerError("bad_cursor", "expected the next_cursor of an answer, or none to begin", CURSOR)


__all__ = ["CURSOR", "SegmentCursor", "cursor_text", "no_cursor", "read_cursor_of"]
