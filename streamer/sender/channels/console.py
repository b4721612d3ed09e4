"""The channel for trying out: each message as a page of text on the terminal, or as a line of JSON in a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from streamer.printable import printable, printable_json
from streamer.wire import is_customer

from . import Accepted, Attempt, Outgoing

ADDRESS_CHARS_MAX: Final = 320


class WrittenMessage(msgspec.Struct):
    """A message as it stands in the file."""

    id: str
    message: str
    customer: str
    address: str
    language: str
    direction: str
    subject: str
    text: str
    html: str
    unsubscribe_url: str


class ConsoleChannel:
    """Writes messages to ``write``, or to a file. What a customer gave is made safe for a terminal."""

    drops_repeats = False

    def __init__(self, write: Callable[[str], None], file: Path | None = None) -> None:
        self._write = write
        self._file = file

    def address(self, text: str) -> str | None:
        """Any name that a customer can have."""
        return text if is_customer(text) and len(text) <= ADDRESS_CHARS_MAX else None

    def domain(self, address: str) -> str:
        """Nothing is shared."""
        del address
        return ""

    async def send(self, outgoing: Outgoing) -> Attempt:
        """Write it."""
        if self._file is not None:
            await asyncio.to_thread(_append, self._file, line_of(outgoing))
        else:
            for line in page_of(outgoing):
                self._write(line)
        return Accepted()

    async def close(self) -> None:
        """Nothing is open."""


def page_of(outgoing: Outgoing) -> list[str]:
    """A message as lines for a person, safe for a terminal."""
    content = outgoing.content
    about = f"{outgoing.decision.data.message} to {outgoing.address} ({content.language}, {content.direction})"
    return [f"-- {printable(about)}", printable(content.subject), "", *map(printable, content.text.splitlines()), ""]


def line_of(outgoing: Outgoing) -> str:
    """A message as one line of JSON."""
    content = outgoing.content
    found = WrittenMessage(
        outgoing.id,
        outgoing.decision.data.message,
        outgoing.decision.customer,
        outgoing.address,
        content.language,
        content.direction,
        content.subject,
        content.text,
        content.html,
        outgoing.unsubscribe_url,
    )
    return printable_json(msgspec.json.encode(found).decode())


def _append(file: Path, line: str) -> None:
    with file.open("a", encoding="utf-8") as opened:
        opened.write(line + "\n")


__all__ = ["ConsoleChannel", "line_of", "page_of"]
