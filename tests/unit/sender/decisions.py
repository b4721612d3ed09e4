"""Decisions as the step writes them, for tests of the sender."""

from __future__ import annotations

import json

from streamer.sender.decision import SendDecision, read_decision
from streamer.values import Json, time_text

NOON_MS = 1_795_953_600_000  # 2026-11-29T12:00:00Z
HOUR_MS = 3_600_000


def decision_bytes(number: int = 1, type_: str = "message.send", **data: Json) -> bytes:
    """The record of a decision; ``number`` makes key, customer and position."""
    at = time_text(NOON_MS)
    found: dict[str, Json] = {
        "message": "cart_reminder",
        "key": f"{number:032x}",
        "definitions": 3,
        "at": at,
        "kind": "marketing",
        "channel": "email",
        "topic": "offers",
        "trigger": {"on": "entered cart_left", "sequence": 3, "at": at},
        "due": at,
        "valid_until": time_text(NOON_MS + 24 * HOUR_MS),
        "reason": None,
        "detail": None,
        "until": None,
        "arm": "treated",
        "variant": None,
        "template": "cart_reminder",
        "address": f"c{number}@shop.example",
        "language": "en",
        "zone": "Europe/Kyiv",
        "facts": {"first_name": "Anna", "items": [{"name": "Dark roast", "price": 12.5}]},
        "goal": None,
        "position": {"generation": 1, "shard": 0, "offset": number, "ordinal": 0},
    }
    event: dict[str, Json] = {
        "specversion": "1.0",
        "id": f"1-0-{number}-0",
        "source": "/streamer",
        "type": type_,
        "subject": f"c-{number}",
        "time": at,
        "data": {**found, **data},
    }
    return json.dumps(event).encode()


def a_decision(number: int = 1, **data: Json) -> SendDecision:
    """The decision that such a record holds."""
    found = read_decision(decision_bytes(number, **data))
    assert found is not None
    return found
