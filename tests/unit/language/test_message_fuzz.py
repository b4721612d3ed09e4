"""Whatever stands in the sections of messages: it is refused in words, or it means the same in every shard."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from hypothesis import given, note, settings
from hypothesis import strategies as st

from streamer.errors import DefinitionError
from streamer.flow.catalog import compile_plan
from streamer.flow.rules import Rules
from streamer.language.definitions import Definitions, parse_definitions
from streamer.language.lint.linter import lint
from streamer.language.message_specs import MessageSpec
from tests.unit.language.test_messages import FULL, SEGMENTS

GOOD: Final[dict[str, list[Any]]] = {
    "for": ["Reminds.", "Erinnert an den Korb: 10 %", "يذكّر", "a\tb", '"'],
    "on": ['entered("cart_left")', 'left("cart_left")', "hour() == 8", 'did("A", within="1h") or trait("x") == 1', 'segment("cart_left")'],
    "also": ["merge", ["definitions", "merge"], []],
    "delay": ["0s", "30m", "400d", "1ms"],
    "require": [
        'never("Order Completed")',
        'not segment("cart_left")',
        'until(date(trait("birthday"))) < "7d"',
        'since(entered("cart_left")) > "1d"',
    ],
    "stay": [True, False],
    "again": ["always", "once", "30d"],
    "expiry": ["1ms", "24h", "30d"],
    "channel": ["email", "webhook", "console", "push"],
    "kind": ["marketing", "transactional"],
    "topic": ["offers"],
    "address": ['trait("email")', 'latest("Identified", "mail")', "language()"],
    "language": ['context("locale")'],
    "facts": [
        {},
        {"n": 'count("A", within="7d")', "when": 'last("A")', "z": 'distinct("A", "b.c")', "age": 'age(trait("birthday"))'},
        {"items": {"left_of": ["A", "B C"], "by": "id", "keep": ["name", "a.b"], "max": 3}, "top": 'top("A", "b")'},
    ],
    "template": ["cart", "x" * 64],
    "cap": ["1 per 7d", ["3 per 1h", "100 per 400d"]],
    "quiet": ["none", "21:00-09:00", "00:00-00:01", "12:30-24:00"],
    "holdout": ["0%", "99.99%", "2.5%", "10.05%"],
    "variants": [{"a": 1}, {"b": 10_000, "a": 1}],
    "priority": [0, -1_000, 1_000],
    "goal": [{"event": "Order Completed", "within": "3d"}, {"event": "x", "within": "1ms", "value": "a.b"}],
}
WORDS: Final = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "none", "~", "null", "1e9", "1 per 7d", "%", "-5%", "٣%", "²", "١٢:٠٠-١٣:٠٠", "0x10", "1_000", "\ud800", "\x85", "é" * 600]
    ),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
)
ANYTHING: Final = st.recursive(WORDS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=6), inner, max_size=4))
BODIES: Final = st.fixed_dictionaries(
    {key: st.sampled_from(GOOD[key]) for key in ("for", "on", "channel", "topic")},
    optional={key: st.sampled_from(values) for key, values in GOOD.items() if key not in ("for", "on", "channel", "topic")},
)
LIMITS: Final = {"channels": {"push": {"cap": "2 per 1d", "quiet": "22:00-07:30"}}, "topics": {"offers": "opt_out"}}


def of_bodies(bodies: dict[str, Any]) -> dict[str, Any]:
    segments = {"cart_left": {"for": "x", "when": 'since(last("Product Added")) >= "30m"'}}
    return {"segments": segments, "messages": bodies, **LIMITS}


def without_place(message: MessageSpec) -> MessageSpec:
    return replace(message, file="", line=0)


def assert_the_same_everywhere(definitions: Definitions) -> None:
    """What a shard reads is what was checked, and nothing in it stops one."""
    again = parse_definitions(definitions.content())
    assert (again.content(), again.digest) == (definitions.content(), definitions.digest)
    assert list(map(without_place, again.messages)) == list(map(without_place, definitions.messages))
    assert (again.channels, dict(again.topics), again.message_limits) == (
        definitions.channels,
        dict(definitions.topics),
        definitions.message_limits,
    )
    lint(definitions)
    compile_plan(definitions, Rules())


@settings(max_examples=120)
@given(bodies=st.dictionaries(st.sampled_from(["a", "m", "z"]), BODIES, min_size=1))
def test_what_is_right_means_the_same_in_every_shard(bodies: dict[str, Any]) -> None:
    """All orders of keys, all defaults: shards read the content, in which mappings are sorted."""
    assert_the_same_everywhere(parse_definitions(of_bodies(bodies)))


@settings(max_examples=250)
@given(body=BODIES, key=st.sampled_from(list(GOOD)), value=ANYTHING, section=st.sampled_from(["", "channels", "topics", "message_limits"]))
def test_any_value_in_any_place_is_refused_in_words_or_right(body: dict[str, Any], key: str, value: Any, section: str) -> None:
    """A shard that stopped at a definition would stop for ever: the record lies in its log."""
    content = of_bodies({"m": body if section else {**body, key: value}})
    if section:
        content[section] = value
    try:
        definitions = parse_definitions(_encodable(content))
    except DefinitionError as error:
        note(str(error))
        return
    assert_the_same_everywhere(definitions)


def _encodable(value: Any) -> Any:
    """Half of a surrogate pair comes in no UTF-8; NaN in no JSON."""
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, float) and value - value != 0:
        return str(value)
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


@settings(max_examples=250)
@given(
    start=st.integers(0, len(FULL)),
    length=st.integers(0, 12),
    instead=st.one_of(st.text(max_size=6), st.text(alphabet=":-{}[]#&*!|>'\"%@`, \n\t", max_size=4)),
)
def test_no_text_raises_anything_but_a_definition_error(start: int, length: int, instead: str) -> None:
    """A text with a hole or a slip in it, as people save them."""
    text = SEGMENTS + FULL[:start] + instead + FULL[start + length :]
    try:
        definitions = parse_definitions(text)
    except DefinitionError as error:
        note(str(error))
        return
    assert_the_same_everywhere(definitions)
