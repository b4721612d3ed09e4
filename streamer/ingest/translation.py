"""A message of a shop, made into records of the log: its events, and a dead letter for each part that is none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import structlog
from structlog.typing import FilteringBoundLogger

from streamer.errors import RefusedError, place_of
from streamer.events.adapters.outcome import Outcome, Refusal
from streamer.events.codec import encode
from streamer.events.event import Event
from streamer.events.placeholders import settle_customer
from streamer.events.sender import sender_of
from streamer.settings import Settings
from streamer.transports.kafka.event_writer import Record, Records
from streamer.transports.kafka.source_consumer import SourceMessage
from streamer.values import time_text
from streamer.wire import DEAD_RAW_MAX, DeadLetter, Origin, raw_text

from .message_reader import MessageReader, format_of

SKIPPED: Final = "skipped"  # on purpose: nothing is wrong, and nothing is there
FAULT: Final = "fault"

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.ingest")


class Translated(NamedTuple):
    """What becomes of a message: ``records`` to write, of which ``events`` are events, and why parts of it are none."""

    records: list[Record]
    events: int
    reasons: list[str]


class Translation:
    """Translates messages. ``now_ms`` is the time of dead letters."""

    def __init__(self, settings: Settings, read: MessageReader, now_ms: Callable[[], int]) -> None:
        self._format = format_of(settings)
        self._placeholders = frozenset(settings.placeholder_ids)
        self._records = Records(settings.shards)
        self._read = read
        self._now_ms = now_ms

    def of(self, message: SourceMessage) -> Translated:
        """What becomes of it; nothing of it is lost. An error of ours costs this message alone: it is a dead letter, with all its parts."""
        try:
            return self._of_outcomes(message, self._read(message))
        except Exception as error:  # a fault of ours must not stop all that comes behind it
            where = place_of(error)
            at = {"topic": message.topic, "partition": message.partition, "offset": message.offset}
            log.error("fault", action="ingest", error=type(error).__name__, where=where, **at)
            refusal = Refusal(FAULT, "$", f"{type(error).__name__} in {where}")
            return Translated([self._letter(refusal, message)], 0, [FAULT])

    def _of_outcomes(self, message: SourceMessage, outcomes: Iterator[Outcome]) -> Translated:
        events: list[Record] = []
        refused: list[Refusal] = []
        for outcome in outcomes:
            found = outcome if isinstance(outcome, Refusal) else self._event(outcome)
            if isinstance(found, Refusal):
                refused.append(found)
            else:
                events.append(found)
        letters = [self._letter(refusal, message) for refusal in refused if refusal.reason != SKIPPED]
        return Translated([*events, *letters], len(events), [refusal.reason for refusal in refused])

    def _event(self, event: Event) -> Record | Refusal:
        """Its record in its customer's shard. An id that names nobody is no key: its events would lie in another shard than the one that
        remains, and be sent on."""
        try:
            return self._records.of_event(settle_customer(event, self._placeholders))
        except RefusedError as error:
            return Refusal.of(error, encode(event))

    def _letter(self, refusal: Refusal, message: SourceMessage) -> Record:
        raw = _raw(refusal, message)
        sender = sender_of(raw, message.headers)
        origin = Origin(message.topic, message.partition, message.offset)
        at = time_text(self._now_ms())
        letter = DeadLetter(refusal.reason, refusal.path, refusal.detail, origin, raw_text(raw), at, sender.producer, self._format)
        return self._records.of_letter(letter, sender.customer)


def _raw(refusal: Refusal, message: SourceMessage) -> bytes:
    """The refused part; the whole message where it is refused whole."""
    if refusal.part is None:
        return (message.value or b"")[:DEAD_RAW_MAX]  # as it lay, a frame around it included
    return refusal.part if isinstance(refusal.part, bytes) else json.dumps(refusal.part).encode()


__all__ = ["Translated", "Translation"]
