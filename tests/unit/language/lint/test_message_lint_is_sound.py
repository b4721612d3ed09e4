"""What the linter proves of messages is compared with what is decided: nobody gets a message that it says is never sent, and so on.

Conditions and histories are those by which its proofs about segments are tried.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.flow.replay import Replay
from streamer.flow.rules import Rules
from streamer.language.definitions import Definitions, parse_definitions
from streamer.language.lint.linter import lint
from streamer.messages.decision import MessageDecision, decode_decision
from streamer.stores.memory import MemoryStore
from streamer.wire import MESSAGES
from tests.unit.language.lint.test_lint_is_sound import HOUR_MS, arrivals, conditions, histories

SEGMENTS: dict[str, dict[str, str]] = {
    "base": {"for": "x", "when": 'did("A", within="2h")', "exit": 'did("B", within="1h")', "stay": "1h"},
    "plain": {"for": "x", "when": 'count("B", within="5h") >= 2'},
    "nobody": {"for": "x", "when": "hour() == 25"},
    "for_good": {"for": "x", "when": 'did("A")'},
}
triggers = conditions | st.sampled_from([f'{way}("{name}")' for name in SEGMENTS for way in ("entered", "left")])
bodies = st.fixed_dictionaries(
    {"on": triggers},
    optional={"require": conditions, "stay": st.booleans(), "delay": st.sampled_from(["1h", "3h"]), "again": st.just("once")},
)
NEVER = "is never sent"
IDLE = "its require decides nothing"
ALWAYS = "its trigger is always true"


async def decided(given_definitions: Definitions, history: list[Any]) -> list[MessageDecision]:
    """Everything that became of every message."""
    run = await Replay.begin(given_definitions, MemoryStore(), Rules(shards=1), batch=100)
    records = arrivals(history)
    said = [item async for item in run.feed(records, batch=100)]
    said += [item async for item in run.until(records[-1].arrival_ms + 60 * HOUR_MS)]
    return [decode_decision(item.output.value) for item in said if item.output.topic == MESSAGES]


tried: dict[str, int] = defaultdict(int)


@settings(max_examples=int(os.environ.get("STREAMER_TEST_EXAMPLES", "40")))
@given(st.lists(bodies, min_size=1, max_size=25), st.lists(histories, min_size=1, max_size=3))
def test_what_is_said_of_messages_holds(many_bodies: list[dict[str, Any]], many: list[list[Any]]) -> None:
    """A marketer who is told "never sent" throws the message away: it must be true of every history."""
    least = {"for": "x", "channel": "console", "kind": "transactional"}
    messages = {f"m{number}": {**least, **body} for number, body in enumerate(many_bodies)}
    parsed = parse_definitions({"segments": SEGMENTS, "messages": messages})
    claims: dict[str, set[str]] = {NEVER: set(), IDLE: set(), ALWAYS: set()}
    for finding in lint(parsed):
        for claim, names in claims.items():
            if finding.message.startswith(claim):
                names.add(finding.about.removeprefix("message "))
    for history in many:
        for one in asyncio.run(decided(parsed, history)):
            name = one.data.message
            assert not (name in claims[NEVER] and one.outcome == "send"), messages[name]
            assert not (name in claims[IDLE] and one.data.reason == "require"), messages[name]
            assert not (name in claims[ALWAYS] and one.data.trigger.sequence != 1), messages[name]
            tried["sent"] += one.outcome == "send"
    for claim, names in claims.items():
        tried[claim] += len(names)


def test_claims_of_every_kind_were_tried() -> None:
    """A comparison of nothing with nothing would pass."""
    if not tried:
        test_what_is_said_of_messages_holds()
    assert tried[NEVER] > 50
    assert tried[IDLE] > 10
    assert tried[ALWAYS] > 5
    assert tried["sent"] > 100
