"""What the messages of definitions ask of a customer: the conditions whose turns begin them, and those that are tested at their instant.

A condition that begins a message is a segment without a name of its own (``turning_segments``): its turns are counted and woken for as
memberships are, and nobody is told of them. What is only tested has memories, and no timer: nothing happens when it turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from streamer.language.definitions import Definitions
from streamer.language.message_events import may_send, suppressions
from streamer.language.message_specs import CartFact, FactExpression, MessageSpec
from streamer.language.segment_specs import Segment
from streamer.language.tree import Condition

TURNING: Final = "message:"  # begins the name of such a segment; no segment of a shop can be called so


def turning_segment(message: str) -> str:
    """The name of the segment whose entries are the turns of a message's condition."""
    return f"{TURNING}{message}"


def is_turning(segment: str) -> bool:
    """Whether a segment counts the turns of a message's condition."""
    return segment.startswith(TURNING)


def turning_segments(definitions: Definitions) -> Iterator[Segment]:
    """Segments that nobody sees, one for each message that begins when a condition turns true."""
    for message in definitions.messages:
        condition = message.trigger.condition
        if condition is not None:
            yield Segment(turning_segment(message.name), message.purpose, condition, file=message.file, line=message.line)


def tested_conditions(definitions: Definitions) -> Iterator[Condition]:
    """Every condition that is tested when a message is decided."""
    for message in definitions.messages:
        if message.require is not None:
            yield message.require
        consent = consent_of(message, definitions)
        if consent is not None:
            yield consent
        for _, condition in suppressions(message.channel):
            yield condition


def consent_of(message: MessageSpec, definitions: Definitions) -> Condition | None:
    """Whether a customer allows a message; None where it is not asked for."""
    if message.topic is None:
        return None
    return may_send(message.topic, definitions.topics[message.topic], message.channel)


def cart_facts(definitions: Definitions) -> Iterator[CartFact]:
    """Every list of items that a message shows."""
    for message in definitions.messages:
        yield from (fact for fact in message.facts if isinstance(fact, CartFact))


def read_values(definitions: Definitions) -> Iterator[FactExpression]:
    """Every value that is read when a message is to be sent."""
    for message in definitions.messages:
        yield from message.values
