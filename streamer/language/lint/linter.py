"""What is allowed but suspicious in definitions.

A finding that says "never" or "always" is proved (``feasible``): it is about every customer and every history, but for what an erasure or
newly published definitions do. Names of events that are almost those of Segment's specification, and segments that say the same, are only
pointed out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from streamer.language import tree
from streamer.language.definitions import Definitions
from streamer.language.durations import format_duration
from streamer.language.references import nodes
from streamer.language.segment_specs import Segment
from streamer.language.tree import Condition

from .conflicts import conflict, idle_parts
from .event_names import almost_known
from .feasible import KnownSegments, Literal, possible
from .lasting import lasts_ms, stays
from .message_caps import idle_caps
from .message_loops import message_loops
from .message_rules import Proved, message_suspicions, unused


@dataclass(frozen=True, slots=True)
class Finding:
    """One suspicion. ``about`` is the name of a segment, or ``message NAME``, ``channel NAME``, ``topic NAME``, ``message_limits``."""

    about: str
    message: str
    file: str = ""
    line: int = 0


def lint(definitions: Definitions) -> list[Finding]:
    """Segments that nobody can enter, that hold everybody or cannot be left; messages that nobody gets, or that begin themselves;
    parts that decide nothing; names that are almost known."""
    found: list[Finding] = []
    linter = _Linter()
    for segment in definitions.segments:  # those referred to first
        found += [Finding(segment.name, message, segment.file, segment.line) for message in linter.messages(segment)]
    found += _of_messages(definitions, linter.proved)
    return sorted(found, key=lambda finding: (finding.file, finding.line, finding.about))


def _of_messages(definitions: Definitions, proved: Proved) -> Iterator[Finding]:
    for message in definitions.messages:
        about = f"message {message.name}"
        yield from (Finding(about, text, message.file, message.line) for text in message_suspicions(message, proved))
    places = {f"message {message.name}": (message.file, message.line) for message in definitions.messages}
    looped = ((f"message {name}", text) for name, text in message_loops(definitions))
    for about, text in chain(looped, idle_caps(definitions), unused(definitions)):
        yield Finding(about, text, *places.get(about, ("", 0)))


class _Linter:
    """Looks at one segment after the other, and remembers what it proved of those before."""

    def __init__(self) -> None:
        self._segments: dict[str, Segment] = {}
        self._never: set[str] = set()  # nobody can enter
        self._forever: set[str] = set()  # nobody can leave
        self._same: dict[tuple[str, str, int, int], str] = {}

    @property
    def proved(self) -> Proved:
        """What is known of all that were looked at."""
        return Proved(self._segments, frozenset(self._never), frozenset(self._forever))

    def messages(self, segment: Segment) -> Iterator[str]:
        known = KnownSegments(self._segments, frozenset(self._never))
        yield from self._membership(segment, known)
        yield from self._names(segment)
        yield from self._twins(segment)
        self._segments[segment.name] = segment

    def _membership(self, segment: Segment, known: KnownSegments) -> Iterator[str]:
        when, leave = segment.when, segment.exit
        if not possible([(when, True)], known):
            self._never.add(segment.name)
            yield f"nobody can enter: {conflict(when, known)}"
            return
        if leave is not None and not possible([(when, True), (leave, False)], known):
            self._never.add(segment.name)
            yield "nobody can enter: its exit holds whenever its when does"
            return
        if not possible([(when, False)], known):
            yield "its when is always true" + (": it holds everybody" if leave is None else "")
            if leave is None:
                self._forever.add(segment.name)
                return
        if self._is_forever(segment, known):
            self._forever.add(segment.name)
            yield "nobody can leave: " + _why_forever(segment, known)
        if leave is not None and segment.stay_ms > (lasts := lasts_ms(leave)):
            yield (
                f"its exit holds for at most {format_duration(int(lasts))} after an event, its stay is "
                f"{format_duration(segment.stay_ms)}: an exit may pass unseen"
            )
        yield from idle_parts({"when": segment.when, "exit": segment.exit}, known)

    def _is_forever(self, segment: Segment, known: KnownSegments) -> bool:
        """What lets somebody in, and stays true, rules out what would let them leave."""
        parts = segment.when.of if isinstance(segment.when, tree.And) else (segment.when,)
        kept: list[Literal] = [(part, True) for part in parts if stays(part, True, self._forever)]
        leave: Literal = (segment.when, False) if segment.exit is None else (segment.exit, True)
        return not possible([*kept, leave], known)

    def _twins(self, segment: Segment) -> Iterator[str]:
        leave = "" if segment.exit is None else canonical(segment.exit)
        key = (canonical(segment.when), leave, segment.stay_ms, segment.cooldown_ms)
        other = self._same.setdefault(key, segment.name)
        if other != segment.name:
            yield f"says the same as {other!r}"

    @staticmethod
    def _names(segment: Segment) -> Iterator[str]:
        names = (
            name for condition in segment.conditions for node in nodes(condition) if isinstance(node, tree.Events) for name in node.names
        )
        for name in dict.fromkeys(names):
            meant = almost_known(name)
            if meant is not None:
                yield f'listens to "{name}", which is almost "{meant}"; did you mean that?'


def _why_forever(segment: Segment, known: KnownSegments) -> str:
    if segment.exit is None:
        return "once its when is true it stays so; a window (within=) or an exit would end it"
    if not possible([(segment.exit, True)], known):
        return f"{conflict(segment.exit, known)}, so its exit is never true"
    return "what lets somebody in rules out its exit for good"


def canonical(condition: Condition) -> str:
    """A text that is the same for conditions that differ in the order of their parts only."""
    match condition:
        case tree.And(of=of) | tree.Or(of=of):
            word = " and " if isinstance(condition, tree.And) else " or "
            return f"({word.join(sorted({canonical(part) for part in of}))})"
        case tree.Not(of=of):
            return f"not {canonical(of)}"
        case tree.Compare(left=left, op="!=", right=right):
            return f"not {canonical(tree.Compare(left, '==', right))}"
        case tree.OneOf(left=left, items=items):
            return tree.text(tree.OneOf(left, tuple(sorted(set(items), key=repr))))
        case _:
            return tree.text(condition)
