"""The bytes of a customer's state, which Redis keeps over many versions of the code."""

from __future__ import annotations

from typing import Final

import pytest

from streamer.customers.model_data import NOT_SERVED, OPEN, AwaitedExample, KeptScore, awaited_of, score_of
from streamer.customers.profile import Profile, profile_of
from streamer.customers.state import Membership, State, decode_state, encode_state, is_entry

pytestmark = pytest.mark.fast

STATE: Final = State(
    generation=3,
    origin_ms=1_767_225_600_000,
    timer_ms=1_800_000,
    slots={0: 0, 4: [None, -2_000, 125_000, 1]},
    members={0: Membership(1, 0), 7: Membership(4, 61_000)},
    seen=b"\x01\x02",
    floor_ms=-86_400_000,
    retired={"old": 3},
    truth_bits={0: 1},
)
KEPT: Final = bytes.fromhex(
    "dc001003cf0000019b76daa800ce001b77408200000494c0d1f830ce0001e848018200920100079204cdee48c4020102d2fad9a40081a36f6c64038100010080c0c0c0ffc400"
)

PROFILE: Final = Profile(
    first_ms=1_767_225_600_000,
    last_ms=1_767_227_979_000,
    gap_ms=61_000,
    said_ms=0,
    device=1,
    session_at_ms=1_767_225_600_000,
    session_events=40,
    products=[1, 2, 3, 4, 5, 6, 7, 8],
    view_at_ms=1_767_227_552_000,
    cart_at_ms=1_767_227_613_000,
    order_at_ms=1_767_227_674_000,
    orders=5,
    spend=625_000,
    views_day=4_954,
    carts_day=4_956,
    searches_day=4_960,
    views_month=5_000,
    carts_month=5_000,
    orders_month=5_000,
    spend_month=62_479,
    refunds_month=5_000,
    coupons_month=5_000,
    removes_month=5_000,
)
KEPT_PROFILE: Final = bytes.fromhex(
    "dc00100100cf00100000000000008103dc0017cf0000019b76daa800cf0000019b76fef4f8cdee480001cf0000019b76daa80028980102030405060708cf0000019b76"
    "f87100cf0000019b76f95f48cf0000019b76fa4d9005ce00098968cd135acd135ccd1360cd1388cd1388cd1388cdf40fcd1388cd1388cd138880c400c080800080c0c0c0ffc400"
)
KEPT_ANSWERS: Final = bytes.fromhex(
    "dc00100100cf0010000000000000830396cf0000019b76daa800ff00000092cd03e8cd09c40493cd1068cd26ac070593a3626967020880c400c080800080c0c0c0ffc400"
)


def test_a_state_has_the_bytes_it_always_had() -> None:
    """A running deployment has these in Redis: other bytes for the same state would be another checkpoint."""
    assert encode_state(STATE) == KEPT
    assert decode_state(KEPT) == STATE


def test_what_models_remember_has_the_bytes_it_always_had() -> None:
    """It is a list of numbers to the state, and a struct to whoever reads it."""
    assert encode_state(State(generation=1, slots={3: PROFILE})) == KEPT_PROFILE
    assert profile_of(decode_state(KEPT_PROFILE).slots[3]) == PROFILE
    awaited, score = AwaitedExample(1_767_225_600_000, NOT_SERVED, 0, OPEN, 0, [1_000, 2_500]), KeptScore(4_200, 9_900, 7)
    group = KeptScore("big", 2, 8)
    assert encode_state(State(generation=1, slots={3: awaited, 4: score, 5: group})) == KEPT_ANSWERS
    slots = decode_state(KEPT_ANSWERS).slots
    assert (awaited_of(slots[3]), score_of(slots[4]), score_of(slots[5])) == (awaited, score, group)


def test_a_customer_is_inside_after_an_odd_number_of_changes() -> None:
    """Changes alternate, and the first of them is an entry."""
    assert (STATE.is_inside(0), STATE.is_inside(7), STATE.is_inside(1)) == (True, False, False)
    assert [is_entry(sequence) for sequence in (1, 2, 3)] == [True, False, True]
