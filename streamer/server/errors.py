"""Errors as readers get them: a code for programs, a sentence for people, and the place of the fault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, get_args

import msgspec
from aiohttp import web

from streamer.errors import StreamerError
from streamer.segments.change import NonNegative

from .limits import RETRY_AFTER_SECONDS

AnswerCode = Literal[
    "bad_request",
    "missing_token",
    "unknown_token",
    "role_missing",
    "host_not_allowed",
    "not_found",
    "unknown_customer",
    "unknown_segment",
    "past_unknown",
    "method_not_allowed",
    "slow_body",
    "bad_cursor",
    "cursor_expired",
    "too_large",
    "not_yet",
    "being_joined",
    "overloaded",
    "not_ready",
    "store_away",
    "kafka_away",
    "unreadable",
    "internal",
]
CODES: Final[tuple[AnswerCode, ...]] = get_args(AnswerCode)
STATUS: Final[dict[AnswerCode, int]] = {
    "bad_request": 400,
    "missing_token": 401,
    "unknown_token": 401,
    "role_missing": 403,
    "host_not_allowed": 403,
    "not_found": 404,
    "unknown_customer": 404,
    "unknown_segment": 404,
    "past_unknown": 404,
    "method_not_allowed": 405,
    "slow_body": 408,
    "bad_cursor": 400,
    "cursor_expired": 410,
    "too_large": 413,
    "not_yet": 425,
    "being_joined": 503,
    "overloaded": 503,
    "not_ready": 503,
    "store_away": 503,
    "kafka_away": 503,
    "unreadable": 500,
    "internal": 500,
}
PASSING: Final = frozenset({425, 503})  # the same request may be answered a moment later


class ErrorBody(msgspec.Struct, omit_defaults=True):
    """The body of every error. ``path`` is that of the fault: ``$.customers[3]`` in the body, ``query.limit``, ``header.Authorization``,
    ``url`` otherwise. ``lag_records``: of ``not_yet``, how many records of the log are still to be applied, where that is known."""

    code: AnswerCode
    message: str
    path: Annotated[str, msgspec.Meta(min_length=1)]
    lag_records: NonNegative | None = None


class AnswerError(StreamerError):
    """The request is answered with an error. ``message`` says what was expected, and repeats nothing of the request."""

    def __init__(self, code: AnswerCode, message: str, path: str = "url", *, lag_records: int | None = None) -> None:
        super().__init__(f"{code} at {path}: {message}")
        self.body = ErrorBody(code, message, path, lag_records)

    @property
    def status(self) -> int:
        """The status of HTTP."""
        return STATUS[self.body.code]


encode_json: Final = msgspec.json.Encoder().encode
JSON_TYPE: Final = "application/json"


NO_HTTP: Final = encode_json(ErrorBody("bad_request", "expected HTTP/1.1, with headers that are whole and not too long", "url"))


def json_response(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A response of JSON."""
    return web.Response(body=encode_json(body), status=status, content_type=JSON_TYPE, headers=headers)


def error_response(error: AnswerError) -> web.Response:
    """The answer that an error is."""
    found = json_response(error.body, status=error.status)
    if error.status in PASSING:
        found.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if error.status == 401:
        found.headers["WWW-Authenticate"] = "Bearer"
    return found
