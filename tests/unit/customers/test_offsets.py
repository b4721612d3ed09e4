"""Where the records of a state lie: few bytes, and each record comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.customers.offsets import NEWEST_BYTES, TOO_MANY, RecordPlace, first, followed, places
from streamer.customers.state import Membership, State, encode_state, salvaged
from tests.property.effort import effort

GAPS = st.integers(1, 63) | st.integers(64, 8_191) | st.integers(8_192, 1 << 30)
AHEAD = st.just(0) | st.integers(-(1 << 40), 1 << 40)


def noted(start: RecordPlace, gaps: list[tuple[int, int]]) -> tuple[bytes, list[RecordPlace]]:
    offsets, expected = first(*start), [start]
    for gap, ahead_ms in gaps:
        expected.append(RecordPlace(expected[-1].offset + gap, ahead_ms))
        offsets = followed(offsets, *expected[-1])
    return offsets, expected


@given(start=st.builds(RecordPlace, st.integers(0, 1 << 40), AHEAD), gaps=st.lists(st.tuples(GAPS, AHEAD), max_size=40))
@effort()
def test_what_is_noted_comes_back(start: RecordPlace, gaps: list[tuple[int, int]]) -> None:
    """Any distances, and clocks that went back or ahead."""
    offsets, expected = noted(start, gaps)
    assert places(offsets) == expected


def test_a_customer_of_twenty_events_takes_sixty_bytes() -> None:
    """Where each 300,000th record is theirs, as in a shard of 300,000 customers who are all as busy; in visits it is less."""
    apart, _ = noted(RecordPlace(5_000_000_000, 0), [(300_000, 0)] * 19)
    in_visits, _ = noted(RecordPlace(5_000_000_000, 0), ([(40, 0)] * 4 + [(1_000_000, 0)]) * 3 + [(40, 0)] * 4)
    assert (len(apart), len(in_visits)) == (NEWEST_BYTES + 1 + 19 * 3, NEWEST_BYTES + 1 + 3 * 3 + 16)


def test_the_same_record_again_is_noted_once() -> None:
    """A record that switches a customer to other definitions may be their own event."""
    offsets, _ = noted(RecordPlace(7, 0), [(5, 0)])
    assert followed(offsets, 12, 0) == offsets


def test_too_many_are_not_kept_and_none_is_added_afterwards() -> None:
    """Half of them would be of no use, and each event reads and writes them."""
    offsets, count = first(0, 0), 1
    while offsets != TOO_MANY:
        offsets, count = followed(offsets, count * 70, 0), count + 1
    assert count > 4_096
    assert followed(TOO_MANY, 1_000_000, 0) == TOO_MANY


@pytest.mark.parametrize("damaged", [b"", b"12345", b"123456", b"\0\0\0\0\0\1\0\x80", b"\0\0\0\0\0\1\0\x08"])
def test_what_is_none_is_refused(damaged: bytes) -> None:
    """They may come from a state that is damaged."""
    with pytest.raises(ValueError, match=r"no offsets|no end"):
        places(damaged)


def test_of_a_state_that_cannot_be_read_they_may_still_be() -> None:
    """So folding it anew need not read a whole shard; where nothing can be read, it does."""
    offsets, expected = noted(RecordPlace(3, 0), [(9, 0)])
    blob = encode_state(State(1, members={0: Membership(1, 5)}, offsets=offsets))
    wrong = blob.replace(b"\xc0", b"\xa1x", 1)  # a text where there was a None
    assert wrong != blob
    assert salvaged(wrong) == expected
    for lost in (b"", b"\xc1", blob[:-3], encode_state(State(1)), b"\x80"):
        assert salvaged(lost) == []
