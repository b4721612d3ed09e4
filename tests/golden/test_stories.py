"""Each family of the library against a small story whose changes were worked out by hand, from the specification and not from the code.

A story has events in our own format, the time at which it ends, and the changes of its family in order: when, who, entered or left
what, and the id of the event that caused it or ``timer`` where only time did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import yaml

from streamer.flow.replay import Arrival, Replay, ReplayOutput
from streamer.flow.rules import Rules
from streamer.language.definitions import Definitions, load_definitions
from streamer.segments.change import ENTERED, decode_change
from streamer.segments.library import library_path
from streamer.stores.memory import MemoryStore
from streamer.values import parse_time_ms, time_text
from streamer.wire import CHANGES

STORIES = Path(__file__).parent
FAMILIES = sorted(path.stem for path in library_path().glob("*.yaml"))


class Told(NamedTuple):
    """One change, as a story tells it."""

    at: str
    customer: str
    way: str
    segment: str
    cause: str


@lru_cache(maxsize=1)
def library() -> Definitions:
    return load_definitions(library_path())


def names_of(family: str) -> set[str]:
    file = str(library_path() / f"{family}.yaml")
    return {segment.name for segment in library().segments if segment.file == file}


def story(family: str) -> dict[str, Any]:
    return yaml.safe_load((STORIES / f"{family}.yaml").read_text(encoding="utf-8"))


def moment(text: str) -> int:
    ms = parse_time_ms(text)
    assert ms is not None, text
    return ms


def expected(family: str) -> list[Told]:
    lines = [line.split("#")[0].split() for line in story(family)["changes"].splitlines()]
    return [Told(time_text(moment(at)), *rest) for at, *rest in lines]


async def _replay(family: str, batch: int) -> list[Told]:
    told = story(family)
    run = await Replay.begin(library(), MemoryStore(), Rules(shards=1), batch=batch)
    arrivals = [Arrival(line, moment(event["timestamp"]), msgspec.json.encode(event)) for line, event in enumerate(told["events"], 1)]
    said = [item async for item in run.feed(arrivals, batch=batch)]
    said += [item async for item in run.until(moment(told["until"]))]
    assert run.body.counts == {"accepted": len(told["events"])}, "every event of a story is accepted"
    return list(_changes(said))


def _changes(said: list[ReplayOutput]) -> Iterator[Told]:
    for item in said:
        assert item.output.topic == CHANGES
        change = decode_change(item.output.value)
        cause = change.data.cause
        way = "entered" if change.type == ENTERED else "exited"
        yield Told(change.data.at, change.subject, way, change.data.segment, cause.kind if cause.kind == "timer" else str(cause.id))


def replayed(family: str, batch: int = 1_000) -> list[Told]:
    return asyncio.run(_replay(family, batch))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_story_comes_out_as_it_was_told(family: str) -> None:
    """The whole library is loaded; of a family every change happens, at its instant, for its cause, and no other."""
    own = names_of(family)
    assert [change for change in replayed(family) if change.segment in own] == expected(family)


@pytest.mark.parametrize("family", FAMILIES)
def test_how_a_story_is_cut_does_not_matter(family: str) -> None:
    """One record at a time says the same as all at once, for every segment of the library."""
    assert replayed(family, batch=1) == replayed(family)


def test_every_segment_of_the_library_is_entered_in_a_story() -> None:
    """A definition that nobody has seen hold is a guess."""
    entered = {change.segment for family in FAMILIES for change in expected(family) if change.way == "entered"}
    assert sorted({segment.name for segment in library().segments} - entered) == []


def test_a_story_tells_only_of_its_family() -> None:
    """A change under a wrong name would be compared with nothing."""
    assert {family: sorted({change.segment for change in expected(family)} - names_of(family)) for family in FAMILIES} == {
        family: [] for family in FAMILIES
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_a_story_is_told_in_order_and_has_changes_that_time_alone_makes(family: str) -> None:
    """Expectations that are out of order were not worked out; time without events is what the stories are about."""
    told = expected(family)
    assert [change.at for change in told] == sorted(change.at for change in told)
    assert any(change.cause == "timer" for change in told)


def test_every_purpose_says_who_it_is_and_what_to_send() -> None:
    """A marketer reads one line: who these people are; what to do for them."""
    assert [segment.name for segment in library().segments if "; " not in segment.purpose or not segment.purpose.endswith(".")] == []
