"""Single records out of the bytes that a broker answers with."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from streamer.transports.kafka.record_picker import _take
from streamer.wire import LogRecord
from tests.property.effort import effort

LZ4 = 3


def batch(first: int, count: int) -> bytes:
    """A batch as a producer packs it and a broker numbers it."""
    builder = DefaultRecordBatchBuilder(2, LZ4, 0, -1, -1, -1, 1 << 20)
    for number in range(count):
        builder.append(number, 1_000 + number, b"key", b"value of %d" % (first + number), [])
    return first.to_bytes(8, "big") + bytes(builder.build())[8:]


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    gaps=st.lists(st.integers(0, 3), min_size=5, max_size=5),
    data=st.data(),
)
@effort(0.3)
def test_what_is_wanted_is_found_and_nothing_else(sizes: list[int], gaps: list[int], data: st.DataObject) -> None:
    """Over batches with places between them that markers of transactions took; what lies behind or before is not there."""
    begins, end = list[int](), 100
    for size, gap in zip(sizes, gaps, strict=False):
        begins.append(end + gap)
        end += gap + size
    there = {at for begin, size in zip(begins, sizes, strict=True) for at in range(begin, begin + size)}
    wanted = sorted(data.draw(st.sets(st.integers(90, end + 5), max_size=12)))
    found = dict[int, LogRecord]()
    raw = b"".join(batch(begin, size) for begin, size in zip(begins, sizes, strict=True))
    assert _take(raw, wanted, 100, found) == end
    assert {offset: record.value for offset, record in found.items()} == {at: b"value of %d" % at for at in wanted if at in there}
    assert all(offset == record.offset for offset, record in found.items())


def test_a_batch_that_is_cut_off_at_the_end_is_left_for_the_next_question() -> None:
    """The broker gives so many bytes, wherever they end."""
    found = dict[int, LogRecord]()
    assert _take(batch(5, 3) + batch(8, 9)[:-4], [6, 9], 5, found) == 8
    assert list(found) == [6]


def test_damaged_bytes_are_an_error_where_they_are_wanted() -> None:
    """And are not looked at where they are not."""
    sound, damaged = batch(5, 3), bytearray(batch(8, 3))
    damaged[-2] ^= 1
    found = dict[int, LogRecord]()
    assert _take(sound + damaged, [6], 5, found) == 11
    with pytest.raises(CorruptRecordException):
        _take(sound + damaged, [9], 5, found)
    assert list(found) == [6]
