"""What a browser's key may say: whoever opens a page can read it, and could make a buyer of anybody."""

from __future__ import annotations

from streamer.errors import RefusedError
from streamer.events.event import Event

from .keys import EVERY_NAME, MONEY, OUTCOMES, WriteKey, types_of


class Fence:
    """The events that one key may send."""

    def __init__(self, key: WriteKey) -> None:
        self._types = types_of(key)
        self._names = frozenset(key.events)
        self._is_every_name = EVERY_NAME in self._names

    def check(self, event: Event) -> None:
        """RefusedError for an event that the key may not send."""
        if event.type not in self._types:
            raise RefusedError("not_allowed", path="$.type", detail=f"{event.type} events need another key")
        if event.type == "track" and not self._allows(event.event or ""):
            raise RefusedError(
                "not_allowed", path="$.event", detail="the key may not send events of this name; see events in the file of keys"
            )

    def _allows(self, name: str) -> bool:
        if self._is_every_name:
            return True
        return name in self._names if self._names else name not in MONEY and name not in OUTCOMES
