"""What a message is: when somebody gets it, under which rules, and what stands in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from streamer.units import DAY_MS
from streamer.values import Json

from .durations import format_duration
from .tree import Condition, Expression, Numeric, Path, Time, Value

MessageKind = Literal["marketing", "transactional"]
TriggerKind = Literal["entered", "left", "turns"]
LateCause = Literal["definitions", "merge"]  # causes of a change that start no message unless it says so
Consent = Literal["opt_in", "opt_out"]
FactExpression = Value | Numeric | Time

BUILT_IN_CHANNELS: Final = ("console", "email", "webhook")
EXPIRY_MS: Final = DAY_MS
EXPIRY_MS_MAX: Final = 30 * DAY_MS
AGAIN_ALWAYS: Final = 0
AGAIN_ONCE: Final = -1
FACTS_BYTES_MAX: Final = 2_048
WHOLE_BP: Final = 10_000
TEMPLATE_NAMES: Final = ("customer", "direction", "language", "message", "unsubscribe_url", "variant")  # what no fact is called


@dataclass(frozen=True, slots=True)
class Cap:
    """At most so many sends in ``(t - window_ms, t]``."""

    most: int
    window_ms: int

    @property
    def text(self) -> str:
        """As a marketer writes it: ``1 per 7d``."""
        return f"{self.most} per {format_duration(self.window_ms)}"


@dataclass(frozen=True, slots=True)
class Quiet:
    """From a minute of the day (included) until another (not included) in the customer's zone; over midnight if the first is later."""

    from_minute: int
    until_minute: int

    @property
    def text(self) -> str:
        """As a marketer writes it: ``21:00-09:00``."""
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (self.from_minute, self.until_minute))


@dataclass(frozen=True, slots=True)
class Trigger:
    """What starts a message. ``segment`` of ``entered`` and ``left``, ``condition`` of ``turns``; the other is empty."""

    kind: TriggerKind
    segment: str = ""
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class ValueFact:
    """A named value of the customer's for the template."""

    name: str
    expression: FactExpression


@dataclass(frozen=True, slots=True)
class CartFact:
    """The items that were added and neither removed nor ordered since: a list of at most ``most`` objects with the properties ``keep``."""

    name: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    until: tuple[str, ...]
    by: Path
    keep: tuple[Path, ...]
    most: int


MessageFact = ValueFact | CartFact


@dataclass(frozen=True, slots=True)
class Goal:
    """What a message is to bring about: an event within so long after the decision; ``value`` is a path of a number in its properties."""

    event: str
    within_ms: int
    value: Path = ()


@dataclass(frozen=True, slots=True)
class Channel:
    """What holds for all marketing messages of a channel."""

    name: str
    caps: tuple[Cap, ...] = ()
    quiet: Quiet | None = None


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """What holds for all marketing messages together. ``holdout_bp`` is in ten-thousandths."""

    caps: tuple[Cap, ...] = ()
    holdout_bp: int = 0


NO_LIMITS: Final = MessageLimits()


@dataclass(frozen=True, slots=True)
class MessageSpec:
    """One message, with what was left out filled in: a message of marketing without quiet hours of its own has those of its channel.

    ``again_ms`` is ``AGAIN_ALWAYS``, ``AGAIN_ONCE`` or a length; ``holdout_bp`` its own hold-out in ten-thousandths. Where ``address`` is
    None it is the customer's id; the language is the first of ``language`` that is not missing. Facts and variants are in the order of
    their names.
    """

    name: str
    purpose: str
    trigger: Trigger
    also: frozenset[LateCause]
    delay_ms: int
    require: Condition | None
    stay: bool
    again_ms: int
    expiry_ms: int
    channel: str
    kind: MessageKind
    topic: str | None
    address: Value | None
    language: tuple[Value, ...]
    facts: tuple[MessageFact, ...]
    template: str
    caps: tuple[Cap, ...]
    quiet: Quiet | None
    holdout_bp: int
    variants: tuple[tuple[str, int], ...]
    priority: int
    goal: Goal | None
    file: str = ""
    line: int = 0
    source: Mapping[str, Json] = field(default_factory=dict[str, Json])

    @property
    def conditions(self) -> Iterator[Condition]:
        """The condition of the trigger and ``require``, where there are such."""
        if self.trigger.condition is not None:
            yield self.trigger.condition
        if self.require is not None:
            yield self.require

    @property
    def values(self) -> Iterator[FactExpression]:
        """What is read of the customer when a decision is made: address, language, facts that are values."""
        if self.address is not None:
            yield self.address
        yield from self.language
        yield from (fact.expression for fact in self.facts if isinstance(fact, ValueFact))

    @property
    def expressions(self) -> Iterator[Expression]:
        """Every expression of the message."""
        yield from self.conditions
        yield from self.values

    @property
    def segments(self) -> Iterator[str]:
        """The segment that the trigger names, if it does; those of expressions are not among them."""
        if self.trigger.segment:
            yield self.trigger.segment
