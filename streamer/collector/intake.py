"""From a body to the log: each element an event or a dead letter, and the answer only when all of them are written."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from aiohttp import web

from streamer.errors import RefusedError
from streamer.events.adapters import adapt
from streamer.events.adapters.outcome import Outcome, Refusal
from streamer.events.admission import BODY_MAX_BYTES
from streamer.events.codec import encode
from streamer.events.event import Event
from streamer.events.sender import sender_of
from streamer.telemetry.collector_metrics import OPEN, CollectorMetrics
from streamer.transports.kafka.event_writer import Record, Records
from streamer.values import time_text
from streamer.wire import DeadLetter, Headers, raw_text

from .answers import RefusedElement, RequestError, answered
from .client_facts import ClientFacts, fill, with_kept_ips
from .fence import Fence
from .keys import WriteKey
from .limits import FAIR_EVENTS, CollectorLimits
from .rates import Rates
from .room import RecordSink, Room
from .routes import Route

SKIPPED: Final = "skipped"  # an empty list: nothing is wrong, and nothing is there
_INDEX: Final = re.compile(r"\$\.\w+\[([0-9]{1,9})\]|\$\[([0-9]{1,9})\]")


class Delivery(NamedTuple):
    """One request, its body read and its key found. ``key`` is None where none is needed."""

    route: Route
    body: bytes
    received_ms: int
    key: WriteKey | None
    facts: ClientFacts
    query: Mapping[str, str]
    headers: Mapping[str, str]
    is_strict: bool = False

    @property
    def key_name(self) -> str:
        """For metrics and the producer of dead letters."""
        return OPEN if self.key is None else self.key.name


class _Sorted(NamedTuple):
    """What a body holds."""

    records: list[Record]
    refused: list[RefusedElement]
    letters: list[Record]


class Intake:
    """Takes deliveries into the log."""

    def __init__(self, sink: RecordSink, shards: int, room: Room, limits: CollectorLimits, metrics: CollectorMetrics) -> None:
        self._sink = sink
        self._records = Records(shards)
        self._room = room
        self._limits = limits
        self._metrics = metrics
        self._rates = Rates()

    async def take(self, delivery: Delivery) -> web.Response:
        """The answer, once every event of it is in the log and every other element is a dead letter.

        RequestError and NotWrittenError where that is not so: the client has to come back with all of it, and what was written twice
        counts once. A strict delivery with an element that is refused writes nothing.
        """
        found = await self._sort(delivery)
        if not (delivery.is_strict and found.refused):
            count = len(found.records) + len(found.letters)
            if delivery.key is not None and delivery.key.is_public:
                self._rates.take(delivery.key, delivery.facts.address, count, len(delivery.body))
            self._room.check_events(count)
            await self._sink.write(found.records + found.letters)
            self._metrics.accept(delivery.key_name, len(found.records))
            self._metrics.refuse(delivery.key_name, (each.code for each in found.refused))
            return answered(len(found.records), found.refused)
        return answered(0, found.refused)

    async def _sort(self, delivery: Delivery) -> _Sorted:
        fence = Fence(delivery.key) if delivery.key is not None and delivery.key.is_public else None
        headers = () if delivery.key is None else delivery.key.headers
        found = _Sorted([], [], [])
        for number, outcome in enumerate(outcomes_of(delivery)):
            if number >= self._limits.request_events:
                raise RequestError("too_large", f"more than {self._limits.request_events} events in one request")
            if number % FAIR_EVENTS == FAIR_EVENTS - 1:
                await asyncio.sleep(0)
            refusal = outcome if isinstance(outcome, Refusal) else self._take_event(outcome, fence, headers, delivery.facts, found)
            if refusal is not None and refusal.reason != SKIPPED:
                found.refused.append(in_answer(refusal, number))
                found.letters.append(self._letter(refusal, delivery))
        return found

    def _take_event(self, event: Event, fence: Fence | None, headers: Headers, facts: ClientFacts, found: _Sorted) -> Refusal | None:
        try:
            if fence is not None:
                fence.check(event)
            record = self._records.of_event(fill(event, facts), headers)
            if len(record.value) > self._limits.event_bytes:
                raise RefusedError("too_large", detail=f"{len(record.value)} bytes, at most {self._limits.event_bytes} here")
        except RefusedError as error:
            return Refusal.of(error, encode(event))
        found.records.append(record)
        return None

    def _letter(self, refusal: Refusal, delivery: Delivery) -> Record:
        raw = _raw(refusal, delivery.body)
        sender = sender_of(raw)
        letter = DeadLetter(
            refusal.reason,
            refusal.path,
            refusal.detail,
            None,
            raw_text(with_kept_ips(raw, delivery.facts.keep_ip)),
            time_text(delivery.received_ms),
            sender.producer or f"write key {delivery.key_name}",
            delivery.route.format_name,
        )
        return self._records.of_letter(letter, sender.customer)


def outcomes_of(delivery: Delivery) -> Iterator[Outcome]:
    """What the adapter of its path makes of a body."""
    return adapt(
        delivery.body,
        format_name=delivery.route.format_name,
        received_ms=delivery.received_ms,
        kind=delivery.route.kind,
        query=delivery.query,
        headers=delivery.headers,
    )


def in_answer(refusal: Refusal, number: int) -> RefusedElement:
    """As the client is told; ``number`` counts what the body holds, where the path does not say which element it is."""
    found = _INDEX.match(refusal.path)
    return RefusedElement(refusal.reason, refusal.path, refusal.detail, int(found[1] or found[2]) if found is not None else number)


def _raw(refusal: Refusal, body: bytes) -> bytes:
    """The refused part as bytes; the whole body where it is refused whole."""
    if refusal.part is None:
        return body[:BODY_MAX_BYTES]
    return refusal.part if isinstance(refusal.part, bytes) else json.dumps(refusal.part).encode()
