"""From definitions to a plan: which memories are kept, which predicates read them, which events touch what.

The plan makes cost follow what an event touches, not how many segments there are. Memories are shared by all predicates that can be
answered from them; an event finds its memories by name, and those with ``where=prop("x") == "…"`` by that value; only segments with a
predicate whose truth changed are evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from streamer import values
from streamer.customers.cart import items_in
from streamer.customers.specs import Spec
from streamer.customers.state import NO_TIMER, State
from streamer.events.event import Event
from streamer.language import tree
from streamer.language.definitions import Definitions
from streamer.language.message_specs import CartFact
from streamer.language.segment_specs import Segment
from streamer.language.tree import Condition
from streamer.values import Json
from streamer.zones import zones_of

from . import model_memories, predicate_index
from .calendar_turns import CalendarTurns
from .event_index import Dispatch, EventIndex, MemoryListener, find_key, says_all
from .memory_inputs import Memory, all_steps, cart_events, cart_steps, each, reader, step_bits, unless_same_zone, zone_name
from .message_inputs import turning_segments
from .node_memories import cart_memory
from .plan_expressions import ShownValue
from .plan_memories import ZONE_KEY, plan_memories
from .plan_predicates import PredicatePlanner
from .predicates.predicate import Predicate, TruthBit
from .segment_rules import Holds, SegmentRule, all_hold, any_holds, noted
from .single_pass import never_due
from .turns import ApplyEvent, Gate, Gates, SegmentEffects, Turns, are_open
from .where import compile_where

PathListener = tuple[ApplyEvent, Callable[[dict[str, Json]], Json]]  # what feeds a memory, and the value at a path of traits or context


class Plan:
    """Definitions made ready. Immutable after construction but for caches.

    ``also`` are memories that it keeps besides those that the definitions need; of one that they need the larger is kept.
    """

    def __init__(self, definitions: Definitions, *, lateness_ms: int, also: Iterable[Memory] = ()) -> None:
        self.definitions = definitions
        self.digest = definitions.digest
        self.zones = zones_of(definitions.zone_data)
        self.default_zone = definitions.clock
        segments = (*definitions.segments, *turning_segments(definitions))
        self.numbers: dict[str, int] = {segment.name: number for number, segment in enumerate(segments)}
        self.names: list[str] = [segment.name for segment in definitions.segments]  # those that readers know
        self.known_numbers: dict[str, int] = {name: number for number, name in enumerate(self.names)}
        planned = plan_memories(definitions, lateness_ms, also)
        self.memories: list[Memory] = planned.memories
        self.slots: dict[str, int] = planned.slots
        self.specs: list[Spec] = [memory.spec for memory in self.memories]
        planner = PredicatePlanner(planned, self.numbers, self.zone_of, lateness_ms)
        planner.add_all(segments)
        self.asked = planner.asked
        self.asked_predicates = planner.asked_predicates
        self.shown = planner.shown
        self.predicate_of: dict[str, Predicate] = planner.by_text
        self.predicates: list[Predicate] = [*planner.by_text.values(), *model_memories.timer_predicates(definitions.models, self.slots)]
        self.reasons: dict[int, Any] = {}  # what ``change`` has compiled, by the identity of the condition
        self._predicate_by_atom: dict[int, tuple[tree.Atom, Predicate]] = {}  # atoms live as long as the plan's definitions do
        self.zone_slot: int | None = planned.slots.get(ZONE_KEY)
        self._place_bits()
        self.rules: list[SegmentRule] = [self._rule(number, segment) for number, segment in enumerate(segments)]
        self._effects = SegmentEffects()
        for rule in self.rules:
            gates = self._gates_of(rule.segment)
            self._effects.add(rule.number, gates, has_exit=rule.exit is not None, cooldown_ms=rule.cooldown_ms, stay_ms=rule.stay_ms)
        self._resting = frozenset(rule.number for rule in self.rules if rule.stay_ms or rule.cooldown_ms)
        self._index()
        self.initial_segments: frozenset[int] = self._find_initial_segments()

    def condition(self, node: Condition) -> Holds:
        """Whether a condition of the plan (or a part of one) holds."""
        match node:
            case tree.And(of=of):
                return all_hold([self.condition(part) for part in of])
            case tree.Or(of=of):
                return any_holds([self.condition(part) for part in of])
            case tree.Not(of=of):
                inner = self.condition(of)
                return lambda state, now: not inner(state, now)
            case _:
                return noted(self.predicate(node))

    def _rule(self, number: int, segment: Segment) -> SegmentRule:
        when = self.condition(segment.when)
        leave = None if segment.exit is None else self.condition(segment.exit)
        asks = self.scores_asked(segment.conditions)
        return SegmentRule(number, segment.name, when, leave, segment.stay_ms, segment.cooldown_ms, segment, asks=asks)

    def scores_asked(self, conditions: Iterable[Condition]) -> tuple[int, ...]:
        """The memories of the scores that conditions ask."""
        return tuple(self.slots[model_memories.score_key(model)] for model in sorted(model_memories.models_asked(conditions)))

    def _gates_of(self, segment: Segment) -> Gates:
        """The parts of ``when`` that must hold, or must not, and that time alone cannot make so; those under one key are one gate."""
        by_key: dict[int, Gate] = {}
        for part in segment.when.of if isinstance(segment.when, tree.And) else ():
            is_wanted, atom = (False, part.of) if isinstance(part, tree.Not) else (True, part)
            if not isinstance(atom, (tree.And, tree.Or, tree.Not)):
                predicate = self.predicate(atom)
                if predicate.truth_bit is not None and (predicate.due is never_due or predicate.tends == (-1 if is_wanted else 1)):
                    key, bit, default_bits = predicate.truth_bit
                    before = by_key.get(key, Gate(key, 0, 0, default_bits))
                    by_key[key] = Gate(key, before.bits | bit, before.wanted | (bit if is_wanted else 0), default_bits)
        return tuple(by_key.values())

    def zone_of(self, state: State) -> ZoneInfo:
        """The customer's own zone, else the shop's."""
        data = state.slots.get(self.zone_slot) if self.zone_slot is not None else None
        return (self.zones.find(data[2]) if data is not None else None) or self.default_zone

    def predicate(self, atom: tree.Atom) -> Predicate:
        """The compiled form of an atom that stands in some condition of the plan."""
        found = self._predicate_by_atom.get(id(atom))
        if found is None or found[0] is not atom:
            found = (atom, self.predicate_of[tree.text(atom)])
            self._predicate_by_atom[id(atom)] = found
        return found[1]

    # which predicates stand over which memory

    def _place_bits(self) -> None:
        self._by_slot: list[list[Predicate]] = [[] for _ in self.memories]
        for predicate in self.predicates:
            for slot in {*predicate.slots, *((self.zone_slot,) if predicate.zoned and self.zone_slot is not None else ())}:
                self._by_slot[slot].append(predicate)
        for slot, predicates in enumerate(self._by_slot):
            predicate_index.place_bits(slot, predicates)
        for key, predicate in enumerate((predicate for predicate in self.predicates if predicate.joint), len(self.memories)):
            predicate.truth_bit = TruthBit(key, 1, 0)

    def _index(self) -> None:
        self.predicate_indexes = [
            predicate_index.PredicateIndex(slot, memory.spec, self._by_slot[slot], self._effects.of)
            for slot, memory in enumerate(self.memories)
        ]
        self._timed = [over if over.timed else None for over in self.predicate_indexes]
        self.clock_predicates: tuple[Predicate, ...] = tuple(predicate for predicate in self.predicates if predicate.clock)
        by_segment: dict[int, list[Predicate]] = {}
        for predicate in self.predicates:
            for number in predicate.sees:
                by_segment.setdefault(number, []).append(predicate)
        self.predicates_by_segment: dict[int, tuple[Predicate, ...]] = {number: tuple(found) for number, found in by_segment.items()}
        by_slot = {over.slot: [one for one in over.others if over.slot in one.slots] for over in self.predicate_indexes}
        self._calendar = CalendarTurns(self.clock_predicates, by_slot, self.predicates_by_segment, self._effects.of)
        for rule in self.rules:
            users = self.predicates_by_segment.get(rule.number, ())
            rule.dependents = frozenset(user for predicate in users for user in predicate.segments)
        self._index_events()

    def _index_events(self) -> None:
        self._events = EventIndex()
        self.puts: dict[str, ApplyEvent] = {}  # memories that no event feeds, by key
        self.on_traits: list[PathListener] = []
        self.on_context: list[PathListener] = []
        for slot, memory in enumerate(self.memories):
            match memory.input.take:
                case "trait":
                    self.on_traits.append((self._feed(slot, memory), values.lookup_present(memory.input.path)))
                case "context":
                    self.on_context.append((self._feed(slot, memory), values.lookup_present(memory.input.path)))
                case "step itself":
                    self.puts[memory.key] = self._feed(slot, memory)
                case "zone":
                    self.on_traits.append((self._feed(slot, memory), zone_name(1, self.zones.find)))
                    self.on_context.append((self._feed(slot, memory), zone_name(0, self.zones.find)))
                case _:
                    self._index_feed(slot, memory)

    def _feed(self, slot: int, memory: Memory) -> ApplyEvent:
        update = memory.spec.update()
        index = self.predicate_indexes[slot]
        match memory.input.take:
            case "number":
                return index.event_handler(each(update))
            case "zone":
                return unless_same_zone(slot, update, index.event_handler(update))
            case _:
                return index.event_handler(update)

    def _index_feed(self, slot: int, memory: Memory) -> None:
        feed, apply = memory.input, self._feed(slot, memory)
        if feed.take == "step":
            read = step_bits(feed)
            names = {name for events in all_steps(feed) for name in events.names}
            self._events.add(sorted(names), None, MemoryListener(slot, apply, read, read))
            return
        if feed.cart is not None:
            read = cart_steps(feed.cart)
            names = {name for events in cart_events(feed.cart) for name in events.names}
            self._events.add(sorted(names), None, MemoryListener(slot, apply, read, read))
            return
        assert feed.events is not None
        where = feed.events.where
        read_any = reader(feed, compile_where(where) if where is not None else None)
        key = find_key(where)
        read = reader(feed, None) if key is not None and says_all(where) else read_any
        self._events.add(feed.events.names, key, MemoryListener(slot, apply, read, read_any))

    def cart(self, fact: CartFact) -> ShownValue:
        """The items of a message's list as a reader sees them."""
        slot = self.slots[cart_memory(fact).key]
        names = [".".join(path) for path in fact.keep]

        def items(state: State, _now: int) -> Json:
            return [dict(zip(names, kept, strict=True)) for kept in items_in(state.slots.get(slot), fact.most)]

        return items

    def dispatch(self, event: Event) -> Dispatch:
        """The memories that listen to an event of this type and name."""
        return self._events.dispatch(event)

    def listens(self, event: Event) -> bool:
        """Whether any memory may take something from an event."""
        found = self._events.dispatch(event)
        of_context, of_traits = event.context and self.on_context, event.traits and self.on_traits
        return bool(found.always or found.indexed or of_context or of_traits)

    # what is true of nobody in particular

    def _find_initial_segments(self) -> frozenset[int]:
        """Segments a customer without any past may be in: they are evaluated when a customer appears."""
        nothing, at = State(generation=0), 0
        found: set[int] = {user for predicate in self.clock_predicates for user in predicate.segments}
        found |= {user for predicate in self.predicates if predicate.sees for user in predicate.segments}
        for rule in self.rules:
            if rule.when(nothing, at) and not (rule.exit is not None and rule.exit(nothing, at)):
                found.add(rule.number)
        return frozenset(found)

    def concerned(self, state: State) -> set[int]:
        """Every segment a customer may be in or may have to leave: what anyone may be in, what is remembered, and where they are."""
        found = {*self.initial_segments, *state.members}
        for slot in state.slots:
            for predicate in self.predicate_indexes[slot].predicates:
                found |= predicate.segments
        return found

    def let_pass(self, state: State, now: int, turns: Turns, dirty: set[int]) -> None:
        """Note what time has turned up to ``now`` in memories that nothing was fed to; add the segments over it, and what time may turn
        later."""
        timed, fed, flips = self._timed, turns.fed, turns.flips
        for slot, data in state.slots.items():
            over = timed[slot]
            if over is None or slot in fed:
                continue
            if over.expiry_ms:  # asking these is dear, and mostly not needed
                soonest_ms = over.oldest(data) + over.expiry_ms
                if soonest_ms > now:
                    turns.rolling.append((soonest_ms, over))
                    continue
            over.note(data, now, state, flips, dirty)

    def due_now(self, state: State, now: int) -> set[int]:
        """The segments that calendar, zone and memberships may turn at ``now``, the moment of the customer's timer."""
        dirty = self._calendar.due_now(state, now)
        for number in self._resting & state.members.keys() if self._resting else ():
            if self._rest_end_ms(state, number) == now:
                dirty.add(number)
        return dirty

    def due_besides(self, state: State, now: int) -> int:
        """The next moment after ``now`` that calendar, zone, and memberships may bring."""
        best = self._calendar.next_due(state, now)
        for number in self._resting & state.members.keys() if self._resting else ():
            end_ms = self._rest_end_ms(state, number)
            if now < end_ms < best and self._can_follow(state, number):
                best = end_ms
        return best

    def _can_follow(self, state: State, number: int) -> bool:
        """Whether the end of a rest can be a change: nobody enters a segment that is closed."""
        return state.is_inside(number) or are_open(self._effects.outside(number), state.truth_bits)

    def _rest_end_ms(self, state: State, number: int) -> int:
        """When a stay or cool-down ends; the moment of the change itself where there is none."""
        entry, rule = state.members[number], self.rules[number]
        return entry.at_ms + (rule.stay_ms if entry.inside else rule.cooldown_ms)

    def next_due(self, state: State, now: int) -> int:
        """The first moment after ``now`` at which time alone may change something for a customer. What holds at ``now`` has been noted."""
        turns = Turns()
        self.let_pass(state, now, turns, set())
        return turns.first_due(state, now, self.due_besides(state, now))

    def settle(self, state: State, now: int) -> None:
        """Find out anew what holds at ``now``: the definitions have changed, or a copy is looked at ahead of its time."""
        truth_bits: dict[int, int] = {}
        for slot, data in state.slots.items():
            over = self.predicate_indexes[slot]
            predicate_index.keep(truth_bits, slot, over.evaluate(data, now, state, []), over.default_bits)
            for predicate in over.joint:
                if predicate.truth_bit is not None:
                    predicate_index.keep(truth_bits, predicate.truth_bit.key, int(predicate.holds(state, now)), 0)
        state.truth_bits = truth_bits


