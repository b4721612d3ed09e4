"""From definitions to a plan: which memories are kept, which leaves read them, which events touch what.

The plan makes cost follow what an event touches, not how many segments there are. Memories are shared by all leaves that can be answered
from them; an event finds its memories by name, and those with ``where=prop("x") == "…"`` by that value; only segments with a leaf whose
truth changed are judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from zoneinfo import ZoneInfo

from streamer import values
from streamer.customers import memories
from streamer.customers.memories import Data, Update
from streamer.customers.profile import AnySpec as Spec
from streamer.customers.profile import Held, Profile
from streamer.customers.profile import take as take_profile
from streamer.customers.state import NEVER, State
from streamer.events.event import Event
from streamer.examples import ModelSpec
from streamer.values import MISSING, Json, scaled

from . import calendar, leaves, scored, tree, watch
from .definitions import Definitions, Segment, nodes
from .leaves import Age, Leaf, Reading
from .looks import Due, Truth, look_distinct, look_number, look_pairs, never_due
from .matching import ACTIVITY, Predicate, Reader, compile_where, is_only_selector, names_match, read_properties, selector
from .tree import Condition, Events, Window

Holds = Callable[[State, int], bool]  # at a moment at which the customer is judged, see ``watch``
Entry = tuple[int, watch.Feed, Reader | None]  # memory number, what feeds it, what of the event it takes
Listener = tuple[watch.Feed, Callable[[dict[str, Json]], Json]]  # the same for a path of traits or context

TYPES: Final = ("track", "identify", "page", "screen", "group", "alias")


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory of the plan. ``key`` is its identity across plans; ``source`` what feeds it."""

    key: str
    spec: Spec
    source: Feed


@dataclass(frozen=True, slots=True)
class Feed:
    """What a memory takes from an event: of matching ``events`` the value at ``path``, or of all events a path of traits or context."""

    events: Events | None = None
    path: tuple[str, ...] = ()
    take: str = "time"  # time, number, labels, value, step, trait, context, zone, profile, step itself
    steps: tuple[Events, ...] = ()
    then_not: Events | None = None


@dataclass(slots=True)
class Rule:
    """One segment, compiled. Its number is its place in ``Plan.rules``; those it sees have smaller numbers."""

    number: int
    name: str
    when: Holds
    exit: Holds | None
    stay_ms: int
    cooldown_ms: int
    segment: Segment
    dependents: frozenset[int] = frozenset()
    asks: tuple[int, ...] = ()  # memories of scores it stands on: while one is empty it is not judged


@dataclass(slots=True)
class Touched:
    """Memories an event name reaches: some always, some only for the value at a path."""

    always: list[Entry] = field(default_factory=list[Entry])
    by_value: dict[tuple[str, ...], dict[str, list[Entry]]] = field(default_factory=dict[tuple[str, ...], dict[str, list[Entry]]])

    def frozen(self) -> tuple[tuple[Entry, ...], tuple[tuple[Reader, dict[str, tuple[Entry, ...]]], ...]]:
        """As the step wants it."""
        index = tuple((read_properties(path), {value: tuple(found) for value, found in by.items()}) for path, by in self.by_value.items())
        return tuple(self.always), index


Dispatch = tuple[tuple[Entry, ...], tuple[tuple[Reader, dict[str, tuple[Entry, ...]]], ...]]


