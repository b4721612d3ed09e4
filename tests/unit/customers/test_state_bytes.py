"""The bytes of a customer's state, which Redis keeps over many versions of the code."""

from __future__ import annotations

from typing import Final

import pytest

from streamer.customers.state import Membership, State, decode_state, encode_state, is_entry

pytestmark = pytest.mark.fast

STATE: Final = State(
    generation=3,
    armed_ms=1_767_225_600_000,
    slots={0: 1_767_225_600_000, 4: [0, 1_767_225_600_000, 125_000, 1]},
    members={0: Membership(1, 1_767_225_600_000), 7: Membership(4, 1_767_225_661_000)},
    seen=b"\x01\x02",
    floor_ms=5,
    retired={"old": 3},
    truths={0: 1},
)
KEPT: Final = bytes.fromhex(
    "9903cf0000019b76daa8008200cf0000019b76daa800049400cf0000019b76daa800ce0001e8480182009201cf0000019b76daa800079204cf0000019b76db9648"
    "c40201020581a36f6c640381000100"
)


def test_a_state_has_the_bytes_it_always_had() -> None:
    """A running deployment has these in Redis: other bytes for the same state would be another checkpoint."""
    assert encode_state(STATE) == KEPT
    assert decode_state(KEPT) == STATE


def test_a_customer_is_inside_after_an_odd_number_of_changes() -> None:
    """Changes alternate, and the first of them is an entry."""
    assert (STATE.is_inside(0), STATE.is_inside(7), STATE.is_inside(1)) == (True, False, False)
    assert [is_entry(sequence) for sequence in (1, 2, 3)] == [True, False, True]
