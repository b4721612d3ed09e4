"""What a segment costs: measured on events, under it alone with what it refers to, against none."""

from __future__ import annotations

import json
from typing import Final

import pytest

from streamer.errors import SettingsError
from streamer.flow.replay import Arrival
from streamer.flow.rules import Rules
from streamer.language.definitions import parse_definitions
from streamer.previews.cost import alone_with_references, cost_of

START_MS: Final = 1_767_225_600_000
RULES: Final = parse_definitions(
    {
        "zone": "Europe/Kyiv",
        "segments": {
            "seen": {"for": "x", "when": 'did("A")'},
            "often": {"for": "x", "when": 'segment("seen") and count("A", within="30d") >= 50'},
            "likely": {"for": "x", "when": 'score("buys") >= 0.5'},
            "fans": {"for": "x", "when": 'did("Fan")'},
            "alike": {"for": "x", "when": 'like("fan_like") >= 0.5'},
            "other": {"for": "x", "when": 'did("B")'},
        },
        "models": {"buys": {"kind": "purchase"}, "fan_like": {"kind": "lookalike", "seed": "fans"}},
        "messages": {"word": {"for": "x", "on": 'entered("seen")', "channel": "console", "kind": "transactional"}},
    }
)


def arrivals(number: int) -> list[Arrival]:
    """Events of ten customers."""
    return [
        Arrival(
            at,
            START_MS + at * 1_000,
            json.dumps({"event": "A", "messageId": f"m{at}", "userId": f"c-{at % 10}", "timestamp": START_MS + at * 1_000}).encode(),
        )
        for at in range(1, number + 1)
    ]


@pytest.mark.parametrize(
    ("segment", "segments", "models"),
    [
        ("other", {"other"}, set[str]()),
        ("often", {"often", "seen"}, set[str]()),
        ("likely", {"likely"}, {"buys"}),
        ("alike", {"alike", "fans"}, {"fan_like"}),
    ],
)
def test_a_segment_is_measured_with_what_it_refers_to(segment: str, segments: set[str], models: set[str]) -> None:
    """And with nothing else: not the messages, not the other segments."""
    found = alone_with_references(RULES, segment)
    assert ({one.name for one in found.segments}, {one.name for one in found.models}) == (segments, models)
    assert (found.zone, found.messages) == ("Europe/Kyiv", ())


def test_a_segment_that_is_not_there_is_said() -> None:
    """A slip of the hand."""
    with pytest.raises(SettingsError, match="there is no segment"):
        alone_with_references(RULES, "sene")


async def test_what_a_segment_remembers_is_counted_in_bytes_a_customer() -> None:
    """Exactly: it is no measurement. Fifty times of events take more than one."""
    costs = {name: await cost_of(RULES, name, arrivals(400), Rules(shards=4)) for name in ("seen", "often", "other")}
    assert {(cost.events, cost.customers) for cost in costs.values()} == {(400, 10)}
    assert costs["often"].bytes > costs["seen"].bytes + 50 > costs["other"].bytes + 40
    assert all(cost.us >= 0 and cost.bare_us > 0 for cost in costs.values())


async def test_nothing_happened_yet_costs_nothing() -> None:
    """A new shop has no events to measure on."""
    cost = await cost_of(RULES, "seen", [], Rules(shards=1))
    assert (cost.events, cost.customers, cost.bytes) == (0, 0, 0.0)
