"""Messages that begin each other, or themselves: a send is an event (``Message Sent``), and may make a trigger true again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from streamer.language import tree
from streamer.language.definitions import Definitions
from streamer.language.message_specs import AGAIN_ONCE, MessageSpec
from streamer.language.references import nodes
from streamer.language.segment_specs import Segment
from streamer.language.tree import Condition, Events, Scalar

SENT = "Message Sent"


def message_loops(definitions: Definitions) -> Iterator[tuple[str, str]]:
    """The name of a message that lies in a circle, and a sentence that shows it; the shortest circle of each."""
    segments = {segment.name: segment for segment in definitions.segments}
    listens = {message.name: list(_sends_that_begin(message, segments)) for message in definitions.messages}
    begins = {
        message.name: [
            other.name
            for other in definitions.messages
            if other.again_ms != AGAIN_ONCE and any(_may_match(events, message) for events in listens[other.name])
        ]
        for message in definitions.messages
    }
    for name in sorted(begins):
        circle = _circle(name, begins)
        if circle is not None:
            yield name, f'each send begins it anew, by the event "{SENT}": {" -> ".join(circle)}'


def _sends_that_begin(message: MessageSpec, segments: Mapping[str, Segment]) -> Iterator[Events]:
    """What of ``Message Sent`` can make the trigger of a message true."""
    trigger = message.trigger
    seen = set[tuple[str, bool]]()
    todo: list[tuple[Condition, bool]] = []
    if trigger.condition is not None:
        todo.append((trigger.condition, True))
    else:
        todo += _of_segment(segments[trigger.segment], trigger.kind == "entered")
    while todo:
        condition, holds = todo.pop()
        for atom, wanted in _wanted(condition, holds):
            if isinstance(atom, tree.InSegment):
                if (atom.segment, wanted) not in seen:
                    seen.add((atom.segment, wanted))
                    todo += _of_segment(segments[atom.segment], wanted)
            elif wanted:
                yield from (node for node in nodes(atom) if isinstance(node, Events) and _names_sent(node))


def _of_segment(segment: Segment, inside: bool) -> list[tuple[Condition, bool]]:
    if inside:
        return [(segment.when, True)]
    return [(segment.when, False)] if segment.exit is None else [(segment.exit, True)]


def _wanted(condition: Condition, holds: bool) -> Iterator[tuple[Condition, bool]]:
    """The comparisons of a condition, each with whether it must hold for the condition to be ``holds``."""
    match condition:
        case tree.Not(of=of):
            yield from _wanted(of, not holds)
        case tree.And(of=of) | tree.Or(of=of):
            for part in of:
                yield from _wanted(part, holds)
        case _:
            yield condition, holds


def _names_sent(events: Events) -> bool:
    return any(name == SENT or (name.endswith("*") and name != "*" and SENT.startswith(name[:-1])) for name in events.names)


def _may_match(events: Events, message: MessageSpec) -> bool:
    """Whether the event of a send of this message may be among those: what is compared with its name, channel and topic is known."""
    return events.where is None or _may_hold(events.where, {"message": message.name, "channel": message.channel, "topic": message.topic})


def _may_hold(where: Condition, said: Mapping[str, str | None]) -> bool:
    match where:
        case tree.And(of=of):
            return all(_may_hold(part, said) for part in of)
        case tree.Or(of=of):
            return any(_may_hold(part, said) for part in of)
        case tree.Compare(left=tree.Prop(path=(name,)), op="==", right=right) if name in said:
            return said[name] == right
        case tree.OneOf(left=tree.Prop(path=(name,)), items=items) if name in said:
            return _among(said[name], items)
        case _:
            return True


def _among(said: str | None, items: tuple[Scalar, ...]) -> bool:
    return said in items


def _circle(start: str, begins: Mapping[str, list[str]]) -> list[str] | None:
    """The shortest way from a message back to itself."""
    paths = [[start]]
    seen = set[str]()
    while paths:
        path = paths.pop(0)
        for other in begins[path[-1]]:
            if other == start:
                return [*path, start]
            if other not in seen:
                seen.add(other)
                paths.append([*path, other])
    return None