class Plan:
    """Definitions made ready. Immutable after construction but for caches."""

    def __init__(self, definitions: Definitions, *, lateness_ms: int) -> None:
        self.definitions = definitions
        self.digest = definitions.digest
        self.default_zone = calendar.find_zone(definitions.zone) or ZoneInfo("UTC")
        self.numbers: dict[str, int] = {segment.name: number for number, segment in enumerate(definitions.segments)}
        self.names: list[str] = [segment.name for segment in definitions.segments]
        builder = _Builder(self, lateness_ms)
        self.memories: list[Memory] = builder.memories
        self.slots: dict[str, int] = builder.slots
        self.leaves: list[Leaf] = builder.leaves
        self.leaf_of: dict[str, Leaf] = builder.leaf_of
        self.reasons: dict[int, Any] = {}  # what ``change`` has compiled, by the identity of the condition
        self._leaf_by_atom: dict[int, tuple[tree.Condition, Leaf]] = {}  # atoms live as long as the plan's definitions do
        self.zone_slot: int | None = builder.slots.get(_ZONE_KEY)
        self.gates = watch.Gates()
        self._index()
        self.rules: list[Rule] = [self._rule(number, segment) for number, segment in enumerate(definitions.segments)]
        for rule in self.rules:
            rule.dependents = frozenset(user for leaf in self.leaves_by_segment.get(rule.number, ()) for user in leaf.segments)
            gates = self._gates_of(rule.segment)
            if gates or rule.exit is not None:
                self.gates.add(rule.number, gates, has_exit=rule.exit is not None)
        self._resting = frozenset(rule.number for rule in self.rules if rule.stay_ms or rule.cooldown_ms)
        # Segments after whose changes a moment may have to be noted: they rest then, or time turns what refers to them.
        self.followed = self._resting | self._timed_by_segment.keys()
        self._known: dict[tuple[str, str], Dispatch] = {}
        self.newborn: frozenset[int] = self._newborn()

    def condition(self, node: Condition) -> Holds:
        """Whether a condition of the plan (or a part of one) holds."""
        match node:
            case tree.And(of=of):
                return _all_hold([self.condition(part) for part in of])
            case tree.Or(of=of):
                return _any_holds([self.condition(part) for part in of])
            case tree.Not(of=of):
                inner = self.condition(of)
                return lambda state, now: not inner(state, now)
            case _:
                return _noted(self.leaf(node))

    def _rule(self, number: int, segment: Segment) -> Rule:
        when = self.condition(segment.when)
        leave = None if segment.exit is None else self.condition(segment.exit)
        asked = {model for condition in segment.conditions for node in nodes(condition) if (model := scored.model_of(node)) is not None}
        asks = tuple(self.slots[scored.score_key(model)] for model in sorted(asked))
        return Rule(number, segment.name, when, leave, segment.stay_ms, segment.cooldown_ms, segment, asks=asks)

    def _gates_of(self, segment: Segment) -> tuple[watch.Gate, ...]:
        """The parts of ``when`` that must hold, or must not, and that time alone cannot make so."""
        found: list[watch.Gate] = []
        for part in segment.when.of if isinstance(segment.when, tree.And) else ():
            negated = isinstance(part, tree.Not)
            atom = part.of if isinstance(part, tree.Not) else part
            if not isinstance(atom, (tree.And, tree.Or, tree.Not)):
                leaf = self.leaf(atom)
                if leaf.place is not None and (leaf.due is never_due or leaf.tends == (1 if negated else -1)):
                    found.append(watch.Gate(*leaf.place, wanted=not negated))
        return tuple(found)

    def zone_of(self, state: State) -> ZoneInfo:
        """The customer's own zone, else the shop's."""
        data = state.slots.get(self.zone_slot) if self.zone_slot is not None else None
        return (calendar.find_zone(data[2]) if data is not None else None) or self.default_zone

    def leaf(self, atom: tree.Condition) -> Leaf:
        """The compiled form of an atom that stands in some condition of the plan."""
        found = self._leaf_by_atom.get(id(atom))
        if found is None or found[0] is not atom:
            found = (atom, self.leaf_of[tree.text(atom)])
            self._leaf_by_atom[id(atom)] = found
        return found[1]

    # which leaves stand over which memory

    def _index(self) -> None:
        by_slot: list[list[Leaf]] = [[] for _ in self.memories]
        for leaf in self.leaves:
            for slot in {*leaf.slots, *((self.zone_slot,) if leaf.zoned and self.zone_slot is not None else ())}:
                by_slot[slot].append(leaf)
        for key, leaf in enumerate((leaf for leaf in self.leaves if leaf.joint), len(self.memories)):
            leaf.place = (key, 1, 0)
        self.watches = [watch.Watch(slot, memory.spec, by_slot[slot], self.gates) for slot, memory in enumerate(self.memories)]
        self.clock_leaves: tuple[Leaf, ...] = tuple(leaf for leaf in self.leaves if leaf.clock)
        self._timed_by_slot = _timed({over.slot: over.others for over in self.watches})
        by_segment: dict[int, list[Leaf]] = {}
        for leaf in self.leaves:
            for number in leaf.sees:
                by_segment.setdefault(number, []).append(leaf)
        self.leaves_by_segment: dict[int, tuple[Leaf, ...]] = {number: tuple(found) for number, found in by_segment.items()}
        self._timed_by_segment = _timed(self.leaves_by_segment)
        self._index_events()

    def _index_events(self) -> None:
        self._by_name: dict[str, Touched] = {}
        self._by_prefix: dict[str, Touched] = {}
        self.puts: dict[str, watch.Feed] = {}  # memories that no event feeds, by key
        self.on_traits: list[Listener] = []
        self.on_context: list[Listener] = []
        for slot, memory in enumerate(self.memories):
            match memory.source.take:
                case "trait":
                    self.on_traits.append((self._feed(slot, memory), values.lookup_present(memory.source.path)))
                case "context":
                    self.on_context.append((self._feed(slot, memory), values.lookup_present(memory.source.path)))
                case "step itself":
                    self.puts[memory.key] = self._feed(slot, memory)
                case "zone":
                    self.on_traits.append((self._feed(slot, memory), _zone_name(1)))
                    self.on_context.append((self._feed(slot, memory), _zone_name(0)))
                case _:
                    self._index_feed(slot, memory)

    def _feed(self, slot: int, memory: Memory) -> watch.Feed:
        update = memory.spec.update()
        feed = self.watches[slot].feed(_each(update) if memory.source.take == "number" else update)
        return _unless_same_zone(slot, update, feed) if memory.source.take == "zone" else feed

    def _index_feed(self, slot: int, memory: Memory) -> None:
        feed, give = memory.source, self._feed(slot, memory)
        if feed.take == "step":
            read = _step_bits(feed)
            for name in sorted({name for events in _all_steps(feed) for name in events.names}):
                self._touched(name).always.append((slot, give, read))
            return
        assert feed.events is not None
        where = feed.events.where
        found = selector(where)
        if found is None:
            entry: Entry = (slot, give, _reader(feed, compile_where(where) if where is not None else None))
            for name in feed.events.names:
                self._touched(name).always.append(entry)
            return
        path, texts = found
        entry = (slot, give, _reader(feed, None if is_only_selector(where) or where is None else compile_where(where)))
        for name in feed.events.names:
            for text in texts:
                self._touched(name).by_value.setdefault(path, {}).setdefault(text, []).append(entry)

    def _touched(self, name: str) -> Touched:
        table = self._by_prefix if name.endswith("*") else self._by_name
        return table.setdefault(name, Touched())

    def dispatch(self, event: Event) -> Dispatch:
        """Memories that listen to an event of this type and name."""
        key = (event.type, event.event if event.type == "track" else "")
        found = self._known.get(key)  # type: ignore[arg-type]
        if found is None:
            found = self._find(event.type, event.name)
            if len(self._known) < 10_000:  # names are producers' texts: unbounded
                self._known[key] = found  # type: ignore[index]
        return found

    def _find(self, kind: str, name: str) -> Dispatch:
        tables = [self._by_name[name]] if name in self._by_name else []
        for prefix, touched in sorted(self._by_prefix.items()):
            if (prefix == "*" and kind in ACTIVITY) or (prefix != "*" and name.startswith(prefix[:-1])):
                tables.append(touched)
        merged, seen = Touched(), set[int]()
        for touched in tables:  # a memory that lists a name and a prefix of it is still fed once
            merged.always += [entry for entry in touched.always if entry[0] not in seen]
            seen |= {entry[0] for entry in touched.always}
        for touched in tables:
            for path, by in touched.by_value.items():
                for value, entries in by.items():
                    known = merged.by_value.setdefault(path, {}).setdefault(value, [])
                    known += [entry for entry in entries if entry[0] not in {other[0] for other in known}]
        return merged.frozen()

    # what is true of nobody in particular

    def _newborn(self) -> frozenset[int]:
        """Segments a customer without any past may be in: they are judged when a customer appears."""
        blank, at = State(generation=0), 0
        found: set[int] = {user for leaf in self.clock_leaves for user in leaf.segments}
        found |= {user for leaf in self.leaves if leaf.sees for user in leaf.segments}
        for rule in self.rules:
            if rule.when(blank, at) and not (rule.exit is not None and rule.exit(blank, at)):
                found.add(rule.number)
        return frozenset(found)

    def concerned(self, state: State) -> set[int]:
        """Every segment a customer may be in or may have to leave: what anyone may be in, what is remembered, and where they are."""
        found = {*self.newborn, *state.members}
        for slot in state.slots:
            for leaf in self.watches[slot].leaves:
                found |= leaf.segments
        return found

    def catch_up(self, state: State, now: int) -> tuple[set[int], int]:
        """Note what time has turned in memories up to ``now``; return the segments over it, and the next moment at which it turns something
        that matters."""
        dirty, best = set[int](), NEVER
        watches, later = self.watches, list[watch.Watch]()
        for slot, data in state.slots.items():
            over = watches[slot]
            if over.rolls_ms:
                later.append(over)
            elif over.timed is not None:
                best = over.pass_time(data, now, state, best, dirty)
        for over in later:  # asking them is dear, and mostly not needed
            data = state.slots[over.slot]
            soonest_ms = data[1] + over.rolls_ms if data is not None and len(data) > 1 else NEVER
            if soonest_ms <= now or soonest_ms < best:
                best = over.pass_time(data, now, state, best, dirty)
        return dirty, best

    def pass_time(self, state: State, now: int) -> tuple[set[int], int]:
        """The same when the customer's earliest moment has come, so that calendar, zone and memberships count too; the moment returned is
        that of memories alone."""
        dirty, best = self.catch_up(state, now)
        for leaf in self._others_of(state):
            if leaf.due(leaf.data(state), now - 1, state) <= now:
                dirty |= leaf.segments
        for number in self._resting & state.members.keys() if self._resting else ():
            if self._rest_end_ms(state, number) == now:
                dirty.add(number)
        return dirty, best

    def due_besides(self, state: State, now: int) -> int:
        """The next moment after ``now`` that calendar, zone, and memberships may bring."""
        best = NEVER
        for leaf in self._others_of(state):
            best = min(best, leaf.due(leaf.data(state), now, state))
        for number in self._resting & state.members.keys() if self._resting else ():
            end_ms = self._rest_end_ms(state, number)
            if now < end_ms < best:
                best = end_ms
        return best

    def _rest_end_ms(self, state: State, number: int) -> int:
        """When a stay or cool-down ends; the moment of the change itself where there is none."""
        changes, at_ms = state.members[number]
        return at_ms + (self.rules[number].stay_ms if changes % 2 else self.rules[number].cooldown_ms)

    def _others_of(self, state: State) -> Iterable[Leaf]:
        """The leaves that no memory alone decides and that time can turn for this customer; some may come twice."""
        found = [*self.clock_leaves]
        for over, known in ((self._timed_by_slot, state.slots), (self._timed_by_segment, state.members)):
            if over:
                for number in over.keys() & known.keys():
                    found += over[number]
        return found

    def next_due(self, state: State, now: int) -> int:
        """The first moment after ``now`` at which time alone may change something for a customer. What holds at ``now`` has been noted."""
        best = self.due_besides(state, now)
        for slot, data in state.slots.items():
            timed = self.watches[slot].timed
            if timed is not None:
                best = timed(data, now, state, best)[1]
        return best

    def settle(self, state: State, now: int) -> None:
        """Find out anew what holds at ``now``: the definitions have changed, or a copy is looked at ahead of its time."""
        truths: dict[int, int] = {}
        for slot, data in state.slots.items():
            over = self.watches[slot]
            watch.keep(truths, slot, over.look(data, now, state, NEVER)[0], over.blank)
            for leaf in over.joint:
                if leaf.place is not None:
                    watch.keep(truths, leaf.place[0], int(leaf.holds(state, now)), 0)
        state.truths = truths

    def carry(self, state: State, old: Plan) -> list[str]:
        """Renumber a state of the plan before this one; return the names of segments it was inside and that are gone, by name."""
        slots: dict[int, Any] = {}
        for slot, data in state.slots.items():
            memory = old.memories[slot]
            now_at = self.slots.get(memory.key)
            if now_at is not None:
                slots[now_at] = _converted(data, memory.spec, self.memories[now_at].spec)
        members: dict[int, list[int]] = {}
        gone: list[str] = []
        for number, entry in state.members.items():
            name = old.names[number]
            if name in self.numbers:
                members[self.numbers[name]] = entry
            else:
                state.retired[name] = entry[0]
                if entry[0] % 2:
                    gone.append(name)
        state.slots, state.members = slots, members
        return sorted(gone)


