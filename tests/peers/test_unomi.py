"""Apache Unomi's own tests of segments and conditions, answered by us.

Two things are read otherwise than there, because here the log is all there is. An event or a value "stored bypassing the stream" reaches
the log when their daily recalculation would find it. "Replace all events by one 15 days old" lets time pass until the event is that old.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streamer.errors import DefinitionError
from streamer.values import time_text
from tests.peers.story import CannotBeSaidError, Story
from tests.peers.unomi import operator, profile, rule

FILE = Path(__file__).parents[1] / "data" / "peer_cases" / "unomi_cases.json"
CONTENT: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
STORIES = {story["id"]: story for story in CONTENT["segments"]}
OPERATORS = {f"{case['field']} {case['op']} {case['arg']}": case for case in CONTENT["operators"]["cases"]}
DAY_MS = 86_400_000
NOW_MS = 978_350_400_000  # 2001-01-01T12:00:00Z, the moment of their arithmetic of dates

CANNOT = "cannot be said"
OTHERWISE = "decided otherwise"
DIFFERENCES: dict[str, tuple[str, str]] = {
    "unomi-seg-01": (OTHERWISE, "A segment defined after the event begins with what is remembered, `warming`; it reads no history."),
    "unomi-score-04": (CANNOT, "A window between two dates of the calendar: ours end now, or so long before now."),
    "gender regex_full .*ale": (CANNOT, "Regular expressions: their cost over a customer's text has no bound."),
    "2001-01-01t12:00:00z||+1d": (CANNOT, "Arithmetic in a constant date: write the date that is meant."),
    "2001-01-01T12:00:00z||+1M/d": (CANNOT, "Arithmetic in a constant date, as above."),
}


def cases(names: Any) -> list[str]:
    """Those that are not listed."""
    return [name for name in names if name not in DIFFERENCES]


# stories


@pytest.mark.parametrize("name", cases(STORIES))
async def test_a_story_gives_the_expected_members(name: str) -> None:
    """What their daily pass over the database finds out must be so here at its own instant."""
    await act(STORIES[name])


@pytest.mark.parametrize("name", sorted(set(STORIES) & set(DIFFERENCES)))
async def test_a_listed_story_is_a_difference(name: str) -> None:
    """A list of excuses must shrink when a reason goes away."""
    with pytest.raises(CannotBeSaidError if DIFFERENCES[name][0] == CANNOT else AssertionError):
        await act(STORIES[name])


async def act(case: dict[str, Any]) -> None:
    """Go through the steps of a story; an AssertionError says which expectation is not met."""
    definition = {"rule": rule(case["rule"])}
    story = await Story.begin(now_ms=NOW_MS, lateness_ms=30 * DAY_MS)  # their events may be as old as they like
    aside: list[dict[str, Any]] = []
    expectations = 0
    for step in case["steps"]:
        match step["op"]:
            case "profile":
                await story.send({"type": "identify", "userId": step["id"]})
            case "event":
                await story.send(done(step, story.now_ms))
            case "define_segment" | "define_scoring":
                await story.define(definition)
            case "stored_event_bypassing_stream":
                aside.append(done(step, story.now_ms))
            case "set_property_bypassing_stream":
                at = time_text(story.now_ms - step["lastVisit_days_before_now"] * DAY_MS)
                aside.append({"type": "identify", "userId": step["user"], "traits": {"lastVisit": at}})
            case "replace_all_events_with":
                await story.advance((step["days_before_now"] - 3) * DAY_MS)  # it was three days old
            case "full_recalculation":
                await story.send(*aside)
                aside.clear()
            case "expect":
                assert all("rule" in story.inside(customer) for customer in step.get("in", []))
                assert not any("rule" in story.inside(customer) for customer in step.get("out", []))
                expectations += 1
            case "expect_score":
                assert ("rule" in story.inside("p")) == (step["p"] == 50)
                expectations += 1
            case word:
                raise AssertionError(f"unknown step {word!r}")
    assert story.refused == {}
    assert expectations


def done(step: dict[str, Any], now_ms: int) -> dict[str, Any]:
    """The event of a step."""
    return {"event": step["event"], "userId": step["user"], "timestamp": now_ms - step["days_before_now"] * DAY_MS}


# definitions


@pytest.mark.parametrize("case", CONTENT["definition_validation"], ids=lambda case: case["test"])
async def test_a_definition_is_accepted_or_refused_as_there(case: dict[str, Any]) -> None:
    """A definition that says nothing must not become one that holds for nobody, or for everybody."""
    written = {
        "enabled segment without a condition": "",
        "unknown condition type": 'fakeConditionType("x")',
        "at least 2 of an event within 10 days": 'count("testEventType", within="10d") >= 2',
    }[case["definition"]]
    story = await Story.begin(now_ms=NOW_MS)
    if case["expect"] == "accepted":
        await story.define({"rule": written})
        return
    with pytest.raises(DefinitionError):
        await story.define({"rule": written})


# conditions on one profile


async def holds(expression: str, traits: dict[str, Any]) -> bool:
    """Whether a customer with these traits is in a segment of this expression, who is also in the segments of the profile."""
    names = {"s1", "s2", "s3", "s5", "s10", "s20", "s30"}
    memberships = {name: f'trait("segments") == "{name}"' for name in names}
    story = await Story.begin(now_ms=NOW_MS)
    await story.define({**memberships, "rule": expression})
    await story.send({"type": "identify", "userId": "p", "traits": {**traits, "segments": CONTENT["operators"]["profile_segments"]}})
    assert story.inside("p") - {"rule"} == set(CONTENT["operators"]["profile_segments"])
    return "rule" in story.inside("p")


@pytest.mark.parametrize("name", cases(OPERATORS))
async def test_an_operator_answers_as_there(name: str) -> None:
    """Operators have the same names everywhere and differ in what they do with lists, dates and what is missing."""
    case = OPERATORS[name]
    assert await holds(operator(case["field"], case["op"], case["arg"]), profile(CONTENT["operators"]["profile"])) == case["expect"]


@pytest.mark.parametrize("name", sorted(set(OPERATORS) & set(DIFFERENCES)))
def test_a_listed_operator_cannot_be_said(name: str) -> None:
    """A list of excuses must shrink when a reason goes away."""
    with pytest.raises(CannotBeSaidError):
        operator(OPERATORS[name]["field"], OPERATORS[name]["op"], OPERATORS[name]["arg"])


@pytest.mark.parametrize("case", CONTENT["compound"], ids=lambda case: f"{case['op']} of {case['of']}")
async def test_and_or_not_answer_as_there(case: dict[str, Any]) -> None:
    """The truth tables of a language are soon assumed and seldom looked at."""
    parts = [operator(*part) for part in case["of"]]
    expression = f"not ({parts[0]})" if case["op"] == "not" else f" {case['op']} ".join(f"({part})" for part in parts)
    assert await holds(expression, profile(CONTENT["operators"]["profile"])) == case["expect"]


@pytest.mark.parametrize("case", CONTENT["nested_lists"], ids=lambda case: str(case["same_element"]))
async def test_a_list_of_objects_answers_as_there(case: dict[str, Any]) -> None:
    """A path through a list finds every element. Theirs asks for one element that fits; the answers are the same in their cases."""
    traits = profile(CONTENT["operators"]["profile"])
    expression = " and ".join(operator(f"{case['list_field']}.{key}", sign, argument) for key, sign, argument in case["same_element"])
    assert await holds(expression, traits) == case["expect"]
    without = {field: value for field, value in traits.items() if field != case["list_field"]}
    assert await holds(expression, without) == case["expect_on_profile_without_the_field"]


async def test_two_conditions_on_a_list_may_be_met_by_two_elements() -> None:
    """The limit of the test above: "one element that is cars and below 20" cannot be said."""
    expression = operator("interests.key", "eq", "cars") + " and " + operator("interests.value", "lt", 20)
    assert await holds(expression, profile(CONTENT["operators"]["profile"]))


@pytest.mark.parametrize("case", CONTENT["type_mismatch"], ids=lambda case: f"{case['value']} {case['op']} {case['arg']}")
async def test_a_value_of_another_type_is_no_match(case: dict[str, Any]) -> None:
    """A tracker that sends a word for a number must neither match nor stop anything."""
    field = "lastVisit" if case["value"] == "notADate" else "age"
    argument = "2015-02-01T20:30:10" if field == "lastVisit" else case["arg"]
    assert await holds(operator(field, case["op"], argument), {field: case["value"]}) == case["expect"]


# dates


@pytest.mark.parametrize("case", cases(text for text, _, _ in CONTENT["date_math"]["cases"]))
async def test_a_relative_date_means_the_same_instant(case: str) -> None:
    """An hour ago is an hour ago, and today begins at midnight."""
    [instant] = [at for text, _, at in CONTENT["date_math"]["cases"] if text == case]
    assert CONTENT["date_math"]["now"] == "2001-01-01T12:00:00Z"
    match case:
        case "now/d":
            assert await today(instant)
            assert not await today("2000-12-31T23:59:59.999Z")
        case "now" | "now-1h":
            ago = {"now": "0s", "now-1h": "1h"}[case]
            said = 'since(date(trait("at")))'
            assert await holds(f'{said} >= "{ago}" and {said} <= "{ago}"', {"at": instant})
        case _:
            said = 'date(trait("at"))'
            assert await holds(f'{said} >= date("{instant}") and {said} <= date("{instant}")', {"at": case})


async def today(at: str) -> bool:
    """Whether an event at this time is one of today's."""
    story = await Story.begin(now_ms=NOW_MS)
    await story.define({"rule": 'did("E", this="day")'})
    await story.send({"event": "E", "userId": "p", "timestamp": at})
    assert story.refused == {}
    return "rule" in story.inside("p")


