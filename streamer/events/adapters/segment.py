"""Messages of Segment and RudderStack: what their SDKs send and their servers pass on.

Decided here: which of four clocks to believe, what a message without an id is called, and where the fields that only one kind of
message has (``groupId``, ``previousId``, ``name``, ``category``) are found afterwards. Not known here: who may send, and whether the
event is late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from streamer.errors import RefusedError
from streamer.events.adapters.digest import content_id
from streamer.events.codec import from_fields, moment_ms
from streamer.events.sound import check_values, json_type

if TYPE_CHECKING:
    from streamer.events.event import Event

DELIVERY: Final = frozenset({"messageId", "sentAt", "receivedAt"})  # differ between two deliveries of one message


def from_segment(message: dict[str, Any], *, received_ms: int | None) -> Event:
    """The event that ``message`` tells of; ``RefusedError`` with the place in ``message`` if it tells of none.

    - ``type`` may be in any case. Ids may be numbers. Empty texts count as absent.
    - ``timestamp`` is believed; without it ``receivedAt - (sentAt - originalTimestamp)``, which takes out an error of the device's clock;
      then ``originalTimestamp``, ``receivedAt``, ``sentAt``, whichever is there first. ``received_ms`` stands in for a missing
      ``receivedAt``.
    - ``context.traits`` go under ``traits``. The traits of a ``group`` message are the group's, not the customer's: they become properties.
    - Without ``messageId`` the id is a digest of the content, so a second delivery is a duplicate; two messages that say the same
      without any time of their own are told apart by when they arrived.
    """
    check_values(message)
    kind = _kind(message)
    timestamp = _timestamp_ms(message, received_ms)
    traits, properties, context = _section(message, "traits"), _section(message, "properties"), _section(message, "context")
    known = _section(context, "traits", path="$.context") if "traits" in context else {}
    if kind == "group":
        properties, traits = {**properties, **traits}, {}
    return from_fields(
        {
            "type": kind,
            "event": message.get("event") if kind == "track" else None,
            "messageId": _identifier(message, "messageId") or _content_id(message, timestamp),
            "userId": _identifier(message, "userId"),
            "anonymousId": _identifier(message, "anonymousId"),
            "timestamp": timestamp,
            "properties": {**properties, **_own_fields(message, kind, properties)} or None,
            "traits": {**known, **traits} or None,
            "context": {key: value for key, value in context.items() if key != "traits"} or None,
        }
    )


def _kind(message: dict[str, Any]) -> str:
    kind = message.get("type")
    if not isinstance(kind, str):
        raise RefusedError("unknown_type", path="$.type", detail="absent" if kind is None else f"found {json_type(kind)}")
    return kind.lower()


def _identifier(message: dict[str, Any], key: str) -> str | None:
    """An id or a name as text. 17.0 is 17: some senders keep their numbers as doubles."""
    value = message.get(key)
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        raise RefusedError("wrong_type", path=f"$.{key}", detail=f"expected a text or a whole number, found {json_type(value)}")
    return str(int(value))


def _section(parent: dict[str, Any], key: str, *, path: str = "$") -> dict[str, Any]:
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RefusedError("wrong_type", path=f"{path}.{key}", detail=f"expected an object, found {json_type(value)}")
    return cast("dict[str, Any]", value)


def _own_fields(message: dict[str, Any], kind: str, properties: dict[str, Any]) -> dict[str, Any]:
    """What this kind of message says outside its properties. The category, often said twice, does not replace a property."""
    keys = {"page": ("name", "category"), "screen": ("name", "category"), "group": ("groupId",), "alias": ("previousId",)}.get(kind, ())
    said = {key: _identifier(message, key) for key in keys}
    return {key: value for key, value in said.items() if value is not None and (key != "category" or key not in properties)}


def _timestamp_ms(message: dict[str, Any], received_ms: int | None) -> int:
    told, original, sent, received = (_clock(message, key) for key in ("timestamp", "originalTimestamp", "sentAt", "receivedAt"))
    received = received_ms if received is None else received
    if told is not None:
        return told
    if original is not None and sent is not None and received is not None:
        return received - (sent - original)
    for moment in (original, received, sent):
        if moment is not None:
            return moment
    raise RefusedError("bad_timestamp", path="$.timestamp", detail="absent, as are originalTimestamp, receivedAt and sentAt")


def _clock(message: dict[str, Any], key: str) -> int | None:
    value = message.get(key)
    return None if value is None or value == "" else moment_ms(value, path=f"$.{key}")


def _content_id(message: dict[str, Any], timestamp: int) -> str:
    content = {key: value for key, value in message.items() if key not in DELIVERY}
    if not (content.get("timestamp") or content.get("originalTimestamp")):
        content["timestamp"] = timestamp
    return content_id(content)
