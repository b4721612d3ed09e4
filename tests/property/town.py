"""Real shards that send records to each other over a log in memory, driven as a history says; and their logs in the oracle's words."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from streamer.customers.state import State
from streamer.customers.tombstone import is_tombstone
from streamer.flow.catalog import Plans
from streamer.flow.lane.lanes import Lanes
from streamer.flow.machine import WHOLE, Limits
from streamer.flow.relay import Relay
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language import tree
from streamer.language.definitions import parse_definitions
from streamer.language.references import nodes
from streamer.language.tree import AnyNode
from streamer.segments.change import Change as SegmentChange
from streamer.segments.plan.message_inputs import tested_conditions
from streamer.segments.plan.plan import Plan
from streamer.stores.memory import MemoryStore
from streamer.transports.memory import CONTROL, MemoryLog, MemorySink
from streamer.values import time_text
from streamer.wire import EVENTS, FORWARD_HEADER, TICK, Control, LogRecord, definitions_control, encode_control, shard_of
from tests.oracle.persons import Message, Post
from tests.oracle.story import Cause, Change, Forward, Record
from tests.property.driving import lanes_over, look, ms_of, never, of_model, with_purposes
from tests.property.persons import SHARDS, Act, History

ROUNDS_MAX = 200
EVERYTHING = 1_000_000
SENT_ON = re.compile(rb"(\d+)-(\d+)-(\d+)-(\d+)-(\d+)-(event|link|adopt|side|point|erase)-(\d+)")


def home(customer: str) -> int:
    """The shard of a customer."""
    return shard_of(customer, SHARDS)


class Town:
    """Some shards of one log, each with an owner and a relay."""

    def __init__(
        self,
        history: History,
        *,
        batch: int = EVERYTHING,
        limits: Limits = WHOLE,
        keeps_offsets: bool = False,
        lanes: Lanes | None = None,
    ) -> None:
        self.lanes = lanes
        self.now_ms, self.history, self._batch, self._limits, self._keeps_offsets = 0, history, batch, limits, keeps_offsets
        self.rules = Rules(shards=SHARDS, lateness_ms=history.lateness_ms, skew_ms=history.skew_ms)
        self.log, self.store = MemoryLog(SHARDS, lambda: self.now_ms), MemoryStore()
        self.plans = Plans(self.store, self.rules)
        self.shards: list[Shard] = []
        self.relays: list[Relay] = []
        self._sources: dict[str, dict[str, Any]] = {}

    async def play(self) -> None:
        """The whole history, and the quiet behind it."""
        self.define(self.history.definitions, 1)
        for number in range(SHARDS):
            await self.take_over(number)
        for act in self.history.acts:
            self.now_ms = act.at_ms
            await self._do(act)
        self.now_ms = max(self.now_ms, self.history.end_ms)
        await self.settle()
        for number in range(SHARDS):
            self.log.send_tick(number)
        await self.settle()

    async def take_over(self, number: int) -> None:
        """A new owner of a shard, who knows what the store knows and no more."""
        options: dict[str, Any] = {"limits": self._limits, "keeps_offsets": self._keeps_offsets, "lanes": self.lanes, "pause": never}
        shard = await Shard.acquire(number, self.store, self.plans, self.rules, **options)
        relay = Relay(number, self.store, MemorySink(self.log))
        await relay.start()
        self.shards[number : number + 1], self.relays[number : number + 1] = [shard], [relay]

    def define(self, source: dict[str, Any], version: int) -> None:
        """New definitions, in every shard."""
        parsed = parse_definitions(with_purposes(source))
        self._sources[parsed.digest] = source
        self.log.send_control(definitions_control(parsed.content(), parsed.digest, version))

    def write(self, body: dict[str, Any]) -> None:
        """A producer's record, or a control record, into the shard of its customer; what is of no customer goes into all."""
        match body:
            case {"control": "definitions", "version": version, "definitions": source}:
                self.define(source, version)
            case {"control": "model" | "withdraw"}:
                self.log.send_control(of_model(body))
            case {"control": "pause" | "resume" as kind, "message": name}:
                self.log.send_control(encode_control(Control(kind, message=name)))
            case {"control": "definitions", "version": version, "definitions": source}:
                self.define(source, version)
            case {"control": "erase", "customer": customer}:
                self.log.append(EVENTS, home(customer), encode_control(Control("erase", customer=customer)), headers=CONTROL)
            case event:
                customer = event.get("userId") or event["anonymousId"]
                raw = json.dumps({**event, "timestamp": time_text(event["timestamp"])}).encode()
                self.log.append(EVENTS, home(customer), raw, key=customer.encode())

    async def rebuild(self) -> None:
        """Every shard is told anew from its log, and sends again all that it ever sent to others."""
        for number, shard in enumerate(list(self.shards)):
            await self.store.reset(number, expected=shard.checkpoint)
            await self.take_over(number)
            await self._process(number)
        await self.settle()

    async def inside(self) -> dict[str, list[str]]:
        """The segments of everybody who is in any, in all shards."""
        found: dict[str, list[str]] = {}
        for number, shard in enumerate(self.shards):
            for customer, blob in (await look(self.store, number)).states.items():
                if not is_tombstone(blob):
                    state = shard.state(blob)
                    if names := sorted(name for number, name in enumerate(shard.plan.names) if state.is_inside(number)):
                        found[customer] = names
        return found

    async def _do(self, act: Act) -> None:
        """What is read is at least one record, and what is published at least one slice."""
        if act.body is not None:
            self.write(act.body)
        if act.choice & 1:
            await self._process(act.choice >> 2 & 1)
        if act.choice & 2:
            await self.relays[act.choice >> 2 & 1].turn()

    async def _process(self, number: int) -> bool:
        records = self.log.fetch(number, self.shards[number].position.offset, self._batch)
        if records:
            self.relays[number].add(await self.shards[number].process(records))
        return bool(records)

    async def settle(self) -> None:
        """Until all that was written is told, and all that was said is published."""
        for _ in range(ROUNDS_MAX):
            worked = [await self._process(number) for number in range(SHARDS)]
            said = [await relay.turn() for relay in self.relays]
            if not any(worked + said):
                return
        raise AssertionError("records go round for ever")

    # in the oracle's words

    async def doubtful(self, number: int) -> set[tuple[str, str]]:
        """See ``doubtful``."""
        return await doubtful(self.log.fetch(number, 0, EVERYTHING), number, self.rules)

    async def in_doubt(self, post: Post) -> set[str]:
        """See ``doubtful_people``."""
        logs = [self.log.fetch(number, 0, EVERYTHING) for number in range(SHARDS)]
        return await doubtful_people(logs, self.rules, post.messages)

    def changes(self, number: int) -> list[Change]:
        """What a reader of the changes sees of a shard, numbered within each record."""
        return changes_of(self.log.read_changes(), number)

    def logs(self) -> dict[int, list[Record]]:
        """All records but the first definitions."""
        return {number: [self._told(record) for record in self.log.fetch(number, 1, EVERYTHING)] for number in range(SHARDS)}

    def _told(self, record: LogRecord) -> Record:
        found = record_of(record)
        if found.body.get("control") != "definitions":
            return found
        return replace(found, body={**found.body, "definitions": self._sources[found.body["digest"]]})


