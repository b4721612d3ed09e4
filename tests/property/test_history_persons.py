"""History of people with several ids is brought into logs that have begun: they are who they would be had it arrived when it happened."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping

from hypothesis import given

from tests.oracle import settled
from tests.property.effort import effort
from tests.property.history_town import Known, OldTown, TownThatErases, as_it_happened, everybody, lived, old_towns


def test_people_of_several_ids_have_the_past_of_all_of_them() -> None:
    """Links in history and in the logs, over shards, and definitions that change before it is brought and behind it: memories and
    memberships are those of a town that was told everything in its time; now and then somebody is erased. Which of their ids is kept is
    not asked: it depends on which link came first."""
    met: Counter[str] = Counter()

    @given(of=old_towns(erases=True))
    @effort(0.4)
    def holds(of: OldTown) -> None:
        (town, lanes), other = lived(of), TownThatErases(as_it_happened(of))
        asyncio.run(other.play())
        assert not any(shard.body.counts.get("fault") for shard in town.shards), "a lane waits for ever"
        leader = settled.persons([act.body for act in of.past if act.body is not None] + of.history.events)
        assert by_person(everybody(town), leader) == by_person(everybody(other), leader)
        kinds = [(change.cause.kind, change.cause.id) for number in range(len(town.shards)) for change in town.changes(number)]
        met["joined by history"] += ("merge", "history") in kinds
        met["joined by the log"] += any(kind == "merge" and cause != "history" for kind, cause in kinds)
        met["erased"] += "erase" in {kind for kind, _ in kinds}
        met["folds"] += lanes.folds
        met["waits"] += lanes.waits

    holds()
    assert {"joined by history", "joined by the log", "erased", "folds", "waits"} == set(+met), met


def by_person(known: Mapping[str, Known], leader: Mapping[str, str]) -> dict[str, list[Known]]:
    """The same by each person's smallest id; one person is one customer, or there are two in the list, as of somebody who was erased and
    came again under ids that nothing has tied together since."""
    found: defaultdict[str, list[Known]] = defaultdict(list)
    for customer, one in known.items():
        found[leader.get(customer, customer)].append(one)
    return {customer: sorted(each, key=lambda one: repr(sorted(one.slots.items()))) for customer, each in found.items()}