class WarmingSince(NamedTuple):
    """Since when what a predicate asks is remembered, and when it has seen as far back as it looks: None where it looks back to the
    beginning. Both in UTC milliseconds."""

    since_ms: int
    whole_ms: int | None


def warming_predicates(plan: Plan, since_ms: Mapping[str, int], now: int) -> dict[str, WarmingSince]:
    """Texts of the predicates whose window begins before their memories do, each with when the newest of these began."""
    found: dict[str, WarmingSince] = {}
    for predicate in plan.predicates:
        starts = [since_ms[key] for slot in predicate.slots if (key := plan.memories[slot].key) in since_ms]
        if predicate.span_ms is None or not starts:
            continue
        start, span_ms = max(starts), predicate.span_ms
        if span_ms == 0 or start > now - span_ms:
            found[predicate.text] = WarmingSince(start, start + span_ms if span_ms else None)
    return found


def next_warm_ms(plan: Plan, since_ms: Mapping[str, int], now: int) -> int:
    """When the first of those predicates has seen as far back as it looks; ``NO_TIMER`` where none ever has."""
    ends = (
        since_ms[plan.memories[slot].key] + predicate.span_ms
        for predicate in plan.predicates
        if predicate.span_ms
        for slot in predicate.slots
        if plan.memories[slot].key in since_ms
    )
    return min((end_ms for end_ms in ends if end_ms > now), default=NO_TIMER)
