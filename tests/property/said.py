"""What the step says of messages, in the oracle's words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from typing import Any

from streamer.wire import MESSAGES
from tests.oracle.decisions import Decision
from tests.oracle.story import Change
from tests.oracle.values import duration_ms
from tests.property.driving import Driver, look, ms_of


def decisions_of(records: Iterable[bytes]) -> Iterator[Decision]:
    """The decisions among the records of their topic."""
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


def decisions_by(driver: Driver) -> list[Decision]:
    """What a driver's shard decided."""
    return list(decisions_of(output.value for output in asyncio.run(look(driver.store)).outputs if output.topic == MESSAGES))


def in_order(decisions: Iterable[Decision], changes: Iterable[Change]) -> list[dict[str, Any]]:
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


def but(said: list[dict[str, Any]], left_out: set[str]) -> list[dict[str, Any]]:
    """What was said of others than these."""
    return [each for each in said if each["customer"] not in left_out]
