"""What of the lines of files is history, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final

from streamer.errors import RefusedError, SettingsError
from streamer.events.alias import check_alias
from streamer.events.codec import decode
from streamer.events.event import Event
from streamer.events.placeholders import settle_customer
from streamer.flow.replay import Arrival
from streamer.values import time_text

AFTER: Final = "after_until"  # it happened when history was over
READ_BYTES: Final = 1 << 20

Refuse = Callable[[Arrival, RefusedError], None]


class Sifter:
    """Lets history through: events that happened before ``until_ms`` (UTC). The others go to ``refuse``. Each arrives when it happened,
    whatever its line says about when it was received, so that none is late."""

    def __init__(self, placeholder_ids: Iterable[str], until_ms: int, refuse: Refuse) -> None:
        self._placeholders = frozenset(placeholder_ids)
        self._until_ms = until_ms
        self._refuse = refuse

    def sift(self, arrivals: Iterable[Arrival]) -> Iterator[Arrival]:
        """Those that are history, each with its customer as its key."""
        for arrival in arrivals:
            try:
                event = decode(arrival.value)
            except RefusedError as error:
                self._refuse(arrival, error)
            else:
                yield from self.sift_read([(arrival, event)])

    def sift_read(self, read: Iterable[tuple[Arrival, Event]]) -> Iterator[Arrival]:
        """The same of arrivals whose events were read already, which nobody else has any more: a placeholder is taken out of them."""
        for arrival, event in read:
            try:
                self._check(event)
            except RefusedError as error:
                self._refuse(arrival, error)
            else:
                line, _, value, file, _, headers, control = arrival
                yield Arrival(line, event.timestamp_ms, value, file, event.customer.encode(), headers, control)

    def _check(self, event: Event) -> None:
        settle_customer(event, self._placeholders)
        if event.type == "alias":
            check_alias(event, self._placeholders)
        if event.timestamp_ms >= self._until_ms:
            raise RefusedError(AFTER, path="$.timestamp", detail=f"at or after {time_text(self._until_ms)}")


def name_of_import(files: Iterable[str], *options: str) -> str:
    """What names an import: the same files, read in the same way, give the same 16 digits. SettingsError where one cannot be read."""
    found = blake2b(digest_size=8)
    for digest in (*sorted(_digest(file) for file in files), *(option.encode() for option in options)):
        found.update(len(digest).to_bytes(4, "big") + digest)
    return found.hexdigest()


def _digest(file: str) -> bytes:
    found = blake2b(digest_size=16)
    try:
        with Path(file).open("rb") as source:
            while part := source.read(READ_BYTES):
                found.update(part)
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from None
    return found.digest()


__all__ = ["AFTER", "Refuse", "Sifter", "name_of_import"]
