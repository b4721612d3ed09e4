"""Somebody was erased before history of them is brought in: what stays gone, each with its right value by hand.

An erasure is of all ids that the log ties to the one that it names. What only history ties together is tied where history is brought.
"""

from __future__ import annotations

from typing import Final

from tests.property.persons import Act
from tests.property.test_history_ids import ANN, BEGIN_MS, DAY_MS, PHONE, act, orders, told

PAST: Final = [orders(-9, anonymousId=PHONE), act(-8, event="Login", userId=ANN, anonymousId=PHONE), orders(-7, userId=ANN)]
LOGIN: Final = act(1, event="Login", userId=ANN, anonymousId=PHONE)


def erases(day: int, customer: str) -> Act:
    """The log is told to forget somebody."""
    return Act(BEGIN_MS + day * DAY_MS, {"control": "erase", "customer": customer})


def arrives(day: int) -> list[Act]:
    """What shards have sent each other is published and read."""
    return [Act(BEGIN_MS + day * DAY_MS, None, choice) for choice in (3, 7) * 3]


def test_history_of_ids_that_the_log_tied_together_stays_gone_under_each() -> None:
    """She had logged in on the phone; whichever of the two was erased."""
    for customer in (ANN, PHONE):
        once, twice = told(PAST, LOGIN, *arrives(2), erases(10, customer), *arrives(11))
        assert (once, twice) == ({}, {}), customer


def test_history_of_an_id_that_the_log_had_not_tied_to_them_stays_gone_where_it_is_erased_too() -> None:
    """As operators are told to do who have more to bring: each id that they know of."""
    once, twice = told(PAST, orders(1, userId=ANN), orders(2, anonymousId=PHONE), erases(10, ANN), erases(10, PHONE), *arrives(11))
    assert (once, twice) == ({}, {})


def test_an_id_that_only_history_ties_to_somebody_erased_is_forgotten_once_it_is_erased() -> None:
    """The erasure did not reach the phone, which the log had not seen: history of it comes in, and goes with an erasure of its own."""
    before = orders(1, userId=ANN), erases(10, ANN), *arrives(11)
    assert told(PAST, *before) == [{PHONE: [1]}, {PHONE: [1, 1]}]
    _, twice = told(PAST, *before, erases(70, PHONE))
    assert twice == {}


def test_whoever_comes_again_after_an_erasure_has_what_they_did_since() -> None:
    """On the same phone, before history is brought: none of it is theirs."""
    again = act(20, event="Login", userId=ANN, anonymousId=PHONE), *arrives(21), orders(22, anonymousId=PHONE)
    for customer in (ANN, PHONE):
        once, twice = told(PAST, LOGIN, *arrives(2), erases(10, customer), *arrives(11), *again)
        assert (once, twice) == ({ANN: [1]}, {ANN: [1, 1]}), customer
