"""The write key of a request, which SDKs put in five places."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from .answers import RequestError
from .keys import Keys, WriteKey

MASKED: Final = ":***"  # Jitsu's SDK has the whole key in a header, and this behind its first half in the body
QUERY_NAMES: Final = ("writeKey", "api_secret")  # the second is Google's
KEY_CHARS_MAX: Final = 256


class _KeyInBody(msgspec.Struct):
    write_key: object = msgspec.field(name="writeKey", default=None)


_peek: Final = msgspec.json.Decoder(_KeyInBody).decode


def key_of(keys: Keys, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, in_path: str = "") -> WriteKey | None:
    """The key that a request was sent with; None where none is needed. RequestError where it has none, or none of ours."""
    if keys.is_open:
        return None
    has_one = False
    for text in _candidates(headers, query, body, in_path):
        has_one = True
        if (found := keys.find(text)) is not None:
            return found
    if has_one:
        raise RequestError("unknown_key", "this write key is not known here")
    raise RequestError("missing_key", "no write key: expected as user name of Authorization: Basic, writeKey in the body, or X-Write-Key")


def _candidates(headers: Mapping[str, str], query: Mapping[str, str], body: bytes, in_path: str) -> Iterator[str]:
    """What may be a key, in the order in which it is believed."""
    scheme, _, credential = headers.get("Authorization", "").partition(" ")
    found = (
        in_path,
        _user_name(credential) if scheme.lower() == "basic" else "",
        credential.strip() if scheme.lower() == "bearer" else "",
    )
    yield from filter(_is_candidate, found)
    if _is_candidate(text := _in_body(body)):
        yield text
    yield from filter(_is_candidate, (headers.get("X-Write-Key", ""), *(query.get(name, "") for name in QUERY_NAMES)))


def _is_candidate(text: str) -> bool:
    return 0 < len(text) <= KEY_CHARS_MAX and not text.endswith(MASKED)


def _user_name(credential: str) -> str:
    try:
        return base64.b64decode(credential, validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        return ""


def _in_body(body: bytes) -> str:
    if b'"writeKey"' not in body:
        return ""
    try:
        found = _peek(body).write_key
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return found if isinstance(found, str) else ""
