"""An event in the query of a request for an image: from a mail that is opened, or a page without a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamer.events.adapters.fields import from_base64, number, object_at
from streamer.events.adapters.segment_sdk import sdk_event

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from streamer.events.adapters.message import Message
    from streamer.events.adapters.outcome import Outcome

IDS: Final = frozenset({"messageId", "userId", "anonymousId", "groupId", "previousId"})
FIELDS: Final = IDS | {"type", "event", "name", "category", "timestamp", "sentAt"}
OTHERS: Final = frozenset({"writeKey", "data"})
NUMBERS: Final = frozenset({"price", "quantity", "total", "revenue", "tax", "shipping", "discount", "value"})


def from_pixel(message: Message) -> Iterator[Outcome]:
    """The event of a query: a message of an SDK as base64 JSON under ``data``, else its parameters.

    Parameters that are no field of a message are properties; those that are amounts by their names are numbers. A page of a mail is opened
    often and says no time, so each request is an event of its own.
    """
    packed = message.query.get("data")
    fields = object_at(from_base64(packed, path="$.data"), path="$.data") if packed else _parameters(message.query)
    yield sdk_event(fields, message.received_ms, kind=message.kind or "track")


def _parameters(query: Mapping[str, str]) -> dict[str, object]:
    properties = {key: number(value) if key in NUMBERS else value for key, value in query.items() if key not in FIELDS | OTHERS}
    return {**{key: query[key] for key in query if key in FIELDS}, "properties": properties}
