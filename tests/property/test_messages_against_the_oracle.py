"""Which messages are sent, held and skipped, when and why: the step says exactly what the oracle says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given

from streamer.wire import MESSAGES
from tests.oracle.decisions import Decision, MessageStory
from tests.oracle.story import Change
from tests.oracle.values import duration_ms
from tests.property.driving import Case, Driver, changes_by, drive, look, ms_of
from tests.property.effort import effort
from tests.property.messages import busy_cases, message_cases


def told(case: Case) -> MessageStory:
    story = MessageStory(case.definitions, lateness_ms=case.lateness_ms, skew_ms=case.skew_ms)
    for record in case.records:
        story.tell(record)
    return story


def decisions_by(driver: Driver) -> list[Decision]:
    return list(_decisions([output.value for output in asyncio.run(look(driver.store)).outputs if output.topic == MESSAGES]))


def _decisions(records: list[bytes]) -> Iterator[Decision]:
    for raw in records:
        event = json.loads(raw)
        data, position = event["data"], event["data"]["position"]
        assert event["time"] == data["at"]
        assert event["id"] == f"1-{position['shard']}-{position['offset']}-{position['ordinal']}"
        yield Decision(
            event["subject"],
            data["message"],
            event["type"].removeprefix("message."),
            data["reason"],
            data["detail"],
            ms_of(data["at"]),
            data["trigger"]["sequence"],
            ms_of(data["trigger"]["at"]),
            data["trigger"]["on"],
            data["key"],
            ms_of(data["due"]),
            ms_of(data["valid_until"]),
            None if data["until"] is None else ms_of(data["until"]),
            data["arm"],
            data["variant"],
            data["kind"],
            data["channel"],
            data["topic"],
            data["template"],
            data["address"],
            data["language"],
            data["zone"],
            data["facts"],
            data["goal"],
            data["definitions"],
            position["offset"],
            position["ordinal"],
        )


def in_order(decisions: list[Decision], changes: list[Change]) -> list[dict[str, Any]]:
    """All that is said, as it stands in the story. Numbers between two of them are not compared: a decision goes to two topics."""
    everything = sorted([*decisions, *changes], key=lambda said: (said.offset, said.ordinal))
    assert len({(said.offset, said.ordinal) for said in everything}) == len(everything)
    return [_comparable(said) for said in everything]


def _comparable(said: Decision | Change) -> dict[str, Any]:
    """Of a condition the text is printed in another way, and a goal's length is in milliseconds."""
    found = {key: value for key, value in vars(said).items() if key != "ordinal"}
    if isinstance(said, Decision):
        goal, on = said.goal, said.on
        found["goal"] = None if goal is None else (goal["event"], goal.get("within_ms") or duration_ms(goal["within"]), goal.get("value"))
        found["on"] = on if on is not None and on.startswith(("entered ", "left ")) else on is not None
    return found


@given(case=message_cases())
@effort(0.5)
def test_every_decision_with_its_instant_its_reason_and_its_facts_is_the_oracles(case: Case) -> None:
    """And the changes around them are what they would be, between the same decisions."""
    _compare(case)


@given(case=busy_cases())
@effort(0.5)
def test_caps_and_what_comes_again_are_the_oracles(case: Case) -> None:
    """Somebody goes in and out many times within the windows of caps."""
    _compare(case)


def _compare(case: Case) -> None:
    story = told(case)
    driver, _ = drive(case)
    assert in_order(decisions_by(driver), changes_by(driver)) == in_order(story.decisions, story.changes)
