"""What messages bring about, measured now and then in a process of its own: as ``streamer messages lift --since 30d`` says it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Final

import msgspec

from streamer.aside import done_aside
from streamer.errors import StreamerError, TooMuchError
from streamer.lift.report import Lift, lifts
from streamer.settings import Settings
from streamer.transports.kafka.trial_topics import read_trial
from streamer.units import DAY_MS

from .made_anew import MadeAnew

DAYS: Final = 30
RECORDS_MAX: Final = 200_000  # of decisions, and of events from the first of them on
SECONDS_MAX: Final = 60.0
OLD_SECONDS: Final = 600.0
AGAIN_SECONDS: Final = 30.0  # after one that could not be made


class MeasuredLifts(msgspec.Struct, frozen=True):
    """``at_ms`` (UTC): when it was measured, from the decisions of ``DAYS`` days before. ``is_too_much``: there was more than is read, or
    it took too long."""

    at_ms: int
    lifts: list[Lift]
    is_too_much: bool = False

    def of(self, message: str) -> Lift | None:
        """That of a message; None where nobody was sent it or held out."""
        return next((one for one in self.lifts if one.message == message), None)


_encode: Final = msgspec.msgpack.Encoder().encode
_moments: Final = msgspec.msgpack.Decoder(int)
_measured: Final = msgspec.msgpack.Decoder(MeasuredLifts | None)


class LiftHistory(MadeAnew[MeasuredLifts]):
    """The newest measurement, made anew in the background for those who ask, one at a time."""

    def __init__(self, measure: Callable[[int], Awaitable[MeasuredLifts | None]], now_ms: Callable[[], int]) -> None:
        super().__init__(lambda: measure(now_ms()), old_seconds=OLD_SECONDS, again_seconds=AGAIN_SECONDS)


async def measured_aside(settings: Settings, now_ms: int) -> MeasuredLifts | None:
    """The lift of now, measured in a process of its own; None where Kafka does not answer or the process ends without an answer."""
    try:
        raw = await done_aside(work, settings, _encode(now_ms), seconds_max=SECONDS_MAX)
    except TimeoutError:
        return MeasuredLifts(now_ms, [], is_too_much=True)
    return _measured.decode(raw) if raw else None


def work(connection: Connection, settings: Settings, raw: bytes) -> None:
    """What the process does."""
    connection.send_bytes(_encode(asyncio.run(_outcome(settings, _moments.decode(raw)))))
    connection.close()


async def _outcome(settings: Settings, now_ms: int) -> MeasuredLifts | None:
    try:
        return MeasuredLifts(now_ms, lifts(await read_trial(settings, since_ms=now_ms - DAYS * DAY_MS, records_max=RECORDS_MAX)))
    except TooMuchError:
        return MeasuredLifts(now_ms, [], is_too_much=True)
    except StreamerError:
        return None


__all__ = ["DAYS", "RECORDS_MAX", "LiftHistory", "MeasuredLifts", "measured_aside"]
