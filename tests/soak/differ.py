"""The same hostile logs told to the oracle, which shares no code with the step: not only an answer, but the right one."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import yaml

from streamer.errors import RefusedError
from streamer.events.codec import decode
from streamer.flow.replay import Arrival, Replay
from streamer.flow.rules import Rules
from streamer.language.definitions import load_definitions
from streamer.stores.memory import MemoryStore
from tests.oracle.story import Change, Record, Story
from tests.property.driving import changes_of
from tests.soak.hostile import EVERY_FUNCTION, Hostile, words_of

AGREED = range(1, 7)  # clocks of ``hostile.STARTS_MS`` that the oracle can tell too: it has no calendar beyond the ends of Python's
TICK = {"control": "tick"}


def differ(seed: int, *, events: int) -> int:
    """How many changes both said; AssertionError with the first on which they differ."""
    definitions = load_definitions(EVERY_FUNCTION)
    log = list(Hostile(words_of(definitions), seed).arrivals(events))
    told = asyncio.run(_told(log))
    story = Story(yaml.safe_load(EVERY_FUNCTION.read_text(encoding="utf-8")))
    for record in (Record(offset, arrival.arrival_ms, _body(arrival.value)) for offset, arrival in enumerate(log, 1)):
        story.tell(record)
    for mine, right in zip(told, story.changes, strict=False):
        assert mine == right, f"seed {seed}: said {mine}, expected {right}"
    assert len(told) == len(story.changes), f"seed {seed}: {len(told)} changes, expected {len(story.changes)}"
    return len(told)


async def _told(log: list[Arrival]) -> list[Change]:
    run = await Replay.begin(load_definitions(EVERY_FUNCTION), MemoryStore(), Rules(shards=1), batch=7)
    return list(changes_of([said.output async for said in run.feed(log, batch=7)]))


def _body(raw: bytes) -> dict[str, Any]:
    """An event as it was admitted, which the oracle judges: without what is left out of one, and with numbers that stores hold. What is
    refused moves time and does no more."""
    try:
        event = decode(raw)
    except RefusedError:
        return TICK
    body: dict[str, Any] = msgspec.to_builtins(event)
    return body
