"""What the SDKs of Segment, RudderStack and Jitsu put on the wire: one message, a batch, or what a page sends as it closes.

The messages are those of ``adapters.segment``, but their times are not yet corrected: ``timestamp`` is the device's clock here, which
Segment's own server would rename to ``originalTimestamp``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamer.errors import RefusedError
from streamer.events.adapters.device_clock import DeviceTime, corrected, device_ms, device_ms_or_none, in_years
from streamer.events.adapters.segment import elements, event_of, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamer.events.adapters.message import Message
    from streamer.events.adapters.outcome import Outcome
    from streamer.events.event import Event

OWN_TIMES: Final = ("originalTimestamp", "timestamp")  # of an event, by the device's clock; the first one that is there counts
SENDER_HEADER: Final = "anonymousid"  # already decoded
NO_ID: Final = (None, "")


def from_segment_sdk(message: Message) -> Iterator[Outcome]:
    """The event that a body tells of, or those of each message in the body of a batch.

    A message without any id is of whom RudderStack's header names: its SDKs say there who is behind the request.
    """
    sender = message.headers.get(SENDER_HEADER, "")
    yield from elements(message.fields(), lambda fields: sdk_event(_with_sender(fields, sender), message.received_ms, kind=message.kind))


def sdk_event(fields: dict[str, object], received_ms: int | None, *, kind: str = "") -> Event:
    """The event that one message tells of, as ``segment.segment_event`` reads it; ``RefusedError`` if it tells of none.

    ``kind`` is the type of a message that says none itself. The time is ``device_clock.corrected``, from ``originalTimestamp``, else
    ``timestamp``, with ``sentAt``; without either it is when the message was received, or else sent. A ``receivedAt`` of the message is
    believed only where ``received_ms`` is not known. The context says under ``clock_offset_ms`` by how much a time was moved.
    """
    time = _time(fields, received_ms)
    return event_of(fields, kind_of(fields, kind), time.at_ms, marks=time.marks())


def _with_sender(fields: dict[str, object], sender: str) -> dict[str, object]:
    """The message, with this anonymous id where it has no id of its own."""
    if not sender or any(fields.get(key) not in NO_ID for key in ("userId", "anonymousId")):
        return fields
    return {**fields, "anonymousId": sender}


def _time(fields: dict[str, object], received_ms: int | None) -> DeviceTime:
    received = device_ms_or_none(fields.get("receivedAt")) if received_ms is None else received_ms
    sent = device_ms_or_none(fields.get("sentAt"))
    for key in OWN_TIMES:
        path = f"$.{key}"
        if (original := device_ms(fields.get(key), path=path)) is not None:
            return in_years(corrected(original, sent, received), path=path)
    moment = sent if received is None else received
    if moment is None:
        raise RefusedError("bad_timestamp", path="$.timestamp", detail="absent, as are originalTimestamp, receivedAt and sentAt")
    return in_years(DeviceTime(moment), path="$.sentAt")
