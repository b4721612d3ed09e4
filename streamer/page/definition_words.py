"""A definition in words: a sentence for each clause, made of its tree by the texts of a language, so nothing that holds is left out.

Names, paths and constants stand in the sentences as the definition has them; what was written by somebody is no HTML in them.
"""

from __future__ import annotations

from typing import Final, assert_never

from markupsafe import Markup, escape

from streamer.language import tree
from streamer.language.segment_specs import Segment
from streamer.language.tree import CompareOp, Condition, Duration, Events, Numeric, OrderOp, Path, Scalar, Time, Value, Window

from .rendering import outside
from .wording import Wording

COMPARED: Final[dict[CompareOp, str]] = {"==": "is", "!=": "is_not", "<": "less", "<=": "most", ">": "more", ">=": "least"}
ORDERED: Final[dict[OrderOp, str]] = {"<": "before", "<=": "not_after", ">": "after", ">=": "not_before"}


class DefinitionWords:
    """Says definitions in a language."""

    def __init__(self, words: Wording) -> None:
        self._words = words

    def enters(self, segment: Segment) -> list[Markup]:
        """What has to hold, a sentence each, for somebody to enter."""
        return self._clauses(segment.when)

    def leaves(self, segment: Segment) -> list[Markup]:
        """What has to hold for somebody to leave; empty where it is enough that they would not enter."""
        return [] if segment.exit is None else self._clauses(segment.exit)

    def _clauses(self, condition: Condition) -> list[Markup]:
        return [self.condition(part) for part in (condition.of if isinstance(condition, tree.And) else (condition,))]

    def condition(self, node: Condition) -> Markup:
        """One condition."""
        match node:
            case tree.And(of=of):
                return self._joined("and", [self._part(part) for part in of])
            case tree.Or(of=of):
                return self._joined("or", [self._part(part) for part in of])
            case tree.Not(of=tree.Did(events=events, window=window)):
                return self._say("never", events=self._events(events), window=self._window(window))
            case tree.Not(of=of):
                return self._say("not", of=self.condition(of))
            case _:
                return self._atom(node)

    def _part(self, node: Condition) -> Markup:
        """A part of a longer condition: what has parts of its own stands in brackets."""
        said = self.condition(node)
        return Markup("({})").format(said) if isinstance(node, (tree.And, tree.Or)) else said

    def _atom(self, node: tree.Atom) -> Markup:
        match node:
            case tree.Compare(left=left, op=op, right=right):
                return self._say(COMPARED[op], left=self._operand(left), right=self._constant(right))
            case tree.CompareDuration(left=left, op=op, right_ms=right_ms):
                return self._say(COMPARED[op], left=self._duration(left), right=self._length(right_ms))
            case tree.CompareTime(left=left, op=op, right=right):
                other = self._moment(right) if isinstance(right, int) else self._time(right)
                return self._say(ORDERED[op], left=self._time(left), right=other)
            case tree.OneOf(left=left, items=items):
                return self._say("one_of", left=self._operand(left), items=Markup(", ").join(map(self._constant, items)))
            case tree.Exists(of=of):
                return self._say("known", of=self._operand(of))
            case tree.Contains(of=of, part=part):
                return self._say("contains", of=self._operand(of), part=self._constant(part))
            case tree.StartsWith(of=of, prefix=prefix):
                return self._say("begins", of=self._operand(of), prefix=self._constant(prefix))
            case tree.Birthday(of=of):
                return self._say("anniversary", of=self._operand(of))
            case tree.Did(events=events, window=window):
                return self._say("did", events=self._events(events), window=self._window(window))
            case tree.Sequence():
                return self._sequence(node)
            case tree.InSegment(segment=segment):
                return self._say("inside", segment=outside(segment))
            case _:
                assert_never(node)

    def _sequence(self, node: tree.Sequence) -> Markup:
        said = self._say("sequence", steps=Markup(", ").join(map(self._events, node.steps)))
        if node.within_ms:
            said += Markup(", ") + self._say("all_within", length=self._length(node.within_ms))
        if node.then_not is not None:
            said += Markup(", ") + self._say("then_not", events=self._events(node.then_not), length=self._length(node.wait_ms))
        if node.over_ms:
            said += Markup(", ") + self._say("within", length=self._length(node.over_ms))
        return said

    def _operand(self, node: Value | Numeric | Time) -> Markup:
        if isinstance(node, Time):
            return self._time(node)
        return self._number(node) if isinstance(node, Numeric) else self._value(node)

    def _value(self, node: Value) -> Markup:
        match node:
            case tree.Trait(path=path):
                return self._say("trait", path=_path(path))
            case tree.Context(path=path):
                return self._say("context", path=_path(path))
            case tree.Prop(path=path):
                return self._say("property", path=_path(path))
            case tree.EventContext(path=path):
                return self._say("event_context", path=_path(path))
            case tree.Number(of=of):
                return self._say("as_number", of=self._value(of))
            case tree.Lower(of=of):
                return self._say("lower", of=self._value(of))
            case tree.Language():
                return self._say("language")
            case tree.Top(events=events, path=path, window=window):
                return self._say("top", path=_path(path), events=self._events(events), window=self._window(window))
            case tree.Latest(events=events, path=path):
                return self._say("latest", path=_path(path), events=self._events(events))
            case tree.Earliest(events=events, path=path):
                return self._say("earliest", path=_path(path), events=self._events(events))
            case tree.Group(model=model):
                return self._say("group", model=outside(model))
            case _:
                assert_never(node)

    def _number(self, node: Numeric) -> Markup:
        match node:
            case tree.Count(events=events, window=window):
                return self._say("count", events=self._events(events), window=self._window(window))
            case tree.Aggregate(name=name, events=events, path=path, window=window):
                return self._say(name, path=_path(path), events=self._events(events), window=self._window(window))
            case tree.Active(events=events, each_ms=each_ms, periods=periods):
                number = self._words.number(periods)
                return self._say("active", number=number, length=self._length(each_ms), events=self._events(events))
            case tree.Clock(unit=unit):
                return self._say(f"clock_{unit}")
            case tree.Age(of=of):
                return self._say("age", of=self._value(of))
            case tree.Score(model=model, function=function):
                return self._say(function, model=outside(model))
            case tree.Percentile(model=model):
                return self._say("percentile", model=outside(model))
            case _:
                assert_never(node)

    def _time(self, node: Time) -> Markup:
        match node:
            case tree.Last(events=events):
                return self._say("last", events=self._events(events))
            case tree.First(events=events):
                return self._say("first", events=self._events(events))
            case tree.Date(of=of):
                return self._say("date", of=self._value(of))
            case tree.Moment(ms=ms):
                return self._moment(ms)
            case tree.Entered(segment=segment):
                return self._say("entered", segment=outside(segment))
            case tree.Left(segment=segment):
                return self._say("left", segment=outside(segment))
            case _:
                assert_never(node)

    def _duration(self, node: Duration) -> Markup:
        match node:
            case tree.Since(time=time):
                return self._say("since", time=self._time(time))
            case tree.Until(time=time):
                return self._say("until", time=self._time(time))
            case tree.Unchanged(of=of):
                return self._say("unchanged", of=self._value(of))
            case _:
                assert_never(node)

    def _events(self, events: Events) -> Markup:
        names = self._joined("or", [self._say("anything") if name == "*" else _quoted(name) for name in events.names])
        return names if events.where is None else self._say("events_with", events=names, where=self.condition(events.where))

    def _window(self, window: Window) -> Markup:
        """Where in time events are looked for, with a blank before it; empty for ever."""
        if window.this is not None:
            said = self._say(f"this_{window.this}")
        elif window.within_ms and window.before_ms:
            said = self._say("between", length=self._length(window.within_ms), before=self._length(window.before_ms))
        elif window.within_ms:
            said = self._say("within", length=self._length(window.within_ms))
        else:
            return Markup("")
        return Markup(" ") + said

    def _constant(self, value: Scalar) -> Markup:
        if isinstance(value, bool):
            return self._say("true" if value else "false")
        return _quoted(value) if isinstance(value, str) else escape(self._words.number(value, 6))

    def _length(self, ms: int) -> Markup:
        return escape(self._words.whole_length(ms))

    def _moment(self, ms: int) -> Markup:
        return escape(self._words.moment(ms))

    def _joined(self, how: str, parts: list[Markup]) -> Markup:
        said = parts[0]
        for part in parts[1:]:
            said = self._say(how, left=said, right=part)
        return said

    def _say(self, name: str, **named: Markup | str) -> Markup:
        return escape(self._words.text(f"words.{name}")).format(**named)


def _path(path: Path) -> Markup:
    return outside(".".join(path))


def _quoted(text: str) -> Markup:
    return Markup('<q translate="no">{}</q>').format(outside(text))


__all__ = ["DefinitionWords"]