def _timed(leaves_by: Mapping[int, tuple[Leaf, ...]]) -> dict[int, tuple[Leaf, ...]]:
    """Those that time can turn."""
    timed = {number: tuple(leaf for leaf in found if leaf.due is not never_due) for number, found in leaves_by.items()}
    return {number: found for number, found in timed.items() if found}


def _unless_same_zone(slot: int, update: Update, feed: watch.Feed) -> watch.Feed:
    """Browsers send their zone with every event, and everything of the calendar hangs on it: ask anew only when it is another one."""

    def feed_zone(state: State, value: Json, t: int, now: int, dirty: set[int]) -> None:
        old = state.slots.get(slot)
        if old is not None and old[2] == value[1]:
            state.slots[slot] = update(old, value, t, now)
        else:
            feed(state, value, t, now, dirty)

    return feed_zone


def _zone_name(rank: int) -> Callable[[dict[str, Json]], Json]:
    find = values.lookup(("timezone",))

    def name(source: dict[str, Json]) -> Json:
        found = find(source)
        return [rank, found] if type(found) is str and calendar.find_zone(found) is not None else MISSING

    return name


def _converted(data: Any, old: Spec, new: Spec) -> Any:
    """Data of a memory whose size changed with the definitions."""
    if isinstance(old, memories.Newest) and isinstance(new, memories.Newest):
        times = [data] if old.keep == 1 else data
        return times[-1] if new.keep == 1 else times[-new.keep :]
    if isinstance(old, memories.Runs) and isinstance(new, memories.Known):
        return data[-2:]
    return data


