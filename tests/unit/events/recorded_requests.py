"""Requests that clients really sent, recorded; see ``tests/data/sdk_bodies/README.md``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from streamer.events.adapters import adapt
from streamer.events.event import Event

BODIES = Path(__file__).parents[2] / "data" / "sdk_bodies"


class Recorded(NamedTuple):
    """One request."""

    path: str
    query: dict[str, str]
    body: bytes


def recorded(name: str) -> list[Recorded]:
    """The requests of a client, in their order."""
    lines = map(json.loads, (BODIES / f"{name}.ndjson").read_text(encoding="utf-8").splitlines())
    return [_recorded(line) for line in lines]


def _recorded(line: dict[str, str]) -> Recorded:
    url = urlsplit(line["path"])
    return Recorded(url.path, dict(parse_qsl(url.query)), line.get("body", "").encode())


def events_of(name: str, format_name: str, received_ms: int | None) -> list[Event]:
    """What the requests of a client tell; all of it must be events."""
    found = [
        outcome
        for request in recorded(name)
        for outcome in adapt(request.body, format_name=format_name, received_ms=received_ms, query=request.query)
    ]
    events = [outcome for outcome in found if isinstance(outcome, Event)]
    assert events == found, [outcome for outcome in found if not isinstance(outcome, Event)]
    return events
