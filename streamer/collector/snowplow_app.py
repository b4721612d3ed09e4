"""The application that a Snowplow tracker says it is: its requests carry no key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec


class _SnowplowEvent(msgspec.Struct):
    aid: object = None


class _SnowplowPayload(msgspec.Struct):
    data: list[_SnowplowEvent] = []


_decode: Final = msgspec.json.Decoder(_SnowplowPayload).decode


def app_id_of(query: Mapping[str, str], body: bytes) -> str:
    """The application id of the first event; empty where there is none."""
    if found := query.get("aid"):
        return found
    try:
        data = _decode(body).data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    aid = data[0].aid if data else None
    return aid if isinstance(aid, str) else ""