# what a memory takes from an event ------------------------------------------------------------------------------------


def _reader(feed: Feed, where: Predicate | None) -> Reader | None:
    """The value for the memory's update; None from it means the event is not for this memory. No function: every event is."""
    take = _TAKE[feed.take](feed.path)
    if where is None:
        return take
    if take is None:
        return lambda event: True if where(event) else None
    return lambda event: take(event) if where(event) else None


def _take_number(path: tuple[str, ...]) -> Reader:
    read = read_properties(path)

    def take(event: Event) -> Json:
        found = read(event)
        if type(found) is list:
            return [number for item in found if (number := scaled(item)) is not None] or None
        return scaled(found)

    return take


def _each(update: Update) -> Update:
    """An update that takes a list of numbers one by one: the products of an order."""

    def update_each(old: Data, value: Json, t: int, now: int) -> Data:
        if type(value) is not list:
            return update(old, value, t, now)
        for number in value:
            old = update(old, number, t, now)
        return old

    return update_each


def _take_labels(path: tuple[str, ...]) -> Reader:
    read = read_properties(path)

    def take(event: Event) -> Json:
        found = read(event)
        if type(found) is str:  # nearly always
            return [values.key_of_text(found[: values.TEXT_KEPT])]
        return [values.key_of(item) for item in values.scalars(values.kept(found))] or None

    return take


def _take_value(path: tuple[str, ...]) -> Reader:
    read = read_properties(path)
    return lambda event: [values.kept(read(event))]


_TAKE: Final[dict[str, Callable[[tuple[str, ...]], Reader | None]]] = {
    "time": lambda _path: None,
    "zero": lambda _path: lambda _event: 0,
    "number": _take_number,
    "labels": _take_labels,
    "value": _take_value,
    "profile": lambda _path: take_profile,
}


def _all_steps(feed: Feed) -> tuple[Events, ...]:
    return feed.steps if feed.then_not is None else (*feed.steps, feed.then_not)


def _step_bits(feed: Feed) -> Reader:
    parts = [
        (bit, names_match(events.names), compile_where(events.where) if events.where is not None else None)
        for bit, events in enumerate(_all_steps(feed))
    ]

    def bits(event: Event) -> Json:
        found = 0
        for bit, named, where in parts:
            if named(event) and (where is None or where(event)):
                found |= 1 << bit
        return found or None

    return bits


# building -------------------------------------------------------------------------------------------------------------

_ZONE_KEY: Final = "zone"


def _events_key(events: Events) -> str:
    return tree.text(tree.Last(events))


