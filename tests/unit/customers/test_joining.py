"""What two names remember of one person, joined: it answers what one name would that had it all."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, assert_never, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.customers import memories
from streamer.customers.joining import join_memories
from streamer.customers.memories import MIN_TIME, Data, RuleSpec
from streamer.customers.state import State
from streamer.segments.plan.predicates.known import run_start
from streamer.segments.plan.predicates.sequences import sequence_predicate
from streamer.units import HOUR_MS

pytestmark = pytest.mark.fast

BEGIN_MS: Final = 1_767_225_600_000
LATENESS_MS: Final = 2 * HOUR_MS
NAMES: Final = ("a", "b", "c")
TEXTS: Final = st.lists(st.sampled_from(['"x"', '"y"', '"z"']), min_size=1, max_size=2, unique=True)
NUMBERS: Final = st.integers(-3, 3)
VALUES: Final = st.sampled_from(["p", "q", None])

# each kind with the values that it takes
KINDS: Final[dict[RuleSpec, st.SearchStrategy[Any]]] = {
    memories.Newest(1): st.none(),
    memories.Newest(3): st.none(),
    memories.Oldest(): st.none(),
    memories.EventCount(): st.none(),
    memories.Totals(): NUMBERS,
    memories.Bests(1): NUMBERS,
    memories.Bests(-1): NUMBERS,
    memories.Pairs(5 * HOUR_MS): NUMBERS,
    memories.Ladder(5 * HOUR_MS, 1): NUMBERS,
    memories.Ladder(5 * HOUR_MS, -1): NUMBERS,
    memories.Distinct(2): TEXTS,
    memories.Labels(5 * HOUR_MS): TEXTS,
    memories.Frequencies(): TEXTS,
    memories.KnownValue(): VALUES,
    memories.KnownValue(newest=False): VALUES,
    memories.Zone(): st.tuples(st.just(0), st.sampled_from(["Europe/Berlin", "UTC"])).map(list),
    memories.Runs(LATENESS_MS): VALUES,
    memories.Steps(1, 0, 0, LATENESS_MS): st.just(1),
    memories.Steps(1, 0, HOUR_MS, LATENESS_MS): st.integers(1, 3),
    memories.Steps(2, 3 * HOUR_MS, 0, LATENESS_MS): st.integers(1, 3),
    memories.Steps(3, 3 * HOUR_MS, HOUR_MS, LATENESS_MS): st.integers(1, 15),
}


class Said(NamedTuple):
    """One event as it is remembered: by time, and of equal times in the order of remembering."""

    t: int
    order: int
    value: Any


@dataclass
class Name:
    """One name of a customer: the memory that the step has, and beside it everything that happened under it."""

    origin_ms: int
    state: State = field(default_factory=lambda: State(1, slots={}))
    said: list[Said] = field(default_factory=list[Said])

    def __post_init__(self) -> None:
        self.state.origin_ms = self.origin_ms

    @property
    def data(self) -> Data:
        return self.state.slots.get(0)

    def hear(self, spec: RuleSpec, value: Any, t: int, now: int) -> None:
        """An event at log time ``now``."""
        self.say(value, t, now)
        t, now = min(t, now) - self.origin_ms, now - self.origin_ms
        self.state.slots[0] = spec.update()(self.data, deepcopy(value), t, now, self.origin_ms)  # also None, as the step keeps it

    def say(self, value: Any, t: int, now: int) -> None:
        self.said.append(Said(min(t, now), len(self.said), value))

    def adopt(self, spec: RuleSpec, other: Name, drained_ms: int, now: int) -> None:
        """Everything of another name comes behind what this one has."""
        for said in sorted(other.said):
            self.say(said.value, said.t, now)
        join_memories(self.state, [spec], deepcopy(other.state.slots), other.origin_ms, drained_ms, now)


Sortable = Callable[[Said], tuple[int, int]]
in_time: Final[Sortable] = lambda said: (said.t, said.order)  # noqa: E731


def expected(spec: RuleSpec, said: list[Said], now: int) -> Any:
    """What a memory amounts to at a moment, from the events themselves."""
    events = sorted(said, key=in_time)
    times = [event.t for event in events]
    match spec:
        case memories.Newest(keep=keep):
            return times[-keep:]
        case memories.Oldest():
            return times[:1]
        case memories.EventCount():
            return len(events)
        case memories.Totals():
            return [sum(event.value for event in events), len(events)]
        case memories.Bests(sign=sign):
            return sign * max(sign * event.value for event in events)
        case memories.Pairs(span_ms=span_ms):
            return [(event.t, event.value) for event in events if event.t > now - span_ms]
        case memories.Ladder(span_ms=span_ms, sign=sign):
            kept = [event for event in events if event.t > now - span_ms]
            return {edge: sign * max(sign * event.value for event in kept if event.t >= edge) for edge in {event.t for event in kept}}
        case memories.Distinct(keep=keep):
            return sorted({text: event.t for event in events for text in event.value}.values())[-keep:]
        case memories.Labels(span_ms=span_ms):
            return sorted((event.t, text) for event in events if event.t > now - span_ms for text in event.value)
        case memories.Frequencies():
            found: dict[str, list[int]] = {}
            for event in events:
                for text in event.value:
                    found[text] = [found.get(text, [0])[0] + 1, event.t]
            return found
        case memories.KnownValue(newest=newest):
            return events[-1 if newest else 0].value
        case memories.Zone():
            return events[-1].value
        case memories.Runs():
            others = [at for at, event in enumerate(events) if event.value != events[-1].value]
            return events[-1].value, events[others[-1] + 1 if others else 0].t
        case memories.Steps():
            return newest_completion(spec, events, now)
        case _:
            assert_never(spec)


def newest_completion(spec: memories.Steps, events: list[Said], now: int) -> int | None:
    """The newest match that nothing forbids and whose wait is over."""
    chains = [(event, event) for event in events if event.value & 1]
    for step in range(1, spec.steps):
        chains = [
            (first, event) for first, last in chains for event in events if event.value >> step & 1 and in_time(event) > in_time(last)
        ]
    ends = [last for first, last in chains if spec.steps == 1 or last.t - first.t <= spec.within_ms]
    if spec.wait_ms:
        forbid = [event for event in events if event.value >> spec.steps & 1]
        ends = [end for end in ends if not any(in_time(event) > in_time(end) and event.t <= end.t + spec.wait_ms for event in forbid)]
    return max((end.t for end in ends if end.t + spec.wait_ms <= now), default=None)


def found_in(spec: RuleSpec, name: Name, now: int) -> Any:
    """The same, from what the memory has."""
    data, at = name.data, name.origin_ms
    match spec:
        case memories.Newest(keep=keep):
            return [t + at for t in ([data] if keep == 1 else data)]
        case memories.Oldest():
            return [data + at]
        case memories.EventCount() | memories.Totals() | memories.Bests():
            return data
        case memories.Pairs(span_ms=span_ms):
            triples = zip(data[1::3], data[2::3], data[3::3], strict=True) if data is not None else ()
            return [(t + at, total) for t, total, number in triples if t + at > now - span_ms and number == 1]
        case memories.Ladder(span_ms=span_ms):
            steps = list(zip(data[1::2], data[2::2], strict=True)) if data is not None else []
            edges = {said.t for said in name.said if said.t > now - span_ms}
            return {edge: next(value for t, value in steps if t + at >= edge) for edge in edges}
        case memories.Distinct():
            return sorted(t + at for t in data.values())
        case memories.Labels(span_ms=span_ms):
            labels = data[1].items() if data is not None else ()
            return sorted((t + at, text) for text, entries in labels for t in entries[::2] if t + at > now - span_ms)
        case memories.Frequencies():
            return {text: [number, t + at] for text, (number, t) in data[1].items()}
        case memories.KnownValue():
            return data[1]
        case memories.Zone():
            return data[1:]
        case memories.Runs():
            return data[-1], memories.run_start(data) + at
        case memories.Steps():
            settled = [completion for completion in (data[2], *data[3]) if completion + at + spec.wait_ms <= now]
            newest = max(settled, default=MIN_TIME)
            return None if newest == MIN_TIME else newest + at
        case _:
            assert_never(spec)


def is_approximate(spec: RuleSpec, name: Name, now: int) -> bool:
    """Whether an answer from this memory says so."""
    match spec:
        case memories.Runs():
            return run_start().approximate(name.data, now - name.origin_ms, name.state) is not None
        case memories.Steps():
            said = sequence_predicate("s", 0, spec.wait_ms, 0, 0).approximate(name.data, now - name.origin_ms, name.state)
            return said is not None
        case memories.Pairs(span_ms=span_ms) | memories.Ladder(span_ms=span_ms) | memories.Labels(span_ms=span_ms):
            return name.data[0] is not None and name.data[0] + name.origin_ms >= now - span_ms
        case _:
            return False


def check(spec: RuleSpec, name: Name, now: int) -> None:
    """Where the answer does not say approximate it is the one of all events; a known value is always."""
    if name.data is None:
        return
    found, wanted = found_in(spec, name, now), expected(spec, name.said, now)
    if isinstance(spec, memories.Runs):
        assert found[0] == wanted[0]
        assert found[1] >= wanted[1], "a run never begins earlier than it did"
    if not is_approximate(spec, name, now):
        assert found == wanted


PARTS: Final = st.integers(0, 6).map(lambda part: part * HOUR_MS // 2)


@st.composite
def histories(draw: st.DrawFn, spec: RuleSpec, *, ages: st.SearchStrategy[int] = PARTS) -> list[tuple[Any, ...]]:
    """Events of three names, some late, and two moments at which one name is found to be another."""
    events = st.tuples(st.sampled_from(NAMES), PARTS, ages.map(lambda age: min(age, LATENESS_MS - 1)), KINDS[spec])
    before, between, after = (draw(st.lists(events, max_size=8)) for _ in range(3))
    first, second, third = draw(st.permutations(NAMES))
    into = draw(st.sampled_from([second, third]))
    left = third if into == second else second
    return [*before, (first, into), *between, draw(st.sampled_from([(into, left), (left, into)])), *after]


def tell(spec: RuleSpec, history: list[tuple[Any, ...]], skews: dict[str, int]) -> None:
    """Let a history happen; each shard has a clock of its own. Check each answer on the way, and for some hours after it."""
    names = {name: Name(BEGIN_MS + skews[name] * 7) for name in NAMES}
    goes_by = {name: name for name in NAMES}
    now = BEGIN_MS
    for part in history:
        if len(part) == 2:
            old, survivor = (goes_by[name] for name in part)
            names[survivor].adopt(spec, names.pop(old), now + skews[old], now + skews[survivor])
            goes_by = {name: survivor if there == old else there for name, there in goes_by.items()}
        else:
            who, passed, age, value = part
            now += passed
            survivor = goes_by[who]
            names[survivor].hear(spec, value, now + skews[survivor] - age, now + skews[survivor])
        for name, there in names.items():
            check(spec, there, now + skews[name])
    for later_ms in (0, HOUR_MS, 3 * HOUR_MS):
        for name, there in names.items():
            check(spec, there, now + skews[name] + later_ms)


@pytest.mark.parametrize("spec", KINDS, ids=lambda spec: f"{spec}")
def test_a_memory_that_holds_nothing_adds_nothing(spec: RuleSpec) -> None:
    """The step keeps None where an event was too old for a memory: a past with such a one is not to be lost for it."""
    state = State(1, slots={})
    join_memories(state, [spec], {0: None}, 0, HOUR_MS, HOUR_MS)
    assert state.slots == {}


def test_every_kind_of_memory_is_here() -> None:
    """A kind that nobody has joined under this law would be silently wrong after a login."""
    assert {type(spec) for spec in KINDS} == set(get_args(RuleSpec))


@given(st.data(), st.tuples(*[st.sampled_from([0, 0, 1, HOUR_MS // 2, 2 * HOUR_MS])] * 3))
@pytest.mark.parametrize("spec", KINDS, ids=lambda spec: f"{spec}")
def test_a_history_under_several_names_answers_like_one(spec: RuleSpec, data: st.DataObject, skews: tuple[int, int, int]) -> None:
    """However a past is cut into names, in whatever order they are joined, and however the clocks of their shards differ."""
    tell(spec, data.draw(histories(spec)), dict(zip(NAMES, skews, strict=True)))
