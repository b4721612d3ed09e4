"""The log of a worker is JSON with a time, says a thing once a minute, and tells nobody about customers."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

from streamer.telemetry.log_lines import AGAIN_SECONDS, DIFFERENT_MAX, KINDS_MAX, JsonLines, Thinning


def record(
    message: str, *values: Any, at: float = 1_000.0, name: str = "aiokafka", error: BaseException | None = None
) -> logging.LogRecord:
    """What a library says at a time."""
    exc_info = (type(error), error, error.__traceback__) if error is not None else None
    made = logging.LogRecord(name, logging.ERROR, "", 0, message, values, exc_info)
    made.created = at
    return made


def test_a_librarys_line_is_json_whatever_is_in_it() -> None:
    """A newline or a quote in a message must not make another line of it."""
    line = JsonLines().format(record('it\'s "%s"', 'a\n{"level": "info"}'))
    assert "\n" not in line
    assert json.loads(line) == {
        "event": 'it\'s "a\n{"level": "info"}"',
        "level": "error",
        "logger": "aiokafka",
        "action": "library",
        "timestamp": "1970-01-01T00:16:40.000000Z",
    }


def test_of_an_exception_the_class_and_the_places_are_written_but_not_its_text() -> None:
    """A text may quote a customer's data, and asyncio repeats it in the message of a task that failed."""
    try:
        raise KeyError("mila@example.com")
    except KeyError as error:
        line = JsonLines().format(record("Task exception was never retrieved\nfuture: %r", error, error=error))
    found = json.loads(line)
    assert "mila" not in line
    assert (found["event"], found["error"]) == ("Task exception was never retrieved", "KeyError")
    assert "test_log_lines.py" in found["where"][-1]


def test_what_is_said_a_hundred_times_a_second_is_written_once_a_minute_with_its_number() -> None:
    """46,000 lines in five minutes hid the one that mattered and filled a disk."""
    thinning = Thinning()
    written = []
    for tenth in range(1_250):
        said = record("Unable connect to node with id %s", tenth, at=1_000 + tenth / 10)
        if thinning.filter(said):
            written.append(json.loads(JsonLines().format(said)))
    assert [line.get("repeated", 0) for line in written] == [0, 599, 599]
    assert thinning.dropped == 1_247


def test_another_thing_is_written_all_the_same() -> None:
    """One client that repeats itself must not silence the others."""
    thinning = Thinning()
    assert thinning.filter(record("a"))
    assert not thinning.filter(record("a"))
    assert thinning.filter(record("b"))
    assert thinning.filter(record("a", name="faust"))


def test_texts_that_are_never_the_same_are_bounded_too() -> None:
    """Some libraries put the values into the text, so each of their lines is a new one."""
    thinning = Thinning()
    written = sum(thinning.filter(record(f"node {number}", at=1_000 + number / 1_000)) for number in range(3 * KINDS_MAX))
    assert written == DIFFERENT_MAX
    assert thinning.filter(record("node x", at=1_000 + AGAIN_SECONDS))


def test_a_process_that_breaks_says_so_in_json() -> None:
    """The traceback of the interpreter is twenty lines without a time, and quotes the error's text."""
    program = (
        "from streamer.telemetry.log_lines import configure_logging\n"
        "import warnings\n"
        "configure_logging('info')\n"
        "warnings.warn('old')\n"
        "{}['mila@example.com']\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    lines = [json.loads(line) for line in (ended.stderr + ended.stdout).splitlines()]
    assert [line["level"] for line in lines] == ["warning", "critical"]
    assert lines[1]["error"] == "KeyError"
    assert "mila" not in ended.stdout + ended.stderr
    assert all({"timestamp", "event", "action"} <= line.keys() for line in lines)