class _Builder:
    """Two passes over the trees: what memories are needed and how large, then leaves over them."""

    def __init__(self, plan: Plan, lateness_ms: int) -> None:
        self._lateness_ms = lateness_ms
        self._numbers = plan.numbers
        self._zone_of = plan.zone_of
        self._needed: dict[str, Memory] = {}
        for segment in plan.definitions.segments:
            for condition in segment.conditions:
                self._need_all(condition)
        self._need_models(plan.definitions.models)
        self.memories = [self._needed[key] for key in sorted(self._needed)]
        self.slots = {memory.key: slot for slot, memory in enumerate(self.memories)}
        self.leaf_of: dict[str, Leaf] = {}
        self.leaves: list[Leaf] = []
        for number, segment in enumerate(plan.definitions.segments):
            for condition in segment.conditions:
                self._make_leaves(condition, number, is_exit=condition is segment.exit)
        self.leaves += scored.moments(plan.definitions.models, self.slots)

    # first pass

    def _need_models(self, models: Sequence[ModelSpec]) -> None:
        """The profile, and for each model its score and, if it awaits outcomes, an example."""
        if models:
            self._needed[scored.PROFILE_KEY] = Memory(scored.PROFILE_KEY, Profile(), Feed(Events(("*",)), take="profile"))
        for spec in models:
            for key in (scored.score_key(spec.name), *((scored.pending_key(spec),) if spec.kind in scored.OUTCOMES else ())):
                self._needed[key] = Memory(key, Held(), Feed(take="step itself"))

    def _need_all(self, condition: Condition) -> None:
        for node in nodes(condition):
            for memory in self._memories_of(node):
                known = self._needed.get(memory.key)
                self._needed[memory.key] = memory if known is None else replace(known, spec=_larger(known.spec, memory.spec))

    def _memories_of(self, node: Any) -> Iterable[Memory]:
        match node:
            case tree.Compare(left=tree.Count() as count, right=int() as right):
                yield self._count_memory(count, right + 1 if node.op not in (">=", "<") else right)
            case tree.OneOf(left=tree.Count() as count):
                yield self._count_memory(count, max(int(item) for item in node.items) + 1)
            case tree.Compare(left=tree.Aggregate(name="distinct") as distinct, right=int() as right):
                yield self._distinct_memory(distinct, right + 1 if node.op not in (">=", "<") else right)
            case tree.OneOf(left=tree.Aggregate(name="distinct") as distinct):
                yield self._distinct_memory(distinct, max(int(item) for item in node.items) + 1)
            case tree.Did(events=events, window=window):
                yield self._pairs_memory(events, (), window) if window.before_ms else self._newest_memory(events, 1)
            case tree.Aggregate(name="sum" | "avg" | "min" | "max"):
                yield self._number_memory(node)
            case tree.Top(events=events, path=path, window=window):
                yield self._labels_memory(events, path, window)
            case tree.Active(events=events):
                yield self._pairs_memory(events, (), Window(within_ms=node.each_ms * node.periods))
            case tree.Last(events=events):
                yield self._newest_memory(events, 1)
            case tree.First(events=events):
                yield Memory(f"oldest {_events_key(events)}", memories.Oldest(), Feed(events))
            case tree.Latest(events=events, path=path) | tree.Earliest(events=events, path=path):
                yield self._property_memory(node)
            case tree.Trait() | tree.Context() | tree.Language():
                yield self._known_memory(node, memories.Known())
            case tree.Unchanged(of=of):
                yield self._known_memory(of, memories.Runs(self._lateness_ms))
            case tree.Sequence():
                yield self._steps_memory(node)
            case _:
                pass
        if _needs_zone(node):
            yield Memory(_ZONE_KEY, memories.Zone(), Feed(take="zone"))

    def _newest_memory(self, events: Events, keep: int) -> Memory:
        return Memory(f"newest {_events_key(events)}", memories.Newest(max(keep, 1)), Feed(events))

    def _count_memory(self, node: tree.Count, keep: int) -> Memory:
        if node.window.before_ms:
            return self._pairs_memory(node.events, (), node.window)
        if node.window.ever:
            return Memory(f"tally {_events_key(node.events)}", memories.Tally(), Feed(node.events))
        return self._newest_memory(node.events, keep)

    def _pairs_memory(self, events: Events, path: tuple[str, ...], window: Window) -> Memory:
        feed = Feed(events, path, "number") if path else Feed(events, (), "zero")
        return Memory(f"pairs {_events_key(events)} {'.'.join(path)}", memories.Pairs(leaves.span_of(window)), feed)

    def _number_memory(self, node: tree.Aggregate) -> Memory:
        feed, key = Feed(node.events, node.path, "number"), f"{_events_key(node.events)} {'.'.join(node.path)}"
        sign = {"min": -1, "max": 1}.get(node.name, 0)
        if node.window.ever:
            return Memory(f"best {sign} {key}", memories.Bests(sign), feed) if sign else Memory(f"totals {key}", memories.Totals(), feed)
        if sign and not node.window.before_ms:
            return Memory(f"ladder {sign} {key}", memories.Ladder(leaves.span_of(node.window), sign), feed)
        return self._pairs_memory(node.events, node.path, node.window)

    def _distinct_memory(self, node: tree.Aggregate, keep: int) -> Memory:
        if node.window.before_ms:
            return self._labels_memory(node.events, node.path, node.window)
        key = f"distinct {_events_key(node.events)} {'.'.join(node.path)}"
        return Memory(key, memories.Distinct(max(keep, 1)), Feed(node.events, node.path, "labels"))

    def _labels_memory(self, events: Events, path: tuple[str, ...], window: Window) -> Memory:
        feed, key = Feed(events, path, "labels"), f"{_events_key(events)} {'.'.join(path)}"
        if window.ever:
            return Memory(f"frequencies {key}", memories.Frequencies(), feed)
        return Memory(f"labels {key}", memories.Labels(leaves.span_of(window)), feed)

    def _property_memory(self, node: tree.Latest | tree.Earliest) -> Memory:
        newest = isinstance(node, tree.Latest)
        key = f"{'latest' if newest else 'earliest'} {_events_key(node.events)} {'.'.join(node.path)}"
        return Memory(key, memories.Known(newest), Feed(node.events, node.path, "value"))

    def _known_memory(self, node: tree.Trait | tree.Context | tree.Language, spec: Spec) -> Memory:
        path = ("locale",) if isinstance(node, tree.Language) else node.path
        take = "trait" if isinstance(node, tree.Trait) else "context"
        return Memory(f"{take} {'.'.join(path)}", spec, Feed(path=path, take=take))

    def _steps_memory(self, node: tree.Sequence) -> Memory:
        spec = memories.Steps(len(node.steps), node.within_ms, node.wait_ms, self._lateness_ms)
        feed = Feed(take="step", steps=node.steps, then_not=node.then_not)
        return Memory(f"steps {tree.text(replace_struct(node, over_ms=0))}", spec, feed)

    # second pass

    def _make_leaves(self, node: Condition, user: int, *, is_exit: bool) -> None:
        match node:
            case tree.And(of=of) | tree.Or(of=of):
                for part in of:
                    self._make_leaves(part, user, is_exit=is_exit)
            case tree.Not(of=of):
                self._make_leaves(of, user, is_exit=is_exit)
            case _:
                leaf = self._leaf(node)
                leaf.segments.add(user)
                if is_exit:
                    leaf.exits.add(user)

    def _leaf(self, node: Any) -> Leaf:
        text = tree.text(node)
        known = self.leaf_of.get(text)
        if known is None:
            known = self.leaf_of[text] = self._make_leaf(text, node)
            self.leaves.append(known)
        return known

    def _make_leaf(self, text: str, node: Any) -> Leaf:
        match node:
            case tree.Compare(left=left, op=op, right=right):
                return self._compare(text, left, op, right)
            case tree.CompareDuration(left=tree.Until(time=time), op=op, right_ms=right_ms):
                return leaves.until_leaf(text, self._moment(time), op, right_ms)
            case tree.CompareDuration(left=left, op=op, right_ms=right_ms):
                return self._since(text, left, op, right_ms)
            case tree.CompareTime(left=left, op=op, right=right):
                return leaves.time_leaf(text, self._moment(left), op, right if isinstance(right, int) else self._moment(right))
            case tree.OneOf(left=tree.Clock(unit=unit), items=items):
                return leaves.clock_leaf(text, unit, lambda value: leaves.one_of(value, items), self._zone_of)
            case tree.OneOf(left=tree.Top(window=window) as left, items=items) if window.within_ms and not window.before_ms:
                return leaves.top_leaf(text, self._reading(left), window, lambda value: leaves.one_of(value, items))
            case tree.OneOf(left=tree.Aggregate(name="sum" | "avg" | "min" | "max") as left, items=items):
                return leaves.scaled_one_of_leaf(text, self._reading(left), tuple(float(item) for item in items))
            case tree.OneOf(left=left, items=items):
                return leaves.one_of_leaf(text, self._reading(left, items=items), items)
            case tree.Exists(of=of):
                return self._exists(text, of)
            case tree.Contains(of=of, part=part):
                return leaves.predicate_leaf(text, self._reading(of), lambda value: values.contains(value, part))
            case tree.StartsWith(of=of, prefix=prefix):
                return leaves.predicate_leaf(text, self._reading(of), lambda value: values.starts_with(value, prefix))
            case tree.Birthday(of=of):
                return leaves.birthday_leaf(text, self._reading(of), self._zone_of)
            case tree.Did(events=events, window=window):
                return self._did(text, events, window)
            case tree.Sequence():
                return self._sequence(text, node)
            case tree.InSegment(segment=name):
                return _membership_leaf(text, self._numbers[name])
            case _:
                raise AssertionError(f"no leaf for {type(node).__name__}")

    def _since(self, text: str, node: Any, op: str, limit_ms: int) -> Leaf:
        leaf = leaves.since_leaf(text, self._moment(node), op, limit_ms)
        match node:
            case tree.Since(time=tree.First() | tree.Last()):
                _aged(leaf, Age(1, limit_ms if op in (">=", "<") else limit_ms + 1, young=op in ("<", "<=")))
            case _:
                pass
        return leaf

    def _exists(self, text: str, of: Any) -> Leaf:
        if isinstance(of, (tree.Last, tree.First, tree.Date, tree.Entered, tree.Left)):
            return leaves.predicate_leaf(text, self._moment(of), lambda value: value is not None)
        return leaves.predicate_leaf(text, self._reading(of), lambda value: value is not None)

    def _compare(self, text: str, left: Any, op: str, right: Any) -> Leaf:
        match left:
            case tree.Count(events=events, window=window) if not window.ever and not window.before_ms and not window.this:
                return self._count(text, events, window.within_ms, op, right)
            case tree.Aggregate(name="distinct", window=window) if window.within_ms and not window.before_ms:
                return self._distinct(text, left, op, right)
            case tree.Top(window=window) if window.within_ms and not window.before_ms:
                compare = values.COMPARE[op]
                return leaves.top_leaf(text, self._reading(left), window, lambda value: compare(value, right))
            case tree.Score() | tree.Percentile():
                return leaves.scaled_leaf(text, self._reading(left), op, right)
            case tree.Count() | tree.Active() | tree.Aggregate(name="distinct"):
                return leaves.count_leaf(text, self._reading(left, items=(right,)), op, right)
            case tree.Aggregate():
                return self._scaled(text, left, op, right)
            case tree.Clock(unit=unit):
                compare = values.COMPARE[op]
                return leaves.clock_leaf(text, unit, lambda value: compare(value, right), self._zone_of)
            case tree.Age(of=of):
                return leaves.age_leaf(text, leaves.age_reading(self._reading(of), self._zone_of), op, right)
            case _:
                return leaves.compare_leaf(text, self._reading(left), op, right)

    def _count(self, text: str, events: Events, within_ms: int, op: str, right: int) -> Leaf:
        """``>=`` and its kin fall exactly when the k-th newest time leaves the window; others look at each expiry."""
        slot, keep = self._newest_slot(events)
        reading = replace(leaves.count_in(keep, within_ms), slots=(slot,), show=lambda found: found if found < keep else f"{found} or more")
        leaf = leaves.count_leaf(text, reading, op, right)
        leaf = _by_threshold(leaf, op, right, lambda least: leaves.at_least(keep, least, within_ms))
        if op in (">=", ">", "<", "<=") and (least := right if op in (">=", "<") else right + 1):
            _aged(leaf, Age(least, within_ms, young=op in (">=", ">")))
        else:
            leaf.look = look_number((lambda data: (data,)) if keep == 1 else (lambda data: data), within_ms, op, right)
        return leaf

    def _scaled(self, text: str, node: tree.Aggregate, op: str, right: float) -> Leaf:
        """A sum, average or extreme."""
        leaf, window = leaves.scaled_leaf(text, self._reading(node), op, right), node.window
        leaf.rolls_ms = 0 if window.before_ms else window.within_ms
        if node.name in ("sum", "avg") and window.within_ms and not window.before_ms:
            leaf.look = look_pairs(node.name, window.within_ms, op, round(right * values.SCALE))
        return leaf

    def _distinct(self, text: str, node: tree.Aggregate, op: str, right: int) -> Leaf:
        """The same over the newest different values."""
        leaf, within_ms = leaves.count_leaf(text, self._reading(node), op, right), node.window.within_ms
        leaf = _by_threshold(leaf, op, right, lambda least: leaves.distinct_at_least(least, within_ms))
        if op in (">=", ">", "<", "<=") and (least := right if op in (">=", "<") else right + 1):
            leaf.look, leaf.tends = look_distinct(least, within_ms, negated=op in ("<", "<=")), 1 if op in ("<", "<=") else -1
        else:
            leaf.look = look_number(lambda data: list(data.values()), within_ms, op, right)
        return leaf

    def _did(self, text: str, events: Events, window: Window) -> Leaf:
        if window.before_ms:
            memory = self._pairs_memory(events, (), window)
            reading = replace(leaves.pairs_reading("count", window, self._zone_of), slots=(self.slots[memory.key],))
            return leaves.count_leaf(text, reading, ">=", 1)
        slot, keep = self._newest_slot(events)
        newest = leaves.nth_newest(keep, 1)
        if window.this is not None:
            return leaves.count_leaf(text, replace(leaves.count_this(keep, window.this, self._zone_of), slots=(slot,)), ">=", 1)
        truth, due = leaves.at_least(keep, 1, window.within_ms)
        leaf = Leaf(text, truth, due, lambda data, now, state: _time_or_none(newest(data)), slots=(slot,), span_ms=window.within_ms)
        _aged(leaf, Age(1, window.within_ms or NEVER, young=True))
        return leaf

    def _newest_slot(self, events: Events) -> tuple[int, int]:
        slot = self.slots[self._newest_memory(events, 1).key]
        spec = self.memories[slot].spec
        assert isinstance(spec, memories.Newest)
        return slot, spec.keep

    def _sequence(self, text: str, node: tree.Sequence) -> Leaf:
        slot = self.slots[self._steps_memory(node).key]
        span_ms = node.over_ms and node.over_ms + node.within_ms + node.wait_ms
        return leaves.sequence_leaf(text, slot, node.wait_ms, node.over_ms, span_ms)

    def _reading(self, node: Any, items: tuple[Any, ...] = ()) -> Reading:
        match node:
            case tree.Number(of=of) | tree.Lower(of=of):
                return self._wrapped(node, of)
            case tree.Trait() | tree.Context() | tree.Language():
                return self._over(self._known_memory(node, memories.Known()), lambda spec: leaves.known(spec, node))
            case tree.Latest() | tree.Earliest():
                return self._over(self._property_memory(node), lambda _: Reading(_unwrapped, span_ms=0))
            case tree.Top(events=events, path=path, window=window):
                make = leaves.frequencies_reading() if window.ever else leaves.labels_reading("top", window, self._zone_of)
                return self._over(self._labels_memory(events, path, window), lambda _: make)
            case tree.Count(window=window):
                return self._count_reading(node, window)
            case tree.Active(events=events, each_ms=each_ms, periods=periods):
                memory = self._pairs_memory(events, (), Window(within_ms=each_ms * periods))
                return self._over(memory, lambda _: leaves.active_reading(each_ms, periods))
            case tree.Aggregate(name="distinct", window=window):
                labels = leaves.labels_reading("distinct", window, self._zone_of)
                plain = leaves.distinct_reading(window, self._zone_of) if not window.before_ms else labels
                return self._over(self._distinct_memory(node, 1), lambda _: plain)
            case tree.Aggregate(name=name, window=window):
                return self._over(self._number_memory(node), lambda spec: self._number_reading(name, window, spec))
            case tree.Age(of=of):
                return leaves.age_reading(self._reading(of), self._zone_of)
            case tree.Score(model=model):
                return replace(scored.score_reading(), slots=(self.slots[scored.score_key(model)],))
            case tree.Percentile(model=model):
                return replace(scored.percentile_reading(), slots=(self.slots[scored.score_key(model)],))
            case tree.Group(model=model):
                return replace(scored.group_reading(), slots=(self.slots[scored.score_key(model)],))
            case _:
                raise AssertionError(f"no reading for {type(node).__name__} {items}")

    def _wrapped(self, node: tree.Number | tree.Lower, of: Any) -> Reading:
        inner, turn = self._reading(of), values.as_number if isinstance(node, tree.Number) else values.lower
        return replace(inner, read=lambda data, now, state: turn(inner.read(data, now, state)))

    def _count_reading(self, node: tree.Count, window: Window) -> Reading:
        if window.before_ms:
            return self._over(self._pairs_memory(node.events, (), window), lambda _: leaves.pairs_reading("count", window, self._zone_of))
        if window.ever:
            return self._over(self._count_memory(node, 1), lambda _: Reading(lambda data, now, state: data or 0, span_ms=0))
        slot, keep = self._newest_slot(node.events)
        if window.this is not None:
            return replace(leaves.count_this(keep, window.this, self._zone_of), slots=(slot,))
        return replace(leaves.count_in(keep, window.within_ms), slots=(slot,))

    def _number_reading(self, name: str, window: Window, spec: Spec) -> Reading:
        match spec:
            case memories.Totals():
                read = _sum_of if name == "sum" else _average_of
                return Reading(read, span_ms=0, show=leaves.show_scaled)
            case memories.Bests():
                return Reading(lambda data, now, state: data, span_ms=0, show=leaves.show_scaled)
            case memories.Ladder():
                return leaves.ladder_reading(window, self._zone_of)
            case _:
                return leaves.pairs_reading(name, window, self._zone_of)

    def _over(self, memory: Memory, make: Callable[[Spec], Reading]) -> Reading:
        slot = self.slots[memory.key]
        return replace(make(self.memories[slot].spec), slots=(slot,))

    def _moment(self, node: Any) -> Reading:
        match node:
            case tree.Since(time=time) | tree.Until(time=time):
                return self._moment(time)
            case tree.Unchanged(of=of):
                return self._over(self._known_memory(of, memories.Known()), lambda _: Reading(_run_start, span_ms=0))
            case tree.Last(events=events):
                slot, keep = self._newest_slot(events)
                newest = leaves.nth_newest(keep, 1)
                return Reading(lambda data, now, state: newest(data), (slot,), span_ms=0, show=_time_or_none)
            case tree.First(events=events):
                slot = self.slots[f"oldest {_events_key(events)}"]
                return Reading(lambda data, now, state: data, (slot,), span_ms=0, show=_time_or_none)
            case tree.Date(of=of):
                inner = self._reading(of)
                return replace(inner, read=lambda data, now, state: values.parse_time_ms(inner.read(data, now, state)), show=_time_or_none)
            case tree.Moment(ms=ms):
                return Reading(lambda data, now, state: ms, show=_time_or_none)
            case tree.Entered(segment=name):
                return _moment_of_membership(self._numbers[name], inside=True)
            case tree.Left(segment=name):
                return _moment_of_membership(self._numbers[name], inside=False)
            case _:
                raise AssertionError(f"no moment for {type(node).__name__}")


