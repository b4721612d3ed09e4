"""The one shape of what happened, whoever said it.

An ``Event`` that came from ``codec.decode`` or an adapter keeps every rule of ``schemas/event.v1.json``. The constructor itself checks
nothing: it is for code that already knows. Which time an event counts for, and whether it is late, is not decided here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    Text = str
    Name = str
    Moment = int
    Values = dict[str, Any]
else:
    # What the decoder checks while it reads, in C. Whatever these types refuse, the codec looks at again, slowly: they may be
    # narrower than the schema (nesting), never wider.
    from datetime import datetime
    from typing import Annotated

    from streamer.events.admission import INTEGER_MAX, INTEGER_MIN, TEXT_MAX, TIMESTAMP_MS_MAX

    FAST_DEPTH = 5

    def _value(depth: int) -> Any:
        scalar = None | bool | Annotated[int, msgspec.Meta(ge=INTEGER_MIN, le=INTEGER_MAX)] | float | str
        inner = _value(depth - 1) if depth else None
        return scalar | list[inner] | dict[str, inner] if depth else scalar

    Text = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_MAX)]
    Name = Annotated[str, msgspec.Meta(max_length=TEXT_MAX)]
    Moment = Annotated[datetime, msgspec.Meta(tz=True)] | Annotated[int, msgspec.Meta(ge=0, le=TIMESTAMP_MS_MAX)]
    Values = dict[str, _value(FAST_DEPTH)]

Kind = Literal["track", "identify", "page", "screen", "group", "alias"]


def _track() -> Kind:
    return "track"


class Event(msgspec.Struct, frozen=True, gc=False, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """Something a customer did, or something learned about them.

    ``timestamp_ms`` is UTC milliseconds by the producer's clock. ``event`` is the name of a track event; other types may carry one,
    which is ignored. ``properties``, ``traits`` and ``context`` are None when the record had none, and must not be changed: events are
    shared.
    """

    type: Kind = msgspec.field(default_factory=_track)  # a factory, so that it is written even when it is the default
    event: Name | None = None
    message_id: Text
    user_id: Name | None = None
    anonymous_id: Name | None = None
    timestamp_ms: Moment = msgspec.field(name="timestamp")
    properties: Values | None = None
    traits: Values | None = None
    context: Values | None = None

    @property
    def customer(self) -> str:
        """Whose event it is: the user's id where known, else the anonymous one."""
        return self.user_id or self.anonymous_id or ""

    @property
    def name(self) -> str:
        """What a segment calls it: the name of a track event, the type of any other.

        >>> Event(type="page", message_id="m", user_id="u", timestamp_ms=0).name
        'page'
        """
        return self.event or "" if self.type == "track" else self.type
