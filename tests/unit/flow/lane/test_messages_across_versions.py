"""Messages while definitions that fold the past come and are taken back: each intent is decided once, wherever that falls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any, Final

import pytest

from streamer.customers.state import State, decode_state
from streamer.messages.decision import MessageDecision, decode_decision
from streamer.wire import MESSAGES
from tests.oracle.story import Record
from tests.property.born_old import Switched, told
from tests.unit.flow.lane.test_born_old import BEGIN_MS, defined, event

HOUR_MS: Final = 3_600_000
STEP_MS: Final = 3 * HOUR_MS
MESSAGE: Final = {
    "for": "a test",
    "on": 'entered("keen")',
    "delay": "4h",
    "channel": "console",
    "topic": "offers",
    "cap": "1 per 7d",
    "quiet": "02:00-05:00",
}
SECOND: Final = {**MESSAGE, "on": 'left("keen")', "delay": "2h", "kind": "transactional", "cap": "3 per 1d", "quiet": "20:00-08:00"}
KEEN: Final = 'count("Buy", within="9h") >= 2'
NEW: Final = 'count("Look") >= 2'


def version(number: int, *, keen: str = KEEN, message: dict[str, Any] = MESSAGE, **more: str) -> dict[str, Any]:
    body = defined(number, keen=keen, **more)
    body["definitions"] |= {"topics": {"offers": "opt_out"}, "messages": {"thanks": message, "sorry": SECOND}}
    return body


def with_another_message(body: dict[str, Any]) -> dict[str, Any]:
    """Which comes first by its name, so that the others have other numbers, and never begins."""
    messages = body["definitions"]["messages"]
    another = {**MESSAGE, "on": 'did("Nothing")'}
    return {**body, "definitions": {**body["definitions"], "messages": {"another": another, **messages}}}


def day_and_night(at: tuple[int, int], changed: dict[str, Any] | None) -> list[Record]:
    """What customers do, one step after another, with two records at these places: ``changed`` and what held before, or ticks."""
    bodies: list[dict[str, Any]] = []
    for step in range(14):
        who = "cleo" if step in (4, 9) else "bob" if step % 3 == 2 else "ada"
        bodies.append(event("Buy" if step in (0, 1, 4, 5, 6, 9, 12) else "Look", step, "ada" if step in (0, 1, 5, 6) else who))
    first, second = at
    tick = {"control": "tick"}
    bodies.insert(first, changed or tick)
    bodies.insert(second + 1, version(3) if changed else tick)
    bodies = [version(1), *bodies, *[tick] * 24]
    times = [BEGIN_MS + number * STEP_MS for number in range(len(bodies))]
    return [
        Record(offset, at_ms, body if "control" in body else {**body, "timestamp": at_ms})
        for offset, (at_ms, body) in enumerate(zip(times, bodies, strict=True))
    ]


def decisions(switched: Switched) -> list[MessageDecision]:
    return [decode_decision(one.value) for one in switched.shown.outputs if one.topic == MESSAGES]


def in_words(found: Sequence[MessageDecision]) -> list[tuple[str, str, str, str, str | None]]:
    """Of decisions all but by which version and at which place of the log they were made."""
    return sorted((one.data.message, one.data.key, str(one.data.at), one.outcome, one.data.reason) for one in found)


def states(switched: Switched) -> list[State]:
    return [decode_state(blob) for blob in switched.shown.states.values()]


PLACES: Final = list(combinations(range(14), 2))[::4]


def test_what_is_published_beside_a_message_and_taken_back_changes_nothing_of_it() -> None:
    """A segment that is new is folded over the past while intents wait, are held by the night, and count against a cap."""
    met: Counter[str] = Counter()
    for places in PLACES:
        found = told(day_and_night(places, with_another_message(version(2, new=NEW))))
        expected = decisions(told(day_and_night(places, None)))
        assert in_words(decisions(found)) == in_words(expected), places
        met["folded"] += found.folds
        met.update(one.outcome for one in expected)
        met.update(one.data.reason for one in expected if one.data.reason)
    assert {"folded", "send", "hold", "quiet", "cap"} <= set(+met), met


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(version(2, keen='count("Buy", within="9h") >= 1'), id="its segment is another"),
        pytest.param(version(2, keen='count("Look") >= 5'), id="its segment is of other people"),
        pytest.param(version(2, message={**MESSAGE, "delay": "1h", "template": "other"}), id="it waits for less and looks different"),
        pytest.param(version(2, message={**MESSAGE, "quiet": "none", "cap": "2 per 7d"}), id="it keeps no hours"),
        pytest.param(version(2, message={**MESSAGE, "on": 'left("keen")'}), id="it begins otherwise"),
    ],
)
def test_each_intent_ends_once_whichever_version_it_meets(changed: dict[str, Any]) -> None:
    """Begun under one version and decided under another: a send or a skip, not both, not two and not none."""
    met: Counter[str] = Counter()
    for places in PLACES:
        found = told(day_and_night(places, changed))
        ended = Counter(one.data.key for one in decisions(found) if one.outcome != "hold")
        begun = {one.data.key for one in decisions(found)}
        assert set(ended.values()) <= {1}, f"{places}: decided twice"
        assert begun == ended.keys(), f"{places}: held, and never ended"
        assert all(state.messages is None or not state.messages.intents for state in states(found)), f"{places}: still waits"
        met["folded"] += found.folds
        met.update(one.outcome for one in decisions(found))
        met["under the changed version"] += sum(one.data.definitions == 2 for one in decisions(found))
    assert {"send", "skip", "under the changed version"} <= set(+met), met
