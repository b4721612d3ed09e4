"""A share of the customers, chosen by hash: who is in it is the same each time, and everything is exact on it.

What is counted on a share says about all by an interval. Each person is taken by a hash that knows nothing of them, so the number found is
binomial, and the interval is Wilson's, solved for the number of all.
"""

from __future__ import annotations

from collections.abc import Container
from hashlib import blake2b
from math import ceil, floor, sqrt
from typing import Final, NamedTuple

import msgspec

from streamer.events.alias import previous_id
from streamer.events.event import Event
from streamer.events.placeholders import is_placeholder

Z_95: Final = 1.959964  # of the normal distribution: 95 of 100 intervals hold the number


class Estimate(msgspec.Struct, frozen=True):
    """How many customers: the best guess, and the ends of an interval that 95 times in 100 holds the number. All three are equal where
    everybody was counted."""

    count: int
    low: int
    high: int


def estimate(found: int, fraction: float) -> Estimate:
    """What ``found`` customers of a share say about all.

    >>> estimate(17, 1.0), estimate(100, 0.1), estimate(0, 0.1)
    (Estimate(count=17, low=17, high=17), Estimate(count=1000, low=831, high=1204), Estimate(count=0, low=0, high=34))
    """
    if fraction >= 1:
        return Estimate(found, found, found)
    middle = 2 * found + Z_95**2 * (1 - fraction)
    width = sqrt(max(0.0, middle**2 - 4 * found**2))
    low, high = (middle - width) / (2 * fraction), (middle + width) / (2 * fraction)
    return Estimate(round(found / fraction), max(found, ceil(low)), floor(high))


class Persons:
    """Which ids belong together, as far as events have said so: one person's, and those of all who logged in on one device. They are
    known by the smallest of them."""

    def __init__(self) -> None:
        self._up: dict[str, str] = {}

    def add(self, event: Event, placeholders: Container[str]) -> None:
        """Note the ids that an event names; its placeholders were taken away."""
        customer = event.customer
        if event.anonymous_id is not None and event.user_id is not None:
            self.unite(customer, event.anonymous_id)
        if event.type == "alias" and (before := previous_id(event)) and not is_placeholder(before, placeholders):
            self.unite(customer, before)

    def unite(self, one: str, other: str) -> None:
        """Two ids are one person's."""
        low, high = sorted((self.of(one), self.of(other)))
        if low != high:
            self._up[high] = low

    def of(self, customer: str) -> str:
        """The id by which those are known with whom an id belongs."""
        found, up = customer, self._up
        while (above := up.get(found)) is not None:
            found = above
        while customer != found:
            up[customer], customer = found, up[customer]
        return found


class Portion(NamedTuple):
    """One of ``of`` parts into which a share is divided, so that each can be told in a process of its own; ``number`` counts from 0."""

    number: int = 0
    of: int = 1


UNDIVIDED: Final = Portion()


class Share:
    """A part of all persons: ``fraction`` of them, with every id that belongs with theirs; of these, one ``part``."""

    def __init__(self, fraction: float, persons: Persons, part: Portion = UNDIVIDED) -> None:
        self.fraction = fraction
        self.part = part
        self._persons = persons
        self._below = round(fraction * 2**64)

    @property
    def is_all(self) -> bool:
        """Whether nobody is left out."""
        return self.fraction >= 1 and self.part.of == 1

    @property
    def takes_nobodys(self) -> bool:
        """Whether it has what is no event, and so nobody's: such records count where all customers are looked at, in the first part."""
        return self.fraction >= 1 and self.part.number == 0

    def takes(self, customer: str) -> bool:
        """Whether a customer is in it, by any of their ids."""
        if self.is_all:
            return True
        place = rank(self._persons.of(customer))
        return place < self._below and place % self.part.of == self.part.number


def rank(customer: str) -> int:
    """A place among all, from 0 below 2^64, that has nothing to do with what a customer did."""
    return int.from_bytes(blake2b(customer.encode("utf-8", "surrogatepass"), digest_size=8, person=b"preview").digest())
