"""The whole log of one shard, told record by record: who entered and left what, when, and why (LANGUAGE.md, sections 2 and 3).

An independent recomputation to judge the step by. It keeps every accepted event for ever, looks at each customer at every instant that
could matter, asks every expression from scratch each time, and imports nothing of what it judges.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zlib import crc32

from tests.oracle.expressions import Accepted, Asked, Standing, asks_the_calendar, leaves, memory_of, parse, zone_of
from tests.oracle.moments import Clockwork
from tests.oracle.values import duration_ms

FOREVER_AGO = -1
IDS_MAX = 8_192
ZONE = "zone"
PLACEHOLDERS = (
    *("undefined", "null", "nil", "none", "nan", "(null)", "<null>", "[object object]", "0", "true", "false"),
    *("00000000-0000-0000-0000-000000000000", "anonymous", "guest", "not_authenticated"),
)


@dataclass(frozen=True)
class Forward:
    """Who sent a record on: the shard, the record's place in that shard's story, the log time at which it first arrived, and its key."""

    shard: int
    place: tuple[int, int, int]
    arrival_ms: int
    key: str | None = None


@dataclass(frozen=True)
class Record:
    """One record of a shard. The body is an event (``timestamp`` in milliseconds), or ``{"control": "tick"}``,
    ``{"control": "erase", "customer": ...}``, ``{"control": "definitions", "version": ..., "definitions": {...}}``.
    """

    offset: int
    arrival_ms: int
    body: dict[str, Any]
    forward: Forward | None = None
    may_link: bool = True


@dataclass(frozen=True)
class Cause:
    kind: str
    id: str | None = None
    due: int | None = None
    version: int | None = None
    old: str | None = None
    into: str | None = None


@dataclass(frozen=True)
class Change:
    customer: str
    segment: str
    entered: bool
    at_ms: int
    sequence: int
    cause: Cause
    definitions: int
    offset: int
    ordinal: int


@dataclass(frozen=True)
class Outcome:
    changes: list[Change]
    memberships: dict[str, list[str]]
    counts: dict[str, int]


@dataclass(frozen=True)
class Segment:
    name: str
    when: ast.expr
    exit: ast.expr | None
    stay_ms: int
    cooldown_ms: int


class Definitions:
    """Segments in the order in which they are judged, and what they say about time."""

    def __init__(self, source: dict[str, Any], version: int) -> None:
        self.source, self.version = source, version
        self.zone: str = source.get("zone", "UTC")
        self.segments = {
            name: Segment(
                name,
                parse(given["when"]),
                parse(given["exit"]) if "exit" in given else None,
                duration_ms(given.get("stay", "0ms")) or 0,
                duration_ms(given.get("cooldown", "0ms")) or 0,
            )
            for name, given in source["segments"].items()
        }
        self.trees = [tree for each in self.segments.values() for tree in (each.when, each.exit) if tree is not None]
        waits = [wait for each in self.segments.values() for wait in (each.stay_ms, each.cooldown_ms)]
        self.clockwork = Clockwork(self.trees, waits)
        self.order: list[str] = []
        for name in sorted(self.segments):
            self._place(name)

    def _place(self, name: str) -> None:
        """Put a segment after all those that its expressions refer to."""
        if name in self.order:
            return
        segment = self.segments[name]
        for tree in (segment.when, segment.exit):
            for referred in sorted(segments_in(tree)):
                self._place(referred)
        self.order.append(name)

    def memories(self) -> set[str]:
        """What these definitions need remembered; the customer's zone too, if any of them asks the calendar."""
        zone = {ZONE} if any(asks_the_calendar(tree) for tree in self.trees) else set[str]()
        return {memory_of(leaf) for tree in self.trees for leaf in leaves(tree)} | zone

    def changed(self, before: Definitions) -> set[str]:
        """The segments that are new, or mean something else than before: by their own text, by the zone, or by one that they refer to."""
        found = set(self.order) if self.zone != before.zone else set[str]()
        for name in self.order:  # those that are referred to come first
            segment, known = self.segments[name], before.segments.get(name)
            refers = segments_in(segment.when) | segments_in(segment.exit)
            if known is None or _meaning(segment) != _meaning(known) or refers & found:
                found.add(name)
        return found


