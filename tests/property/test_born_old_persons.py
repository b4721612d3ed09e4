"""Definitions change while ids are joined over two shards: their past is that of one person all the same."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given

from streamer.flow.lane.mailbox import HELD_BYTES_MAX
from tests.property.born_old import Known, known
from tests.property.born_old_town import always, is_switch, played, switched_histories
from tests.property.driving import look
from tests.property.effort import effort
from tests.property.persons import Act, History
from tests.property.town import Town


class QuietTown(Town):
    """Everything that is on its way has arrived when definitions change."""

    async def _do(self, act: Act) -> None:
        if is_switch(act):
            await self.settle()
        await super()._do(act)
        if is_switch(act):
            await self.settle()


def everybody(town: Town) -> dict[str, Known]:
    """What is known of all customers of a town."""
    found: dict[str, Known] = {}
    for number, shard in enumerate(town.shards):
        found |= known(shard, asyncio.run(look(town.store, number)))
    return found


def merges(town: Town) -> int:
    return sum(shard.body.identity.get("adopted", 0) for shard in town.shards)


def test_who_was_joined_before_the_definitions_has_the_past_of_all_their_ids() -> None:
    """Drained and adopted long ago, in other shards, by chains of ids: memories, memberships and moments are those of a full replay."""
    met: Counter[str] = Counter()

    @given(history=switched_histories())
    @effort(0.5)
    def holds(history: History) -> None:
        (town, lanes), (other, _) = played(history, QuietTown), played(always(history), QuietTown)
        assert everybody(town) == everybody(other)
        assert [shard.sizes for shard in town.shards] == [shard.sizes for shard in other.shards]
        met["folds"] += lanes.folds
        met["waits"] += lanes.waits
        met["merges"] += merges(town) * bool(lanes.folds)
        met["inside"] += sum(len(one.inside) for one in everybody(town).values()) * bool(lanes.folds)

    holds()
    assert {"folds", "waits", "merges", "inside"} == set(+met), met


def test_what_was_on_its_way_when_the_definitions_changed_is_remembered_in_the_end() -> None:
    """Drained under the old ones and adopted under the new ones, or the other way round, or sent on in between; also where lanes have no
    room for what others send."""
    met: Counter[str] = Counter()

    @given(history=switched_histories())
    @effort(0.5)
    def holds(history: History) -> None:
        (town, lanes), (other, _) = played(history, held_bytes_max=history.end_ms % 2 * HELD_BYTES_MAX), played(always(history))
        assert memories(town) == memories(other)
        met["folds"] += lanes.folds
        met["late"] += sum(
            any(place[1] >= 0 for place in taken.places.values()) for shard in town.shards for taken in shard.body.sides.values()
        )

    holds()
    assert {"folds", "late"} <= set(+met), met


def memories(town: Town) -> dict[str, object]:
    return {customer: (one.slots, one.seen, one.floor_ms) for customer, one in everybody(town).items()}
