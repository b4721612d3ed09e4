"""What the command line says when something is not as it should be: what was expected, what came, where; and an exit code."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Run, event, ndjson, run_apart

NO, WRONG_USE, SETTINGS, HALTED = 1, 2, 3, 4


# files


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing.ndjson", "No such file or directory"),
        ("nothing.parquet", "No such file or directory"),
        ("folder.ndjson", "folder"),
        ("events.txt", "what format is it? Known by their suffix: .ndjson, .jsonl, .json, .csv, .parquet (and .gz)"),
        ("rows.csv", "need --mapping, which says what its columns mean: online_retail, otto, rees46, or a file"),
        ("broken.parquet", "Parquet magic bytes not found"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(run: Run, tmp_path: Path, name: str, says: str) -> None:
    """The first thing that anybody types is a path, and often a wrong one."""
    (tmp_path / "folder.ndjson").mkdir()
    (tmp_path / "events.txt").write_text("x", encoding="utf-8")
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1" + bytes(100))
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("{format: parquet, customer: a, timestamp: {column: b}, event: {column: c}, message_id: row}", encoding="utf-8")
    told = run("replay", tmp_path / name, *(("--mapping", mapping) if name.endswith("parquet") else ()))
    assert told.code == SETTINGS
    assert str(tmp_path / name) in told.err
    assert says in told.err
    assert told.out == ""
    assert len(told.err.splitlines()) == 1


def test_an_archive_that_breaks_off_halts(run: Run, tmp_path: Path) -> None:
    """What was read is not the whole story, and a script that goes on with it must not think so."""
    file = tmp_path / "events.ndjson.gz"
    file.write_bytes(gzip.compress(ndjson([event("a", "E", f"2026-01-01T00:00:{second:02d}Z") for second in range(60)]))[:-20])
    told = run("replay", file)
    assert told.code == HALTED
    assert f"halted: {file}: damaged after line" in told.err


def test_nothing_to_read_is_nothing_wrong(run: Run, tmp_path: Path) -> None:
    """A quiet hour has an empty file."""
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"")
    for told in (run("replay", file), run("replay", "-")):
        assert (told.code, told.out, told.err) == (0, "", "0 received: nothing to do\n")


def test_a_line_without_end_is_refused_and_the_next_one_counts(run: Run, tmp_path: Path) -> None:
    """A log that was overwritten in the middle must not fill the memory."""
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"x" * 5_000_000 + b"\n" + ndjson([event("a", "E", "2026-01-01T00:00:00Z")]))
    told = run("replay", file, "--rejects", "-")
    assert told.code == 0
    assert [(item["line"], item["reason"]) for item in told.lines()] == [(1, "too_large")]
    assert "2 received: 1 accepted, 1 too_large" in told.err


def test_a_file_of_another_format_is_an_answer_of_no(run: Run, tmp_path: Path) -> None:
    """A script should notice that it replayed nothing, and a person learn why."""
    file = tmp_path / "events.ndjson"
    file.write_bytes(b'{"user": 1}\n{"user": 2}\n')
    told = run("replay", file)
    assert told.code == NO
    assert "2 received: 2 missing_message_id" in told.err
    assert "is it the right --format or --mapping?" in told.err


def test_an_output_that_cannot_be_written_is_named(run: Run, events: Path, tmp_path: Path) -> None:
    """It is found before hours of work."""
    told = run("replay", events, "--changes", tmp_path / "no" / "changes.ndjson")
    assert told.code == SETTINGS
    assert f"{tmp_path / 'no' / 'changes.ndjson'}: cannot be written: No such file or directory" in told.err


def test_a_file_is_not_written_over_while_it_is_read(run: Run, events: Path) -> None:
    """To open it for writing would empty it."""
    before = events.read_bytes()
    told = run("replay", events, "--changes", events)
    assert told.code == WRONG_USE
    assert "is also read" in told.err
    assert events.read_bytes() == before


@pytest.mark.parametrize(
    "options", [("--changes", "s.yaml"), ("--rejects", "s.yaml"), ("--changes", "m.yaml"), ("--changes", "o", "--rejects", "o")]
)
def test_no_output_is_written_over_what_else_a_replay_names(run: Run, tmp_path: Path, options: tuple[str, ...]) -> None:
    """Definitions were gone after a slip, and of two outputs into one file the second wrote over the first."""
    texts = {
        "s.yaml": "segments: {a: {for: x, when: did('A')}}",
        "m.yaml": "{format: ndjson, customer: a, timestamp: {column: b}, event: {column: c}, message_id: row}",
        "e.ndjson": "",
        "o": "before",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    given = [option if option.startswith("--") else tmp_path / option for option in options]
    told = run("replay", tmp_path / "e.ndjson", "--segments", tmp_path / "s.yaml", "--mapping", tmp_path / "m.yaml", *given)
    assert told.code == WRONG_USE
    assert "is also" in told.err
    assert {name: (tmp_path / name).read_text(encoding="utf-8") for name in texts} == texts


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (gzip.compress(b"{}", mtime=0), "expected text, found gzip; unpack it, or let its name end in .gz"),
        (b"PK\x03\x04\x14\0\0\0", "expected text, found a zip archive; unpack it"),
        ("{}".encode("utf-32"), "expected UTF-8, found UTF-32"),
        (b'{\n  "event": "A"\n}\n', "found an object over several lines; join them: jq -c ."),
    ],
    ids=["gzip", "zip", "utf-32", "object"],
)
def test_a_file_that_is_something_else_is_told_by_what_it_is(run: Run, tmp_path: Path, content: bytes, says: str) -> None:
    """Packed bytes were said to be lines of an old Mac, and each line of one object to be no JSON."""
    file = tmp_path / "events.ndjson"
    file.write_bytes(content)
    told = run("replay", file)
    assert (told.code, told.out) == (SETTINGS, "")
    assert f"{file}: " in told.err
    assert says in told.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is Linux's")
def test_a_full_disk_is_told_in_one_line(run: Run, events: Path, segments: Path) -> None:
    """Whatever was to be written is not whole."""
    told = run_apart("replay", events, "--segments", segments, "--changes", "/dev/full")
    assert told.returncode == SETTINGS
    assert told.stderr.decode().splitlines() == ["/dev/full: cannot be written: No space left on device"]


# options


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--format", "ga5"), "expected one of streamer, segment,"),
        (("--until", "soon"), "expected a date such as 2026-01-31"),
        (("--lateness", "a day"), "expected a duration such as '30m'"),
        (("--batch", "0"), "--batch"),
    ],
)
def test_an_option_that_is_none_says_what_could_be(run: Run, events: Path, options: tuple[str, ...], says: str) -> None:
    """Wrong use has an exit code of its own."""
    told = run("replay", events, *options)
    assert told.code == WRONG_USE
    assert says in told.err


def test_a_mapping_that_is_none_says_which_there_are(run: Run, events: Path) -> None:
    """A name is typed from memory."""
    told = run("replay", events, "--mapping", "oto")
    assert told.code == NO
    assert "no such mapping (name a .yaml file, or one that ships with us: online_retail, otto, rees46)" in told.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "expected a file or a folder of definitions, found nothing there"),
        ("segments: {a: {for: x, when: 'coutn(\"E\") >= 1'}}", "did you mean"),
        ("segments: [", "segments.yaml:2:1: expected YAML"),
    ],
)
def test_definitions_that_are_wrong_are_told_with_their_place(run: Run, events: Path, tmp_path: Path, text: str | None, says: str) -> None:
    """The same words as of `segments check`."""
    path = tmp_path / "segments.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    told = run("replay", events, "--segments", path)
    assert told.code == NO
    assert says in told.err


# whoever reads us


def test_whoever_stops_reading_is_no_error(segments: Path, tmp_path: Path) -> None:
    """`| head -1` is how one looks at a long output; more than a pipe holds must have been left unread for this to say anything."""
    file = tmp_path / "events.ndjson"
    file.write_bytes(ndjson([event(f"c-{number}", "Order Completed", "2026-01-01T00:00:00Z") for number in range(2_000)]))
    command = [sys.executable, "-m", "streamer", "replay", str(file), "--segments", str(segments), "--changes", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"{")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_a_terminal_that_is_none_gets_no_progress_bar(events: Path, segments: Path) -> None:
    """A log file full of bars helps nobody."""
    told = run_apart("replay", events, "--segments", segments)
    assert told.returncode == 0
    assert b"\x1b" not in told.stderr
    assert b"replaying" not in told.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_terminal_gets_a_bar_on_standard_error_alone(segments: Path, tmp_path: Path) -> None:
    """On a long input one wants to know how long; what is piped on must stay clean."""
    file = tmp_path / "events.ndjson"
    file.write_bytes(ndjson([event(f"c-{number}", "E", "2026-01-01T00:00:00Z") for number in range(5_000)]))
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "streamer", "replay", str(file), "--segments", str(segments), "--json"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, cwd=ROOT, env=environment) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 65_536)
            except OSError:  # the other end is closed
                break
        assert process.stdout is not None
        assert json.loads(process.stdout.read())["received"] == 5_000
        assert process.wait(60) == 0
    os.close(ours)
    assert b"replaying" in shown
    assert b"5,000 events" in shown
