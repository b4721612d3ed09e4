"""What lanes of different shards send each other: the past of an old id, whenever it was drained, adopted or sent on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streamer.flow.shard import Shard
from streamer.language.definitions import parse_definitions
from streamer.transports.memory import CONTROL
from streamer.wire import EVENTS, definitions_control
from tests.property.born_old import known
from tests.property.born_old_town import TownLanes
from tests.property.driving import look, with_purposes
from tests.property.persons import DEVICES, KNOWN, Act, History
from tests.property.town import Town, home

USER, OTHER, DEVICE = KNOWN[0][0], KNOWN[0][1], DEVICES[0][0]  # in shards 0, 1 and 1
BEGIN_MS, MINUTE_MS = 1_772_625_600_000, 60_000
BEFORE = {"segments": {"some": {"when": 'count("Buy", within="90d") >= 1'}}}
AFTER = {
    "segments": {
        "some": {"when": 'count("Buy", within="90d") >= 1'},
        "once": {"when": 'count("Buy", within="90d") == 1'},
        "one": {"when": 'count("Buy") == 1'},
        "red": {"when": 'latest("Buy", "colour") == "red"'},
    }
}
SWITCH: dict[str, Any] = {"control": "definitions", "version": 2, "definitions": AFTER}


class Script(Town):
    """A town in which each step is told. ``is_first``: nothing was published before what it switches to."""

    def __init__(self, *, is_first: bool = False) -> None:
        self.found = TownLanes()
        self.version = 1 if is_first else 2
        history = History(AFTER, (), BEGIN_MS) if is_first else History(BEFORE, (Act(BEGIN_MS, SWITCH),), BEGIN_MS)
        super().__init__(history, lanes=self.found)
        self.found.town = self
        self.number = 0

    async def begin(self) -> None:
        self.now_ms = BEGIN_MS
        if self.version > 1:
            self.define(BEFORE, 1)
        for number in range(2):
            await self.take_over(number)
            await self.read(number)

    def happens(self, name: str = "", **more: Any) -> None:
        """An event, a minute after the one before."""
        self.now_ms += MINUTE_MS
        self.number += 1
        self.write({"type": "track", "event": name, "messageId": f"m{self.number}", "timestamp": self.now_ms, **more})

    def buys(self, **who: str) -> None:
        self.happens("Buy", properties={"colour": "red"}, **who)

    def logs_in(self) -> None:
        self.happens("Login", userId=USER, anonymousId=DEVICE)

    def becomes_other(self) -> None:
        """Who was the user goes by another known id."""
        self.happens(type="alias", userId=OTHER, properties={"previousId": USER})

    async def read(self, number: int) -> None:
        """A shard applies what lies in its log."""
        await self._process(number)

    async def send(self, number: int) -> None:
        """What a shard has to send is written."""
        await self.relays[number].turn()

    def switch(self, number: int | None = None) -> None:
        """New definitions, in one shard or (None) in all."""
        if number is None:
            self.define(AFTER, self.version)
            return
        parsed = parse_definitions(with_purposes(AFTER))
        self._sources[parsed.digest] = AFTER
        self.log.append(EVENTS, number, definitions_control(parsed.content(), parsed.digest, self.version), headers=CONTROL)

    async def know(self, customer: str) -> tuple[list[str], dict[str, Any]]:
        """In which segments they are, and what is remembered of them by key."""
        found: dict[str, tuple[list[str], dict[str, Any]]] = {}
        for number, shard in enumerate(self.shards):
            for name, one in known(shard, await look(self.store, number)).items():
                found[name] = sorted(one.inside), by_key(shard, one.slots)
        return found[customer]


def by_key(shard: Shard, slots: dict[int, Any]) -> dict[str, Any]:
    return {shard.plan.memories[slot].key: data for slot, data in slots.items()}


async def drained_and_adopted_before(town: Script) -> None:
    town.buys(anonymousId=DEVICE)
    town.logs_in()
    await town.settle()
    town.switch()


async def the_past_arrives_after_the_definitions(town: Script) -> None:
    """Drained under the old ones in shard 1, adopted under the new ones in shard 0."""
    town.buys(anonymousId=DEVICE)
    town.logs_in()
    await town.read(0)
    await town.send(0)
    await town.read(1)
    town.switch()
    await town.send(1)
    await town.read(0)


async def what_the_lane_sends_arrives_before_the_past(town: Script) -> None:
    """The lane of shard 1 is ahead of what the shard itself has to send."""
    town.buys(anonymousId=DEVICE)
    town.logs_in()
    await town.read(0)
    await town.send(0)
    await town.read(1)
    town.switch()
    await town.read(0)
    await town.send(1)


def chain(town: Script) -> None:
    """The device buys; the user becomes another before the device is theirs."""
    town.buys(anonymousId=DEVICE)
    town.logs_in()
    town.becomes_other()


async def a_past_was_sent_on_before(town: Script) -> None:
    chain(town)
    await town.read(1)
    await town.send(1)
    await town.settle()
    town.switch()


async def a_past_is_sent_on_after(town: Script) -> None:
    """The device is drained before the definitions; the tombstone that sends its past on is met behind them."""
    chain(town)
    await town.read(1)
    await town.send(1)  # the user is to become the other
    await town.read(0)
    await town.send(0)  # the device is to become the user, who is a tombstone by now
    await town.read(1)
    town.switch()
    await town.send(1)


async def a_past_is_sent_on_from_new_to_old(town: Script) -> None:
    """Shard 0 has the definitions when it sends the past on, and shard 1 when it has got it."""
    chain(town)
    await town.read(1)
    await town.send(1)
    await town.read(0)
    await town.send(0)
    await town.read(1)  # the device is drained
    town.switch(0)
    await town.read(0)
    await town.send(1)
    await town.read(0)  # it meets the tombstone
    await town.send(0)
    await town.read(1)
    town.switch(1)


async def drained_after_and_adopted_before(town: Script) -> None:
    """Shard 1, where the device was, has the definitions first."""
    town.buys(anonymousId=DEVICE)
    town.logs_in()
    await town.read(0)
    town.switch(1)
    await town.send(0)
    await town.read(1)
    await town.send(1)
    await town.read(0)
    town.switch(0)


async def the_survivor_appears_after_the_definitions(town: Script) -> None:
    """Shard 0 has never seen anybody when it switches; the device is drained in shard 1 before that has."""
    town.buys(anonymousId=DEVICE)
    await town.read(1)
    town.switch(0)
    await town.read(0)
    town.logs_in()
    await town.read(0)
    await town.send(0)
    await town.read(1)
    await town.send(1)
    await town.read(0)
    town.switch(1)


WAYS: list[Callable[[Script], Awaitable[None]]] = [
    drained_and_adopted_before,
    the_past_arrives_after_the_definitions,
    what_the_lane_sends_arrives_before_the_past,
    a_past_was_sent_on_before,
    a_past_is_sent_on_after,
    a_past_is_sent_on_from_new_to_old,
    drained_after_and_adopted_before,
    the_survivor_appears_after_the_definitions,
]


@pytest.mark.parametrize("is_first", [False, True], ids=["others_held", "first"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_one_purchase_of_an_old_id_is_one_of_the_person(way: Callable[[Script], Awaitable[None]], *, is_first: bool) -> None:
    """Not none, and not two: by the memory that was there before, by the one that has grown, and by those that are new. What is published
    first, over a log that has imported history, knows it as well."""
    town = Script(is_first=is_first)
    await town.begin()
    await way(town)
    await town.settle()
    customer = OTHER if "sent_on" in way.__name__ else USER
    inside, memories = await town.know(customer)
    assert inside == ["once", "one", "red", "some"], memories
    assert [shard.body.version for shard in town.shards] == [town.version, town.version]
    assert town.found.folds > 0
    assert town.shards[0].body.since_ms == town.shards[1].body.since_ms == {}
    before = {number: (await look(town.store, number)).states for number in range(2)}
    town.found.forget()
    await town.rebuild()
    assert {number: (await look(town.store, number)).states for number in range(2)} == before, "a rebuild comes to the same"


async def test_what_comes_of_a_lane_is_nothing_to_older_definitions() -> None:
    """The lane of another shard is ahead; this shard has not even read the definitions."""
    town = Script()
    await town.begin()
    town.buys(anonymousId=DEVICE)
    town.logs_in()
    await town.settle()
    town.switch()
    await town.read(1)  # its lane, and that of shard 0 as far as it can go without the definitions
    assert town.shards[0].body.version == 1
    inside, _ = await town.know(USER)
    assert inside == ["some"]
    await town.settle()
    assert (await town.know(USER))[0] == ["once", "one", "red", "some"]


def test_the_town_has_both_shards() -> None:
    """A past that stays in one shard proves nothing here."""
    assert [home(name) for name in (USER, OTHER, DEVICE)] == [0, 1, 1]