@dataclass
class Customer:
    judged_ms: int
    history: list[Accepted] = field(default_factory=list)
    ids: list[tuple[str, int]] = field(default_factory=list)
    forgotten_ms: int = FOREVER_AGO
    standings: dict[str, Standing] = field(default_factory=dict)
    counts_from: int = 0  # the number of the change before the first one of a segment


class Story:
    """Tell records one by one; ``changes``, ``memberships()`` and ``counts`` say what came of them."""

    reads = Definitions

    def __init__(self, definitions: dict[str, Any], *, version: int = 1, lateness_ms: int = 86_400_000, skew_ms: int = 300_000) -> None:
        self.placeholders = PLACEHOLDERS
        self.definitions = self.reads(definitions, version)
        self.lateness_ms, self.skew_ms = lateness_ms, skew_ms
        self.born = dict.fromkeys(self.definitions.memories(), version)  # since which version a memory is there without a break
        self.told: list[Record] = []
        self.is_as_if = False  # its definitions hold from the beginning, whatever the log says
        self.customers: dict[str, Customer] = {}
        self.erased_ms: dict[str, int] = {}
        self.changes: list[Change] = []
        self.counts: Counter[str] = Counter()
        self.now = FOREVER_AGO
        self.forwarded: dict[int, tuple[int, int, int]] = {}
        self.witness: Callable[[dict[str, Any], Asked], None] = lambda draft, asked: None  # is shown each change while it can be asked why

    def tell(self, record: Record) -> None:
        self.told.append(record)
        self.now = max(self.now, record.arrival_ms)
        drafts = self._fire_timers()
        if record.forward is not None and self._is_sent_again(record, record.forward):
            self.counts["forwarded_again"] += 1
        else:
            drafts += self._apply(record)
        for ordinal, draft in enumerate(drafts):
            self._write(draft, record.offset, ordinal)

    def _write(self, draft: dict[str, Any], offset: int, ordinal: int) -> None:
        self.changes.append(Change(**draft, offset=offset, ordinal=ordinal))

    def _apply(self, record: Record) -> list[dict[str, Any]]:
        match record.body:
            case {"control": "tick"}:
                return []
            case {"control": "erase", "customer": customer}:
                return self._erase(customer)
            case {"control": "definitions", "version": version, "definitions": source}:
                is_new = version > self.definitions.version  # numbers only rise: any other is repeated, or was overtaken
                return self._define(self.reads(source, version)) if is_new and not self.is_as_if else []
            case event:
                return self._admit(event, record)

    def memberships(self) -> dict[str, list[str]]:
        """The segments of each customer who is in any."""
        inside = {id_: sorted(name for name, each in one.standings.items() if each.inside) for id_, one in self.customers.items()}
        return {customer: names for customer, names in sorted(inside.items()) if names}

    def zone(self, customer: str) -> str:
        known = [each for each in self.customers[customer].history if each.is_in(ZONE)]
        return zone_of(known, self.definitions.zone)

    # The three things a record can do

    def _fire_timers(self) -> list[dict[str, Any]]:
        fired = [draft for customer in self.customers for draft in self._pass_time(customer)]
        return sorted(fired, key=lambda draft: (draft["at_ms"], draft["customer"]))

    def _pass_time(self, customer: str) -> list[dict[str, Any]]:
        one, drafts = self.customers[customer], []
        waiting = self._moments(customer)
        while waiting:
            moment = waiting.pop(0)
            found = self._judge(customer, moment, Cause("timer", due=moment))
            drafts += found
            if found:  # entering and leaving are instants to count from
                waiting = self._moments(customer)
        one.judged_ms = self.now
        return drafts

    def _moments(self, customer: str) -> list[int]:
        one = self.customers[customer]
        return self.definitions.clockwork.moments(one.judged_ms, self.now, self.zone(customer), one.history, one.standings.values())

    def _is_sent_again(self, record: Record, forward: Forward) -> bool:
        if forward.shard in self.forwarded and forward.place <= self.forwarded[forward.shard]:
            return True
        self.forwarded[forward.shard] = forward.place
        return False

    def _admit(self, event: dict[str, Any], record: Record) -> list[dict[str, Any]]:
        customer = self._customer(event)
        if customer is None:
            self.counts["placeholder_id"] += 1
            return []
        return self._admit_as(customer, event, record)

    def _admit_as(self, customer: str, event: dict[str, Any], record: Record) -> list[dict[str, Any]]:
        arrived = record.forward.arrival_ms if record.forward is not None else self.now
        timestamp = event["timestamp"]
        known = self.customers.get(customer)
        horizon = min(self.now, arrived) - self.lateness_ms
        if record.forward is not None and known:
            horizon = max(horizon, known.forgotten_ms)
        if timestamp > arrived + self.skew_ms:
            verdict = "future"
        elif timestamp <= arrived - self.lateness_ms or (known and timestamp <= known.forgotten_ms):
            verdict = "late"
        elif self._is_of_erased(customer, timestamp):
            verdict = "of_erased"
        elif known and any(id_ == event["messageId"] and ts // 60_000 >= horizon // 60_000 for id_, ts in known.ids):
            verdict = "duplicate"
        else:
            verdict = "accepted"
        self.counts[verdict] += 1
        if verdict != "accepted":
            return []
        one = self.customers.setdefault(customer, Customer(self.now))
        self._remember_id(one, event["messageId"], timestamp, horizon // 60_000)
        one.forgotten_ms = max(one.forgotten_ms, horizon)
        one.history.append(Accepted(record.offset, min(timestamp, self.now), event))
        return self._judge(customer, self.now, Cause("event", id=event["messageId"]))

    def _is_of_erased(self, customer: str, timestamp: int) -> bool:
        erased_ms = self.erased_ms.get(customer, FOREVER_AGO)
        return timestamp <= erased_ms and erased_ms > self.now - 2 * self.lateness_ms

    @staticmethod
    def _remember_id(one: Customer, message_id: str, timestamp: int, oldest_minute: int) -> None:
        one.ids = [(id_, ts) for id_, ts in one.ids if ts // 60_000 >= oldest_minute] + [(message_id, timestamp)]
        if len(one.ids) > IDS_MAX:
            forgotten = min(ts // 60_000 for _, ts in one.ids)
            one.ids = [(id_, ts) for id_, ts in one.ids if ts // 60_000 > forgotten]
            one.forgotten_ms = forgotten * 60_000 + 59_999

    def _customer(self, event: dict[str, Any]) -> str | None:
        """The first id that names somebody."""
        return next((id_ for id_ in (event.get("userId"), event.get("anonymousId")) if self._names_somebody(id_)), None)

    def _names_somebody(self, id_: str | None) -> bool:
        return bool(id_ and id_.strip() and id_.strip().lower() not in self.placeholders)

    # Definitions: what is new in them is as if it had always held

    def _define(self, new: Definitions) -> list[dict[str, Any]]:
        past, changed = self._as_if(new), new.changed(self.definitions)
        self._remember_past(past, new)
        self.born = {memory: self.born.get(memory, new.version) for memory in new.memories()}
        self.definitions = new
        return [draft for customer in sorted(self.customers, key=_place) for draft in self._come_under(customer, past, changed)]

    def _as_if(self, new: Definitions) -> Story:
        """The log up to here, told under these definitions from its beginning."""
        found = type(self)(new.source, version=new.version, lateness_ms=self.lateness_ms, skew_ms=self.skew_ms)
        found.is_as_if, found.placeholders = True, self.placeholders
        for record in self.told:
            found.tell(record)
        return found

    def _remember_past(self, past: Story, new: Definitions) -> None:
        """Memories that are new hold what they would hold there; the others hold what they do."""
        needed = new.memories()
        kept, fresh = needed & self.definitions.memories(), needed - self.definitions.memories()
        for customer, one in self.customers.items():
            theirs = past.customers[customer].history
            if any(each.known_to is not None for each in (*one.history, *theirs)):
                one.history = [*_known_to(one.history, kept), *_known_to(theirs, fresh)]

    def _come_under(self, customer: str, past: Story, changed: set[str]) -> list[dict[str, Any]]:
        cause = Cause("definitions", version=self.definitions.version)
        one, theirs = self.customers[customer], past.customers[customer]
        joined: list[dict[str, Any]] = []
        for name in changed:
            ours = one.standings.get(name, Standing(sequence=one.counts_from))
            one.standings[name] = standing = joined_standing(ours, theirs.standings.get(name, Standing()))
            if standing.inside != ours.inside:
                joined.append(self._draft(customer, name, standing, self.now, cause))
        return self._judge(customer, self.now, cause, joined)

    def _erase(self, customer: str) -> list[dict[str, Any]]:
        self.erased_ms[customer] = self.now
        one = self.customers.pop(customer, None)
        return self._leave_all(customer, one, Cause("erase")) if one is not None else []

    def _leave_all(self, customer: str, one: Customer, cause: Cause) -> list[dict[str, Any]]:
        return [
            self._turn(customer, name, standing, self.now, cause) for name, standing in sorted(one.standings.items()) if standing.inside
        ]

    # Judging

    def _judge(self, customer: str, now: int, cause: Cause, joined: Sequence[dict[str, Any]] = ()) -> list[dict[str, Any]]:
        """``joined``: what is to be said besides, in its place by name."""
        one = self.customers[customer]
        one.judged_ms = now
        drafts = list(joined)
        for name, standing in one.standings.items():
            if name not in self.definitions.segments:
                if standing.inside:
                    drafts.append(self._turn(customer, name, standing, now, cause))
                one.standings[name] = Standing(sequence=standing.sequence)  # should it come back it counts on, and knows no more
        asked = Asked(now, self.zone(customer), one.history, one.standings)
        for name in self.definitions.order:
            standing = one.standings.setdefault(name, Standing(sequence=one.counts_from))
            if _turns(self.definitions.segments[name], standing, asked):
                drafts.append(self._turn(customer, name, standing, now, cause))
        for draft in drafts:
            self.witness(draft, asked)
        return sorted(drafts, key=lambda draft: draft["segment"])

    def _turn(self, customer: str, name: str, standing: Standing, now: int, cause: Cause) -> dict[str, Any]:
        standing.inside = not standing.inside
        standing.sequence += 1
        if standing.inside:
            standing.entered_ms = now
        else:
            standing.left_ms = now
        return self._draft(customer, name, standing, now, cause)

    def _draft(self, customer: str, name: str, standing: Standing, now: int, cause: Cause) -> dict[str, Any]:
        return {
            "customer": customer,
            "segment": name,
            "entered": standing.inside,
            "at_ms": now,
            "sequence": standing.sequence,
            "cause": cause,
            "definitions": self.definitions.version,
        }


def tell(
    definitions: dict[str, Any], records: list[Record], *, version: int = 1, lateness_ms: int = 86_400_000, skew_ms: int = 300_000
) -> Outcome:
    """What a whole log comes to."""
    story = Story(definitions, version=version, lateness_ms=lateness_ms, skew_ms=skew_ms)
    for record in records:
        story.tell(record)
    return Outcome(story.changes, story.memberships(), dict(story.counts))


def _place(customer: str) -> tuple[int, str]:
    """In which order other definitions come to customers."""
    return crc32(customer.encode()) % 64, customer


def joined_standing(ours: Standing, theirs: Standing) -> Standing:
    """As it would be, had it always been; but where something was said before, numbers count on from there."""
    said = ours.sequence
    sequence = theirs.sequence if not said else said if theirs.inside == (said % 2 == 1) else said + 1
    return replace(theirs, sequence=sequence)


def _known_to(history: list[Accepted], memories: set[str]) -> list[Accepted]:
    """Events as far as these memories hold them."""
    found = [replace(each, known_to=frozenset(memories if each.known_to is None else memories & each.known_to)) for each in history]
    return [each for each in found if each.known_to]


def _meaning(segment: Segment) -> tuple[str, str, int, int]:
    """All that decides who is in a segment."""
    leaves = "" if segment.exit is None else ast.unparse(segment.exit)
    return ast.unparse(segment.when), leaves, segment.stay_ms, segment.cooldown_ms


def _turns(segment: Segment, standing: Standing, asked: Asked) -> bool:
    if standing.inside:
        assert standing.entered_ms is not None
        leaves_now = asked.holds(segment.exit) if segment.exit is not None else not asked.holds(segment.when)
        return leaves_now and asked.now >= standing.entered_ms + segment.stay_ms
    if not asked.holds(segment.when) or (segment.exit is not None and asked.holds(segment.exit)):
        return False
    return standing.left_ms is None or asked.now >= standing.left_ms + segment.cooldown_ms


def segments_in(tree: ast.expr | None) -> set[str]:
    if tree is None:
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="segment" | "entered" | "left"), args=[ast.Constant(value=str() as name)]):
                found.add(name)
            case _:
                pass
    return found
