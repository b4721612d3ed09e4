"""What is answered, and how clients take it.

A 4xx other than 429 makes every SDK drop its events for ever: only for what can never be accepted. 429 with ``Retry-After`` makes them come
back; 3xx they take for success, and 503 for something to try again in a fraction of a second, so neither is ever answered. RudderStack's
Python SDK takes an error without ``code`` and ``message`` for a broken connection, and sends it again.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec
from aiohttp import web

from streamer.errors import StreamerError

from .limits import RETRY_AFTER_SECONDS

JSON_TYPE: Final = "application/json"
GIF_TYPE: Final = "image/gif"
PIXEL: Final = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")  # one, transparent

ErrorCode = Literal[
    "bad_http",
    "bad_gzip",
    "bad_encoding",
    "too_large",
    "slow_body",
    "bad_report",
    "missing_key",
    "unknown_key",
    "origin_not_allowed",
    "not_found",
    "method_not_allowed",
    "import_not_allowed",
    "log_not_begun",
    "too_many_requests",
    "overloaded",
    "kafka_away",
    "internal",
]
STATUS: Final[dict[ErrorCode, int]] = {
    "bad_http": 400,
    "bad_gzip": 400,
    "bad_encoding": 400,
    "too_large": 413,
    "slow_body": 408,
    "bad_report": 400,
    "missing_key": 401,
    "unknown_key": 401,
    "origin_not_allowed": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "import_not_allowed": 403,
    "log_not_begun": 409,
    "too_many_requests": 429,
    "overloaded": 429,
    "kafka_away": 429,
    "internal": 500,
}


class RequestError(StreamerError):
    """The whole request is answered with an error. ``message`` is for whoever wrote the client, and repeats nothing of the request."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code: ErrorCode = code
        self.message = message


class RefusedElement(msgspec.Struct):
    """An element of a request that is no event: a dead letter, and named in the answer; of an import it is in the answer alone. ``index``
    is its place among the elements."""

    code: str
    path: str
    message: str
    index: int


class EventsAnswer(msgspec.Struct, omit_defaults=True):
    """The body of an answer about events. ``was_there`` are those of an import that history had before."""

    success: bool
    accepted: int
    was_there: int = 0
    code: str = ""
    message: str = ""
    path: str = ""
    refused: Sequence[RefusedElement] = ()


encode_json: Final = msgspec.json.Encoder().encode
_ALL_ACCEPTED: Final = {number: encode_json(EventsAnswer(True, number)) for number in range(101)}


def answered(accepted: int, refused: Sequence[RefusedElement], was_there: int = 0) -> web.Response:
    """The answer about events that are in the log, and elements that were refused. 400 where there is nothing but the latter: the client
    must not believe that something of it was delivered."""
    if not refused and not was_there:
        return json_response(_ALL_ACCEPTED.get(accepted) or encode_json(EventsAnswer(True, accepted)))
    if accepted or was_there:
        return json_response(encode_json(EventsAnswer(True, accepted, was_there, refused=refused or ())))
    first = refused[0]
    answer = EventsAnswer(False, 0, code=first.code, message=first.message, path=first.path, refused=refused)
    return json_response(encode_json(answer), status=400)


def json_response(body: bytes, *, status: int = 200) -> web.Response:
    """A response of JSON."""
    return web.Response(body=body, status=status, content_type=JSON_TYPE)


def error_body(error: RequestError) -> bytes:
    """What the body of an error says."""
    return encode_json({"success": False, "code": error.code, "message": error.message, "path": "$"})


NO_HTTP: Final = error_body(RequestError("bad_http", "expected a request of HTTP/1.1, with headers that are whole and not too long"))


def error_response(error: RequestError, too_large_status: int = 413) -> web.Response:
    """The answer that an error is; ``too_large_status`` is what the client of this path takes for final."""
    status = too_large_status if error.code == "too_large" else STATUS[error.code]
    found = json_response(error_body(error), status=status)
    if status == 429:
        found.headers["Retry-After"] = retry_after()
    return found


def retry_after() -> str:
    """Whole seconds: browsers and Node read nothing else."""
    return str(random.randint(*RETRY_AFTER_SECONDS))  # noqa: S311 - spreads clients over time, guards nothing


def pixel_response() -> web.Response:
    """A picture of one transparent pixel, which no cache may keep."""
    return web.Response(body=PIXEL, content_type=GIF_TYPE, headers={"Cache-Control": "no-store"})


def empty_response(headers: Mapping[str, str] | None = None) -> web.Response:
    """204."""
    return web.Response(status=204, headers=headers)
