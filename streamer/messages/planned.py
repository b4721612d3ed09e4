"""The messages of a plan made ready: what begins each, what is tested at its instant, what it says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from streamer.customers.message_state import CapSlot, MessageRef
from streamer.customers.state import State, is_entry
from streamer.language.definitions import Definitions
from streamer.language.message_events import Suppression, suppressions
from streamer.language.message_specs import Cap, MessageSpec, Trigger
from streamer.language.tree import text
from streamer.segments.plan.message_inputs import consent_of, turning_segment
from streamer.segments.plan.plan import Plan
from streamer.segments.plan.plan_expressions import ShownValue
from streamer.segments.plan.segment_rules import Holds

from .caps import UNSHARED, Scope, ScopedCap
from .facts import ReadFacts, facts_of


@dataclass(frozen=True, slots=True)
class PlannedMessage:
    """One message, compiled.

    ``number`` is its place among the messages of the plan, ``segment`` and ``rule`` name and number of the segment whose changes begin it:
    entries where ``on_entry``, else exits. ``asks`` are the memories of the scores that ``require`` asks. ``caps`` are those that count,
    its own first; ``global_holdout_bp`` is the share of customers who get no marketing at all.
    """

    number: int
    spec: MessageSpec
    on: str
    segment: str
    rule: int
    on_entry: bool
    require: Holds | None
    asks: tuple[int, ...]
    consent: Holds | None
    suppressed: tuple[tuple[Suppression, Holds], ...]
    address: ShownValue | None
    language: tuple[ShownValue, ...]
    facts: ReadFacts
    caps: tuple[ScopedCap, ...]
    global_holdout_bp: int

    @property
    def name(self) -> str:
        """What the definitions call it."""
        return self.spec.name

    @property
    def slot_channel(self) -> str:
        """For which channel's caps a place that it takes counts."""
        return self.spec.channel if self.spec.kind == "marketing" else UNSHARED

    def requires(self, state: State, now: int) -> bool:
        """Whether what it requires holds. A model that it asks and that has nothing to say is not enough, however it is asked."""
        return self.require is None or (all(slot in state.slots for slot in self.asks) and self.require(state, now))

    def begins(self, changes: int) -> bool:
        """Whether the change of its segment with this number begins it."""
        return is_entry(changes) == self.on_entry

    def stays(self, state: State, sequence: int) -> bool:
        """Whether nothing has changed in its segment since the change with this number."""
        return state.changes_of(self.rule, self.segment) == sequence


class MessagePlan:
    """The messages of one plan, in the order in which those of one instant are decided."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        definitions = plan.definitions
        self.messages: tuple[PlannedMessage, ...] = tuple(_planned(number, spec, plan) for number, spec in enumerate(definitions.messages))
        self.numbers: Mapping[str, int] = {one.name: one.number for one in self.messages}
        self._by_rule: dict[int, list[PlannedMessage]] = {}
        for one in self.messages:
            self._by_rule.setdefault(one.rule, []).append(one)
        self._others_ms = _longest(definitions.message_limits.caps)
        self._shared_ms = {one.name: max(self._others_ms, _longest(one.caps)) for one in definitions.channels}

    @property
    def listens(self) -> bool:
        """Whether there is any message."""
        return bool(self.messages)

    def begun_by(self, rule: int) -> Sequence[PlannedMessage]:
        """The messages that changes of this segment may begin."""
        return self._by_rule.get(rule, ())

    def name_of(self, message: MessageRef) -> str:
        """The name of a message that a state names."""
        return message if isinstance(message, str) else self.messages[message].name

    def find(self, message: MessageRef) -> PlannedMessage | None:
        """The message that a state names; None where the plan has none of that name."""
        return self.messages[message] if isinstance(message, int) else None

    def counts_still(self, slot: CapSlot, now: int) -> bool:
        """Whether a taken place lies in a window of any cap that it counts for."""
        message = self.find(slot.message)
        own_ms = _longest(message.spec.caps) if message is not None else 0
        shared_ms = 0 if slot.channel == UNSHARED else self._shared_ms.get(slot.channel, self._others_ms)
        return slot.at_ms > now - max(own_ms, shared_ms)


def _planned(number: int, spec: MessageSpec, plan: Plan) -> PlannedMessage:
    definitions = plan.definitions
    consent = consent_of(spec, definitions)
    segment = spec.trigger.segment or turning_segment(spec.name)
    return PlannedMessage(
        number,
        spec,
        trigger_text(spec.trigger),
        segment,
        plan.numbers[segment],
        spec.trigger.kind != "left",
        None if spec.require is None else plan.asked(spec.require),
        () if spec.require is None else plan.scores_asked([spec.require]),
        None if consent is None else plan.asked(consent),
        tuple((name, plan.asked(condition)) for name, condition in suppressions(spec.channel)),
        None if spec.address is None else plan.shown(spec.address),
        tuple(plan.shown(value) for value in spec.language),
        facts_of(spec.facts, plan),
        _caps_of(spec, definitions),
        definitions.message_limits.holdout_bp if spec.kind == "marketing" else 0,
    )


def trigger_text(trigger: Trigger) -> str:
    """A trigger as decisions name it: ``entered cart_left``, or the text of a condition."""
    return f"{trigger.kind} {trigger.segment}" if trigger.condition is None else text(trigger.condition)


def _caps_of(spec: MessageSpec, definitions: Definitions) -> tuple[ScopedCap, ...]:
    if spec.kind == "transactional":
        return tuple(ScopedCap("message", cap) for cap in spec.caps)
    channel = next((one.caps for one in definitions.channels if one.name == spec.channel), ())
    scopes: tuple[tuple[Scope, Sequence[Cap]], ...] = (
        ("message", spec.caps),
        ("channel", channel),
        ("global", definitions.message_limits.caps),
    )
    return tuple(chain.from_iterable((ScopedCap(scope, cap) for cap in caps) for scope, caps in scopes))


def _longest(caps: Iterable[Cap]) -> int:
    return max((cap.window_ms for cap in caps), default=0)
