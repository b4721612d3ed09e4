"""Links that cross in every way, carried in every order: the protocol itself is on trial, before anybody builds it."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.oracle import settled
from tests.oracle.courier import Courier
from tests.oracle.test_oracle import NOON

DEFINITIONS = {"zone": "UTC", "segments": {"any": {"when": 'did("A")'}, "often": {"when": 'count("A") >= 3'}}}
HOMES = {"u": 0, "w": 1, "x": 0, "v": 1, "b": 0}
HARD = (816, 4_347, 7_238)  # two survivors, one who met the other too late, and a past that was on its way to one who was lifted meanwhile


def _body(dice: Random, number: int) -> dict[str, Any]:
    ids = "uwxv"[: dice.choice((3, 3, 4))]
    what = dice.random()
    body: dict[str, Any] = {"type": "track", "event": "A", "messageId": f"m{number}", "timestamp": NOON + (number + 1) * 1_000}
    if what < 0.5:
        new = dice.choice(ids)
        old = dice.choice([each for each in ids + "b" if each != new])
        return {**body, "type": "alias", "userId": new, "properties": {"previousId": old}}
    return {**body, "userId": dice.choice(ids)} if what < 0.75 else {**body, "anonymousId": "b"}


def _carried(seed: int) -> tuple[Courier, list[dict[str, Any]]]:
    dice, events = Random(seed), list[dict[str, Any]]()
    town = Courier(DEFINITIONS, HOMES.__getitem__, shards=2)
    for number in range(dice.randint(4, 14)):
        events.append(_body(dice, number))
        town.write(events[-1]["timestamp"], events[-1])
        while dice.random() < (0.6 if seed % 2 else 0.2):
            town.deliver(events[-1]["timestamp"], dice.randrange(8))
    while town.deliver(NOON + 60_000, dice.randrange(8)):
        assert len(town.logs[0]) + len(town.logs[1]) < 1_000, "records go round for ever"
    return town, events


@pytest.mark.parametrize("seeds", [HARD, range(400)], ids=["hard", "many"])
def test_however_links_cross_one_person_is_one_customer_and_nothing_is_lost(seeds: tuple[int, ...] | range) -> None:
    """Whatever circle the ids lead in, and whatever points shorten it while a past goes round."""
    for seed in seeds:
        town, events = _carried(seed)
        leader = settled.persons(events)
        alive = [leader[customer] for story in town.stories for customer in story.customers]
        assert len(set(alive)) == len(alive), f"seed {seed}: one person, several customers"
        found = {leader[customer]: names for customer, names in town.memberships().items()}
        assert town.counted("too_many_hops") or found == settled.memberships(DEFINITIONS, events, NOON + 60_000), f"seed {seed}"
