"""Ids that name nobody: what programs write where an id is missing. Taken for ids they make one customer of many people.

An id of nothing but spaces is always one. The others are a list, which is part of the story: two runs agree only under the same list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from streamer.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from streamer.events.event import Event

_set = msgspec.structs.force_setattr


def normal_form(ids: Iterable[str]) -> tuple[str, ...]:
    """Placeholders as they are compared: in lower case, without spaces around them, each once, in order."""
    return tuple(sorted({text for each in ids if (text := each.strip().lower())}))


PLACEHOLDER_IDS: Final = normal_form(
    (
        *("undefined", "null", "nil", "none", "nan", "(null)", "<null>", "[object Object]"),  # what languages print for nothing, or for all
        *("0", "true", "false", "00000000-0000-0000-0000-000000000000"),  # what they store for nothing
        *("anonymous", "guest", "not_authenticated"),  # what shops write for whoever has not logged in
    )
)


def settle_customer(event: Event, placeholders: Container[str]) -> Event:
    """The same event, its placeholders taken away before anyone else has seen it: a userId that is one leaves the anonymousId.

    ``RefusedError`` with ``placeholder_id`` where no other id is left. ``placeholders`` are in their normal form.
    """
    user_id, anonymous_id = event.user_id, event.anonymous_id
    is_user = user_id is not None and not is_placeholder(user_id, placeholders)
    if anonymous_id is not None and is_placeholder(anonymous_id, placeholders):
        if not is_user:
            raise _refused("anonymousId" if user_id is None else "userId")
        _set(event, "anonymous_id", None)
    if user_id is not None and not is_user:
        if anonymous_id is None:
            raise _refused("userId")
        _set(event, "user_id", None)
    return event


def is_placeholder(text: str, placeholders: Container[str]) -> bool:
    """Whether an id names nobody. ``placeholders`` are in their normal form."""
    folded = text.strip().lower()
    return not folded or folded in placeholders


def _refused(key: str) -> RefusedError:
    return RefusedError("placeholder_id", path=f"$.{key}", detail="names nobody, and no other id does; expected the customer's own id")