def _aged(leaf: Leaf, age: Age) -> None:
    leaf.age, leaf.tends = age, -1 if age.young else 1


def _noted(leaf: Leaf) -> Holds:
    """Whether a leaf holds, by what the state has noted of it."""
    if leaf.place is None:
        return leaf.holds
    key, bit, blank = leaf.place
    return lambda state, now: state.truths.get(key, blank) & bit != 0


def _all_hold(parts: list[Holds]) -> Holds:
    if len(parts) == 2:
        first, second = parts
        return lambda state, now: first(state, now) and second(state, now)
    return lambda state, now: all(part(state, now) for part in parts)


def _any_holds(parts: list[Holds]) -> Holds:
    if len(parts) == 2:
        first, second = parts
        return lambda state, now: first(state, now) or second(state, now)
    return lambda state, now: any(part(state, now) for part in parts)


def _by_threshold(leaf: Leaf, op: str, right: int, at_least: Callable[[int], tuple[Truth, Due]]) -> Leaf:
    """Replace the general functions of a count by those of one threshold, where the comparison is one."""
    least = {">=": right, "<": right, ">": right + 1, "<=": right + 1}.get(op, 0)
    if least:
        truth, leaf.due = at_least(least)
        leaf.truth = truth if op in (">=", ">") else _negated(truth)
    return leaf


