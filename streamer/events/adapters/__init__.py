"""Foreign formats, each turned into our events by a pure function: one door for messages that carry none, one or many.

To add a format, write ``adapters/<format>.py`` with one function of the ``Adapter`` shape and name it in ``ADAPTERS``. Files of rows need
no code but a mapping: see ``adapters.columns``. Files come in here, and so does whatever else brings whole messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from streamer.errors import RefusedError
from streamer.events.adapters.cloudevents import from_cloudevents
from streamer.events.adapters.ga4 import from_ga4
from streamer.events.adapters.message import NOTHING, Message
from streamer.events.adapters.outcome import Outcome, Refusal, each
from streamer.events.adapters.pixel import from_pixel
from streamer.events.adapters.segment import from_segment
from streamer.events.adapters.segment_sdk import from_segment_sdk
from streamer.events.adapters.snowplow import from_snowplow
from streamer.events.admission import BODY_MAX_BYTES
from streamer.events.codec import from_fields, is_batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Adapter(Protocol):
    """Events of one message, none, one or many. Pure: the same message and moment give the same events, ids included.

    Each event is built by ``codec.from_fields``. An element of the message that is no event is yielded as a ``Refusal`` in its place
    (``outcome.each`` does so). ``RefusedError`` says that the message itself, or what is left of it, tells of no event.
    """

    def __call__(self, message: Message) -> Iterable[Outcome]:
        """What is in the message; ``Message.fields`` reads its JSON object."""
        ...


def from_streamer(message: Message) -> Iterator[Outcome]:
    """Our own format, ``schemas/event.v1.json``, or an object with a list of such under ``batch``."""
    fields = message.fields()
    if is_batch(fields):
        yield from each(fields, "batch", from_fields)
    else:
        yield from_fields(fields)


ADAPTERS: Final[dict[str, Adapter]] = {
    "streamer": from_streamer,
    "segment": from_segment,
    "rudderstack": from_segment,  # the same message, told apart by nothing that matters here
    "segment_sdk": from_segment_sdk,  # the same before a server of theirs has seen it: on the wire, with the clocks of devices
    "snowplow": from_snowplow,
    "ga4": from_ga4,
    "cloudevents": from_cloudevents,
    "pixel": from_pixel,
}


def adapt(
    raw: bytes,
    *,
    format_name: str,
    received_ms: int | None,
    kind: str = "",
    query: Mapping[str, str] = NOTHING,
    headers: Mapping[str, str] = NOTHING,
) -> Iterator[Outcome]:
    """Events and refusals of ``raw``, a message of the named format, in their order; no ``RefusedError`` comes out of here.

    What stood beside it is as in ``Message``. Each event fits into the log. A message of more than ``BODY_MAX_BYTES`` is refused unread.
    """
    try:
        if format_name not in ADAPTERS:
            raise RefusedError("unknown_format", detail=f"one of {', '.join(sorted(ADAPTERS))}")
        if len(raw) > BODY_MAX_BYTES:
            raise RefusedError("too_large", detail=f"{len(raw)} bytes, at most {BODY_MAX_BYTES}")
        yield from ADAPTERS[format_name](Message(raw, received_ms, kind, query, headers))
    except RefusedError as error:
        yield Refusal.of(error)
