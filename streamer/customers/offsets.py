"""Where in the log of its shard the records of a state lie: so few bytes, and so quickly added to, that the state itself can carry them.

By them one customer is folded anew without reading the records of all others: their past, the audit, a state that cannot be read.
Of each record it is kept how far log time was ahead of the record's own arrival, which is 0 unless the broker's clock went back:
log time is that of the whole log, and cannot be told from the records of one customer.

A number is the newest offset. Bytes are the gaps: for each record but the first, oldest first, its distance to the one before it, in one to
four bytes, lowest first, whose two lowest bits are how many bytes follow the first. Where log time was not the arrival, or the distance has
more than 30 bits, there are a zero byte and two longer numbers instead (seven bits a byte, lowest first): the distance, 0 for the first
record, and twice how far, one more where log time was behind. So another record costs one to three bytes, and none that are there change.

Records of history that was imported once the log had begun lie in a topic of their own. Where a customer has any, these stand before the
gaps, as a row that begins with a mark; nobody else pays for it. A lane that folds with history notes rows, see ``with_one_more``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

NOT_NOTED: Final = -1  # as the newest offset: it was not noted from the first record on
TOO_MANY: Final = -2  # as the newest offset: there were more, and where they lie is not kept any more
BYTES_MAX: Final = 3 * 4_096  # about 4,096 records; every event of a customer reads and writes all of it
NEWEST_BYTES: Final = 6  # of the newest offset, where both are one text of bytes
SHORT: Final = tuple(bytes((gap << 2,)) for gap in range(64))  # the first is never a distance: 0 is no other record
LONG: Final = SHORT[0]
HISTORY_MARK: Final = b"\x01\x00"  # a distance of 0 in two bytes, which is none: a row of history follows, behind its length
NO_ROW: Final = b""
TOO_MANY_ROW: Final = b"\x00"  # a row that has become too long; all others are longer than this


class RecordPlace(NamedTuple):
    """Where a record lies, and how many milliseconds log time was ahead of its arrival (as amended)."""

    offset: int
    ahead_ms: int


class RecordOffsets(NamedTuple):
    """Where records lie: the newest offset, and the gaps, before which those of history may stand."""

    newest: int = NOT_NOTED
    gaps: bytes = b""

    @property
    def is_kept(self) -> bool:
        """Whether they are known, all of them."""
        return self.newest >= 0


class Noting(Protocol):
    """What offsets are noted in: a state."""

    newest_offset: int
    offset_gaps: bytes


@dataclass(slots=True)
class NotedOffsets:
    """What offsets are noted in where that is no state."""

    newest_offset: int = NOT_NOTED
    offset_gaps: bytes = b""

    @property
    def offsets(self) -> RecordOffsets:
        """Both."""
        return RecordOffsets(self.newest_offset, self.offset_gaps)


def begin(noting: Noting, offset: int, ahead_ms: int) -> None:
    """It begins with this record."""
    noting.newest_offset = offset
    noting.offset_gaps = _long(0, ahead_ms) if ahead_ms else b""


def follow(noting: Noting, offset: int, ahead_ms: int, bytes_max: int = BYTES_MAX) -> None:
    """It has taken one more record, which is not below the newest; ``TOO_MANY`` where that is too long. Only where they are kept."""
    gap, gaps = offset - noting.newest_offset, noting.offset_gaps
    if ahead_ms and gap:
        noting.offset_gaps = gaps + _long(gap, ahead_ms)
    elif gap < 64:  # each accepted event comes here: no loop and no call of ours for the usual sizes
        if gap == 0:
            return
        noting.offset_gaps = gaps + SHORT[gap]
    elif gap < 0x4000:
        noting.offset_gaps = gaps + (gap << 2 | 1).to_bytes(2, "little")
    elif gap < 0x400000:
        noting.offset_gaps = gaps + (gap << 2 | 2).to_bytes(3, "little")
    else:
        noting.offset_gaps = gaps + (_long(gap, 0) if gap >> 30 else (gap << 2 | 3).to_bytes(4, "little"))
    noting.newest_offset = offset
    if len(gaps) >= bytes_max:
        noting.newest_offset, noting.offset_gaps = TOO_MANY, b""


def forget(noting: Noting, _offset: int, _ahead_ms: int) -> None:
    """It has taken one more record, and that is not noted: half of them would be of no use."""
    noting.newest_offset, noting.offset_gaps = NOT_NOTED, b""


def with_one_more(row: bytes, offset: int, ahead_ms: int) -> bytes:
    """A row with one more record, which is not below the newest: ``packed`` offsets, ``NO_ROW`` or ``TOO_MANY_ROW``."""
    if row == TOO_MANY_ROW:
        return row
    noted = NotedOffsets(*unpacked(row)) if row else NotedOffsets()
    if row:
        follow(noted, offset, ahead_ms)
    else:
        begin(noted, offset, ahead_ms)
    return packed(noted.offsets) if noted.newest_offset >= 0 else TOO_MANY_ROW


def set_history(noting: Noting, row: bytes) -> None:
    """The records of history are those of a row now, instead of any others. Only where offsets are kept, else nothing."""
    if noting.newest_offset < 0:
        return
    if row == TOO_MANY_ROW:
        noting.newest_offset, noting.offset_gaps = TOO_MANY, b""
        return
    _, gaps = _parts(noting.offset_gaps)
    noting.offset_gaps = HISTORY_MARK + _number_bytes(len(row)) + row + gaps if row else gaps


def history_places(offsets: RecordOffsets) -> list[RecordPlace]:
    """Those of history, ascending; log time is that to which history had come. ValueError for what is none."""
    row, _ = _parts(offsets.gaps)
    return places(unpacked(row)) if row else []


def places(offsets: RecordOffsets) -> list[RecordPlace]:
    """All of them but those of history, ascending. ValueError for what is none."""
    gaps = list(_gaps(_parts(offsets.gaps)[1]))
    if not gaps or gaps[0].offset:
        gaps.insert(0, RecordPlace(0, 0))  # the first record, whose arrival was log time
    offset = offsets.newest - sum(gap.offset for gap in gaps)
    if offset < 0 or not all(gap.offset for gap in gaps[1:]):
        raise ValueError("no offsets")
    found: list[RecordPlace] = []
    for gap, ahead_ms in gaps:
        offset += gap
        found.append(RecordPlace(offset, ahead_ms))
    return found


def packed(offsets: RecordOffsets) -> bytes:
    """Both as one."""
    return offsets.newest.to_bytes(NEWEST_BYTES, "big") + offsets.gaps


def unpacked(raw: bytes) -> RecordOffsets:
    """What ``packed`` has packed."""
    return RecordOffsets(int.from_bytes(raw[:NEWEST_BYTES], "big"), raw[NEWEST_BYTES:])


def _parts(gaps: bytes) -> tuple[bytes, bytes]:
    """The row of history, and the rest."""
    if not gaps.startswith(HISTORY_MARK):
        return NO_ROW, gaps
    size, at = _number(gaps, len(HISTORY_MARK))
    if size < NEWEST_BYTES or at + size > len(gaps):
        raise ValueError("no offsets of history")
    return gaps[at : at + size], gaps[at + size :]


def _gaps(raw: bytes) -> Iterator[RecordPlace]:
    at = 0
    while at < len(raw):
        if raw[at] == 0:
            gap, at = _number(raw, at + 1)
            ahead, at = _number(raw, at)
            yield RecordPlace(gap, -(ahead >> 1) if ahead & 1 else ahead >> 1)
            continue
        end = at + 1 + (raw[at] & 3)
        if end > len(raw):
            raise ValueError("the last distance has no end")
        yield RecordPlace(int.from_bytes(raw[at:end], "little") >> 2, 0)
        at = end


def _long(gap: int, ahead_ms: int) -> bytes:
    return LONG + _number_bytes(gap) + _number_bytes(ahead_ms << 1 if ahead_ms >= 0 else -ahead_ms << 1 | 1)


def _number_bytes(number: int) -> bytes:
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _number(raw: bytes, at: int) -> tuple[int, int]:
    """A number, and where the next thing begins."""
    number = shift = 0
    while at < len(raw):
        number |= (raw[at] & 0x7F) << shift
        shift += 7
        at += 1
        if raw[at - 1] < 0x80:
            return number, at
    raise ValueError("the last number has no end")
