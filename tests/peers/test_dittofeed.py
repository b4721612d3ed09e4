"""Dittofeed's own tests of its computed properties, answered by us: the expected members at the expected times.

What we answer differently is in ``DIFFERENCES`` with the reason. The list is exact: a case in it that begins to pass fails here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamer.errors import DefinitionError
from streamer.values import parse_time_ms
from tests.peers.dittofeed import Node, condition, is_property, segment_name
from tests.peers.story import CannotBeSaidError, Story

FILE = Path(__file__).parents[1] / "data" / "peer_cases" / "dittofeed_cases.json"
CONTENT: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
CASES: dict[str, Node] = {case["id"]: case for case in CONTENT["cases"]}

CANNOT = "cannot be said"
OTHERWISE = "decided otherwise"
DIFFERENCES: dict[str, tuple[str, str]] = {
    "dittofeed-008": (OTHERWISE, "A path that is none (`a[..email`) is refused when it is loaded; there it is a property without a value."),
    "dittofeed-050": (CANNOT, "A property that is a list of whole events: we keep what a rule needs, not the events."),
    "dittofeed-052": (CANNOT, "`skipReCompute` tells their batch pass to leave a property alone. There is no batch pass here."),
    "dittofeed-054": (CANNOT, "An attached file under the key `receipt.pdf`: a path cannot name a key that has a dot in it."),
    "dittofeed-056": (CANNOT, "Subscription groups say whom one may write to; the case expects no segment and no property."),
    "dittofeed-062": (CANNOT, "`skipReCompute`, as above."),
    "dittofeed-070": (CANNOT, "`RandomBucket`: which half a customer falls into follows from their hash of the id."),
    "dittofeed-072": (CANNOT, "Subscription groups of anonymous users, as above."),
}


@pytest.mark.parametrize("name", [name for name in CASES if name not in DIFFERENCES])
async def test_a_case_gives_the_expected_members_at_the_expected_times(name: str) -> None:
    """Somebody else's expectations do not share our misunderstandings."""
    await act(CASES[name])


@pytest.mark.parametrize("name", DIFFERENCES)
async def test_a_listed_difference_is_one(name: str) -> None:
    """A list of excuses must shrink when a reason goes away."""
    kind, _ = DIFFERENCES[name]
    with pytest.raises(CannotBeSaidError if kind == CANNOT else (DefinitionError, AssertionError)):
        await act(CASES[name])


def test_nothing_is_left_out() -> None:
    """A case that is neither acted nor listed would be forgotten."""
    assert len(CASES) == len(CONTENT["cases"]) == 36
    assert set(DIFFERENCES) <= set(CASES)
    assert len(DIFFERENCES) == 8


async def act(case: Node) -> None:
    """Go through the steps of a case; an AssertionError says which expectation is not met."""
    story = await Story.begin(now_ms=moment(CONTENT["clock_origin"]))
    await story.define(sentences(case, case["segments"], case["user_properties"]))
    expectations = 0
    for step in case["steps"]:
        assert "at" not in step or moment(step["at"]) == story.now_ms, "the steps and the clock have come apart"
        match step["op"]:
            case "evaluate":
                pass  # we need no telling
            case "send":
                await story.send(*({key: value for key, value in event.items() if key != "receivedAt"} for event in step["events"]))
            case "advance_ms":
                await story.advance(step["ms"])
            case "redefine":
                await story.define(sentences(case, step["segments"], step["user_properties"]))
            case "expect":
                expectations += sum(meets(story, case, user) for user in step["users"])
            case "expect_entry_signals":
                assert sum(story.entered.values()) == sum(journey["times"] for journey in step["journeys"])
            case word:
                raise AssertionError(f"unknown step {word!r}")
    assert story.refused == {}
    if not expectations:
        raise CannotBeSaidError("the case expects nothing of segments or properties")


def meets(story: Story, case: Node, user: Node) -> int:
    """Check what a step expects of one user; how many expectations these were."""
    inside = story.inside(user["id"])
    assert {segment_name(name) for name in user.get("in", [])} <= inside, (story.now_ms, user)
    assert not {segment_name(name) for name in user.get("out", [])} & inside, (story.now_ms, user)
    probes = {probe(name, value) for name, value in wanted(case, user).items()}
    assert probes <= inside, (story.now_ms, user)
    return len(user.get("in", [])) + len(user.get("out", [])) + len(probes)


def sentences(case: Node, segments: list[Node], properties: list[Node]) -> dict[str, str]:
    """Expressions by name: the case's segments, and for each property a probe for each value that is ever expected of it."""
    found = {segment_name(segment["name"]): condition(segment["definition"]) for segment in segments}
    users = [user for step in case["steps"] if step["op"] == "expect" for user in step["users"]]
    for definition in (item for item in properties if item["definition"]["type"] not in {"Id", "AnonymousId"}):
        for user in users:
            if "properties" in user:
                value = wanted(case, user).get(definition["name"])
                found[probe(definition["name"], value)] = is_property(definition["definition"], value)
    return found


def wanted(case: Node, user: Node) -> dict[str, Any]:
    """The properties that a step expects of a user, None for those that must have no value. The id is the customer's: no segment."""
    if "properties" not in user:
        return {}
    names = (item["name"] for item in case["user_properties"] if item["definition"]["type"] not in {"Id", "AnonymousId"})
    return {name: user["properties"].get(name) for name in names}


def probe(name: str, value: Any) -> str:
    """The segment that asks whether a property has a value."""
    letters = "".join(letter if letter.isalnum() else "_" for letter in json.dumps(value).lower())
    return f"{segment_name(name)}_is_{letters}"[:64]


def moment(text: str) -> int:
    """Milliseconds of a time in the file."""
    found = parse_time_ms(text)
    assert found is not None, text
    return found
