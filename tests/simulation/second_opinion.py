"""Two more judges of a history in which people go by several ids, who share no code with what they judge.

The oracle follows every record of all shards and says what must be said of whom. The other knows no protocol: in the end each person is
one customer with all of the person's events.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from typing import Any

from streamer.customers.tombstone import is_tombstone
from streamer.flow.catalog import Plans
from streamer.flow.reader import Deduplicator
from streamer.flow.shard import Shard
from streamer.stores.memory import MemoryStore
from streamer.transports.memory import position_of
from streamer.wire import EVENTS, FORWARD_HEADER, MESSAGES, TICK, LogRecord, shard_of
from tests.oracle import settled
from tests.oracle.person_decisions import PersonMessageStory
from tests.oracle.persons import Post, tell_all
from tests.oracle.story import Change, Record
from tests.property.driving import COUNTED, look, never
from tests.property.said import but, decisions_of, in_order
from tests.property.town import EVERYTHING, changes_of, doubtful, doubtful_people, first_difference, record_of

from .shop import DEFINITIONS, GROWN, PRESENT, SHARDS, SOURCES
from .world import RULES, ViolationError, World

Event = dict[str, Any]


async def ask_the_oracle(world: World) -> None:
    """Raises ViolationError where a shard said something else than the oracle says. Nobody may have been set aside."""
    post = Post()
    stories = [PersonMessageStory(number, _home, post, SOURCES[0]) for number in range(SHARDS)]
    try:
        tell_all(stories, {number: _told(world, number) for number in range(SHARDS)})
    except AssertionError as error:
        raise ViolationError(f"a record that no shard should have sent: {error}") from error
    has_failed = any(world.decisions.kept.values())  # what was on its way, for example
    if not has_failed and (missing := post.undelivered()):
        raise ViolationError(f"never arrived: {missing}")
    is_switched = any(story.definitions.version > 1 for story in stories)
    left_out = GROWN if any(kind.endswith("across a switch") for story in stories for kind in story.met) else ()
    for story in stories:
        log = world.log.fetch(story.number, 0, EVERYTHING)
        said = changes_of(world.log.read_changes(), story.number)
        mine, right = (_compared(changes, left_out, is_switched=is_switched) for changes in (said, story.changes))
        difference = await first_difference(mine, right, partial(doubtful, log, story.number, RULES))
        if difference is not None:
            raise ViolationError(f"shard {story.number} said\n{difference[0]}\nthe oracle says\n{difference[1]}")
        await _compare_decisions(world, story, is_switched=is_switched)
        found = (await _shard(world, story.number)).body.counts
        counted = {name: (found.get(name, 0), story.counts[name]) for name in COUNTED}
        if any(mine != right for mine, right in counted.values()):
            raise ViolationError(f"shard {story.number} counted, and should have: {counted}")
    for story in stories:
        world.faults.happened.update(story.met)
    for messages in post.sent.values():
        world.faults.happened.update(Counter(f"{message.kind} sent" for message in messages))


async def _compare_decisions(world: World, story: PersonMessageStory, *, is_switched: bool) -> None:
    highest, said = Deduplicator(), list[bytes]()
    for record in world.log.records(MESSAGES, story.number):
        if highest.is_new(story.number, *position_of(record)):
            said.append(record.value)
    mine, right = in_order(decisions_of(said), []), in_order(story.decisions, [])
    if is_switched:
        mine, right = _without_places(mine), _without_places(right)
    if mine != right:
        logs = [world.log.fetch(number, 0, EVERYTHING) for number in range(SHARDS)]
        in_doubt = await doubtful_people(logs, RULES, story.post.messages)
        mine, right = but(mine, in_doubt), but(right, in_doubt)
    if mine != right:
        first = next(pair for pair in zip_longest(mine, right) if pair[0] != pair[1])
        raise ViolationError(f"shard {story.number} decided\n{first[0]}\nthe oracle\n{first[1]}")
    world.faults.happened["decisions compared"] += len(mine)


def _without_places(decisions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of each customer in turn. See ``_compared``."""
    return sorted(({**decision, "offset": 0} for decision in decisions), key=lambda one: one["customer"])


