"""History that a server sends: what happened before the log began goes to the topic of history, and is folded once that is published.

What is refused is in the answer and becomes no dead letter, as what ``streamer import`` leaves out stands in its file of rejects alone.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from aiohttp import web

from streamer.errors import RefusedError, TooMuchError, UnansweredError
from streamer.events.adapters.outcome import Refusal
from streamer.events.codec import encode
from streamer.events.event import Event
from streamer.flow.replay import Arrival
from streamer.imports.requests import LogNotBegunError, NotTaken, RequestImporter
from streamer.telemetry.collector_metrics import CollectorMetrics

from .answers import RefusedElement, RequestError, answered
from .client_facts import ClientFacts, fill
from .intake import SKIPPED, Delivery, in_answer, outcomes_of
from .limits import FAIR_EVENTS, CollectorLimits
from .room import Room
from .routes import Route


class _ImportInBody(msgspec.Struct):
    import_: object = msgspec.field(name="import", default=None)


_peek: Final = msgspec.json.Decoder(_ImportInBody).decode


def says_import(route: Route, body: bytes) -> bool:
    """Whether a body in the form of Segment's SDKs says ``"import": true``."""
    if route.format_name != "segment_sdk" or b'"import"' not in body:
        return False
    try:
        return _peek(body).import_ is True
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


class HistoryIntake:
    """Takes deliveries into the topic of history."""

    def __init__(self, importer: RequestImporter, room: Room, limits: CollectorLimits, metrics: CollectorMetrics) -> None:
        self._importer = importer
        self._room = room
        self._limits = limits
        self._metrics = metrics

    async def take(self, delivery: Delivery) -> web.Response:
        """The answer, once all that is history and new of a delivery lies in the topic.

        RequestError and NotWrittenError where that is not so: the client has to come back with all of it. A strict delivery with an element
        that is refused writes nothing.
        """
        events, refused = await self._sort(delivery)
        if delivery.is_strict and refused:
            return answered(0, refused)
        self._room.check_events(len(events))
        try:
            taken = await self._importer.take(events, is_strict=delivery.is_strict)
        except LogNotBegunError as error:
            raise RequestError("log_not_begun", str(error)) from None
        except TooMuchError as error:
            raise RequestError("overloaded", str(error)) from None
        except UnansweredError as error:
            raise RequestError("kafka_away", str(error)) from None
        refused = sorted([*refused, *map(_refused, taken.left_out)], key=_place)
        self._metrics.accept(delivery.key_name, taken.written)
        is_nothing_done = delivery.is_strict and refused and not taken.written
        return answered(taken.written, refused, 0 if is_nothing_done else taken.was_there)

    async def _sort(self, delivery: Delivery) -> tuple[list[Arrival], list[RefusedElement]]:
        """The events of a body, each with its place as its line, and what is none."""
        events, refused = list[Arrival](), list[RefusedElement]()
        for number, outcome in enumerate(outcomes_of(delivery)):
            if number >= self._limits.request_events:
                raise RequestError("too_large", f"more than {self._limits.request_events} events in one request")
            if number % FAIR_EVENTS == FAIR_EVENTS - 1:
                await asyncio.sleep(0)
            found = outcome if isinstance(outcome, Refusal) else self._arrival(outcome, number, delivery.facts)
            if isinstance(found, Arrival):
                events.append(found)
            elif found.reason != SKIPPED:
                refused.append(in_answer(found, number))
        return events, refused

    def _arrival(self, event: Event, number: int, facts: ClientFacts) -> Arrival | Refusal:
        try:
            value = encode(fill(event, facts))
        except RefusedError as error:
            return Refusal.of(error)
        if len(value) > self._limits.event_bytes:
            return Refusal("too_large", detail=f"{len(value)} bytes, at most {self._limits.event_bytes} here")
        return Arrival(number, event.timestamp_ms, value)


def _refused(one: NotTaken) -> RefusedElement:
    return RefusedElement(one.error.reason, one.error.path, one.error.detail, one.event.line)


def _place(one: RefusedElement) -> int:
    return one.index
