"""Whether a history ended right: everything equals an undisturbed run over the same log, one record at a time, by sound code that obeys
what was amended. And whoever was not set aside fared as if the records that failed had never been written.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence, Set
from contextlib import nullcontext
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from streamer.events.dead_letter import read_dead_letter
from streamer.flow.amendments import Amendment, MemoryJournal
from streamer.flow.catalog import Plans
from streamer.flow.checkpoint import decode_body
from streamer.flow.machine import Limits
from streamer.flow.reader import Deduplicator
from streamer.flow.shard import Shard
from streamer.messages.decision import decode_decision
from streamer.segments.change import decode_change
from streamer.segments.merge import is_merge
from streamer.stores.base import Position
from streamer.stores.memory import MemoryStore
from streamer.transports.memory import CONTROL, MemoryLog, position_of
from streamer.wire import CHANGES, DEAD_LETTERS, EVENTS, LEDGER, MESSAGES, TICK, LogRecord, Output
from tests.property.driving import lanes_over
from tests.walk import at_each_record, customers_of

from .people import CALM, known_together
from .poison import PoisonError
from .second_opinion import ask_the_oracle, ask_who_is_in_what
from .shop import SHARDS
from .world import RULES, ViolationError, World

FAR_MS: Final = 1 << 52
EVERYTHING: Final = 1_000_000


@dataclass(slots=True)
class Kept:
    """What a store holds of a shard that is a function of the log."""

    position: Position
    output_digest: bytes
    body: bytes
    states: dict[str, bytes | None]
    wakes: list[tuple[int, str]]


def play(seed: int) -> Counter[str]:
    """One history and its verdict; what happened in it. Whatever goes wrong is a ViolationError that names the seed."""
    world = World(seed)
    walked = Random(f"walk {seed}").choice([1, 2, None])  # of at most 20 customers; None: as many as time has passed for
    with at_each_record(walked) if walked is not None else nullcontext():
        try:
            world.run()
            judge(world)
        except Exception as error:
            raise ViolationError(f"seed {seed}: {type(error).__name__}: {error}") from error
        finally:
            world.close()
    return world.faults.happened


def judge(world: World) -> None:
    """Raises ViolationError at the first difference."""
    asyncio.run(_judge(world))


async def _judge(world: World) -> None:
    for shard in range(SHARDS):
        amended = world.decisions.kept[shard]
        undisturbed, outputs = await run_alone(world.log.fetch(shard, 0, EVERYTHING), shard, amended)
        _compare(shard, await kept(world.redis.store, shard), undisturbed)
        world.faults.happened["sent on again"] += decode_body(undisturbed.body).counts.get("forwarded_again", 0)
        for topic in (CHANGES, DEAD_LETTERS, MESSAGES, LEDGER):
            _compare_outputs(world.log, shard, topic, [output for output in outputs if output.topic == topic])
        world.faults.happened.update(_decided(outputs))
        for output in outputs:
            if output.topic == EVENTS and not any(output.value == record.value for record in world.log.records(EVENTS, output.partition)):
                raise ViolationError(f"shard {shard}: the record at offset {output.offset} was never forwarded")
        if amended:
            await _check_isolated(world.log.fetch(shard, 0, EVERYTHING), shard, amended, undisturbed, outputs)
    decided = Counter(one.what for amended in world.decisions.kept.values() for one in amended)
    if world.manner != "plain" and not decided["aside"]:
        await ask_the_oracle(world)
    if world.manner in CALM and not decided:
        await ask_who_is_in_what(world)


def _decided(outputs: Sequence[Output]) -> Counter[str]:
    """How often a message was decided which way."""
    found = [decode_decision(output.value) for output in outputs if output.topic == MESSAGES]
    return Counter(f"message: {one.data.reason or one.outcome}" for one in found)


async def _check_isolated(
    records: Sequence[LogRecord], shard: int, amended: Sequence[Amendment], found: Kept, outputs: Sequence[Output]
) -> None:
    """A record that failed is as one that lets time pass and says nothing; a customer who was set aside costs nobody else anything."""
    if any(one.detail != PoisonError.__name__ for one in amended):
        raise ViolationError(f"shard {shard}: amended for what would not have failed again: {amended}")
    failed = {one.offset for one in amended if one.what == "fault"}
    aside = known_together({one.customer for one in amended if one.what == "aside"})
    harmless = [record._replace(value=TICK, control=True, headers=CONTROL) if record.offset in failed else record for record in records]
    expected, said = await run_alone(harmless, shard)
    places = [read_dead_letter(output.value).origin for output in outputs if b'"fault"' in output.value]
    letters = Counter(place.offset if place is not None else None for place in places)
    if letters != Counter(failed):
        raise ViolationError(f"shard {shard}: failed at {sorted(failed)}, dead letters for {[*letters]}")
    if _changes(outputs, aside) != _changes(said, aside):
        raise ViolationError(f"shard {shard}: others changed otherwise for {amended}")
    if not aside and (found.states, found.wakes) != (expected.states, expected.wakes):
        raise ViolationError(f"shard {shard}: a record that failed has left a trace: {amended}")


def _changes(outputs: Sequence[Output], but: Set[str]) -> list[tuple[object, ...]]:
    """What was said of everybody else, without where among others it stands."""
    found = [decode_change(output.value) for output in outputs if output.topic == CHANGES and not is_merge(output.value)]
    return [
        (one.subject, one.type, one.time, one.data.segment, one.data.sequence, one.data.cause) for one in found if one.subject not in but
    ]


async def run_alone(records: Sequence[LogRecord], shard: int, amended: Sequence[Amendment] = ()) -> tuple[Kept, list[Output]]:
    """The log of a shard through the step, one record a commit, with nobody in the way."""
    store, journal = MemoryStore(), MemoryJournal(list(amended))
    lanes = lanes_over(store, records, RULES)
    options: dict[str, Any] = {"limits": Limits(records=1), "journal": journal, "lanes": lanes, "pause": _no_pause}
    alone = await Shard.acquire(shard, store, Plans(store, RULES), RULES, **options)
    outputs: list[Output] = []
    for record in records:
        for _, entry in await alone.process([record]):
            outputs += entry
    return await kept(store, shard), outputs


async def kept(store: MemoryStore, shard: int) -> Kept:
    """What the store holds."""
    checkpoint = await store.checkpoint(shard)
    customers = await customers_of(store, shard)
    states, wakes = await store.fetch(shard, customers, until_ms=FAR_MS, limit=EVERYTHING)
    return Kept(checkpoint.position, checkpoint.output_digest, checkpoint.body, dict(zip(customers, states, strict=True)), wakes)


def _compare(shard: int, found: Kept, expected: Kept) -> None:
    for name in ("position", "states", "wakes", "output_digest", "body"):
        if getattr(found, name) != getattr(expected, name):
            raise ViolationError(f"shard {shard}: {name} differs\nexpected {getattr(expected, name)}\nfound    {getattr(found, name)}")


def _compare_outputs(log: MemoryLog, shard: int, topic: str, expected: list[Output]) -> None:
    """The reader's view equals the undisturbed one; and whatever is repeated is repeated word for word."""
    by_place = {(output.offset, output.ordinal): output for output in expected}
    highest = Deduplicator()
    read: list[bytes] = []
    for record in log.records(topic, shard):
        generation, *place = position_of(record)
        expected_one = by_place.get((place[0], place[1]))
        if expected_one is None or expected_one.value != record.value:
            raise ViolationError(f"shard {shard}: {topic} has something else at {tuple(place)}\nfound {record.value!r}\nnot {expected_one}")
        if highest.is_new(shard, generation, *place):
            read.append(record.value)
    if read != [output.value for output in expected]:
        raise ViolationError(f"shard {shard}: a reader of {topic} sees {len(read)} outputs, expected {len(expected)}")


async def _no_pause(_seconds: float) -> None:
    raise AssertionError("nothing fails in an undisturbed run")