def _unwrapped(data: Data, _now: int, _state: State) -> Json:
    return data[1][0] if data is not None else None


def _negated(truth: Truth) -> Truth:
    return lambda data, now, state: not truth(data, now, state)


def _time_or_none(ms: Json) -> Json:
    return None if ms is None else values.time_text(ms)


def _sum_of(data: Data, _now: int, _state: State) -> Json:
    return data[0] if data is not None else 0


def _average_of(data: Data, _now: int, _state: State) -> Json:
    return tuple(data) if data is not None else None


def _run_start(data: Data, _now: int, _state: State) -> Json:
    return None if data is None or data[-1] is None else memories.run_start(data)


def _needs_zone(node: Any) -> bool:
    if isinstance(node, (tree.Clock, tree.Age, tree.Birthday)):
        return True
    window = getattr(node, "window", None)
    return isinstance(window, Window) and window.this is not None


def _larger(left: Spec, right: Spec) -> Spec:
    """One memory for both: the larger of two sizes of a kind."""
    match left, right:
        case (memories.Newest(keep=one), memories.Newest(keep=two)):
            return memories.Newest(max(one, two))
        case (memories.Distinct(keep=one), memories.Distinct(keep=two)):
            return memories.Distinct(max(one, two))
        case (memories.Pairs(span_ms=one), memories.Pairs(span_ms=two)):
            return memories.Pairs(max(one, two))
        case (memories.Labels(span_ms=one), memories.Labels(span_ms=two)):
            return memories.Labels(max(one, two))
        case (memories.Ladder(span_ms=one, sign=sign), memories.Ladder(span_ms=two)):
            return memories.Ladder(max(one, two), sign)
        case (memories.Runs(), _):
            return left
        case _:
            return right


