"""Foreign formats, each turned into the one event shape by a pure function.

To add a format, write ``adapters/<format>.py`` with one function of the ``Adapter`` shape and name it in ``ADAPTERS``. It takes the decoded
object, ends in ``codec.from_fields``, and raises ``RefusedError`` for whatever is not an event. Files of rows need no code but a mapping:
see ``adapters.columns``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from streamer.errors import RefusedError
from streamer.events.adapters.segment import from_segment
from streamer.events.codec import check_size, from_fields, read_object

if TYPE_CHECKING:
    from streamer.events.event import Event


class Adapter(Protocol):
    """Turns a foreign message into an event. Pure: the same message and moment give the same event, id included."""

    def __call__(self, message: dict[str, Any], *, received_ms: int | None) -> Event:
        """``received_ms`` is when the message reached us, None if that is not known; ``RefusedError`` if it is no event."""
        ...


def from_streamer(message: dict[str, Any], *, received_ms: int | None) -> Event:  # noqa: ARG001 - our own format carries its time
    """Our own format, ``schemas/event.v1.json``."""
    return from_fields(message)


ADAPTERS: Final[dict[str, Adapter]] = {
    "streamer": from_streamer,
    "segment": from_segment,
    "rudderstack": from_segment,  # the same message, told apart by nothing that matters here
}


def adapt(raw: bytes, *, format_name: str, received_ms: int | None) -> Event:
    """The event in ``raw``, which is a message of the named format; ``RefusedError`` if there is none, as from ``decode``."""
    adapter = ADAPTERS.get(format_name)
    if adapter is None:
        raise RefusedError("unknown_format", detail=f"one of {', '.join(sorted(ADAPTERS))}")
    check_size(raw)
    return adapter(read_object(raw), received_ms=received_ms)
