"""CloudEvents by HTTP or Kafka: one as JSON (structured), a list of them (batch), or with its attributes in headers (binary).

The data is an event in our form, or in that of Segment; any other object is a custom event that is named by the ``type``. Content types
are not believed: a list is a batch, an object with ``specversion`` is structured, and headers ``ce-…`` (``ce_…`` in Kafka) say the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast
from urllib.parse import unquote

from streamer.errors import RefusedError
from streamer.events.adapters.device_clock import corrected, in_years
from streamer.events.adapters.digest import content_id
from streamer.events.adapters.fields import at_source, first_identifier, from_base64, identifier, object_at
from streamer.events.adapters.outcome import Outcome, each_element
from streamer.events.adapters.segment import event_of, kind_of
from streamer.events.codec import KINDS, from_json, read_json
from streamer.events.json_limits import json_type
from streamer.events.moments import moment_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamer.events.adapters.message import Message
    from streamer.events.event import Event

PREFIXES: Final = ("ce-", "ce_")
SOURCES: Final = {"userId": "subject", "event": "type", "properties": "data", "timestamp": "time"}


def from_cloudevents(message: Message) -> Iterator[Outcome]:
    """The events in a message. A repeated one has the same id: it is made of ``source`` and ``id``, which name a CloudEvent together."""
    attributes = {
        name[3:].lower(): unquote(value, errors="replace") for name, value in message.headers.items() if name.startswith(PREFIXES)
    }
    if "id" in attributes:
        yield _event({**attributes, "data": read_json(message.body) if message.body.strip() else None}, message.received_ms)
        return
    found = read_json(message.body)
    if isinstance(found, list):
        yield from each_element(cast("list[object]", found), "$", lambda one: (_event(one, message.received_ms),))
    elif isinstance(found, dict):
        yield _event(cast("dict[str, object]", found), message.received_ms)
    else:
        raise RefusedError("not_an_object", detail=f"expected a CloudEvent or a list of them, found {json_type(found)}")


def _event(cloud: dict[str, object], received_ms: int | None) -> Event:
    said = {key: identifier(cloud, key) for key in ("id", "source", "type")}
    for key, value in said.items():
        if value is None:
            raise RefusedError("wrong_type", path=f"$.{key}", detail="absent or empty; every CloudEvent has id, source and type")
    data = _data(cloud)
    own = content_id([said["source"], said["id"]])
    if not _is_ours(data):
        return _custom(cloud, data, own, received_ms)
    try:
        return event_of({**data, "messageId": data.get("messageId") or own}, kind_of(data, "track"), _time_ms(cloud, data, received_ms))
    except RefusedError as error:
        path = error.path if error.path == "$.time" else f"$.data{error.path.removeprefix('$')}"
        raise RefusedError(error.reason, path=path, detail=error.detail) from None


def _is_ours(data: dict[str, object]) -> bool:
    """Whether the data says whose event it is, and what happened, in our words or Segment's."""
    kind = data.get("type")
    is_named = (isinstance(kind, str) and kind.lower() in KINDS) or isinstance(data.get("event"), str)
    return is_named and any(data.get(key) for key in ("userId", "anonymousId"))


def _custom(cloud: dict[str, object], data: dict[str, object], message_id: str, received_ms: int | None) -> Event:
    """The customer is whom the data names, else an extension of the envelope, else its subject."""
    user = first_identifier(data, "userId") or first_identifier(cloud, "userid")
    anonymous = first_identifier(data, "anonymousId") or first_identifier(cloud, "anonymousid")
    try:
        return from_json(
            {
                "event": identifier(cloud, "type"),
                "messageId": message_id,
                "userId": user if user or anonymous else identifier(cloud, "subject"),
                "anonymousId": anonymous,
                "properties": data or None,
                "context": {"source": cloud["source"]},
            },
            timestamp_ms=_time_ms(cloud, {}, received_ms),
        )
    except RefusedError as error:
        raise at_source(error, SOURCES) from None


def _time_ms(cloud: dict[str, object], data: dict[str, object], received_ms: int | None) -> int:
    """Of the data, else of the envelope, else when it was received: clocks of servers, believed but for being later than received."""
    for fields, key in ((data, "timestamp"), (cloud, "time")):
        if fields.get(key) is not None:
            path = f"$.{key}"
            return in_years(corrected(moment_ms(fields[key], path=path), None, received_ms), path=path).at_ms
    if received_ms is None:
        raise RefusedError("bad_timestamp", path="$.time", detail="absent, and it is not known when the message was received")
    return received_ms


def _data(cloud: dict[str, object]) -> dict[str, object]:
    packed = cloud.get("data_base64")
    if isinstance(packed, str):
        return object_at(from_base64(packed, path="$.data_base64"), path="$.data_base64")
    data = cloud.get("data")
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise RefusedError("wrong_type", path="$.data", detail=f"expected an object, found {json_type(data)}")
    return cast("dict[str, object]", data)