def changes_of(changes: Iterable[SegmentChange], number: int) -> list[Change]:
    """The changes of one shard, numbered within each record."""
    found: list[Change] = []
    for change in changes:
        data = change.data
        if data.position.shard != number:
            continue
        before = found[-1].ordinal + 1 if found and found[-1].offset == data.position.offset else 0
        cause = Cause(
            data.cause.kind,
            data.cause.id,
            None if data.cause.due is None else ms_of(data.cause.due),
            data.cause.version,
            data.cause.from_,
            data.cause.into,
        )
        entered, at = change.type == "segment.entered", ms_of(data.at)
        found.append(
            Change(change.subject, data.segment, entered, at, data.sequence, cause, data.definitions, data.position.offset, before)
        )
    return found


async def doubtful(records: Sequence[LogRecord], number: int, rules: Rules) -> set[tuple[str, str]]:
    """(customer, segment) of whom some answer was marked approximate at some record of a shard; of who refers to such a segment too."""
    store, found = MemoryStore(), set[tuple[str, str]]()
    lanes = lanes_over(store, records, rules)
    shard = await Shard.acquire(number, store, Plans(store, rules), rules, limits=Limits(records=1), lanes=lanes, pause=never)
    for record in records:
        await shard.process([record])
        for customer, blob in (await look(store, number)).states.items():
            if not is_tombstone(blob) and (state := shard.state(blob)).generation == shard.body.generation:
                found |= {(customer, name) for name in _approximate(shard.plan, state, shard.body.log_time_ms)}
    return found