def _membership_leaf(text: str, number: int) -> Leaf:
    def truth(_data: Data, _now: int, state: State) -> bool:
        entry = state.members.get(number)
        return entry is not None and entry[0] % 2 == 1

    return Leaf(text, truth, value=truth, sees=(number,))


def _moment_of_membership(number: int, *, inside: bool) -> Reading:
    parity = 1 if inside else 0

    def read(_data: Data, _now: int, state: State) -> Json:
        entry = state.members.get(number)
        return entry[1] if entry is not None and entry[0] % 2 == parity else None

    return Reading(read, sees=(number,), show=_time_or_none)


def replace_struct(node: tree.Sequence, *, over_ms: int) -> tree.Sequence:
    """A sequence with another ``over``."""
    return tree.Sequence(node.steps, node.within_ms, over_ms, node.then_not, node.wait_ms)


def warming_leaves(plan: Plan, since_ms: Mapping[str, int], now: int) -> set[str]:
    """Texts of the leaves that look further back than what their memories have seen."""
    found: set[str] = set()
    for leaf in plan.leaves:
        for slot in leaf.slots:
            start = since_ms.get(plan.memories[slot].key)
            if start is not None and leaf.span_ms is not None and (leaf.span_ms == 0 or start > now - leaf.span_ms):
                found.add(leaf.text)
    return found
