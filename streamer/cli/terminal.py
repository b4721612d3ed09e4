"""The one door to the terminal: whatever a command prints goes through here, and nothing in it reaches the terminal as a command."""

from __future__ import annotations

import sys
from typing import IO

import msgspec
import typer

from streamer.printable import printable, printable_json


def echo(line: str = "", *, err: bool = False) -> None:
    """Print one line, on standard error where ``err``."""
    typer.echo(printable(line), err=err)


def echo_lines(text: str) -> None:
    """Print a text of several lines."""
    for line in text.split("\n"):
        echo(line)


def echo_json(value: object, *, err: bool = False) -> None:
    """Print a value as one line of JSON."""
    typer.echo(printable_json(msgspec.json.encode(value).decode()), err=err)


def write_json(out: IO[bytes], line: bytes) -> None:
    """Write a line of JSON that somebody will read by program: as it is into files and pipes, safe to look at on a terminal."""
    out.write((printable_json(line.decode()).encode() if out.isatty() else line) + b"\n")


def standard_output() -> IO[bytes]:
    """Standard output as bytes, for ``write_json``."""
    return sys.stdout.buffer
