"""A preview whose customers are divided among processes says to the byte what one process says."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from collections.abc import Iterable
from functools import partial
from typing import Any

import msgspec
import pytest

import streamer
from streamer.errors import HaltError, TooMuchError
from streamer.flow.replay import Arrival
from streamer.flow.rules import Rules
from streamer.previews import events as previews_of_events
from streamer.previews.bounds import Bounds
from streamer.previews.conclusion import Wishes
from streamer.previews.events import Apart, preview_events
from streamer.previews.findings import Findings
from streamer.previews.processes import Caller, others
from streamer.previews.result import Preview
from streamer.previews.share import Portion
from streamer.units import DAY_MS

from .test_previews_of_events import NEW, NOW, START_MS, shop

RULES = Rules(shards=1)
UNTIL_MS = START_MS + 3 * DAY_MS
MESSAGES = streamer.parse_definitions(
    {
        "segments": {"buyer": {"for": "Has bought.", "when": 'count("Order Completed", within="1d") >= 1'}},
        "channels": {"email": {}},
        "messages": {
            "thanks": {"for": "Thanks.", "on": 'entered("buyer")', "channel": "email", "kind": "transactional", "template": "thanks"},
        },
    }
)


def arrivals(people: int) -> list[Arrival]:
    """The shop's events; some have an address, and some are no events, late, or there twice."""
    events: list[dict[str, Any]] = shop(people)
    for number, event in enumerate(list(events)):
        if number % 40 == 0:
            traits = {"email": f"{number}@shop.example"}
            events.insert(number, {**event, "type": "identify", "messageId": f"i{number}", "traits": traits})
        if number % 70 == 0:
            events.append({"nothing": number, "timestamp": UNTIL_MS})
        if number % 90 == 0:
            events += [{**event, "messageId": f"late{number}"}, {**events[-1], "messageId": f"m{number}"}]
    found, last_ms = list[Arrival](), 0
    for line, event in enumerate(events, 1):
        last_ms = max(last_ms, event["timestamp"])
        found.append(Arrival(line, last_ms, json.dumps(event).encode()))
    return found


def read(people: int) -> Iterable[Arrival]:
    """The same events in each process."""
    return iter(arrivals(people))


def until(_last_ms: int) -> int:
    """Time passes up to a moment that both know."""
    return UNTIL_MS


def previewed(
    definitions: streamer.Definitions, processes: int, *, share: float = 1.0, against: streamer.Definitions | None = None
) -> Preview:
    """A preview of 300 people by so many processes."""
    wishes, reading = Wishes(share, 5, 4, replaces=True), partial(read, 300)
    apart = Apart(processes, reading)
    return asyncio.run(preview_events(reading, definitions, RULES, wishes, Bounds(), against=against, until_ms=until, apart=apart))


@pytest.mark.parametrize(
    ("share", "definitions", "against", "refused"),
    [(1.0, NEW, NOW, {"late", "missing_id", "missing_message_id"}), (0.5, MESSAGES, None, {"late"})],
)
def test_three_processes_say_what_one_says(
    share: float,
    definitions: streamer.Definitions,
    against: streamer.Definitions | None,
    refused: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever has more cores waits less, and must not read another answer."""
    monkeypatch.setattr(previews_of_events, "WORTH_IT_EVENTS", 0)
    alone = previewed(definitions, 1, share=share, against=against)
    assert msgspec.json.encode(previewed(definitions, 3, share=share, against=against)) == msgspec.json.encode(alone)
    assert set(alone.refused) == refused, "each was refused by one of them"
    assert alone.customers.count > 100
    assert not multiprocessing.active_children()


async def counted_nothing(caller: Caller, task: object, part: Portion) -> Findings:
    """A process that ends in one of these ways."""
    match task:
        case "raises":
            raise TooMuchError("not done after 1 s")
        case "hangs":
            caller.heard()
        case _:
            pass
    raise SystemExit(part.number)


@pytest.mark.parametrize(("task", "error"), [("raises", TooMuchError), ("ends", HaltError)])
async def test_what_happens_in_another_process_is_said(task: str, error: type[Exception]) -> None:
    """Half of the customers would be a wrong answer, so there is none."""
    async with others(counted_nothing, task, 2) as theirs:
        with pytest.raises(error):
            await theirs.until_told()
    assert not multiprocessing.active_children()


async def test_processes_end_with_whoever_asked() -> None:
    """A preview that is given up must not keep a core busy."""
    async with others(counted_nothing, "hangs", 3):
        assert len(multiprocessing.active_children()) == 2
    assert not multiprocessing.active_children()
