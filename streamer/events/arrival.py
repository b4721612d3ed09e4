"""When an event arrived, as far as its own line says so: files and lists have no broker that stamps them.

Whatever may be read as an event may be asked here: also what the quick reader refuses, such as ``NaN`` or half of a surrogate pair in a
property that nobody reads.
"""

from __future__ import annotations

from typing import Final

import msgspec

from streamer.errors import RefusedError
from streamer.events.codec import read_object
from streamer.events.moments import moment_ms


class _Times(msgspec.Struct):
    received: object = msgspec.field(name="receivedAt", default=None)
    timestamp: object = None


_decode: Final = msgspec.json.Decoder(_Times).decode


def received_ms(raw: bytes) -> int | None:
    """UTC milliseconds of ``receivedAt``; None where there is none, or none from 1970 to 9999.

    >>> received_ms(b'{"timestamp": 5, "receivedAt": "1970-01-01T00:00:01Z", "properties": {"ratio": NaN}}')
    1000
    """
    return _moment_ms(_times(raw).received) if b'"receivedAt"' in raw else None


def arrival_ms(raw: bytes) -> int | None:
    """The same, or else of ``timestamp``.

    >>> arrival_ms(b'{"timestamp": "2016-12-31T23:59:60Z", "receivedAt": "soon"}')
    1483228800000
    """
    times = _times(raw)
    received = _moment_ms(times.received)
    return _moment_ms(times.timestamp) if received is None else received


def _times(raw: bytes) -> _Times:
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        fields = read_object(raw)
    except RefusedError:
        return _Times()
    return _Times(fields.get("receivedAt"), fields.get("timestamp"))


def _moment_ms(value: object) -> int | None:
    try:
        return moment_ms(value)
    except RefusedError:
        return None
