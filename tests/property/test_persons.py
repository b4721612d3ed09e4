"""One person under several ids: who judges agree with each other, and the step with them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hypothesis import given

from streamer.flow.catalog import Plans
from streamer.flow.machine import WHOLE, Limits
from streamer.flow.shard import Shard
from streamer.stores.memory import MemoryStore
from streamer.wire import LogRecord
from tests.oracle import settled
from tests.oracle.courier import Courier
from tests.oracle.persons import PersonStory, Post, tell_all
from tests.property.driving import COUNTED, Shown, look, never
from tests.property.effort import effort
from tests.property.persons import SHARDS, History, histories, settling
from tests.property.test_laws import NARROW, NARROWEST
from tests.property.town import EVERYTHING, Town, first_difference, home


def carried(history: History) -> Courier:
    """The oracle alone, with its own messages carried as the history says."""
    town = Courier(history.definitions, home, shards=SHARDS, lateness_ms=history.lateness_ms, skew_ms=history.skew_ms)
    for act in history.acts:
        if act.body is None:
            town.deliver(act.at_ms, act.choice)
        else:
            town.write(act.at_ms, act.body)
    town.settle(history.end_ms)
    town.tick(history.end_ms)
    return town


def by_person(memberships: dict[str, list[str]], history: History) -> dict[str, list[str]]:
    """The same under each person's smallest id. AssertionError where a person is two customers."""
    leader = settled.persons(history.events)
    found = {leader[customer]: names for customer, names in memberships.items()}
    assert len(found) == len(memberships), f"one person, several customers: {memberships}"
    return found


def test_two_judges_agree_on_who_is_in_what_in_the_end() -> None:
    """The one who follows every record, and the one who knows no protocol. Cases without a cycle or a second hop prove little."""
    met: Counter[str] = Counter()

    @given(history=settling())
    @effort()
    def holds(history: History) -> None:
        town = carried(history)
        assert not town.post.undelivered()
        assert by_person(town.memberships(), history) == settled.memberships(history.definitions, history.events, history.end_ms)
        for messages in town.post.sent.values():
            met.update(message.kind for message in messages)
            met["passed on"] += sum(message.kind == "adopt" and bool(message.passed) for message in messages)
        met["in"] += len(town.memberships())

    holds()
    missing = {"event", "link", "adopt", "point", "passed on", "in"} - set(+met)
    assert not missing, met


def told(town: Town) -> list[PersonStory]:
    """The oracle, over the logs as they came to lie."""
    history, post = town.history, Post()
    options = {"lateness_ms": history.lateness_ms, "skew_ms": history.skew_ms}
    stories = [PersonStory(number, home, post, history.definitions, **options) for number in range(SHARDS)]
    tell_all(stories, town.logs())
    assert not post.undelivered()
    return stories


def played(history: History, **options: Any) -> Town:
    """The product's shards, driven as the history says."""
    town = Town(history, **options)
    asyncio.run(town.play())
    return town


def test_what_is_said_of_persons_is_what_the_oracle_says() -> None:
    """Late, twice, early, on shared devices, joined, erased, in any order of what is on its way: all that is said, and where."""
    met: Counter[str] = Counter()

    @given(history=histories())
    @effort()
    def holds(history: History) -> None:
        town = played(history)
        stories = told(town)
        for story in stories:
            check_changes(town, story)
            met.update(message.kind for messages in story.post.sent.values() for message in messages)
        found, expected = counted(shard.body.counts for shard in town.shards), counted(story.counts for story in stories)
        assert found == expected, f"counted {found}, expected {expected}"

    holds()
    missing = {"event", "link", "adopt", "point", "erase"} - set(+met)
    assert not missing, met


def test_the_end_is_that_of_one_customer_with_all_events() -> None:
    """By the judge who knows no protocol: in whatever order links cross, and however late a past arrives."""
    met: Counter[str] = Counter()

    @given(history=settling())
    @effort(0.5)
    def holds(history: History) -> None:
        town = played(history)
        check_numbers(town)
        found = by_person(asyncio.run(town.inside()), history)
        assert found == settled.memberships(history.definitions, history.events, history.end_ms)
        met["in"] += len(found)

    holds()
    assert met["in"] > 0


@given(history=histories())
@effort(0.2)
def test_how_logs_with_links_are_cut_changes_nothing(history: History) -> None:
    """Of a given log, all that was sent from shard to shard included: outputs, states and wake-ups are the same for any batch."""
    town = played(history)
    for number in range(SHARDS):
        log = town.log.fetch(number, 0, EVERYTHING)
        expected = asyncio.run(alone(town, number, log, WHOLE))
        for limits in (Limits(records=1), NARROW, NARROWEST):
            assert asyncio.run(alone(town, number, log, limits)) == expected, limits


async def alone(town: Town, number: int, log: Sequence[LogRecord], limits: Limits) -> Shown:
    """What one shard comes to over its log."""
    store = MemoryStore()
    shard = await Shard.acquire(number, store, Plans(store, town.rules), town.rules, limits=limits, pause=never)
    await shard.process(log)
    return await look(store, number)


@given(history=histories())
@effort(0.2)
def test_a_rebuild_sends_everything_again_and_changes_nothing(history: History) -> None:
    """What comes a second time from the same place of the same shard is dropped: who is in what stays, and so does what is said."""
    town = played(history)
    inside = asyncio.run(town.inside())
    asyncio.run(town.rebuild())
    assert asyncio.run(town.inside()) == inside
    for story in told(town):
        check_changes(town, story)


def check_numbers(town: Town) -> None:
    """Nobody was erased: for each customer and segment the numbers of changes rise, entries and exits in turn, also where the id was an old
    one in between."""
    found: dict[tuple[str, str], int] = {}
    for number in range(SHARDS):
        for change in town.changes(number):
            before = found.get(key := (change.customer, change.segment), 0)
            assert change.sequence > before, f"{key}: {change.sequence} after {before}"
            assert change.sequence % 2 == change.entered != before % 2, f"{key}: {change.sequence} after {before}"
            found[key] = change.sequence


def check_changes(town: Town, story: PersonStory) -> None:
    """Both say the same, but where the step says that its answer is approximate."""
    number = story.number
    assert asyncio.run(first_difference(town.changes(number), story.changes, lambda: town.doubtful(number))) is None


def counted(each: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """In all shards."""
    found = sum(map(Counter[str], each), Counter[str]())
    return {name: found[name] for name in COUNTED if found[name]}
