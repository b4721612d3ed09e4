"""Definitions for Hypothesis: every sentence of the language, over a small vocabulary so that logs speak of it often."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

DURATIONS = ("1ms", "2ms", "1s", "90s", "10m", "1h", "25h", "2d", "7d")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Tokyo", "Australia/Lord_Howe", "Africa/Cairo", "Pacific/Apia")
SCALARS = ("a", "b", "A", "", "5", "2026-03-04", 0, 1, 5, 2.5, -1, True, False)
DATES = ("2026-03-04", "2026-03-05", "2026-03-04T12:00:00Z", "2026-03-04T23:30:00+01:00", "2000-02-29", "1990-03-05")
ORDER = ("<", "<=", ">", ">=")
COMPARISONS = (*ORDER, "==", "!=")
PERIODS = ("day", "week", "month", "year")


@dataclass(frozen=True)
class Vocabulary:
    """Words of one set of definitions. Two disjoint ones share no memory, so what a switch keeps is plain."""

    events: tuple[str, ...]
    traits: tuple[str, ...]
    contexts: tuple[str, ...]
    language: bool
    props: tuple[str, ...] = ("price", "tag", "flag", "due", "items.sku", "items.price", "items")

    @property
    def patterns(self) -> tuple[Any, ...]:
        return (*self.events, list(self.events[:2]))


MAIN = Vocabulary(
    ("A", "B", "A*", "*", "page", "identify", "AB"),
    ("plan", "score", "tags", "address.city", "born", "due"),
    ("device.type", "locale"),
    True,
)
OTHER = Vocabulary(("C", "CB", "C*"), ("level", "since"), ("app.name",), False)


def quoted(value: Any) -> str:
    return repr(value) if isinstance(value, bool) else json.dumps(value)


durations = st.sampled_from(DURATIONS)
constants = st.sampled_from(SCALARS)


def _one_of(draw: st.DrawFn, value: str, items: Any) -> str:
    chosen = draw(st.lists(items, min_size=1, max_size=3))
    return f"{value} {draw(st.sampled_from(['in', 'not in']))} [{', '.join(quoted(each) for each in chosen)}]"


def _compared(draw: st.DrawFn, value: str, constant: Any, *, signs: tuple[str, ...] = COMPARISONS) -> str:
    """A value against a constant, in one of the ways to write it."""
    right = draw(constant)
    sign = draw(st.sampled_from(signs))
    if isinstance(right, bool) and sign in ORDER:
        sign = "=="
    match draw(st.integers(0, 9)):
        case 0 if sign in ORDER:
            return f"{quoted(right)} {sign} {value}"
        case 1 if sign in ORDER and not isinstance(right, str):
            return f"{quoted(right)} {sign} {value} {sign} {quoted(draw(constant.filter(lambda each: not isinstance(each, bool))))}"
        case 2 | 3 if set(signs) == set(COMPARISONS):
            return _one_of(draw, value, constant)
        case _:
            return f"{value} {sign} {quoted(right)}"


@st.composite
def wheres(draw: st.DrawFn, words: Vocabulary) -> str:
    """A condition on the event itself."""
    path = quoted(draw(st.sampled_from(words.props)))
    value = draw(
        st.sampled_from([f"prop({path})", f"prop({path})", f"number(prop({path}))", f"lower(prop({path}))", 'eventcontext("device.type")'])
    )
    atom = _on_value(draw, value) if draw(st.integers(0, 7)) else _on_dates(draw, words)
    match draw(st.integers(0, 9)):
        case 0:
            return f"not {atom}"
        case 1:
            return f"{atom} and {draw(wheres(words))}"
        case 2:
            return f"({atom} or {draw(wheres(words))})"
        case _:
            return atom


def _on_dates(draw: st.DrawFn, words: Vocabulary) -> str:
    one, other = (f"date(prop({quoted(draw(st.sampled_from(words.props)))}))" for _ in range(2))
    right = draw(st.sampled_from([other, f"date({quoted(draw(st.sampled_from(DATES)))})"]))
    return f"{one} {draw(st.sampled_from(ORDER))} {right}"


def _on_value(draw: st.DrawFn, value: str) -> str:
    match draw(st.integers(0, 9)):
        case 0:
            return f"exists({value})"
        case 1:
            return f"contains({value}, {quoted(draw(constants))})"
        case 2:
            return f"startswith({value}, {quoted(draw(st.sampled_from(['a', 'A', '5', '20'])))})"
        case _:
            return _compared(draw, value, constants)


def _events(draw: st.DrawFn, words: Vocabulary) -> str:
    return quoted(draw(st.sampled_from(words.patterns)))


def _selected(draw: st.DrawFn, words: Vocabulary) -> str:
    """An event pattern, and perhaps a ``where``, as the first and a later argument."""
    where = draw(st.none() | st.none() | wheres(words))
    return "" if where is None else f", where={where}"


def _window(draw: st.DrawFn) -> str:
    match draw(st.integers(0, 5)):
        case 0:
            return ""
        case 1:
            return f', this="{draw(st.sampled_from(PERIODS))}"'
        case 2:
            short, long = sorted(draw(st.lists(st.sampled_from(range(len(DURATIONS))), min_size=2, max_size=2, unique=True)))
            return f', within="{DURATIONS[long]}", before="{DURATIONS[short]}"'
        case _:
            return f', within="{draw(durations)}"'


@st.composite
def values(draw: st.DrawFn, words: Vocabulary) -> str:
    """Something that can be compared by the rules of JSON values."""
    choices = [f"trait({quoted(path)})" for path in words.traits] + [f"context({quoted(path)})" for path in words.contexts]
    if words.language:
        choices.append("language()")
    match draw(st.integers(0, 5)):
        case 0:
            name, path = draw(st.sampled_from(["latest", "earliest"])), draw(st.sampled_from(words.props))
            value = f"{name}({_events(draw, words)}, {quoted(path)}{_selected(draw, words)})"
        case 1:
            value = f"top({_events(draw, words)}, {quoted(draw(st.sampled_from(words.props)))}{_selected(draw, words)}{_window(draw)})"
        case _:
            value = draw(st.sampled_from(choices))
    wrapped = draw(st.sampled_from(["{}", "{}", "{}", "number({})", "lower({})"]))
    return wrapped.format(value)


@st.composite
def times(draw: st.DrawFn, words: Vocabulary, segments: tuple[str, ...]) -> str:
    match draw(st.integers(0, 5 if segments else 3)):
        case 0 | 1:
            return f"{draw(st.sampled_from(['last', 'first']))}({_events(draw, words)}{_selected(draw, words)})"
        case 2:
            return f"date({draw(values(words))})"
        case 3:
            return draw(st.sampled_from([f"date({draw(values(words))})", f"date({quoted(draw(st.sampled_from(DATES)))})"]))
        case _:
            return f"{draw(st.sampled_from(['entered', 'left']))}({quoted(draw(st.sampled_from(segments)))})"


def _is_of_the_customer(time: str) -> bool:
    return not time.startswith('date("')


def _step(draw: st.DrawFn, words: Vocabulary) -> str:
    where = _selected(draw, words)
    return f"step({_events(draw, words)}{where})" if where else _events(draw, words)


def _sequence(draw: st.DrawFn, words: Vocabulary) -> str:
    steps = [_step(draw, words) for _ in range(draw(st.integers(1, 3)))]
    parts = list(steps)
    if len(steps) > 1:
        parts.append(f'within="{draw(durations)}"')
    if len(steps) == 1 or draw(st.booleans()):
        parts.append(f'then_not={_step(draw, words)}, wait="{draw(durations)}"')
    if draw(st.booleans()):
        parts.append(f'over="{draw(durations)}"')
    return f"sequence({', '.join(parts)})"


@st.composite
def atoms(draw: st.DrawFn, words: Vocabulary, segments: tuple[str, ...]) -> str:
    """One clause."""
    small, prices = st.integers(0, 4), st.sampled_from([0, 1, 2.5, 3, 5, 7.5, 0.3])
    kind = draw(st.sampled_from(ATOMS))
    match kind:
        case "did":
            return f"{draw(st.sampled_from(['did', 'never']))}({_events(draw, words)}{_selected(draw, words)}{_window(draw)})"
        case "count":
            return _compared(draw, f"count({_events(draw, words)}{_selected(draw, words)}{_window(draw)})", small)
        case "aggregate":
            name, path = draw(st.sampled_from(["sum", "avg", "min", "max"])), draw(st.sampled_from(["price", "items.price", "tag"]))
            return _compared(draw, f'{name}({_events(draw, words)}, "{path}"{_selected(draw, words)}{_window(draw)})', prices)
        case "distinct":
            path = draw(st.sampled_from(words.props))
            return _compared(draw, f'distinct({_events(draw, words)}, "{path}"{_selected(draw, words)}{_window(draw)})', small)
        case "active":
            of = draw(st.integers(1, 4))
            each = draw(st.sampled_from(DURATIONS[2:]))
            return _compared(draw, f'active({_events(draw, words)}, each="{each}", of={of}{_selected(draw, words)})', st.integers(0, of))
        case "sequence":
            return _sequence(draw, words)
        case "value":
            return _on_value(draw, draw(values(words)))
        case "since":
            name = draw(st.sampled_from(["since", "since", "until"]))
            return f"{name}({draw(times(words, segments))}) {draw(st.sampled_from(ORDER))} {quoted(draw(durations))}"
        case "idle":
            return f"idle({_events(draw, words)}{_selected(draw, words)}) {draw(st.sampled_from(ORDER))} {quoted(draw(durations))}"
        case "unchanged":
            what = draw(st.sampled_from([f"trait({quoted(path)})" for path in words.traits] + [f"context({quoted(words.contexts[0])})"]))
            return f"unchanged({what}) {draw(st.sampled_from(ORDER))} {quoted(draw(durations))}"
        case "times":
            left, right = draw(times(words, segments)), draw(times(words, segments))
            if not _is_of_the_customer(left) and not _is_of_the_customer(right):  # two constants are refused
                right = f"last({_events(draw, words)})"
            return f"{left} {draw(st.sampled_from(ORDER))} {right}"
        case "exists":
            return f"exists({draw(times(words, segments).filter(_is_of_the_customer))})"
        case "clock":
            unit, constant = draw(
                st.sampled_from([("hour", st.integers(0, 23)), ("day", st.integers(1, 31)), ("month", st.integers(1, 12))])
            )
            return _compared(draw, f"{unit}()", constant)
        case "weekday":
            days = st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"])
            return _compared(draw, "weekday()", days, signs=("==", "!=")) if draw(st.booleans()) else _one_of(draw, "weekday()", days)
        case "age":
            return _compared(draw, f"age({draw(values(words))})", st.sampled_from([0, 1, 25, 26, 35, 36]))
        case "birthday":
            return f"birthday({draw(values(words))})"
        case _:
            return f"segment({quoted(draw(st.sampled_from(segments)))})" if segments else draw(atoms(words, segments))


ATOMS = (
    *("did", "count", "aggregate", "distinct", "active", "sequence", "value", "since", "idle", "unchanged", "times", "exists"),
    *("clock", "weekday", "age", "birthday", "segment", "did", "count", "sequence", "since", "aggregate"),
)


@st.composite
def conditions(draw: st.DrawFn, words: Vocabulary, segments: tuple[str, ...] = (), depth: int = 2) -> str:
    """Clauses joined by ``and``, ``or`` and ``not``."""
    match draw(st.integers(0, 9)) if depth else 9:
        case 0 | 1:
            return f"({draw(conditions(words, segments, depth - 1))} and {draw(conditions(words, segments, depth - 1))})"
        case 2 | 3:
            return f"({draw(conditions(words, segments, depth - 1))} or {draw(conditions(words, segments, depth - 1))})"
        case 4 | 5:
            return f"not {draw(conditions(words, segments, depth - 1))}"
        case _:
            return draw(atoms(words, segments))


@st.composite
def definitions(draw: st.DrawFn, words: Vocabulary = MAIN, names: tuple[str, ...] = ("m", "a", "z", "k")) -> dict[str, Any]:
    """Up to four segments, later ones seeing earlier ones; names in no order."""
    segments: dict[str, Any] = {}
    for name in names[: draw(st.integers(1, len(names)))]:
        earlier = tuple(segments)
        segment: dict[str, str] = {"when": draw(conditions(words, earlier))}
        if draw(st.integers(0, 3)) == 0:
            segment["exit"] = draw(conditions(words, earlier))
        for key in ("stay", "cooldown"):
            if draw(st.integers(0, 3)) == 0:
                segment[key] = draw(durations)
        segments[name] = segment
    return {"zone": draw(st.sampled_from(ZONES)), "segments": segments}
