"""A message as it was delivered, by HTTP, by Kafka or in a file: what every adapter starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from streamer.events.codec import read_object

NOTHING: Final[Mapping[str, str]] = {}


class Message(msgspec.Struct, frozen=True):
    """Bytes, and what stood around them.

    ``received_ms`` is when they reached us in UTC milliseconds, None if that is not known. ``kind`` is the type of event that the path of
    the request says (``track``), empty where it says none. ``query`` is that of the request, ``headers`` are those of the request or of
    the Kafka record, their names in lower case.
    """

    body: bytes
    received_ms: int | None = None
    kind: str = ""
    query: Mapping[str, str] = NOTHING
    headers: Mapping[str, str] = NOTHING

    def fields(self) -> dict[str, object]:
        """The JSON object in the body; ``RefusedError`` if there is none."""
        return read_object(self.body)