def _compared(changes: Sequence[Change], left_out: Container[str], *, is_switched: bool) -> list[Change]:
    """Changes but for what the oracle does not number; where definitions change it switches everybody at once, at another position."""
    found = [replace(change, ordinal=0) for change in changes if change.segment not in left_out]
    if not is_switched:
        return found
    return sorted((replace(change, offset=0) for change in found), key=lambda one: (one.customer, one.segment))


def _home(customer: str) -> int:
    return shard_of(customer, SHARDS)


def _told(world: World, number: int) -> list[Record]:
    failed = {one.offset for one in world.decisions.kept[number] if one.what == "fault"}
    return [_in_words(record, has_failed=record.offset in failed) for record in world.log.fetch(number, 0, EVERYTHING)]


def _in_words(record: LogRecord, *, has_failed: bool) -> Record:
    """What is damaged, or failed, lets time pass and does no more; a time that is a producer's does not even that."""
    found = _read(record)
    if has_failed:
        found = Record(record.offset, record.arrival_ms, {"control": "tick"})
    return found if record.broker_time else Record(found.offset, 0, found.body, found.forward)


def _read(record: LogRecord) -> Record:
    try:
        body = json.loads(record.value)
    except ValueError:
        return Record(record.offset, record.arrival_ms, {"control": "tick"})
    if body.get("control") == "definitions":
        source = next(source for source, parsed in zip(SOURCES, DEFINITIONS, strict=True) if parsed.digest == body["digest"])
        body = {"control": "definitions", "version": body["version"], "definitions": source, "digest": body["digest"]}
        return Record(record.offset, record.arrival_ms, body)
    return record_of(record)


async def ask_who_is_in_what(world: World) -> None:
    """Raises ViolationError where a person is two customers, or in something else than one customer with all events would be."""
    events = _events(world)
    leader, shards = settled.persons(events), [await _shard(world, number) for number in range(SHARDS)]
    found: defaultdict[str, list[str]] = defaultdict(list)
    expected: dict[str, list[str]] = {}
    for number, shard in enumerate(shards):
        states = [customer for customer, blob in (await look(world.redis.store, number)).states.items() if not is_tombstone(blob)]
        mine = [event for event in events if leader[event.get("userId") or event["anonymousId"]] in {leader[one] for one in states}]
        for customer in states:
            found[leader[customer]].append(customer)
        expected |= _only(settled.memberships(SOURCES[0], mine, shard.body.log_time_ms))
    if twice := {person: customers for person, customers in found.items() if len(customers) > 1}:
        raise ViolationError(f"one person, several customers: {twice}")
    inside = _only({leader[one]: names for one, names in (await _inside(world)).items()})
    if inside != expected:
        raise ViolationError(f"in the end\n{inside}\nbut with one id each they would be\n{expected}")
    world.faults.happened["in the end in something"] += len(inside)


def _events(world: World) -> list[Event]:
    """What producers wrote."""
    found: list[Event] = []
    for number in range(SHARDS):
        for record in world.log.records(EVENTS, number):
            if record.value != TICK and not any(name == FORWARD_HEADER for name, _ in record.headers):
                body = json.loads(record.value)
                found += [{"type": "track", **body}] if "control" not in body else []
    return found


def _only(memberships: dict[str, list[str]]) -> dict[str, list[str]]:
    found = {one: [name for name in names if name in PRESENT] for one, names in memberships.items()}
    return {one: names for one, names in found.items() if names}


async def _inside(world: World) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for number in range(SHARDS):
        shard = await _shard(world, number)
        for customer, blob in (await look(world.redis.store, number)).states.items():
            if not is_tombstone(blob):
                state = shard.state(blob)
                found[customer] = sorted(name for number, name in enumerate(shard.plan.names) if state.is_inside(number))
    return found


async def _shard(world: World, number: int) -> Shard:
    """A reader of what is stored, on a copy."""
    store: MemoryStore = world.redis.store.copy()
    return await Shard.acquire(number, store, Plans(store, RULES), RULES, pause=never)