async def doubtful_people(logs: Sequence[Sequence[LogRecord]], rules: Rules, pasts: Iterable[Message]) -> set[str]:
    """Customers of any shard of whom some answer was marked approximate at some record, whoever asks for it; and whoever has their past."""
    found = {customer for number, log in enumerate(logs) for customer in await _doubtful_in(log, number, rules)}
    adopted = [past for past in pasts if past.kind == "adopt"]
    for _ in adopted:
        found |= {past.about for past in adopted if past.old in found}
    return found


async def _doubtful_in(records: Sequence[LogRecord], number: int, rules: Rules) -> set[str]:
    store, found = MemoryStore(), set[str]()
    lanes = lanes_over(store, records, rules)
    shard = await Shard.acquire(number, store, Plans(store, rules), rules, limits=Limits(records=1), lanes=lanes, pause=never)
    for record in records:
        await shard.process([record])
        for customer, blob in (await look(store, number)).states.items():
            if is_tombstone(blob) or (state := shard.state(blob)).generation != shard.body.generation:
                continue
            if _has_doubts(shard.plan, state, shard.body.log_time_ms):
                found.add(customer)
    return found


async def first_difference(
    found: Sequence[Change], expected: Sequence[Change], doubtful: Callable[[], Awaitable[set[tuple[str, str]]]]
) -> tuple[Change | None, Change | None] | None:
    """What was said and what should have been, where they part; but for what is ``doubtful``, which is asked for where they do."""
    if list(found) == list(expected):
        return None
    left_out = await doubtful()
    mine, right = (
        [replace(each, ordinal=0) for each in changes if (each.customer, each.segment) not in left_out] for changes in (found, expected)
    )
    return next((pair for pair in zip_longest(mine, right) if pair[0] != pair[1]), None)


def record_of(record: LogRecord) -> Record:
    """A record in the oracle's words: of what shards tell each other its kind, its customer, who becomes whom, and its place."""
    forward, kind = None, "event"
    for name, value in record.headers:
        if name == FORWARD_HEADER:
            form = SENT_ON.fullmatch(value)
            assert form is not None, value
            generation, shard, offset, ordinal, arrival_ms, _, _ = (int(each) if each.isdigit() else 0 for each in form.groups())
            forward, kind = Forward(shard, (generation, offset, ordinal), arrival_ms, record.key.decode()), form[6].decode()
    body: dict[str, Any] = json.loads(record.value)
    if kind == "event" and not record.control:
        body = {"type": "track", **body}
        if isinstance(body["timestamp"], str):
            body["timestamp"] = ms_of(body["timestamp"])
    elif kind in ("link", "adopt"):
        body = {"control": kind, "from": body["from"], "to": body["to"]}
    elif kind == "point":
        body = {"control": kind, "to": body["to"]}
    elif kind == "side":
        body = {"control": kind, "to": body["to"], "version": body["version"], "before": body["before"]}
    elif kind == "erase":
        body = {"control": kind}
    elif record.value == TICK:
        body = {"control": "tick"}
    return Record(record.offset, record.arrival_ms, body, forward)


def _has_doubts(plan: Plan, state: State, now: int) -> bool:
    tested = (predicate for condition in tested_conditions(plan.definitions) for predicate in plan.asked_predicates(condition))
    everything = (*plan.predicates, *tested)
    return any(one.approximate(one.data(state), now - state.origin_ms, state) is not None for one in everything)


def _approximate(plan: Plan, state: State, now: int) -> set[str]:
    """Segments of which some clause says that its answer is approximate, and those that refer to one."""
    inside = {
        segment.name: [node for condition in segment.conditions for node in nodes(condition)] for segment in plan.definitions.segments
    }
    found: set[str] = set()
    for _ in inside:  # a chain of references is no longer than that
        found |= {name for name, of in inside.items() if any(_is_approximate(plan, node, state, now, found) for node in of)}
    return found


def _is_approximate(plan: Plan, node: AnyNode, state: State, now: int, found: set[str]) -> bool:
    if getattr(node, "segment", None) in found:
        return True
    if not isinstance(node, tree.Atom):
        return False
    predicate = plan.predicate(node)
    return predicate.approximate(predicate.data(state), now - state.origin_ms, state) is not None
