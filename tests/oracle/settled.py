"""Who is in what when everything has arrived, by a judge who knows no protocol: all events of one person are one customer's.

Only for definitions that ask about the present (no ``exit``, ``stay``, ``cooldown``, no entering and leaving), for events of different
times, and for devices of one person.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from tests.oracle.expressions import Accepted, Asked, Standing, zone_of
from tests.oracle.story import Definitions

Event = dict[str, Any]


def persons(events: Iterable[Event]) -> dict[str, str]:
    """Of each id the smallest id of the same person: two ids in one event are one person's."""
    leader: dict[str, str] = {}

    def find(id_: str) -> str:
        while leader.setdefault(id_, id_) != id_:
            id_ = leader[id_]
        return id_

    for event in events:
        ids = [found for found in (event.get("userId"), event.get("anonymousId"), _previous(event)) if found]
        roots = [find(id_) for id_ in ids]
        for root in roots:
            leader[root] = min(roots)
    return {id_: find(id_) for id_ in leader}


def memberships(definitions: dict[str, Any], events: list[Event], now: int) -> dict[str, list[str]]:
    """The segments of each person who is in any, by the person's smallest id."""
    parsed, leader = Definitions(definitions, 1), persons(events)
    histories: defaultdict[str, list[Accepted]] = defaultdict(list)
    for number, event in enumerate(sorted(events, key=lambda each: each["timestamp"])):
        histories[leader[event.get("userId") or event["anonymousId"]]].append(Accepted(number, event["timestamp"], event))
    found: dict[str, list[str]] = {}
    for person, history in histories.items():
        standings: dict[str, Standing] = {}
        for name in parsed.order:
            asked = Asked(now, zone_of(history, parsed.zone), history, standings)
            standings[name] = Standing(inside=asked.holds(parsed.segments[name].when))
        if inside := sorted(name for name, standing in standings.items() if standing.inside):
            found[person] = inside
    return found


def _previous(event: Event) -> str | None:
    return event.get("properties", {}).get("previousId") if event["type"] == "alias" else None
