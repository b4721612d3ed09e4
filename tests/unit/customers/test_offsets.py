"""Where the records of a state lie: few bytes, and each record comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.customers.offsets import NOT_NOTED, TOO_MANY, RecordOffsets, RecordPlace, begin, follow, forget, packed, places, unpacked
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


def test_of_a_state_that_cannot_be_read_they_may_still_be() -> None:
    """So folding it anew need not read a whole shard; where nothing can be read, it does."""
    state, expected = noted(RecordPlace(3, 0), [(9, 0)])
    state.members[0] = Membership(1, 5)
    blob = encode_state(state)
    wrong = blob.replace(b"\xc0", b"\xa1x", 1)  # a text where there was a None
    assert wrong != blob
    assert salvaged(wrong) == expected
    for lost in (b"", b"\xc1", blob[:-3], encode_state(State(1)), b"\x80"):
        assert salvaged(lost) == []
