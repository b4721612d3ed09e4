"""Nothing from outside reaches a terminal as a command: every command is fed with escape sequences, and its bytes are read."""

from __future__ import annotations

import ast
import json
import os
import pty
import subprocess
import sys
import tomllib
from pathlib import Path
from unicodedata import category

import pytest
from rich.console import Console

from streamer.collector.keys import read_keys
from streamer.demo.screen import change_lines
from streamer.demo.seen import Shown
from streamer.printable import printable, printable_json
from streamer.segments.change import Change, decode_change
from tests.cli.conftest import ROOT, Run, event, ndjson

EVIL = "\x1b[2J\x1b]0;PWNED\x07\x9b31m\u202e\u2066\u200e\u061c\u2028\x85\x7fevil"
SEGMENTS = """
segments:
  gold: {for: "Turned\\u202eround.", when: 'exists(trait("plan"))'}
  never: {for: Nobody., when: 'hour() == 1 and hour() == 2'}
"""
FOR_EVIL = f"segments: {{a: {{for: {json.dumps(EVIL)}, when: did(A)}}}}"
WHEN_EVIL = f"segments: {{a: {{for: x, when: {json.dumps(f'did({EVIL})')}}}}}"


def is_safe(text: str) -> bool:
    """Only lines of printable characters; joiners are letters' business."""
    return all(one == "\n" or one in "\u200c\u200d" or category(one) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for one in text)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Hostile events and hostile definitions."""
    events, segments = tmp_path / "events.ndjson", tmp_path / "segments.yaml"
    told = [event("anna", "Product Viewed", "2026-01-01T10:00:00Z", traits={"plan": EVIL}, properties={"note": EVIL})]
    events.write_bytes(ndjson(told) + json.dumps({"event": EVIL, "messageId": "x"}, ensure_ascii=False).encode() + b"\n")
    segments.write_text(SEGMENTS, encoding="utf-8")
    return events, segments


@pytest.mark.parametrize("options", [[], ["--json"], ["--segment", EVIL]])
def test_explain_is_safe_to_look_at(run: Run, files: tuple[Path, Path], options: list[str]) -> None:
    """A trait cleared the screen and set the title of whoever looked at its customer."""
    events, segments = files
    told = run("explain", "anna", "--events", events, "--segments", segments, *options)
    assert is_safe(told.out + told.err)
    assert "evil" in told.out + told.err
    if "--json" in options:
        assert EVIL in [clause["value"] for clause in told.lines()[0]["because"]]


def test_explain_of_a_hostile_id_is_safe_to_look_at(run: Run, files: tuple[Path, Path]) -> None:
    """Ids are pasted from logs."""
    told = run("explain", EVIL, "--events", files[0], "--segments", files[1])
    assert (told.code, is_safe(told.out + told.err)) == (3, True)


@pytest.mark.parametrize("options", [[], ["--json"], ["--quiet"]])
def test_replay_is_safe_to_look_at(run: Run, files: tuple[Path, Path], options: list[str]) -> None:
    """Summaries and hints; what is written for programs is looked at on a terminal below."""
    told = run("replay", files[0], "--segments", files[1], *options)
    assert is_safe(told.out + told.err)


def test_what_is_written_for_programs_is_safe_on_a_terminal_and_still_json(files: tuple[Path, Path]) -> None:
    """Into a pipe the bytes are those of the topic; on a terminal they are looked at, and copied from."""
    options = ["--changes", "-", "--rejects", "-", "--members"]
    command = [sys.executable, "-m", "streamer", "replay", files[0], "--segments", files[1], *options]
    ours, theirs = pty.openpty()
    subprocess.run(command, stdout=theirs, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, cwd=ROOT, timeout=60, check=True)
    os.close(theirs)
    looked_at = _read_all(ours).replace("\r\n", "\n")
    piped = subprocess.run(command, capture_output=True, cwd=ROOT, timeout=60, check=True).stdout.decode()
    assert is_safe(looked_at)
    assert not is_safe(piped), "the pipe was to carry what was sent"
    values = [json.loads(line) for line in looked_at.split("\n") if line]
    assert values == [json.loads(line) for line in piped.split("\n") if line]
    assert len(values) == 3


def _read_all(terminal: int) -> str:
    found = b""
    while True:
        try:
            part = os.read(terminal, 65_536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        found += part
    os.close(terminal)
    return found.decode()


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("text", [SEGMENTS, FOR_EVIL, WHEN_EVIL, f"{EVIL}: 1"], ids=["fine", "for", "when", "yaml"])
def test_check_is_safe_to_look_at(run: Run, tmp_path: Path, text: str, options: list[str]) -> None:
    """Errors quote what an author wrote."""
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    told = run("segments", "check", path, *options)
    assert is_safe(told.out + told.err)
    assert told.out


@pytest.mark.parametrize(
    "command",
    [
        ["config"],
        ["config", "--json"],
        ["doctor"],
        ["doctor", "--json"],
        ["erase", EVIL],
        ["explain", EVIL],
        ["models", "show", EVIL],
        ["models", "list"],
        ["models", "evaluate", EVIL, "--segments", EVIL],
        ["segments", "check", EVIL],
        ["segments", "publish", EVIL],
        ["replay", EVIL],
        ["replay", "-", "--format", EVIL],
        ["replay", "-", "--until", EVIL],
        ["worker"],
        [EVIL],
        [f"--{EVIL}"],
        ["segments", EVIL],
        ["replay", f"--{EVIL}"],
    ],
    ids=lambda command: " ".join(part if part != EVIL else "EVIL" for part in command)[:40],
)
def test_what_was_typed_or_set_comes_back_safe(run: Run, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    """Arguments and variables are pasted, and errors repeat them."""
    monkeypatch.setenv("STREAMER_SOURCE", EVIL)
    monkeypatch.setenv("STREAMER_KAFKA", f"127.0.0.1:1{EVIL}")
    monkeypatch.setenv("STREAMER_STORE", f"redis://127.0.0.1:1/{EVIL}")
    monkeypatch.setenv(f"STREAMER_{EVIL}", EVIL)
    told = run(*command)
    assert is_safe(told.out + told.err)
    assert told.out + told.err


def test_the_demos_screen_is_safe_to_look_at() -> None:
    """Its customers are invented; its definitions and product names are read from files."""
    data = {"segment": "gold", "definitions": 1, "at": "2026-01-01T00:00:00.000Z", "sequence": 1, "cause": {"kind": "event", "id": EVIL}}
    data |= {
        "because": [{"clause": EVIL, "holds": True, "value": EVIL}],
        "position": {"generation": 1, "shard": 0, "offset": 0, "ordinal": 0},
    }
    envelope = {"id": "1-0-0-0", "source": "/s", "type": "segment.entered", "subject": EVIL, "time": data["at"], "specversion": "1.0"}
    change: Change = decode_change(json.dumps({**envelope, "data": data}).encode())
    with (console := Console(width=200, color_system=None)).capture() as drawn:
        for line in change_lines(Shown(change, EVIL)):
            console.print(line)
    assert is_safe(drawn.get())
    assert drawn.get().count("evil") >= 3


def test_there_is_one_door() -> None:
    """A command that prints past it prints whatever a producer wrote."""
    past = [
        f"{file.name}:{node.lineno}"
        for file in sorted((ROOT / "streamer" / "cli").rglob("*.py"))
        if file.name not in {"terminal.py", "__init__.py"}
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"echo", "secho", "stdout", "print"}
    ]
    assert past == [], "streamer.cli.terminal is the door"


def test_ordinary_texts_stay_as_they_are() -> None:
    """Umlauts, Persian with its joiners, emoji of several parts, and spaces that do not break are no commands."""
    for text in ("Köln", "می‌خواهم", "👩‍👩‍👧", "1\u00a0000 €", "שלום", ""):
        assert printable(text) == text
        assert json.loads(printable_json(json.dumps(text, ensure_ascii=False))) == text
    assert json.loads(printable_json(json.dumps("\U000e0041", ensure_ascii=False))) == "\U000e0041", "a pair above U+FFFF"


def test_the_table_of_a_new_key_can_be_put_into_the_file(run: Run) -> None:
    """`streamer collect --new-key browser >> keys.toml`, as its help says: on one line it would be no TOML."""
    tables = [run("collect", "--new-key", kind).out for kind in ("browser", "server")]
    assert [key.kind for key in read_keys("".join(tables), "keys.toml").all] == ["browser", "server"]


def test_the_table_of_a_new_token_can_be_put_into_the_file(run: Run) -> None:
    """The same for readers."""
    assert tomllib.loads(run("serve", "--new-token", "read").out)
