"""What a request asks for: parts of the path, the query and the body, checked. AnswerError for whatever is not as it must be."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple, Protocol
from urllib.parse import unquote

import msgspec
from aiohttp import web

from streamer.suggest import nearest
from streamer.values import parse_time_ms
from streamer.wire import CUSTOMER_CHARS_MAX, is_customer

from .answers import MembershipsQuestion
from .customer_answers import Wish
from .errors import AnswerError
from .limits import MEMBERS_DEFAULT, MEMBERS_MAX, ServerLimits
from .stream_position import StreamPosition, read_stream_position

SEGMENT_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
SEGMENTS_MAX: Final = 1_000
NUMBER_CHARS: Final = 18
_MIN_POSITION: Final = re.compile(r"([0-9]{1,4}):([0-9]{1,18})")
_question: Final = msgspec.json.Decoder(MembershipsQuestion, strict=True).decode


class Query(Protocol):
    """The query of a request: names and texts, a name may come more than once."""

    def getall(self, key: str) -> list[str]:
        """All texts of a name."""
        ...

    def __iter__(self) -> Iterator[str]:
        """The names."""
        ...

    def __contains__(self, key: object, /) -> bool:
        """Whether a name comes."""
        ...


class LogPlace(NamedTuple):
    """A shard, and an offset in its log."""

    shard: int
    offset: int


def text_of(query: Query, name: str) -> str | None:
    """A parameter that may come once; None where it does not come."""
    if name not in query:
        return None
    [text, *more] = query.getall(name)
    if more:
        raise AnswerError("bad_request", "expected once", f"query.{name}")
    return text


def check_names(query: Query, known: Collection[str]) -> None:
    """No parameter but these: one that is misspelt would be passed over in silence."""
    for name in query:
        if name not in known:
            close = nearest(name, known)
            hint = f"; did you mean {close}?" if close is not None else ""
            raise AnswerError("bad_request", f"expected no parameters but {', '.join(known) or 'none'}{hint}", "query")


def customer_of(part: str) -> str:
    """A customer's id from a part of a path, percent-encoded."""
    try:
        name = unquote(part, errors="strict")
    except UnicodeDecodeError:
        name = ""
    if not is_customer(name):
        raise AnswerError("bad_request", f"expected an id of 1 to {CUSTOMER_CHARS_MAX} characters, none a control character", "url")
    return name


def segment_of(part: str) -> str:
    """The name of a segment from a part of a path."""
    if SEGMENT_NAME.fullmatch(part) is None:
        raise AnswerError("unknown_segment", "expected the name of a segment: a-z, 0-9 and _; GET /v1/segments lists them", "url")
    return part


def segments_of(query: Query) -> list[str] | None:
    """Names of segments, separated by commas."""
    text = text_of(query, "segments")
    if text is None:
        return None
    names = list(dict.fromkeys(text.split(",")))
    if len(names) > SEGMENTS_MAX or any(SEGMENT_NAME.fullmatch(name) is None for name in names):
        raise AnswerError("bad_request", f"expected at most {SEGMENTS_MAX:,} names of segments, separated by commas", "query.segments")
    return names


def wish_of(query: Query) -> Wish:
    """What of a customer is asked for."""
    return Wish(segments_of(query), flag_of(query, "explain"), moment_of(query))


def moment_of(query: Query) -> int | None:
    """A moment of the past, in UTC milliseconds."""
    text = text_of(query, "at")
    if text is None:
        return None
    at_ms = parse_time_ms(text)
    if at_ms is None:
        raise AnswerError("bad_request", "expected a moment such as 2026-01-31T12:00:00Z", "query.at")
    return at_ms


def flag_of(query: Query, name: str) -> bool:
    """A parameter that is 1 or 0."""
    text = text_of(query, name)
    if text not in (None, "0", "1"):
        raise AnswerError("bad_request", "expected 1 or 0", f"query.{name}")
    return text == "1"


def limit_of(query: Query) -> int:
    """How many members a page may have."""
    text = text_of(query, "limit")
    if text is None:
        return MEMBERS_DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) < NUMBER_CHARS and 1 <= int(text) <= MEMBERS_MAX):
        raise AnswerError("bad_request", f"expected a number from 1 to {MEMBERS_MAX:,}", "query.limit")
    return int(text)


def min_position_of(query: Query, shard: int) -> LogPlace | None:
    """A record that must have been applied, in the shard of the customer who is asked for."""
    text = text_of(query, "min_position")
    if text is None:
        return None
    found = _MIN_POSITION.fullmatch(text)
    if found is None:
        raise AnswerError("bad_request", "expected SHARD:OFFSET of a record in the events topic, such as 7:1042", "query.min_position")
    if int(found[1]) != shard:
        said = f"expected a record of this customer's: those lie in shard {shard}"
        raise AnswerError("bad_request", said, "query.min_position")
    return LogPlace(shard, int(found[2]))


def stream_position_of(request: web.BaseRequest, shards: int) -> StreamPosition | None:
    """Behind which event a stream goes on; None for from now on. The header, which a browser sends by itself, counts before the query."""
    header, text = request.headers.get("Last-Event-ID", ""), text_of(request.query, "last_event_id")
    found = header or text
    return read_stream_position(found, shards) if found else None


async def question_of(request: web.BaseRequest, limits: ServerLimits) -> MembershipsQuestion:
    """The body of a question about several customers."""
    try:
        question = _question(await _body(request, limits))
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at ")
        raise AnswerError("bad_request", said, path.strip("`") or "$") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise AnswerError("bad_request", 'expected JSON such as {"customers": ["c-17"]}', "$") from None
    for index, customer in enumerate(question.customers):
        if not is_customer(customer) or not _is_utf8(customer):
            raise AnswerError("bad_request", "expected an id without control characters", f"$.customers[{index}]")
    return question


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a pair, escaped
        return False
    return True


async def _body(request: web.BaseRequest, limits: ServerLimits) -> bytes:
    """All of a body, within the bounds of size and time."""
    found = bytearray()
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for chunk in request.content.iter_any():
                found += chunk
                if len(found) > limits.body_bytes:
                    raise AnswerError("too_large", f"expected at most {limits.body_bytes:,} bytes", "$")
    except TimeoutError:
        raise AnswerError("slow_body", f"the body did not come within {limits.body_seconds:g} s", "$") from None
    return bytes(found)
