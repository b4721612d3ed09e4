"""What users import: it is there, it is documented, and it says what a deployment would say."""

from __future__ import annotations

import asyncio
import doctest
import json
import subprocess
import sys
from importlib.resources import files

import pytest

import streamer
from streamer import offline
from streamer.errors import RefusedError
from streamer.wire import DeadLetter

BUYER = streamer.parse_definitions({"segments": {"buyer": {"for": "Bought.", "when": 'did("Order Completed", within="1h")'}}})
ORDER = {"event": "Order Completed", "messageId": "1", "userId": "ada", "timestamp": "2026-03-01T10:00:00Z"}
NOON_MS = 1_772_366_400_000


@pytest.mark.parametrize("name", streamer.__all__)
def test_each_public_name_is_there_with_a_docstring(name: str) -> None:
    """What is promised in one list must be found, and say what it is."""
    assert getattr(streamer, name).__doc__


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'segmenter'"):
        _ = streamer.segmenter


def test_the_types_of_the_package_are_for_its_users_too() -> None:
    """A type checker reads them only where the package says so."""
    assert files("streamer").joinpath("py.typed").is_file()


def test_to_import_the_package_loads_nothing_large() -> None:
    """A service that reads changes needs neither river nor Faust."""
    program = "import sys, streamer; streamer.Event; print(sorted({'river', 'faust', 'aiokafka', 'redis', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_replay_says_what_its_docstring_says() -> None:
    """Examples in docstrings are copied first."""
    assert doctest.testmod(offline) == doctest.TestResults(failed=0, attempted=11)


async def test_a_replay_may_be_called_inside_an_event_loop() -> None:
    """A notebook runs one all the time."""
    await asyncio.sleep(0)
    assert [change.type for change in streamer.replay([ORDER], BUYER, until_ms=NOON_MS)] == ["segment.entered", "segment.exited"]


def test_text_bytes_and_mappings_are_the_same_event() -> None:
    """People have them in all three forms; the second and the third are duplicates of the first."""
    text = '{"event": "Order Completed", "messageId": "1", "userId": "ada", "timestamp": "2026-03-01T10:00:00Z"}'
    assert [change.subject for change in streamer.replay([ORDER, text, text.encode()], BUYER)] == ["ada"]


@pytest.mark.parametrize("event", [b"{", "[]", b"\xff", {**ORDER, "userId": None}, {**ORDER, "timestamp": "yesterday"}])
def test_what_is_refused_is_never_passed_over_in_silence(event: bytes | str | dict[str, object]) -> None:
    """It raises, or goes to the function that was given for it."""
    with pytest.raises(RefusedError):
        list(streamer.replay([event], BUYER))
    letters: list[DeadLetter] = []
    assert [change.subject for change in streamer.replay([event, ORDER], BUYER, on_refused=letters.append)] == ["ada"]
    assert len(letters) == 1


def test_a_moment_is_read_as_a_worker_reads_it() -> None:
    """Seconds taken for milliseconds would move an event to 1970, and a leap second is a moment like others."""
    leap = {**ORDER, "timestamp": "2016-12-31T23:59:60Z"}
    assert [change.time for change in streamer.replay([leap], BUYER)] == ["2017-01-01T00:00:00.000Z"]
    with pytest.raises(RefusedError, match="epoch_seconds"):
        list(streamer.replay([{**ORDER, "timestamp": 1772359200}], BUYER))


ODD = {"ratio": float("nan"), "name": "half of an emoji \ud83d"}


@pytest.mark.parametrize("form", [json.dumps({**ORDER, "properties": ODD}), {**ORDER, "properties": ODD}], ids=["text", "mapping"])
def test_what_an_event_may_carry_does_not_hide_when_it_arrived(form: str | dict[str, object]) -> None:
    """A property that nobody reads made the event one of the future, as its line was looked at by a reader that refuses such values."""
    assert [change.time for change in streamer.replay([form], BUYER)] == ["2026-03-01T10:00:00.000Z"]


@pytest.mark.parametrize("event", ["\ud83d", {**ORDER, "userId": "ada\ud83d"}], ids=["text", "id"])
def test_half_of_a_pair_is_refused_as_in_a_log(event: str | dict[str, object]) -> None:
    """It raised an error of the codec, past whoever was given what is refused."""
    with pytest.raises(RefusedError, match="bad_utf8"):
        list(streamer.replay([event], BUYER))
