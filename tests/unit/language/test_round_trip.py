"""Every tree has a text and a JSON form, and both read back as the same tree."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.language import tree
from streamer.language.durations import UNITS_MS
from streamer.language.limits import WINDOW_MS_MAX
from streamer.language.parse import parse
from streamer.language.references import nodes

decode = msgspec.json.Decoder(tree.Condition).decode

characters = st.characters(exclude_categories=("Cs", "Cc", "Co", "Cn", "Cf", "Zl", "Zp", "Zs"), include_characters=" '\"\\#{}")
texts = st.text(characters, max_size=12)
parts = st.text(characters, min_size=1, max_size=8).map(lambda part: part.replace(".", "_"))
paths = st.lists(parts, min_size=1, max_size=4).map(tuple)
names = st.text(characters, min_size=1, max_size=12).filter(lambda name: name.strip() and "*" not in name)
event_names = st.one_of(names, names.map(lambda name: name + "*"), st.just("*"))
segments = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
numbers = st.integers(-(2**53), 2**53) | st.floats(-(2.0**53), 2.0**53)
scalars = texts | numbers | st.booleans()
spans = st.one_of(st.integers(1, WINDOW_MS_MAX), st.sampled_from([unit * n for unit in UNITS_MS.values() for n in (1, 7, 30)]))
orders: st.SearchStrategy[Any] = st.sampled_from(["<", "<=", ">", ">="])
equals: st.SearchStrategy[Any] = st.sampled_from(["==", "!="])


def _wheres() -> st.SearchStrategy[Any]:
    return _conditions(_values(st.builds(tree.Prop, paths) | st.builds(tree.EventContext, paths)), None)


def _values(bases: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(bases, lambda inner: st.builds(tree.Number, inner) | st.builds(tree.Lower, inner), max_leaves=3)


def _conditions(values: st.SearchStrategy[Any], others: st.SearchStrategy[Any] | None) -> st.SearchStrategy[Any]:
    plain = st.one_of(
        st.builds(tree.Compare, values, equals, scalars),
        st.builds(tree.Compare, values, orders, texts | numbers),
        st.builds(tree.OneOf, values, st.lists(scalars, min_size=1, max_size=4).map(tuple)),
        st.builds(tree.Exists, values),
        st.builds(tree.Contains, values, scalars),
        st.builds(tree.StartsWith, values, texts.filter(bool)),
    )
    atoms = plain if others is None else st.sampled_from([others, others, plain]).flatmap(lambda found: found)
    return st.recursive(atoms, _joined, max_leaves=6)


def _joined(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The parser flattens what is nested in its own kind, and two nots are none."""
    several = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        several.map(lambda found: tree.And(tuple(part for item in found for part in (item.of if isinstance(item, tree.And) else (item,))))),
        several.map(lambda found: tree.Or(tuple(part for item in found for part in (item.of if isinstance(item, tree.Or) else (item,))))),
        inner.map(lambda item: item.of if isinstance(item, tree.Not) else tree.Not(item)),
    )


wheres = st.deferred(_wheres)  # deferred strategies have short names; those of the whole would be pages
events = st.deferred(
    lambda: st.builds(tree.Events, st.lists(event_names, min_size=1, max_size=3, unique=True).map(tuple), st.none() | wheres)
)
windows: st.SearchStrategy[Any] = st.one_of(
    st.just(tree.Window()),
    spans.map(lambda within: tree.Window(within_ms=within)),
    st.tuples(spans, spans).filter(lambda two: two[0] != two[1]).map(lambda two: tree.Window(within_ms=max(two), before_ms=min(two))),
    st.sampled_from(get_args(tree.Period)).map(lambda period: tree.Window(this=period)),
)
known = st.builds(tree.Trait, paths) | st.builds(tree.Context, paths)
values = _values(
    st.one_of(
        known,
        st.just(tree.Language()),
        st.builds(tree.Top, events, paths, windows),
        st.builds(tree.Latest, events, paths),
        st.builds(tree.Earliest, events, paths),
    )
)
times = st.one_of(
    st.builds(tree.Last, events),
    st.builds(tree.First, events),
    st.builds(tree.Date, values),
    st.builds(tree.Entered, segments),
    st.builds(tree.Left, segments),
)
counts = st.integers(0, 1_000)
aggregates: st.SearchStrategy[Any] = st.builds(tree.Aggregate, st.sampled_from(get_args(tree.NumberName)), events, paths, windows)
clocks: st.SearchStrategy[Any] = st.builds(tree.Clock, st.sampled_from(["hour", "day", "month"]))
scores: st.SearchStrategy[Any] = st.one_of(
    st.builds(tree.Score, segments, st.sampled_from(["score", "like"])), st.builds(tree.Percentile, segments)
)
weekdays = st.sampled_from(["mon", "tue", "sun"])


