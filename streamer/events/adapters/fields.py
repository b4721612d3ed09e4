"""Fields of foreign messages: ids, numbers written as texts, JSON in base64, and the place of a fault by the foreign name."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final

from streamer.errors import RefusedError
from streamer.events.admission import EXACT_MAX, TEXT_MAX
from streamer.events.codec import read_object
from streamer.events.json_limits import json_type

if TYPE_CHECKING:
    from collections.abc import Mapping


_NUMBER: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", re.ASCII)


def identifier(message: dict[str, object], key: str) -> str | None:
    """An id or a name as text. 17.0 is 17: some senders keep their numbers as doubles. One so large that digits are lost is nobody's."""
    value = message.get(key)
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT_MAX:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**TEXT_MAX:
        return str(value)
    raise RefusedError("wrong_type", path=f"$.{key}", detail=f"expected a text or a whole number, found {_not_whole(value)}")


def _not_whole(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return "a double beyond 2^53, of which digits may be lost"
    return json_type(value)


def first_identifier(message: dict[str, object], *keys: str) -> str | None:
    """The first id that is there."""
    return next((found for key in keys if (found := identifier(message, key)) is not None), None)


def number(value: object) -> object:
    """The number that a text writes in plain digits; anything else as it is.

    >>> number("12.5"), number("3"), number("free"), number(7)
    (12.5, 3, 'free', 7)
    """
    if not isinstance(value, str) or _NUMBER.fullmatch(value) is None:
        return value
    return float(value) if "." in value else int(value)


def without_empty(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields that say something: null, an empty text and an empty object do not."""
    return {name: value for name, value in fields.items() if value is not None and value != "" and value != {}}


def from_base64(text: str, *, path: str) -> bytes:
    """The bytes that a text writes in base64, of either alphabet, with or without its padding; ``RefusedError`` if it does not."""
    try:
        raw = text.encode("ascii").translate(_URL_SAFE)
        return base64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise RefusedError("not_json", path=path, detail="not base64") from None


_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")


def object_at(raw: bytes, *, path: str) -> dict[str, object]:
    """The JSON object in bytes that lay at ``path``; ``RefusedError`` with that path if there is none."""
    try:
        return read_object(raw)
    except RefusedError as error:
        raise RefusedError(error.reason, path=path, detail=error.detail) from None


def at_source(error: RefusedError, names: Mapping[str, str]) -> RefusedError:
    """The same refusal with the place where the fault lay: ``names`` has the foreign field of each of ours that it was made of.

    >>> at_source(RefusedError("missing_id", path="$.userId"), {"userId": "uid"}).path
    '$.uid'
    """
    field, dot, rest = error.path.removeprefix("$.").partition(".")
    return RefusedError(error.reason, path=f"$.{names[field]}{dot}{rest}", detail=error.detail) if field in names else error