@pytest.mark.parametrize("case", sorted(set(DIFFERENCES) & {text for text, _, _ in CONTENT["date_math"]["cases"]}))
async def test_a_listed_date_is_no_constant(case: str) -> None:
    """A list of excuses must shrink when a reason goes away."""
    story = await Story.begin(now_ms=NOW_MS)
    with pytest.raises(DefinitionError):
        await story.define({"rule": f'date(trait("at")) >= date("{case}")'})


@pytest.mark.parametrize("case", CONTENT["date_math"]["rejected"])
async def test_a_wrong_date_is_refused_when_it_is_loaded(case: str) -> None:
    """Found later it would be a rule that never holds."""
    story = await Story.begin(now_ms=NOW_MS)
    length = case.removeprefix("now+")
    for expression in (f'date(trait("at")) >= date("{case}")', f'since(date(trait("at"))) <= "{length}"'):
        with pytest.raises(DefinitionError):
            await story.define({"rule": expression})


def test_nothing_is_left_out() -> None:
    """A case that is neither tried nor listed would be forgotten."""
    dates = [text for text, _, _ in CONTENT["date_math"]["cases"]]
    known = {*STORIES, *OPERATORS, *dates}
    assert set(DIFFERENCES) <= known
    assert (len(STORIES), len(OPERATORS), len(dates), len(DIFFERENCES)) == (5, 25, 6, 5)
    assert set(CONTENT) == {
        "source",
        "segments",
        "definition_validation",
        "operators",
        "compound",
        "nested_lists",
        "type_mismatch",
        "date_math",
    }