def _active(each_ms: int, periods: int, of: tree.Events, op: Any, right: int) -> tree.Compare:
    periods = min(periods, WINDOW_MS_MAX // each_ms)
    return tree.Compare(tree.Active(of, each_ms, periods), op, min(right, periods))


def _sequence(steps: list[tree.Events], then_not: tree.Events | None, within: int, wait: int, over: int) -> tree.Sequence:
    several = len(steps) > 1
    ends = then_not if several or then_not is not None else steps[0]
    return tree.Sequence(tuple(steps), within if several else 0, over, ends, wait if ends is not None else 0)


others = st.one_of(
    st.builds(tree.Compare, st.builds(tree.Count, events, windows), orders | equals, counts),
    st.builds(
        lambda of, path, window, op, right: tree.Compare(tree.Aggregate("distinct", of, path, window), op, right),
        events,
        paths,
        windows,
        orders,
        counts,
    ),
    st.builds(tree.Compare, aggregates | clocks, orders | equals, numbers),
    st.builds(tree.Compare, st.builds(tree.Age, values), orders | equals, numbers),
    st.builds(tree.Compare, scores, orders, numbers),
    st.builds(tree.Compare, st.builds(tree.Group, segments), equals, texts),
    st.builds(tree.Compare, st.just(tree.Clock("weekday")), equals, weekdays),
    st.builds(tree.OneOf, st.just(tree.Clock("weekday")), st.lists(weekdays, min_size=1).map(tuple)),
    st.builds(_active, spans, st.integers(1, 400), events, orders, counts),
    st.builds(tree.CompareDuration, st.builds(tree.Since, times) | st.builds(tree.Until, times), orders, spans | st.just(0)),
    st.builds(tree.CompareDuration, st.builds(tree.Unchanged, known), orders, spans | st.just(0)),
    st.builds(tree.CompareTime, times, orders, times | st.integers(-62_135_596_800_000, 253_402_300_799_999)),
    st.builds(tree.Exists, times),
    st.builds(tree.Birthday, values),
    st.builds(tree.Did, events, windows),
    st.builds(_sequence, st.lists(events, min_size=1, max_size=3), st.none() | events, spans, spans, st.just(0) | spans),
    st.builds(tree.InSegment, segments),
)
conditions: st.SearchStrategy[Any] = st.deferred(
    lambda: _conditions(st.deferred(lambda: values), st.deferred(lambda: others)).filter(_small)
)


def _small(condition: Any) -> bool:
    return sum(1 for _ in nodes(condition)) < 60 and len(tree.text(condition)) < 10_000


@given(conditions)
def test_the_text_of_a_tree_reads_back_as_the_tree(condition: Any) -> None:
    """What an interface shows can be typed in again."""
    assert parse(tree.text(condition)) == condition


@given(conditions)
def test_the_json_of_a_tree_reads_back_as_the_tree(condition: Any) -> None:
    """What an interface sends is what it was shown."""
    assert decode(msgspec.json.encode(condition)) == condition


SAMPLES = [
    'trait("a.b") == 1 and context("c") != "x" or not exists(number(lower(trait("d"))))',
    'did("A", where=prop("x") > 1 and eventcontext("y") in [true, 2], within="2d", before="1d")',
    'language() == "de" and top("A", "x", this="week") == "y" and latest("A", "x") == 1 and earliest("A", "x") == 1',
    'count(["A", "B*"]) >= 3 and sum("*", "p", within="1h") < 1.5 and active("A", each="1d", of=7) >= 2 and hour() < 3',
    'age(trait("b")) >= 18 and birthday(trait("b")) and contains(trait("t"), "x") and startswith(trait("t"), "y")',
    'last("A") > first("B") and date(trait("d")) < entered("s") and left("s") >= date(-500000000000)',
    'since(last("A")) >= "0ms" and since(date("2026-01-31")) < "7d" and unchanged(context("c")) > "1s500ms"',
    'until(date(trait("d"))) < "1d2h"',
    'sequence("A", step("B", where=prop("x") == 1), within="1h", then_not="C", wait="1m", over="30d") and segment("s")',
    'score("m") >= 0.5 and like("m") < 0.2 and percentile("m") > 0.9 and group("g") == "x"',
]


@pytest.mark.parametrize("text", SAMPLES)
def test_a_sample_reads_back_in_both_forms(text: str) -> None:
    """The same by hand, so that no kind of node depends on what is drawn."""
    condition = parse(text)
    assert parse(tree.text(condition)) == condition
    assert decode(msgspec.json.encode(condition)) == condition


def test_every_kind_of_node_has_a_sample() -> None:
    """A node that is forgotten here is a node that nobody tried."""
    every = {kind for kind in vars(tree).values() if isinstance(kind, type) and issubclass(kind, tree.Node)} - {tree.Node}
    assert every - {type(node) for text in SAMPLES for node in nodes(parse(text))} == set()
