"""How much memory requests may take together: the bodies that are being read, and what Kafka has not acknowledged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from streamer.transports.kafka.event_writer import Record

from .answers import RequestError
from .limits import KAFKA_SILENT_SECONDS, CollectorLimits


class RecordSink(Protocol):
    """Where records go: ``transports.kafka.event_writer.EventWriter``."""

    in_flight_records: int
    in_flight_bytes: int

    @property
    def failing_seconds(self) -> float:
        """How long nothing has been taken; 0 while something is."""
        ...

    async def write(self, records: Iterable[Record]) -> None:
        """Return when each record is safe. ``NotWrittenError`` otherwise."""
        ...


class Room:
    """What is taken, of what may be taken."""

    def __init__(self, sink: RecordSink, limits: CollectorLimits) -> None:
        self.body_bytes = 0
        self._sink = sink
        self._limits = limits

    @property
    def bytes(self) -> int:
        """All that is held."""
        return self.body_bytes + self._sink.in_flight_bytes

    def check(self) -> None:
        """RequestError where nothing more is taken in, before anything of a request is read."""
        if self._sink.failing_seconds > KAFKA_SILENT_SECONDS and self._sink.in_flight_records:
            raise RequestError("kafka_away", "Kafka takes no events at the moment; come back")  # the first one in flight tries for all
        self.check_events(1)
        self.check_bytes(0)

    def check_events(self, events: int) -> None:
        """RequestError where so many more are too many."""
        if self._sink.in_flight_records + events > self._limits.in_flight_events:
            raise RequestError("overloaded", "more events are on their way than may be; come back")

    def check_bytes(self, size: int) -> None:
        """RequestError where so many more are too many."""
        if self.bytes + size > self._limits.in_flight_bytes:
            raise RequestError("overloaded", "more bytes are on their way than may be; come back")


class Hold:
    """What one request holds of the room, until it is over."""

    __slots__ = ("_room", "size")

    def __init__(self, room: Room) -> None:
        self._room = room
        self.size = 0

    def take(self, size: int) -> None:
        """Hold so much more; RequestError where there is no room."""
        self._room.check_bytes(size)
        self._room.body_bytes += size
        self.size += size

    def release(self) -> None:
        """Let go of all of it."""
        self._room.body_bytes -= self.size
        self.size = 0
