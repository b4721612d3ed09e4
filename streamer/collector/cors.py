"""Which pages may send from a browser, and the headers without which it would not let them, or not let them see when to come back.

The origin is no proof of anything against somebody who writes requests by hand; it keeps other sites from using a key in their visitors'
browsers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from multidict import CIMultiDict

from .answers import RequestError, empty_response
from .keys import Keys, WriteKey

MAX_AGE_SECONDS: Final = "7200"  # browsers remember a preflight no longer
METHODS: Final = "GET, POST, OPTIONS"
ALLOWED_HEADERS: Final = frozenset(
    {
        *("authorization", "content-type", "content-encoding", "x-write-key", "x-retry-count"),
        *("anonymousid", "sentat", "sp-anonymous", "x-requested-with", "x-enable-debug"),
        *("rsa-retry-attempt", "rsa-retry-reason", "rsa-since-first-attempt", "rsa-since-last-attempt", "rsa-recovered"),
        "x-ip-policy",
        *("ce-id", "ce-source", "ce-type", "ce-specversion", "ce-time", "ce-subject"),
    }
)
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_ORIGIN: Final = re.compile(r"[!-~]{1,256}")


class Origins:
    """The pages that some key allows; with no key at all those on this machine."""

    def __init__(self, keys: Keys) -> None:
        self._is_open = keys.is_open
        self._patterns = {key.name: tuple(map(_pattern, key.origins)) for key in keys.all}

    def may_send(self, origin: str) -> bool:
        """Whether a page of this origin may send with any key: a preflight does not say with which."""
        if _ORIGIN.fullmatch(origin) is None:
            return False
        return _is_loopback(origin) if self._is_open else any(_matches(origin, patterns) for patterns in self._patterns.values())

    def check(self, origin: str, key: WriteKey | None) -> None:
        """RequestError unless a page of this origin may use this key. No origin is no page: nothing to check. Servers' keys have none."""
        if not origin:
            return
        allowed = _is_loopback(origin) if key is None else _matches(origin, self._patterns.get(key.name, ()))
        if not allowed:
            raise RequestError("origin_not_allowed", "pages of this origin may not use this key; see origins in the file of keys")


def _pattern(origin: str) -> re.Pattern[str]:
    return re.compile(re.escape(origin.lower()).replace(r"\*", r"[a-z0-9.-]+"))


def _matches(origin: str, patterns: Iterable[re.Pattern[str]]) -> bool:
    return any(pattern.fullmatch(origin.lower()) for pattern in patterns)


def _is_loopback(origin: str) -> bool:
    try:
        return urlsplit(origin).hostname in LOOPBACK
    except ValueError:
        return False


def preflight(request: web.BaseRequest, origins: Origins) -> web.Response:
    """The answer to what a browser asks before it sends."""
    response = empty_response()
    if add_cors(request.headers.get("Origin", ""), response.headers, origins):
        asked = {name.strip().lower() for name in request.headers.get("Access-Control-Request-Headers", "").split(",")}
        response.headers["Access-Control-Allow-Methods"] = METHODS
        response.headers["Access-Control-Allow-Headers"] = ", ".join(sorted(asked & ALLOWED_HEADERS))
        response.headers["Access-Control-Max-Age"] = MAX_AGE_SECONDS
    return response


def add_cors(origin: str, headers: CIMultiDict[str], origins: Origins) -> bool:
    """Let the page read the answer, and when to come back; False for a page that may not send."""
    if not origin:
        return False
    headers["Vary"] = "Origin"
    if not origins.may_send(origin):
        return False
    headers["Access-Control-Allow-Origin"] = origin
    headers["Access-Control-Allow-Credentials"] = "true"  # some SDKs send cookies along, which are ignored
    headers["Access-Control-Expose-Headers"] = "Retry-After"
    return True
