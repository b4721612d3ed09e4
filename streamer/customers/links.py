"""Which other ids a customer went by: those that were linked to the id under which they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streamer.units import DAY_MS

LINKS_MAX: Final = 50  # the newest that a state keeps; older ones live on as tombstones
NEW_WITHIN_MS: Final = 30 * DAY_MS  # no more than so many new ones in this time: a kiosk, or an id that stands for many people

UNDATED: Final = 0  # of a link that came to light by going round a circle of them

Links = dict[str, int]  # id -> log time (UTC) at which it was linked first


def may_link(links: Links, now: int) -> bool:
    """Whether one more id may be linked now."""
    return len(links) < LINKS_MAX or min(links.values()) <= now - NEW_WITHIN_MS


def united(links: Links, others: Mapping[str, int], but: str) -> Links:
    """Both, the newest that a state keeps, in the order of their times. ``but`` is the customer's own id, which is no link."""
    both = {id_: _first(links.get(id_, UNDATED), others.get(id_, UNDATED)) for id_ in (*links, *others) if id_ != but}
    return dict(sorted(both.items(), key=lambda link: (link[1], link[0]))[-LINKS_MAX:])


def _first(one_ms: int, other_ms: int) -> int:
    return min(one_ms, other_ms) if one_ms and other_ms else max(one_ms, other_ms)
