"""The time of an event by a device's own clock, which may be wrong: read, corrected by when the device says it sent, and marked.

A device stamps an event and, when it sends it, the request. The request reaches us at a moment that we know, so the difference is the
error of its clock (and the way of the request, which is short). What was done to a time stands in the context of its event.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from streamer.errors import RefusedError
from streamer.events.moments import instant_ms, within_years
from streamer.units import DAY_MS

JITTER_MS: Final = 2_000  # a difference below it is the way of the request, or a clock of whole seconds: correcting it would only add noise
OFFSET_MAX_MS: Final = DAY_MS  # some SDKs stamp the request when they first try to send it: an outage of a week is no error of the clock
_NAIVE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}[0-9:.]*", re.ASCII)


class DeviceTime(NamedTuple):
    """When something happened, ``offset_ms`` away from what the device said. ``is_bounded``: its clock is further off than that."""

    at_ms: int
    offset_ms: int = 0
    is_bounded: bool = False

    def marks(self) -> dict[str, object]:
        """What the context of the event says of it: nothing where nothing was done.

        >>> DeviceTime(1_000).marks(), DeviceTime(1_000, -3_600_000).marks()
        ({}, {'clock_offset_ms': -3600000})
        """
        marks: dict[str, object] = {"clock_offset_ms": self.offset_ms} if self.offset_ms else {}
        return {**marks, "clock_offset_bounded": True} if self.is_bounded else marks


def corrected(original_ms: int, sent_ms: int | None, received_ms: int | None) -> DeviceTime:
    """When it happened by our clock. ``original_ms`` and ``sent_ms`` are by the device's, ``received_ms`` by ours; None: not known.

    An error of less than ``JITTER_MS`` leaves the original as it is. A correction is at most ``OFFSET_MAX_MS``. Nothing comes out later
    than received, but for an original that is ahead by less than ``JITTER_MS``: events of one page keep their order.

    >>> corrected(7_200_000, 7_201_000, 3_601_000)  # one hour fast
    DeviceTime(at_ms=3600000, offset_ms=-3600000, is_bounded=False)
    """
    if received_ms is None:
        return DeviceTime(original_ms)
    error = 0 if sent_ms is None else received_ms - sent_ms
    offset = 0 if abs(error) < JITTER_MS else max(-OFFSET_MAX_MS, min(error, OFFSET_MAX_MS))
    at_ms = original_ms + offset
    if at_ms > received_ms and (offset or at_ms - received_ms >= JITTER_MS):
        at_ms = received_ms
    return DeviceTime(at_ms, at_ms - original_ms, abs(error) > OFFSET_MAX_MS)


def device_ms(value: object, *, path: str) -> int | None:
    """What a device's clock said, in milliseconds since 1970, which may be before; None where it said nothing.

    A time without a zone is UTC, as the SDKs that write one mean it. ``RefusedError`` with ``path`` for what is no time.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str) and _NAIVE.fullmatch(value):
        value = f"{value}Z"
    return instant_ms(value, path=path)


def device_ms_or_none(value: object) -> int | None:
    """The same, None for what is no time: a clock that only helps must not cost the event."""
    try:
        return device_ms(value, path="$")
    except RefusedError:
        return None


def in_years(time: DeviceTime, *, path: str) -> DeviceTime:
    """``time``, where it lies in the years 1970 to 9999; else ``RefusedError``."""
    within_years(time.at_ms, path=path)
    return time
