"""The command line as a user meets it: arguments in; exit code, standard output and standard error out."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from typer.testing import CliRunner

from streamer.cli import command_line

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA = Path(__file__).parents[1] / "data"
ROOT = Path(__file__).parents[2]

SEGMENTS = """
segments:
  viewer: {for: Looked twice within the hour., when: 'count("Product Viewed", within="1h") >= 2'}
  buyer: {for: Has bought., when: did("Order Completed")}
  lost: {for: Was not seen for a week., when: idle("*") >= "7d"}
"""


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def lines(self) -> list[Any]:
        """Standard output as JSON, a value a line."""
        return [json.loads(line) for line in self.out.split("\n") if line]  # U+2028 is a letter of a line


class Run(Protocol):
    """Runs a command in this process."""

    def __call__(self, *arguments: str | Path, stdin: bytes = b"") -> Outcome:
        """The outcome. An error that is no exit code is raised."""
        ...


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of whoever runs the tests are none of theirs."""
    for name in [name for name in os.environ if name.startswith("STREAMER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def run() -> Run:
    """Run a command in this process."""
    return run_here()


def run_here() -> Run:
    """What runs commands in this process."""
    app, runner = command_line(), CliRunner()

    def run(*arguments: str | Path, stdin: bytes = b"") -> Outcome:
        result = runner.invoke(app, [str(argument) for argument in arguments], input=stdin, catch_exceptions=False)
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


def run_apart(
    *arguments: str | Path, stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process of its own, as a shell does."""
    return subprocess.run(
        [sys.executable, "-m", "streamer", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        timeout=120,
        check=False,
    )


@pytest.fixture
def segments(tmp_path: Path) -> Path:
    """A small file of definitions."""
    path = tmp_path / "segments.yaml"
    path.write_text(SEGMENTS, encoding="utf-8")
    return path


def event(customer: str, what: str, at: str, number: int = 0, **more: Any) -> dict[str, Any]:
    """An event; its id is made of what it says."""
    return {"event": what, "messageId": f"{customer}-{what}-{at}-{number}", "userId": customer, "timestamp": at, **more}


EVENTS = [
    event("anna", "Product Viewed", "2026-01-01T10:00:00Z"),
    event("anna", "Product Viewed", "2026-01-01T10:10:00Z", properties={"product_id": "p-1"}),
    event("bert", "Product Viewed", "2026-01-01T10:20:00Z"),
    event("anna", "Order Completed", "2026-01-01T10:30:00Z", properties={"total": 17.5}),
    event("anna", "Order Completed", "2026-01-01T10:30:00Z", properties={"total": 17.5}),
    event("bert", "Product Viewed", "2026-01-01T12:00:00Z"),
]


def ndjson(events: list[dict[str, Any]] = EVENTS) -> bytes:
    """Events, one a line."""
    return b"".join(json.dumps(item).encode() + b"\n" for item in events)


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """A small file of events."""
    path = tmp_path / "events.ndjson"
    path.write_bytes(ndjson())
    return path


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """The same, gzipped."""
    path = tmp_path / "events.ndjson.gz"
    path.write_bytes(gzip.compress(ndjson()))
    return path
