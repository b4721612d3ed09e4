"""An ``alias`` says outright that two ids are one person's: ``properties.previousId`` is from now on ``userId``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamer.errors import RefusedError

from .admission import TEXT_MAX
from .codec import UNSAFE
from .placeholders import is_placeholder

if TYPE_CHECKING:
    from collections.abc import Container

    from .event import Event

PREVIOUS_ID: Final = "previousId"


def previous_id(event: Event) -> str:
    """The id by which the customer of an alias was known; empty where it says none."""
    found = event.properties.get(PREVIOUS_ID) if event.properties else None
    return found if isinstance(found, str) else ""


def check_alias(event: Event, placeholders: Container[str]) -> None:
    """RefusedError unless an alias names two ids, each somebody's. Its placeholders were taken away, see ``settle_customer``."""
    before, path = previous_id(event), f"$.properties.{PREVIOUS_ID}"
    if event.user_id is None:
        raise RefusedError("bad_alias", path="$.userId", detail="it names nobody; expected who the customer is from now on")
    if not before:
        raise RefusedError("bad_alias", path=path, detail="absent, empty, or no text; expected the id that the customer had")
    if len(before) > TEXT_MAX or UNSAFE.search(before):
        raise RefusedError("bad_text", path=path, detail=f"more than {TEXT_MAX} characters, or control characters among them")
    if is_placeholder(before, placeholders):
        raise RefusedError("placeholder_id", path=path, detail="names nobody; expected the id that the customer had")
    if before == event.user_id:
        raise RefusedError("bad_alias", path=path, detail="the same as userId; expected another id of the customer")
