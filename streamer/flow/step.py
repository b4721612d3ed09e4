"""The pure step: one record of the log at a time, from remembered states to new states, wake-ups and outputs.

Nothing here waits, reads a clock or draws a number: the same records give the same bytes, however they are cut into batches. The order
within a record is the promise of ``language/LANGUAGE.md`` section 3: due timers, then the record, then what it changes.

A ``Step`` is loaded with the states that a batch may touch, applies records, and hands out a ``Slice`` to be committed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from heapq import heappop, heappush
from operator import attrgetter
from typing import Final

import msgspec

from streamer.customers import erased
from streamer.customers.ids import IDS_MAX, digest, is_remembered, remember
from streamer.customers.state import NO_TIMER, State, decode_state, encode_state, is_entry
from streamer.errors import RefusedError, UnreadableStateError
from streamer.events.event import Event
from streamer.events.sender import Sender, sender_of
from streamer.examples import MARK_MS, Example, encode_example
from streamer.learning.scorers.decode import Groups, Scorer
from streamer.segments.change import ENTERED, EXITED, Cause, Change, ChangeData, ChangePosition, Clause, because, encode_change
from streamer.segments.evaluate import evaluate, evaluate_after_event, evaluate_at_timer
from streamer.segments.plan import model_memories
from streamer.segments.plan.plan import Entry, Listener, Plan, SegmentRule, warming_predicates
from streamer.signing import CONTROL, FORWARD, NO_KEYS, Keyring, Place, check_control, check_signed
from streamer.units import MINUTE_MS
from streamer.values import MISSING, Json, time_text
from streamer.wire import (
    CHANGES,
    DEAD_LETTERS,
    EVENTS,
    EXAMPLES,
    Control,
    DeadLetter,
    Headers,
    LogRecord,
    Origin,
    Output,
    encode_dead_letter,
    raw_text,
    shard_of,
)
from streamer.zones import LAST_MS

from .amendments import FOR_DEFINITIONS, Amendments
from .checkpoint import CheckpointBody, encode_body
from .forwards import Forward, forward_of
from .rules import Rules
from .scoring import Moment, Scoring

HEAD_BYTES: Final = 16
SIZES_MAX: Final = 2_000  # segments whose sizes a mark carries: the learner watches those, and a mark is one small record
WARMING_MS: Final = MINUTE_MS  # how often it is looked up which predicates are still warming
CROWDED: Final = f"the customer sent more than {IDS_MAX} events since, so whether it is a second delivery can no longer be told"
FORGOTTEN: Final = "it came by way of another shard, and whether it is a second delivery can no longer be told"


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Slice:
    """What a stretch of the log amounts to: everything one commit writes."""

    head: bytes
    body: bytes
    states: Mapping[str, bytes | None]
    wakes: Mapping[str, int | None]
    outputs: Sequence[Output]
    change_counts: Counter[tuple[str, str]]


class Step:
    """The state machine of one shard."""

    def __init__(
        self,
        shard: int,
        rules: Rules,
        body: CheckpointBody,
        head: bytes,
        plan: Plan,
        previous: Plan | None = None,
        scorers: Mapping[str, Scorer | Groups] | None = None,
        amendments: Amendments | None = None,
        keyring: Keyring = NO_KEYS,
    ) -> None:
        self.shard = shard
        self.rules = rules
        self.keyring = keyring
        self.body = body
        self.head = head
        self.plan = plan
        self.previous = previous
        self._aside = amendments.aside if amendments is not None else set[tuple[int, str, int]]()
        self._warming: frozenset[str] = frozenset()
        self._warming_at_ms = -1
        self._scorers = dict(scorers or {})
        self._scoring = self._make_scoring()
        self._resize()
        self._clear()

    def _clear(self) -> None:
        self._blobs: Mapping[str, bytes | None] = {}
        self._states: dict[str, State] = {}
        self._packed: dict[str, bytes] = {}
        self._kept: dict[str, bool] = {}  # customers looked at whose state is in the store, and whether a wake-up of theirs is
        self._touched: set[str] = set()
        self._gone: set[str] = set()
        self._wakes: dict[str, int | None] = {}
        self._heap: list[tuple[int, str]] = []
        self._awaited: Container[str] = ()
        self._outputs: list[Output] = []
        self.change_counts: Counter[tuple[str, str]] = Counter()  # (segment, type) -> how many since ``load``
        self.at_timer: tuple[int, str] | None = None  # (due_ms, customer) of the timer in hand: should something fail, this is what
        self.at_customer = ""  # of the customer in hand at a change of definitions, likewise
        self.fired = 0
        self.weight = 0

    # loading and handing out

    def load(self, states: Mapping[str, bytes | None], due: Sequence[tuple[int, str]], awaited: Container[str] = ()) -> None:
        """Everything the coming records may touch: states by customer (None: not known) and wake-ups.

        ``awaited``: customers of whom records come; whoever applies the last one calls ``pack``.
        """
        self._clear()
        self._blobs = states
        self._awaited = awaited
        self._heap = list(due)  # ascending is a heap

    @property
    def touched(self) -> int:
        """States that a commit would write now; ``fired`` counts the wake-ups behind it, ``weight`` its bytes, roughly."""
        return len(self._touched) + len(self._gone)

    def take(self) -> Slice:
        """What has happened since ``load``."""
        for customer in list(self._states):
            self.pack(customer)
        self._recount()
        states: dict[str, bytes | None] = {**self._packed, **dict.fromkeys(self._gone)}
        return Slice(self.head, encode_body(self.body), states, self._wakes, self._outputs, self.change_counts)

    def _recount(self) -> None:
        """How many states and wake-ups there are once what happened is committed."""
        kept, body = self._kept, self.body
        body.customers += sum([customer not in kept for customer in self._packed]) - sum([customer in kept for customer in self._gone])
        for customer, due_ms in self._wakes.items():
            body.wakes += (due_ms is not None) - kept.get(customer, False)

    def pack(self, customer: str) -> None:
        """Encode the state of a customer of whom nothing more is known to come.

        At once, while it is in the processor's cache: decoding and encoding a whole slice of states at its ends takes two to three times
        as long (12 and 6 µs against 4 and 2.5, states of 400 bytes, 500 a slice).
        """
        state = self._states.pop(customer, None)
        if state is not None and customer in self._touched:
            self._packed[customer] = encode_state(state)

    def _state(self, customer: str) -> State | None:
        state = self._states.get(customer)
        if state is None:
            blob = self._packed.get(customer)
            is_kept = blob is None
            if blob is None:
                blob = self._blobs.get(customer)
                if blob is None or customer in self._gone:
                    return None
                self.weight += len(blob)
            try:
                state = decode_state(blob)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise UnreadableStateError(self.shard, customer, type(error).__name__) from None
            if is_kept:
                self._kept[customer] = state.armed_ms < NO_TIMER
            generation = self.body.generation
            if state.generation != generation and (self.previous is None or state.generation != generation - 1):
                raise UnreadableStateError(self.shard, customer, f"it is of generation {state.generation} in generation {generation}")
            self._states[customer] = state
            if self.silent and state.generation == generation:
                model_memories.drop_scores(state, self.silent)
        return state

    # time

    def begin(self, record: LogRecord) -> int:
        """Log time at a record; opens its count of outputs. Call once per record, before ``fire``."""
        self.body.ordinal = 0
        return self.time_at(record)

    def time_at(self, record: LogRecord) -> int:
        """Log time at a record, in UTC milliseconds. A record that has its producer's time moves none, unless producers are trusted."""
        if not record.broker_time and not self.rules.trust_producer_time:
            return self.body.log_time_ms
        return max(self.body.log_time_ms, min(record.arrival_ms, LAST_MS))

    def fire(self, offset: int, until_ms: int, bound: tuple[int, str] | None = None, is_full: Callable[[], bool] = _never) -> bool:
        """Judge every customer at every moment up to ``until_ms`` at which time alone changes something, in the order of (moment,
        customer); whether that was all.

        Only wake-ups below ``bound`` are certain to have been loaded, and a slice may become full; the rest waits for the next one.
        """
        heap = self._heap
        while heap and heap[0][0] <= until_ms:
            if (bound is not None and heap[0] >= bound) or is_full():
                return False
            self.at_timer = armed_ms, customer = heappop(heap)
            state = self._state(customer)
            if state is None:
                self._wakes[customer] = None
                continue
            if state.armed_ms == armed_ms:
                self._wake(customer, state, offset)
            if customer not in self._awaited:
                self.pack(customer)
        self.at_timer = None
        return bound is None or bound[0] > until_ms

    def _wake(self, customer: str, state: State, offset: int) -> None:
        self.fired += 1
        now = state.armed_ms
        if self._aside and (offset, customer, now) in self._aside:
            self._set_aside(customer, state, now)
            return
        also = self._scoring.at_moment(state, self._moment(now, offset)) if self._scoring is not None else ()
        changed = evaluate_at_timer(self.plan, state, now, also)
        if changed:
            self._say_all(customer, state, changed, now, Cause("timer", due=time_text(now)), offset)
        self._arm(customer, state, state.armed_ms)

    def _set_aside(self, customer: str, state: State, now: int) -> None:
        """Our code fails at this customer: leave them as they are until they do something."""
        if not state.aside_ms:
            self.body.aside += 1
        state.aside_ms = now
        self._arm(customer, state, NO_TIMER)

    def _bring_back(self, state: State, now: int) -> set[int]:
        """A customer who was set aside did something, or the definitions are other ones: find out anew what holds; return what to judge."""
        state.aside_ms = 0
        self.body.aside -= 1
        if self._scoring is not None:
            self._scoring.drop_overdue(state, now)
        self.plan.settle(state, now)
        return self.plan.concerned(state)

    def _arm(self, customer: str, state: State, due_ms: int) -> None:
        state.armed_ms = due_ms
        self._touched.add(customer)
        self._wakes[customer] = due_ms if due_ms < NO_TIMER else None
        if due_ms < NO_TIMER:
            heappush(self._heap, (due_ms, customer))

    def pass_time(self, now: int, offset: int) -> None:
        """Log time is now; every timer up to it has fired. Where models learn, each minute that is over is said."""
        if self._scoring is not None and now // MARK_MS > self.body.log_time_ms // MARK_MS:
            sizes = dict(zip(self.plan.names, self.body.sizes, strict=True))
            self._say_example(
                Example("mark", self.shard, offset, 0, now, sizes=dict(list(sizes.items())[:SIZES_MAX]), definitions=self.body.version)
            )
        erased.forget(self.body.erased, now - 2 * self.rules.lateness_ms)
        self.body.log_time_ms = now

    # events

    def apply_event(self, event: Event, record: LogRecord) -> None:
        """Admit, remember, judge. ``pass_time`` was called with the record's log time."""
        now = self.body.log_time_ms
        timestamp_ms, customer = event.timestamp_ms, event.customer
        forward = forward_of(record) if record.headers else None
        if forward is not None and not (self._is_from_a_shard(forward, record) and self._is_first(forward)):
            return
        arrived_ms = now if forward is None else forward.arrival_ms  # what was forwarded is judged by when it arrived where it first lay
        if timestamp_ms > arrived_ms + self.rules.skew_ms:
            self._refuse_time("future", f"after {time_text(arrived_ms + self.rules.skew_ms)}: log time and the allowed skew", record)
            return
        state = self._state(customer)
        if state is None and shard_of(customer, self.rules.shards) != self.shard:
            self._forward(customer, record, arrived_ms)
            return
        too_old = self._too_old(timestamp_ms, arrived_ms, state, CROWDED if forward is None else FORGOTTEN)
        if too_old:
            self._refuse_time("late", too_old, record)
            return
        if erased.was_erased(self.body.erased, customer, timestamp_ms):
            self._count("of_erased")  # and no dead letter: it would keep what was to be forgotten
            return
        horizon_ms = min(now, arrived_ms) - self.rules.lateness_ms
        if forward is not None and state is not None:
            horizon_ms = max(horizon_ms, state.floor_ms)
        key = digest(event.message_id)
        if state is not None and is_remembered(state.seen, key, horizon_ms=horizon_ms):
            self._count("duplicate")
            return
        self._count("accepted")
        is_new = state is None
        if state is None:
            state = self._born(customer)
        self._touched.add(customer)
        self.weight += len(record.value)  # a state grows by no more than that, give or take a few numbers
        state.seen, lost_ms = remember(state.seen, key, timestamp_ms=timestamp_ms, horizon_ms=horizon_ms)
        state.floor_ms = max(state.floor_ms, lost_ms, horizon_ms)
        armed_ms = state.armed_ms
        dirty = self._remember(state, event, min(now, timestamp_ms), now)
        if self._scoring is not None:
            dirty |= self._scoring.at_event(state, event, min(now, timestamp_ms), self._moment(now, record.offset))
        if is_new:
            dirty |= self.plan.initial_segments
        was_aside = state.aside_ms > 0
        if was_aside:
            dirty |= self._bring_back(state, now)
        if dirty or is_new or was_aside:
            changed = evaluate_after_event(self.plan, state, now, dirty)
            if changed:
                self._say_all(customer, state, changed, now, Cause("event", id=event.message_id), record.offset)
        if is_new or state.armed_ms != armed_ms:
            self._arm(customer, state, state.armed_ms)

    def _too_old(self, timestamp_ms: int, arrived_ms: int, state: State | None, forgotten: str) -> str:
        """Why an event is late; empty when it is not."""
        oldest_ms = arrived_ms - self.rules.lateness_ms
        if timestamp_ms <= oldest_ms:
            return f"at or before {time_text(oldest_ms)}: log time less the allowed lateness"
        if state is not None and timestamp_ms <= state.floor_ms > 0:
            return f"at or before {time_text(state.floor_ms)}: {forgotten}"
        return ""

    def _born(self, customer: str) -> State:
        self._gone.discard(customer)
        state = self._states[customer] = State(generation=self.body.generation, slots={}, members={}, retired={}, truth_bits={})
        return state

    def _remember(self, state: State, event: Event, t: int, now: int) -> set[int]:
        """Feed the memories that listen; return the segments over predicates that changed. Brings the wake-up forward where needed."""
        dirty: set[int] = set()
        always, indexed = self.plan.dispatch(event)
        for _, feed, read in always:
            if read is None:
                feed(state, None, t, now, dirty)
            elif (value := read(event)) is not None:
                feed(state, value, t, now, dirty)
        for find, by_value in indexed:
            found = find(event)
            for _, feed, read in by_value.get(found, ()) if type(found) is str else _of_any(found, by_value):
                value = None if read is None else read(event)
                if read is None or value is not None:
                    feed(state, value, t, now, dirty)
        if event.context:  # before the traits: of one event's two time zones the trait's is to stay
            self._feed_known(state, self.plan.on_context, event.context, t, now, dirty)
        if event.traits:
            self._feed_known(state, self.plan.on_traits, event.traits, t, now, dirty)
        return dirty

    @staticmethod
    def _feed_known(state: State, listeners: Sequence[Listener], source: dict[str, Json], t: int, now: int, dirty: set[int]) -> None:
        for feed, find in listeners:
            value = find(source)
            if value is not MISSING:
                feed(state, value, t, now, dirty)

    # models

    def _make_scoring(self) -> Scoring | None:
        models = self.plan.definitions.models
        scoring = Scoring(self.plan, self._scorers) if models else None
        self.silent = model_memories.unscored_slots(models, self.plan.slots, self._scorers)
        self._reasons = scoring.in_words if scoring is not None else None
        return scoring

    def _moment(self, now: int, offset: int) -> Moment:
        return Moment(now, self.shard, offset, self._say_example)

    def _say_example(self, example: Example) -> None:
        example.ordinal, example.generation = self.body.ordinal, self.rules.log_generation
        self._put(EXAMPLES, self.shard, example.offset, b"", encode_example(example))

    def in_words(self, state: State, model: str, now: int) -> list[str]:
        """What moved a model's answer most for a customer; empty where nothing is known."""
        return self._scoring.in_words(state, model, now) if self._scoring is not None else []

    def switch_model(self, model: str, version: int, digest: str, scorer: Scorer | Groups) -> None:
        """From here on this scorer serves. Customers are scored by it at their next scoring moment."""
        self.body.models = {**self.body.models, model: (version, digest)}
        self._scorers[model] = scorer
        self._scoring = self._make_scoring()

    def withdraw_model(self, model: str, version: int) -> None:
        """From here on nothing up to this version serves: the model has nothing to say, and nobody enters or leaves for its sake."""
        serving, _ = self.body.models.get(model, (version + 1, ""))
        if serving > version:
            return
        self.body.models = {name: named for name, named in self.body.models.items() if name != model}
        self._scorers.pop(model, None)
        self._scoring = self._make_scoring()

    # judging

    def _say_all(self, customer: str, state: State, changed: list[SegmentRule], now: int, cause: Cause, offset: int) -> None:
        self._touched.add(customer)
        if len(changed) > 1:
            changed.sort(key=attrgetter("name"))
        for rule in changed:
            self._say(customer, state, rule, now, cause, offset)

    def _say(self, customer: str, state: State, rule: SegmentRule, now: int, cause: Cause, offset: int) -> None:
        sequence = state.members[rule.number].changes
        self.body.sizes[rule.number] += 1 if is_entry(sequence) else -1
        decided = rule.segment.exit if rule.segment.exit is not None and not is_entry(sequence) else rule.segment.when
        clauses = because(self.plan, decided, state, now, self._warming_at(now), self._reasons)
        self._put_change(customer, rule.name, sequence, now, cause, clauses, offset)

    def _put_change(self, customer: str, segment: str, sequence: int, now: int, cause: Cause, clauses: list[Clause], offset: int) -> None:
        ordinal, at, generation = self.body.ordinal, time_text(now), self.rules.log_generation
        kind = ENTERED if is_entry(sequence) else EXITED
        position = ChangePosition(generation, self.shard, offset, ordinal)
        change = Change(
            f"{generation}-{self.shard}-{offset}-{ordinal}",
            self.rules.source,
            kind,
            customer,
            at,
            ChangeData(segment, self.body.version, at, sequence, cause, clauses, position),
            "1.0",
        )
        self._put(CHANGES, self.shard, offset, customer.encode(), encode_change(change))
        self.change_counts[segment, kind] += 1

    def _put(self, topic: str, partition: int, offset: int, key: bytes, value: bytes, headers: Headers = ()) -> None:
        """One output; the head is the digest of the head before it and of the output, so it names the whole story so far."""
        self._outputs.append(Output(topic, partition, offset, self.body.ordinal, key, value, headers))
        place = b"%d-%d" % (offset, self.body.ordinal)
        self.head = blake2b(self.head + topic.encode() + place + value, digest_size=HEAD_BYTES).digest()
        self.body.ordinal += 1
        self.weight += len(value)

    def _warming_at(self, now: int) -> frozenset[str]:
        """Leaves that look further back than their memories do, as of the last full minute: whoever takes the shard over says the same."""
        if not self.body.since_ms:
            return self._warming
        at_ms = now - now % WARMING_MS
        if at_ms != self._warming_at_ms:
            self._warming = frozenset(warming_predicates(self.plan, self.body.since_ms, at_ms))
            self._warming_at_ms = at_ms
        return self._warming

    # refusals

    def _count(self, what: str) -> None:
        self.body.counts[what] = self.body.counts.get(what, 0) + 1

    def refuse(self, error: RefusedError, record: LogRecord) -> None:
        """A dead letter, under the customer's id where it can be read. They halt nothing, however many: anybody can send bad lines."""
        self._count(error.reason)
        origin = Origin(EVENTS, self.shard, record.offset, self.rules.log_generation)
        at = time_text(self.body.log_time_ms)
        customer, producer = Sender() if record.control else sender_of(record.value, record.headers)
        letter = DeadLetter(error.reason, error.path, error.detail, origin, raw_text(record.value), at, producer)
        self._put(DEAD_LETTERS, self.shard, record.offset, customer.encode() or record.key, encode_dead_letter(letter))

    def _refuse_time(self, reason: str, detail: str, record: LogRecord) -> None:
        self.refuse(RefusedError(reason, path="$.timestamp", detail=detail), record)

    def _forward(self, customer: str, record: LogRecord, arrived_ms: int) -> None:
        """The record lies in the wrong shard: its producer chose another partitioner. Send it on, with when it first arrived."""
        self._count("wrong_shard")
        forward = Forward(self.rules.log_generation, self.shard, record.offset, self.body.ordinal, arrived_ms)
        self._put(EVENTS, shard_of(customer, self.rules.shards), record.offset, customer.encode(), record.value, forward.headers)

    def _is_from_a_shard(self, forward: Forward, record: LogRecord) -> bool:
        """Whether a record that says it was sent on may say so."""
        place = Place(FORWARD, EVENTS, self.shard)
        try:
            check_signed(self.body.trust, self.keyring, record.headers, place, forward.text, record.key, record.value)
        except RefusedError as error:
            self.refuse(error, record)
            return False
        return True

    def _is_first(self, forward: Forward) -> bool:
        """Whether a forwarded record is new: a relay that crashed sends its last ones again, and a rebuilt shard all it ever sent."""
        if forward.place <= self.body.forwards.get(forward.shard, (0, -1, -1)):
            self._count("forwarded_again")
            return False
        self.body.forwards = {**self.body.forwards, forward.shard: forward.place}
        return True

    # control

    def admits(self, control: Control, record: LogRecord) -> bool:
        """Whether a control record may say what it says; if not it is a dead letter. Which keys hold is kept. HaltError when this worker
        lacks one."""
        try:
            self.body.trust = check_control(self.body.trust, self.keyring, control, record, Place(CONTROL, EVENTS, self.shard))
        except RefusedError as error:
            self.refuse(error, record)
            return False
        return True

    def erase(self, customer: str, record: LogRecord) -> None:
        """Leave every segment and forget the customer; of what happened up to now nothing more is taken of them."""
        erased.mark(self.body.erased, customer, self.body.log_time_ms)
        state = self._state(customer)
        if state is None:
            return
        now = self.body.log_time_ms
        self.body.aside -= state.aside_ms > 0
        inside = {self.plan.names[number]: number for number, entry in state.members.items() if entry.inside}
        for name, number in sorted(inside.items()):
            self.body.sizes[number] -= 1
            self._put_change(customer, name, state.members[number].changes + 1, now, Cause("erase"), [], record.offset)
        self._states.pop(customer)
        self._packed.pop(customer, None)
        self._touched.discard(customer)
        self._gone.add(customer)
        self._wakes[customer] = None
        self._count("erased")

    def switch(self, plan: Plan, version: int) -> None:
        """From here on other definitions hold. Every customer must be passed to ``rejudge`` before the next record."""
        now, keys = self.body.log_time_ms, set(self.plan.slots)
        is_first = not self.body.counts.get("accepted")  # nobody has been seen yet: nothing was missed
        since_ms = {key: ms for key, ms in self.body.since_ms.items() if key in plan.slots}
        for memory in plan.memories:
            grown = memory.key in keys and self.plan.memories[self.plan.slots[memory.key]].spec != memory.spec
            if not is_first and (memory.key not in keys or grown):
                since_ms[memory.key] = now
        sizes = [self.body.sizes[self.plan.numbers[name]] if name in self.plan.numbers else 0 for name in plan.names]
        self.previous, self.plan = self.plan, plan
        self.body.previous, self.body.digest = self.body.digest, plan.digest
        self.body.since_ms, self.body.sizes = since_ms, sizes
        self._keep_models({spec.name for spec in set(self.previous.definitions.models) & set(plan.definitions.models)})
        self.body.version, self.body.generation = version, self.body.generation + 1
        self._warming_at_ms, self._warming = -1, frozenset()

    def _keep_models(self, same: Container[str]) -> None:
        """Scorers of models that are no longer defined, or are to learn something else now, serve no longer."""
        self._scorers = {name: scorer for name, scorer in self._scorers.items() if name in same}
        self.body.models = {name: named for name, named in self.body.models.items() if name in self._scorers}
        self._scoring = self._make_scoring()

    def rejudge(self, customer: str, offset: int) -> None:
        """Bring one customer under the new definitions and judge them."""
        state = self._state(customer)
        if state is None or state.generation == self.body.generation:
            return
        assert self.previous is not None, "rejudge comes after switch"
        self.at_customer = customer
        now, cause = self.body.log_time_ms, Cause("definitions", version=self.body.version)
        gone = self.plan.carry(state, self.previous)
        model_memories.drop_scores(state, self.silent)
        state.generation = self.body.generation
        self._touched.add(customer)
        changed: dict[str, SegmentRule | None] = {}
        is_aside = (offset, customer, FOR_DEFINITIONS) in self._aside
        if not is_aside:
            changed |= {rule.name: rule for rule in self._judge_anew(state, now)}
        changed |= dict.fromkeys(gone)
        for name in sorted(changed):
            rule = changed[name]
            if rule is not None:
                self._say(customer, state, rule, now, cause, offset)
            else:
                state.retired[name] += 1
                self._put_change(customer, name, state.retired[name], now, cause, [], offset)
        if is_aside:
            state.truth_bits = {}
            self._set_aside(customer, state, now)
        else:
            self._arm(customer, state, self.plan.next_due(state, now))
        self.body.cursor = customer

    def _judge_anew(self, state: State, now: int) -> list[SegmentRule]:
        if state.aside_ms:
            concerned = self._bring_back(state, now)
        else:
            self.plan.settle(state, now)
            concerned = self.plan.concerned(state)
        return evaluate(self.plan, state, now, concerned)

    def finish_switch(self) -> None:
        """Every customer is under the new definitions."""
        self.previous, self.body.previous, self.body.cursor = None, "", ""

    def _resize(self) -> None:
        missing = len(self.plan.rules) - len(self.body.sizes)
        if missing > 0:
            self.body.sizes = self.body.sizes + [0] * missing


def _of_any(found: Json, by_value: Mapping[str, Sequence[Entry]]) -> Iterable[Entry]:
    """What listens to any text in a list, each memory once: an event of two of its values is still one event."""
    if type(found) is not list:
        return ()
    texts = [item for item in found if type(item) is str]
    return {entry[0]: entry for text in texts for entry in by_value.get(text, ())}.values()
