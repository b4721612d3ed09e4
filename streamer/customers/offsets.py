"""Where in the log of its shard the records of a state lie: so few bytes that the state itself can carry them.

By them one customer is folded anew without reading the records of all others: their past, the audit, a state that cannot be read.
Of each record it is kept how far log time was ahead of the record's own arrival, which is 0 unless the broker's clock went back:
log time is that of the whole log, and cannot be told from the records of one customer.

Six bytes with the newest offset; then for each record, oldest first, twice the distance to the one before it (the first one: 0), in as
many bytes as it takes, seven bits each, the lowest first. Where log time was not the arrival it is one more, and a second number says
how far: even ones ahead, odd ones behind. So another record costs one to three bytes, and none that are there change.
"""

from __future__ import annotations

from typing import Final, NamedTuple

NEWEST_BYTES: Final = 6
BYTES_MAX: Final = 3 * 4_096  # about 4,096 records; every event of a customer reads and writes all of it
TOO_MANY: Final = b""  # there were more: where they lie is not kept any more


class RecordPlace(NamedTuple):
    """Where a record lies, and how many milliseconds log time was ahead of its arrival (as amended)."""

    offset: int
    ahead_ms: int


def first(offset: int, ahead_ms: int) -> bytes:
    """The offsets of a state that begins with this record."""
    return offset.to_bytes(NEWEST_BYTES, "big") + _entry(0, ahead_ms)


def followed(offsets: bytes, offset: int, ahead_ms: int, *, bytes_max: int = BYTES_MAX) -> bytes:
    """The same with one more record, which is not below the newest; ``TOO_MANY`` where that is too long, and from then on."""
    if len(offsets) >= bytes_max or not offsets:
        return TOO_MANY
    gap = offset - int.from_bytes(offsets[:NEWEST_BYTES], "big")
    if gap == 0:
        return offsets
    number = gap << 1
    if ahead_ms or number >= 0x200000:
        entry = _entry(gap, ahead_ms)
    elif number < 0x80:  # the usual sizes without a loop or a call: each accepted event comes here
        entry = bytes((number,))
    elif number < 0x4000:
        entry = bytes((number & 0x7F | 0x80, number >> 7))
    else:
        entry = bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
    return offset.to_bytes(NEWEST_BYTES, "big") + offsets[NEWEST_BYTES:] + entry


def places(offsets: bytes) -> list[RecordPlace]:
    """All of them, ascending. ValueError for what is none."""
    if len(offsets) <= NEWEST_BYTES:
        raise ValueError("no offsets")
    numbers = iter(_numbers(offsets[NEWEST_BYTES:]))
    gaps = [(number >> 1, _signed(next(numbers)) if number & 1 else 0) for number in numbers]
    offset = int.from_bytes(offsets[:NEWEST_BYTES], "big") - sum(gap for gap, _ in gaps)
    found: list[RecordPlace] = []
    for gap, ahead_ms in gaps:
        offset += gap
        found.append(RecordPlace(offset, ahead_ms))
    if found[0].offset < 0:
        raise ValueError("no offsets")
    return found


def _entry(gap: int, ahead_ms: int) -> bytes:
    if ahead_ms == 0:
        return _number(gap << 1)
    return _number(gap << 1 | 1) + _number(ahead_ms << 1 if ahead_ms > 0 else -ahead_ms << 1 | 1)


def _number(number: int) -> bytes:
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _numbers(raw: bytes) -> list[int]:
    found: list[int] = []
    number = shift = 0
    for byte in raw:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(number)
            number = shift = 0
    if shift:
        raise ValueError("the last number has no end")
    return found


def _signed(number: int) -> int:
    return -(number >> 1) if number & 1 else number >> 1
