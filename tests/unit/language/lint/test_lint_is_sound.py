"""What the linter proves is compared with what happens: nobody enters a segment that it says nobody can enter, and so on.

Conditions are made from few events, windows and constants, so that contradictions are frequent; the histories are made from the same.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from typing import Any, get_args

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.flow.replay import Arrival, Replay
from streamer.flow.rules import Rules
from streamer.language.definitions import Definitions, parse_definitions
from streamer.language.lint.linter import lint
from streamer.language.tree import NumberName
from streamer.segments.change import ENTERED, decode_change
from streamer.stores.memory import MemoryStore
from streamer.values import time_text

START_MS = 1_772_359_200_000  # 2026-03-01T10:00:00Z, a Sunday
HOUR_MS = 3_600_000
NAMES = ("A", "B")

events = st.sampled_from(['"A"', '"B"', '["A", "B"]', '"*"'])
wheres = st.sampled_from(["", "", "", ', where=prop("x") == 1', ', where=prop("x") < 1 and not prop("x") < 1'])
spans = st.sampled_from(["1h", "2h", "5h", "12h"])
windows = st.sampled_from(
    ["", ', within="1h"', ', within="2h"', ', within="5h"', ', within="5h", before="2h"', ', this="day"', ', this="month"']
)
tails = st.tuples(wheres, windows).map("".join)
signs = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
orders = st.sampled_from(["<", "<=", ">", ">="])
small = st.integers(0, 3)


def _line(pattern: str, **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    return st.fixed_dictionaries(parts).map(lambda found: pattern.format(**found))


values = st.sampled_from(
    ['trait("x")', 'number(trait("x"))', 'lower(trait("x"))', 'latest("A", "x")', 'top("A", "x", within="5h")', 'context("x")']
)
constants = st.sampled_from(["0", "1", "2.5", '"a"', '"B"', '""', "true"])
times = st.sampled_from(['last("A")', 'first("A")', 'last("B")', 'date(trait("d"))', 'left("base")', 'entered("base")'])
atoms = st.one_of(
    _line("did({e}{w})", e=events, w=tails),
    _line("never({e}{w})", e=events, w=tails),
    _line("count({e}{w}) {s} {n}", e=events, w=tails, s=signs, n=small),
    _line("count({e}{w}) in [{n}, {m}]", e=events, w=tails, n=small, m=small),
    _line('distinct({e}, "x"{w}) {s} {n}', e=events, w=tails, s=signs, n=small),
    _line('{f}({e}, "x"{w}) {s} {n}', f=st.sampled_from(get_args(NumberName)), e=events, w=tails, s=signs, n=small),
    _line('active({e}, each="1h", of=3) {s} {n}', e=events, s=signs, n=small),
    _line('since({t}) {s} "{d}"', t=times, s=orders, d=spans | st.just("0s")),
    _line('until({t}) {s} "{d}"', t=times, s=orders, d=spans | st.just("0s")),
    _line("{t} {s} {u}", t=times, s=orders, u=times | st.just('date("2026-03-01T12:00:00Z")')),
    _line("exists({t})", t=times | values),
    _line("{v} {s} {c}", v=values, s=st.sampled_from(["==", "!="]), c=constants),
    _line("{v} {s} {n}", v=values, s=orders, n=small),
    _line("{v} in [{c}, {d}]", v=values, c=constants, d=constants),
    _line('unchanged(trait("x")) {s} "{d}"', s=orders, d=spans),
    _line("hour() {s} {n}", s=signs, n=st.sampled_from([0, 11, 12, 24, 25])),
    _line('weekday() in ["{a}", "{b}"]', a=st.sampled_from(["sun", "mon"]), b=st.sampled_from(["sun", "tue"])),
    _line('age(trait("d")) {s} {n}', s=signs, n=st.sampled_from([-1, 0, 1])),
    _line('sequence("A", "B", within="{d}"{o})', d=spans, o=st.sampled_from(["", ', over="2h"'])),
    _line('sequence({e}, then_not="B", wait="{d}"{o})', e=st.sampled_from(['"A"', '"B"']), d=spans, o=st.sampled_from(["", ', over="2h"'])),
    st.sampled_from(
        [
            'segment("base")',
            'segment("plain")',
            'segment("nobody")',
            'language() == "de"',
            'language() == "DE"',
            'contains(trait("x"), "a")',
        ]
    ),
)
conditions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: " and ".join(f"({part})" for part in parts)),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: " or ".join(f"({part})" for part in parts)),
        inner.map(lambda part: f"not ({part})"),
        inner.map(lambda part: f"({part}) and not ({part})"),
        inner.map(lambda part: f"({part}) or not ({part})"),
    ),
    max_leaves=5,
)
definitions = st.fixed_dictionaries(
    {"when": conditions},
    optional={"exit": conditions, "stay": spans, "cooldown": spans},
)

_BASE: dict[str, dict[str, str]] = {
    "base": {"for": "x", "when": 'did("A", within="2h")', "exit": 'did("B", within="1h")', "stay": "1h"},
    "plain": {"for": "x", "when": 'count("B", within="5h") >= 2'},
    "nobody": {"for": "x", "when": "hour() == 25"},
}

some_values = st.sampled_from(
    [0, 1, 2, 2.5, "a", "B", "b", "", True, None, ["a", 1], [2, 3], {}, {"y": 1}, "1", "2026-03-01", "2026-03-02"]
)
histories = st.lists(
    st.tuples(
        st.integers(0, 4 * HOUR_MS) | st.sampled_from([0, 1, HOUR_MS, 2 * HOUR_MS, 2 * HOUR_MS - 1]),
        st.sampled_from([0, 0, 0, HOUR_MS, 3 * HOUR_MS]),
        st.sampled_from([*NAMES, "identify", "page"]),
        st.sampled_from(["ada", "bo"]),
        some_values,
        st.sampled_from(["2026-03-01", "2026-03-01T14:00:00Z", "1996-02-29", "soon"]),
    ),
    min_size=1,
    max_size=12,
)


def arrivals(history: list[Any]) -> list[Arrival]:
    found: list[Arrival] = []
    now = START_MS
    for line, (gap_ms, late_ms, kind, who, value, day) in enumerate(history, 1):
        now += gap_ms
        event: dict[str, Any] = {"messageId": f"m{line}", "userId": who, "timestamp": time_text(now - late_ms)}
        event |= {"type": "track", "event": kind} if kind in NAMES else {"type": kind}
        event |= {"properties": {"x": value}, "traits": {"x": value, "d": day}, "context": {"x": value, "locale": "de-AT"}}
        found.append(Arrival(line, now, msgspec.json.encode(event)))
    return found


async def told(given_definitions: Definitions, history: list[Any]) -> tuple[set[str], set[str], dict[str, set[str]], set[str]]:
    """Segments that were entered, that were left, who is in each at the end, and all customers."""
    run = await Replay.begin(given_definitions, MemoryStore(), Rules(shards=1), batch=100)
    records = arrivals(history)
    said = [item async for item in run.feed(records, batch=100)]
    said += [item async for item in run.until(records[-1].arrival_ms + 60 * HOUR_MS)]
    entered, exited, inside = set[str](), set[str](), defaultdict[str, set[str]](set)
    for item in said:
        change = decode_change(item.output.value)
        name = change.data.segment
        if change.type == ENTERED:
            entered.add(name)
            inside[name].add(change.subject)
        else:
            exited.add(name)
            inside[name].discard(change.subject)
    return entered, exited, inside, {customer async for customer, _ in run.states()}


seen: dict[str, int] = defaultdict(int)


@settings(max_examples=int(os.environ.get("STREAMER_TEST_EXAMPLES", "60")))
@given(st.lists(definitions, min_size=1, max_size=25), st.lists(histories, min_size=1, max_size=3))
def test_what_is_said_of_never_and_always_holds(bodies: list[dict[str, str]], many: list[list[Any]]) -> None:
    """A linter that cries wolf is turned off, so every never and always must be true of every history."""
    segments = {**_BASE, **{f"s{number}": {"for": "x", **body} for number, body in enumerate(bodies)}}
    parsed = parse_definitions({"segments": segments})
    by_message = [(finding.about, finding.message) for finding in lint(parsed)]
    nobody_in = {name for name, message in by_message if message.startswith("nobody can enter")}
    nobody_out = {name for name, message in by_message if message.startswith("nobody can leave")}
    everybody = {name for name, message in by_message if message.endswith("it holds everybody")}
    assert "nobody" in nobody_in
    for history in many:
        entered, exited, inside, customers = asyncio.run(told(parsed, history))
        assert not nobody_in & entered, [segments[name] for name in nobody_in & entered]
        assert not (nobody_out | everybody) & exited, [segments[name] for name in (nobody_out | everybody) & exited]
        for name in everybody:
            assert inside[name] == customers, segments[name]
    for kind, names in (("in", nobody_in), ("out", nobody_out), ("all", everybody)):
        seen[kind] += len(names)


def test_proofs_of_every_kind_were_tried() -> None:
    """A comparison of nothing with nothing would pass."""
    if not seen:
        test_what_is_said_of_never_and_always_holds()
    assert seen["in"] > 150
    assert seen["out"] > 20
    assert seen["all"] > 20
