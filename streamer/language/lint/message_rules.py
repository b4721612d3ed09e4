"""What is suspicious in one message: nobody gets it, a part of it decides nothing, or it says what hardly anybody means."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

from streamer.language import tree
from streamer.language.definitions import Definitions
from streamer.language.durations import format_duration
from streamer.language.message_specs import WHOLE_BP, CartFact, MessageSpec, Quiet
from streamer.language.references import nodes
from streamer.language.segment_specs import Segment
from streamer.units import MINUTE_MS

from .conflicts import conflict, idle_parts
from .event_names import almost_known, one_letter_apart
from .feasible import KnownSegments, Literal, possible
from .lasting import lasts_ms

# Segment's identify specification, and the traits that the language itself asks for
KNOWN_TRAITS: Final = (
    *("address", "age", "avatar", "birthday", "company", "createdAt", "description", "email", "firstName", "gender"),
    *("lastName", "name", "phone", "title", "username", "website", "locale", "timezone"),
)
_DAY_MINUTES: Final = 24 * 60


@dataclass(frozen=True, slots=True)
class Proved:
    """What is known of the segments: nobody can enter those in ``never``, and nobody can leave those in ``forever``."""

    segments: Mapping[str, Segment]
    never: frozenset[str]
    forever: Collection[str]

    @property
    def known(self) -> KnownSegments:
        """The same for a proof."""
        return KnownSegments(self.segments, self.never)


def message_suspicions(message: MessageSpec, proved: Proved) -> Iterator[str]:
    """A sentence each."""
    never = _never_begins(message, proved)
    if never is not None:
        yield f"is never sent: {never}"
    else:
        yield from _require(message, proved)
        yield from _waiting(message, proved)
    yield from _quiet(message)
    yield from _limits(message)
    yield from _names(message)


def _never_begins(message: MessageSpec, proved: Proved) -> str | None:
    trigger = message.trigger
    if trigger.condition is not None:
        return None if possible([(trigger.condition, True)], proved.known) else conflict(trigger.condition, proved.known)
    if trigger.segment in proved.never:
        return f"nobody can enter {trigger.segment!r}"
    if trigger.kind == "left" and trigger.segment in proved.forever:
        return f"nobody can leave {trigger.segment!r}"
    return None


def _given(message: MessageSpec) -> list[Literal]:
    """What holds whenever ``require`` is tested."""
    trigger = message.trigger
    if not message.stay:
        return []
    if trigger.condition is not None:
        return [(trigger.condition, True)]
    return [(tree.InSegment(trigger.segment), trigger.kind == "entered")]


def _require(message: MessageSpec, proved: Proved) -> Iterator[str]:
    if message.require is None:
        return
    given, require = _given(message), message.require
    if not possible([(require, True)], proved.known):
        yield f"is never sent: {conflict(require, proved.known)}"
    elif not possible([*given, (require, True)], proved.known):
        yield "is never sent: its require excludes the stay that it waits for; write stay: false if that is not meant"
    elif not possible([*given, (require, False)], proved.known):
        yield "its require decides nothing: it holds whenever it is asked"
    else:
        yield from idle_parts({"require": require}, proved.known)


def _waiting(message: MessageSpec, proved: Proved) -> Iterator[str]:
    trigger = message.trigger
    if trigger.condition is not None and not possible([(trigger.condition, False)], proved.known):
        yield "its trigger is always true: it begins once for each customer, when they first come"
    if not message.stay:
        if message.delay_ms and message.require is None and message.kind == "marketing":
            yield f"is sent {format_duration(message.delay_ms)} later whatever happens meanwhile: it has neither stay nor require"
        return
    lasts = _lasts_ms(message, proved)
    if message.delay_ms >= lasts:
        yield (
            f"its delay is {format_duration(message.delay_ms)}, and without another event what begins it has ended after "
            f"{format_duration(int(lasts))}"
        )


def _lasts_ms(message: MessageSpec, proved: Proved) -> float:
    """How long what begins a message can stay so without another event; ``inf`` when no bound is known."""
    trigger = message.trigger
    if trigger.condition is not None:
        return lasts_ms(trigger.condition)
    segment = proved.segments[trigger.segment]
    if trigger.kind == "left" or segment.exit is not None:
        return inf
    return max(lasts_ms(segment.when), segment.stay_ms)


def _quiet(message: MessageSpec) -> Iterator[str]:
    if message.quiet is None:
        return
    quiet_ms = _length_ms(message.quiet)
    if quiet_ms > message.expiry_ms:
        yield (
            f"expires after {format_duration(message.expiry_ms)}, and is held for up to {format_duration(quiet_ms)} in its quiet hours "
            f"({message.quiet.text}): what is due in the first {format_duration(quiet_ms - message.expiry_ms)} of them is never sent"
        )


def _length_ms(quiet: Quiet) -> int:
    return (quiet.until_minute - quiet.from_minute) % _DAY_MINUTES * MINUTE_MS


def _limits(message: MessageSpec) -> Iterator[str]:
    if message.holdout_bp > WHOLE_BP // 2:
        yield "its hold-out is more than half: most customers get nothing"
    if message.holdout_bp and message.goal is None:
        yield "has a hold-out and no goal: nothing says in what the two sides differ"
    if len(message.variants) == 1:
        yield "has one variant, which everybody gets"


def _names(message: MessageSpec) -> Iterator[str]:
    for name in listened_names(message):
        meant = almost_known(name)
        if meant is not None:
            yield f'listens to "{name}", which is almost "{meant}"; did you mean that?'
    traits = [node.path[0] for root in message.expressions for node in nodes(root) if isinstance(node, tree.Trait)]
    for name in dict.fromkeys(traits):
        meant = _almost_known_trait(name)
        if meant is not None:
            yield f'reads the trait "{name}", which is almost "{meant}"; did you mean that?'


def listened_names(message: MessageSpec) -> list[str]:
    """The names of events that a message listens to in whatever part of it, each once."""
    listened = (node for root in message.expressions for node in nodes(root) if isinstance(node, tree.Events))
    names = [name for node in listened for name in node.names]
    for fact in message.facts:
        if isinstance(fact, CartFact):
            names += (*fact.added, *fact.removed, *fact.until)
    if message.goal is not None:
        names.append(message.goal.event)
    return list(dict.fromkeys(names))


def _almost_known_trait(name: str) -> str | None:
    if name in KNOWN_TRAITS or len(name) < 4:
        return None
    return next((known for known in KNOWN_TRAITS if name.lower() == known.lower() or one_letter_apart(name, known)), None)


def unused(definitions: Definitions) -> Iterator[tuple[str, str]]:
    """Channels and topics that no message names: what they say holds for nothing."""
    channels, topics = ({getattr(one, key) for one in definitions.messages} for key in ("channel", "topic"))
    for channel in definitions.channels:
        if channel.name not in channels:
            yield f"channel {channel.name}", "no message goes out on it"
    for topic in definitions.topics:
        if topic not in topics:
            yield f"topic {topic}", "no message is about it"
