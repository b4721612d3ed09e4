"""What was said of one customer under each of their ids, as a record carries it: the events as they came, and when each of them arrived.

It is told anew by whoever reads the record, under whatever definitions they have: so lanes, rebuilds and previews need nothing but the
record. See ``unmerging``.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Final, NamedTuple

import msgspec

from streamer.errors import RefusedError
from streamer.events.codec import decode
from streamer.events.event import Event
from streamer.events.placeholders import settle_customer
from streamer.wire import unpacked

EVENTS_MAX: Final = 20_000  # of both customers: a shard stands still for as long as they are told anew, about a second


class ArrivedEvent(msgspec.Struct, array_like=True, frozen=True):
    """An event as its producer wrote it, and when it arrived in the shard of its own id (log time, UTC milliseconds)."""

    arrival_ms: int
    event: msgspec.Raw


class OwnPast(msgspec.Struct, frozen=True):
    """The ids of one customer, that by which they go among them, and all events of these, in the order of their arrival."""

    ids: list[str]
    events: list[ArrivedEvent]


class ToldEvent(NamedTuple):
    """One of them, read; ``event`` is of the customer, under whichever of their ids it came."""

    arrival_ms: int
    event: Event


encode_past: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(OwnPast)


def read_past(packed: str) -> OwnPast:
    """What a record carries; RefusedError where that is none."""
    try:
        return _decoder.decode(unpacked(packed))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError("bad_control", path="$.packed", detail=f"{error}"[:200]) from None


def told_of(past: OwnPast, customer: str, placeholders: Container[str]) -> Sequence[ToldEvent]:
    """The events of ``past``, as those of ``customer``; RefusedError where one of them is none."""
    told = [ToldEvent(one.arrival_ms, _of(settle_customer(decode(bytes(one.event)), placeholders), customer)) for one in past.events]
    return sorted(told, key=lambda one: one.arrival_ms)


def _of(event: Event, customer: str) -> Event:
    return event if event.customer == customer else msgspec.structs.replace(event, user_id=customer, anonymous_id=None)
