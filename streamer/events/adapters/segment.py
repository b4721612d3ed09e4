"""Messages of Segment and RudderStack, one by one or in the body of a batch: what their SDKs send and their servers pass on.

Decided here: which of four clocks to believe, what a message without an id is called, and where the fields that only one kind of
message has (``groupId``, ``previousId``, ``name``, ``category``) are found afterwards. Not known here: who may send, and whether the
event is late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamer.errors import RefusedError
from streamer.events.adapters.digest import content_id
from streamer.events.adapters.fields import identifier
from streamer.events.adapters.outcome import check_shared, each
from streamer.events.codec import KINDS, from_json, is_batch, section, unknown_type
from streamer.events.json_limits import json_type, within_limits
from streamer.events.moments import instant_ms, within_years

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streamer.events.adapters.message import Message
    from streamer.events.adapters.outcome import Outcome
    from streamer.events.event import Event

DELIVERY: Final = frozenset({"messageId", "sentAt", "receivedAt"})  # differ between two deliveries of one message

OWN_FIELDS: Final = {"page": ("name", "category"), "screen": ("name", "category"), "group": ("groupId",), "alias": ("previousId",)}


def from_segment(message: Message) -> Iterator[Outcome]:
    """The event that a message tells of, or those of each message in the body of a batch request."""
    yield from elements(message.fields(), lambda fields: segment_event(fields, message.received_ms))


def elements(fields: dict[str, object], read: Callable[[dict[str, object]], Event]) -> Iterator[Outcome]:
    """What ``read`` makes of the message, or of each one in the body of a batch request.

    The ``context``, ``sentAt`` and ``receivedAt`` of a batch hold for all its messages; what a message says itself comes first. The
    ``timestamp`` of a batch is when it was sent, and no event's time.
    """
    if not is_batch(fields):
        yield read(fields)
        return
    clocks = {key: fields[key] for key in ("sentAt", "receivedAt") if key in fields}
    shared = section(fields, "context") or {}
    check_shared(shared, fields["batch"], path="$.context")

    def read_element(element: dict[str, object]) -> Event:
        whole = {**clocks, **element}
        if shared:
            whole["context"] = {**shared, **(section(element, "context") or {})}
        return read(whole)

    yield from each(fields, "batch", read_element)


def segment_event(message: dict[str, object], received_ms: int | None) -> Event:
    """The event that one message tells of; ``RefusedError`` with the place in ``message`` if it tells of none.

    - ``type`` may be in any case. Ids and names may be whole numbers. Empty texts count as absent.
    - ``timestamp`` is believed; without it ``receivedAt - (sentAt - originalTimestamp)``, which takes out an error of the device's clock,
      however large; then ``originalTimestamp``, ``receivedAt``, ``sentAt``, whichever is there first. ``received_ms`` stands in for a
      missing ``receivedAt``. A clock that is not needed is not read.
    - ``context.traits`` go under ``traits``. The traits of a ``group`` message are the group's, not the customer's: they become properties.
    - A page or screen that is named by ``event``, as some SDKs do it, has that name.
    - Without ``messageId`` the id is a digest of the content, so a second delivery is a duplicate; two messages that say the same
      without any time of their own are told apart by when they arrived.
    """
    return event_of(message, kind_of(message), _timestamp_ms(message, received_ms))


def event_of(message: dict[str, object], kind: str, timestamp_ms: int, *, marks: dict[str, object] | None = None) -> Event:
    """The event of that type and time that one message tells of, read as ``segment_event`` says. ``marks`` are added to its context."""
    traits, properties, context = section(message, "traits"), section(message, "properties") or {}, section(message, "context") or {}
    known = section(context, "traits", path="$.context")
    if kind == "group":
        properties, traits = {**properties, **(traits or {})}, None
    if marks or "traits" in context:
        context = {key: value for key, value in {**context, **(marks or {})}.items() if key != "traits"}
    return from_json(
        {
            "type": kind,
            "event": identifier(message, "event") if kind == "track" else None,
            "messageId": identifier(message, "messageId") or _content_id(message, timestamp_ms),
            "userId": identifier(message, "userId"),
            "anonymousId": identifier(message, "anonymousId"),
            "properties": {**properties, **_own_fields(message, kind, properties)} or None,
            "traits": {**(known or {}), **(traits or {})} or None,
            "context": context or None,
        },
        timestamp_ms=timestamp_ms,
    )


def kind_of(message: dict[str, object], otherwise: str = "") -> str:
    """The type of a message, or ``otherwise`` where it has none; ``RefusedError`` if that is no type either."""
    kind = message.get("type") or otherwise or None
    if not isinstance(kind, str):
        raise unknown_type("none" if kind is None else json_type(kind))
    if kind.lower() not in KINDS:
        raise unknown_type("another text")
    return kind.lower()


def _own_fields(message: dict[str, object], kind: str, properties: dict[str, object]) -> dict[str, object]:
    """What this kind of message says outside its properties. The category, often said twice, does not replace a property."""
    keys = OWN_FIELDS.get(kind)
    if keys is None:
        return {}
    said = {key: identifier(message, key) for key in keys}
    found: dict[str, object] = {
        key: value for key, value in said.items() if value is not None and (key != "category" or key not in properties)
    }
    event = message.get("event")
    if "name" in keys and "name" not in found and not properties.get("name") and isinstance(event, str) and event:
        found["name"] = event
    return found


def _timestamp_ms(message: dict[str, object], received_ms: int | None) -> int:
    told = _clock(message, "timestamp")
    if told is not None:
        return within_years(told, path="$.timestamp")
    original, sent, received = (_clock(message, key) for key in ("originalTimestamp", "sentAt", "receivedAt"))
    received = received_ms if received is None else received
    if original is not None and sent is not None and received is not None:
        return within_years(received - (sent - original), path="$.originalTimestamp")
    for key, moment in (("originalTimestamp", original), ("receivedAt", received), ("sentAt", sent)):
        if moment is not None:
            return within_years(moment, path=f"$.{key}")
    raise RefusedError("bad_timestamp", path="$.timestamp", detail="absent, as are originalTimestamp, receivedAt and sentAt")


def _clock(message: dict[str, object], key: str) -> int | None:
    """What a clock said, which may be before 1970: a device that was reset is corrected before it is judged."""
    value = message.get(key)
    return None if value is None or value == "" else instant_ms(value, path=f"$.{key}")


def _content_id(message: dict[str, object], timestamp_ms: int) -> str:
    content = {key: value for key, value in message.items() if key not in DELIVERY}
    if not (content.get("timestamp") or content.get("originalTimestamp")):
        content["timestamp"] = timestamp_ms
    return content_id(within_limits(content))
