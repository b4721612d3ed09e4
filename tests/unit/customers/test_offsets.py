"""Where the records of a state lie: few bytes, and each record comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.customers.offsets import (
    NO_ROW,
    NOT_NOTED,
    TOO_MANY,
    TOO_MANY_ROW,
    RecordOffsets,
    RecordPlace,
    begin,
    follow,
    forget,
    history_places,
    packed,
    places,
    set_history,
    unpacked,
    with_one_more,
)
from streamer.customers.state import Membership, State, decode_state, encode_state, salvaged
from tests.property.effort import effort

GAPS = st.integers(1, 63) | st.integers(64, 16_383) | st.integers(16_384, 1 << 22) | st.integers(1 << 22, 1 << 34)
AHEAD = st.just(0) | st.integers(-(1 << 40), 1 << 40)


def noted(start: RecordPlace, gaps: list[tuple[int, int]]) -> tuple[State, list[RecordPlace]]:
    state, expected = State(1), [start]
    begin(state, *start)
    for gap, ahead_ms in gaps:
        expected.append(RecordPlace(expected[-1].offset + gap, ahead_ms))
        follow(state, *expected[-1])
    return state, expected


@given(start=st.builds(RecordPlace, st.integers(0, 1 << 40), AHEAD), gaps=st.lists(st.tuples(GAPS, AHEAD), max_size=40))
@effort()
def test_what_is_noted_comes_back(start: RecordPlace, gaps: list[tuple[int, int]]) -> None:
    """Any distances, and clocks that went back or ahead."""
    state, expected = noted(start, gaps)
    assert places(decode_state(encode_state(state)).offsets) == expected
    assert unpacked(packed(state.offsets)) == state.offsets


ROWS = st.lists(st.tuples(GAPS, AHEAD), max_size=20)


def row_of(start: RecordPlace, gaps: list[tuple[int, int]]) -> tuple[bytes, list[RecordPlace]]:
    expected = [start]
    for gap, ahead_ms in gaps:
        expected.append(RecordPlace(expected[-1].offset + gap, ahead_ms))
    row = NO_ROW
    for place in expected:
        row = with_one_more(row, *place)
    return row, expected


@given(start=st.builds(RecordPlace, st.integers(0, 1 << 40), AHEAD), gaps=ROWS, rows=st.lists(ROWS, min_size=1, max_size=3), more=ROWS)
@effort()
def test_those_of_history_come_back_beside_them(
    start: RecordPlace, gaps: list[tuple[int, int]], rows: list[list[tuple[int, int]]], more: list[tuple[int, int]]
) -> None:
    """Of the newest row, and whatever follows in the log; without a row the bytes are those of who never had any."""
    state, expected = noted(start, gaps)
    before = encode_state(state)
    for number, of_history in enumerate(rows):
        row, found = row_of(RecordPlace(number, 0), of_history)
        set_history(state, row)
        assert (history_places(state.offsets), places(state.offsets)) == (found, expected)
    for gap, ahead_ms in more:
        expected.append(RecordPlace(expected[-1].offset + gap, ahead_ms))
        follow(state, *expected[-1])
    decoded = decode_state(encode_state(state))
    assert (history_places(decoded.offsets), places(decoded.offsets)) == (history_places(state.offsets), expected)
    if not more:
        set_history(state, NO_ROW)
        assert encode_state(state) == before


def test_a_row_of_history_takes_nine_bytes_and_those_of_its_records() -> None:
    """Ten records of history and ten of the log are 49 bytes where each 16,000th is theirs; whoever has no history pays nothing."""
    base, counts = len(encode_state(State(1))), {}
    for of_history, of_log in ((10, 10), (20, 1), (0, 20)):
        state, _ = noted(RecordPlace(3_000_000_000, 0), [(16_000, 0)] * (of_log - 1))
        set_history(state, row_of(RecordPlace(7, 0), [(16_000, 0)] * (of_history - 1))[0] if of_history else NO_ROW)
        counts[of_history, of_log] = len(encode_state(state)) - base
    assert counts == {(10, 10): 49, (20, 1): 51, (0, 20): 42}


def test_a_row_of_history_that_is_too_long_ends_all_of_it() -> None:
    """A state that says where half of its records lie says nothing."""
    row, count = NO_ROW, 0
    while row != TOO_MANY_ROW:
        row, count = with_one_more(row, count * 70, 0), count + 1
    assert count > 4_096
    assert with_one_more(row, count * 70, 0) == TOO_MANY_ROW
    state, _ = noted(RecordPlace(7, 0), [(5, 0)])
    set_history(state, row)
    assert state.offsets == (TOO_MANY, b"")
    set_history(state, row_of(RecordPlace(1, 0), [])[0])
    assert state.offsets == (TOO_MANY, b""), "what is not known stays so"


def taken(offset: int, gaps: list[tuple[int, int]]) -> int:
    """The bytes that a state is longer by."""
    return len(encode_state(noted(RecordPlace(offset, 0), gaps)[0])) - len(encode_state(State(1)))


def test_a_customer_of_twenty_events_takes_sixty_bytes() -> None:
    """Where each 300,000th record is theirs, as in a shard of 300,000 customers who are all as busy and never come twice; in visits it is
    less, and so it is where 16,000 customers share a shard. Beyond 2^32 records in a shard it is four more."""
    in_visits = ([(40, 0)] * 4 + [(1_000_000, 0)]) * 3 + [(40, 0)] * 4
    offset = 3_000_000_000
    assert (taken(offset, [(300_000, 0)] * 19), taken(offset, in_visits), taken(offset, [(16_000, 0)] * 19)) == (61, 29, 42)


def test_the_same_record_again_is_noted_once() -> None:
    """A record that switches a customer to other definitions may be their own event."""
    state, expected = noted(RecordPlace(7, 0), [(5, 0)])
    for ahead_ms in (0, 3):
        follow(state, 12, ahead_ms)
    assert places(state.offsets) == expected


def test_too_many_are_not_kept() -> None:
    """Half of them would be of no use, and each event reads and writes them."""
    state, count = State(1), 1
    begin(state, 0, 0)
    while state.newest_offset != TOO_MANY:
        follow(state, count * 70, 0)
        count += 1
    assert count > 4_096
    assert state.offset_gaps == b""
    assert not state.offsets.is_kept


def test_where_it_is_turned_off_what_was_kept_ends_with_the_next_record() -> None:
    """It would not be whole."""
    state, _ = noted(RecordPlace(7, 0), [(5, 0)])
    forget(state, 13, 0)
    assert state.offsets == (NOT_NOTED, b"")


@pytest.mark.parametrize("gaps", [b"\5", b"\0", b"\0\x80\1", b"\0\1\x80", b"\x08", b"\4\0\0\4"])
def test_what_is_none_is_refused(gaps: bytes) -> None:
    """They may come from a state that is damaged."""
    with pytest.raises(ValueError, match=r"no offsets|no end"):
        places(RecordOffsets(1, gaps))


@pytest.mark.parametrize("gaps", [b"\1\0\x09abcdef", b"\1\0\2ab", b"\1\0\x80", b"\1\0\7\0\0\0\0\0\1\0"])
def test_what_is_no_row_of_history_is_refused(gaps: bytes) -> None:
    """Neither is whatever stands behind it."""
    with pytest.raises(ValueError, match=r"no offsets|no end"):
        history_places(RecordOffsets(1, gaps))


def test_of_a_state_that_cannot_be_read_they_may_still_be() -> None:
    """So folding it anew need not read a whole shard; where nothing can be read, it does."""
    state, expected = noted(RecordPlace(3, 0), [(9, 0)])
    state.members[0] = Membership(1, 5)
    blob = encode_state(state)
    wrong = blob.replace(b"\xc0", b"\xa1x", 1)  # a text where there was a None
    assert wrong != blob
    assert places(salvaged(wrong)) == expected
    for lost in (b"", b"\xc1", blob[:-3], encode_state(State(1)), b"\x80"):
        assert not salvaged(lost).is_kept
