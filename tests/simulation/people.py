"""People of the simulated shop who go by several ids: they browse, log in, share devices, and are joined crosswise."""

from __future__ import annotations

from collections.abc import Set
from random import Random
from typing import Final, Literal, NamedTuple

Manner = Literal["plain", "all", "apart", "crossing"]  # how a seed's customers go by names
CALM: Final = ("apart", "crossing")  # devices are not shared, and nothing else is odd


class Person(NamedTuple):
    """What somebody is known by, and the devices in use."""

    known: tuple[str, ...]
    devices: tuple[str, ...]


PEOPLE: Final = (
    Person(("u0",), ("a0", "a1")),
    Person(("u1", "w1"), ("b0",)),
    Person(("u2", "w2", "x2"), ("d0",)),
    Person(("u3", "w3"), ("e0", "e1")),
    Person(("u4",), ("f0",)),
)
SHARED: Final = ("a0", "d0")
Ids = dict[str, str]


def manner_of(seed: int) -> Manner:
    """Half of the histories are of customers who have one id. ``crossing``: known ids of few people are linked in every way."""
    return ("plain", "all", "plain", "apart", "plain", "all", "plain", "crossing")[seed % 8]


def everybody() -> list[str]:
    """Every id."""
    return [id_ for person in PEOPLE for id_ in (*person.known, *person.devices)]


def known_together(ids: Set[str]) -> set[str]:
    """With every id of everybody of whom one is among these, and of whoever may share a device with them."""
    found, size = set(ids), 0
    while len(found) > size:
        size = len(found)
        for person in PEOPLE:
            together = {*person.known, *person.devices, *SHARED}
            found |= together if together & found else set()
    return found


def ids_of(random: Random, manner: Manner) -> Ids:
    """The ids of an event; where it has ``previousId`` it is an alias."""
    shared = manner not in CALM
    if manner == "crossing" and random.random() < 0.6:
        known = random.choice([person.known for person in PEOPLE if len(person.known) > 1])
        old, new = random.sample(known, 2)
        return {"userId": new, "previousId": old}
    person = random.choice(PEOPLE)
    device = random.choice(SHARED if shared and random.random() < 0.15 else person.devices)
    user = random.choice(person.known)
    what = random.random()
    if what < 0.3:
        return {"anonymousId": device}
    if what < 0.6:
        return {"userId": user}
    logs_in = shared or user == person.known[0]  # two who are at one device without being joined share it
    others = [id_ for id_ in (*person.known, *(person.devices if logs_in else ())) if id_ != user]
    if what < 0.75 and others:
        return {"userId": user, "previousId": random.choice(others)}
    return {"userId": user if shared else person.known[0], "anonymousId": device}
