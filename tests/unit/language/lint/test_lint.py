"""What the linter points out, with the place; and what it must leave alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.language.definitions import load_definitions, parse_definitions
from streamer.language.lint.event_names import almost_known
from streamer.language.lint.linter import Finding, canonical, lint
from streamer.language.parse import parse
from streamer.segments.library import library_path


def found(**segments: str | dict[str, str]) -> dict[str, list[str]]:
    bodies = {name: {"for": "x", **({"when": body} if isinstance(body, str) else body)} for name, body in segments.items()}
    messages: dict[str, list[str]] = {}
    for finding in lint(parse_definitions({"segments": bodies})):
        messages.setdefault(finding.about, []).append(finding.message)
    return messages


WEEK = 'within="7d"'

NOBODY = [
    'count("A", within="7d") < 0',
    'count("A", within="7d") >= 5 and count("A", within="7d") < 3',
    'count("A", within="7d") in [1, 2] and count("A", within="7d") > 2',
    'count("A", within="7d") >= 3 and count("A", within="30d") < 2',
    'count("A", within="7d", where=prop("x") == 1) >= 3 and count(["A", "B"], within="30d") == 1',
    'did("Product Viewed", this="day") and never("Product *", this="week")',
    'did("A", this="day") and never("A", within="2d")',
    'did("A") and never("A")',
    'did("A", within="1h") and idle("A") > "1h"',
    'since(first("A")) < "1d" and did("A", within="9d", before="1d")',
    'last("A") > last("B") and never("A")',
    'last("A") < last("A")',
    'last("A") > last("B") and last("A") <= last("B")',
    'last("A") > date("2026-01-31") and last("A") < date("2026-01-01")',
    'idle("A") < "0s"',
    'until(last("A")) > "1h"',
    'since(date(trait("x"))) >= "1h" and until(date(trait("x"))) >= "1h"',
    "hour() == 25",
    "hour() in [24, 25, 26]",
    "day() > 31",
    "month() == 0",
    'weekday() == "mon" and weekday() in ["sat", "sun"]',
    'active("*", each="1d", of=7) > 7',
    'active("A", each="1d", of=7) >= 2 and never("A", within="7d")',
    'age(trait("birthday")) < 0',
    'age(trait("birthday")) >= 18 and not exists(trait("birthday"))',
    'unchanged(trait("plan")) > "1d" and not exists(trait("plan"))',
    'trait("plan") == "gold" and trait("plan") != "gold"',
    'trait("plan") in ["gold", "silver"] and trait("plan") not in ["gold", "silver", "iron"]',
    'trait("n") >= 10 and not trait("n") > 5',
    'startswith(trait("plan"), "g") and not exists(trait("plan"))',
    'number(trait("n")) == "5"',
    'lower(trait("plan")) == "Gold"',
    'language() == "de-AT"',
    'language() == "de" and language() == "en"',
    'top("A", "x") == "a" and top("A", "x") == "b"',
    'top("A", "x", within="1d") == "a" and never("A")',
    'latest("A", "x") == 1 and count("A") == 0',
    'sum("A", "price") > 5 and never("A")',
    'max("A", "price", within="1d") < 5 and max("A", "price", within="1d") > 6',
    'sequence("A", "B", within="1h") and never("B")',
    'sequence("A", then_not="B", wait="1h", over="2h") and never("A", within="3h")',
    'did("A", where=prop("x") == 1 and prop("x") != 1)',
    '(did("A") or did("B")) and never(["A", "B"])',
    'exists(left("other")) and segment("other")',
    'segment("other") and since(entered("other")) < "0s"',
    'segment("other") and never("Z", within="30d")',
    'segment("latched") and did("Y", within="1h")',
]

OTHERS: dict[str, str | dict[str, str]] = {
    "other": 'did("Z", within="7d")',
    "stays": {"when": 'did("Z", within="1h")', "stay": "1d"},
    "stays_on": {"when": 'did("Z", within="1h")', "exit": 'did("Y", within="1h")', "stay": "1d"},
    "cooled": {"when": 'did("Z", within="7d")', "cooldown": "1d"},
    "latched": {"when": 'did("Z", within="7d")', "exit": 'did("Y", within="1h")'},
}


@pytest.mark.parametrize("when", NOBODY)
def test_a_segment_that_nobody_can_enter_is_found(when: str) -> None:
    """It would lie there for a year, empty, and look like a segment with bad luck."""
    assert found(**OTHERS, it=when)["it"][0].startswith("nobody can enter: ")


POSSIBLE = [
    'trait("tags") == "a" and trait("tags") == "b"',  # a list may have both
    'trait("n") > 5 and trait("n") < 3',
    'did("A", where=prop("x") < 3 and prop("x") > 5, within="1d")',
    'count("A", within="30d") >= 3 and count("A", within="7d") < 2',
    'did("A", where=prop("x") == 1, within="1d") and never("A", where=prop("x") == 2, within="1d")',
    'did("A", this="month") and never("A", within="1d")',
    'did("A", within="1d") and idle("*") > "1h"',
    'last("A") > last("B") and never("B")',
    'sequence("A", "B", "A", within="1h", over="1d") and last("B") > last("A")',
    'sum("A", "price", within="1d") < 0',
    'distinct("A", "tags", within="1d") > 3 and count("A", within="1d") == 1',  # one event, a list of four
    'since(date(trait("x"))) < "1h" or until(date(trait("x"))) < "1h"',
    'segment("other") and idle("Z") >= "6d"',
    'segment("latched") and idle("Z") >= "30d"',  # inside until the exit, however old
    'segment("stays") and never("Z", within="2h")',
    'segment("stays_on") and did("Y", within="1h")',
    'did("Z", within="1d") and not segment("cooled")',
    'trait("x") != "a" and trait("x") not in ["b", "c"]',
    'idle("A") >= "1h" and never("A", within="2h")',
    'idle("A") >= "1h" and did("A", within="1h1ms")',
    'since(first("A")) >= "1h" and never("A", within="9d", before="2h")',
    'since(first("A")) <= "1h" and did("A", within="9d", before="1h")',  # one exactly an hour ago
    'not last("A") > last("B") and not last("A") <= last("B")',  # neither was ever
    'did("A", this="week") and never("A", this="month")',  # the month began on Wednesday
    'did("A", this="month") and never("A", within="30d")',
    'top("A", "x", within="1d") > "a" and top("A", "x", within="1d") < "b"',
]


@pytest.mark.parametrize("when", POSSIBLE)
def test_what_can_be_is_left_alone(when: str) -> None:
    """One false alarm, and nobody reads the true ones."""
    assert "it" not in found(**OTHERS, it=when)


EVERYBODY = [
    'count("A", within="7d") >= 0',
    'did("A", within="1d") or never("A", within="1d")',
    "not (hour() == 24)",
    'active("A", each="1h", of=3) <= 3',
    'count("A", within="7d") < 3 or count("A", within="30d") >= 3',
    'trait("x") == 1 or trait("x") != 1',
    "month() in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]",
    "hour() < 12 or hour() >= 12",
]


@pytest.mark.parametrize("when", EVERYBODY)
def test_a_segment_that_holds_everybody_is_found(when: str) -> None:
    """A message to everybody is rarely what was meant."""
    assert found(it=when)["it"][0] == "its when is always true: it holds everybody"


FOREVER: list[str | dict[str, str]] = [
    'did("A")',
    'count("A") >= 3',
    'count("A") != 0',
    'distinct("A", "x") > 2',
    'max("A", "price") >= 100',
    'min("A", "price") < 1',
    'exists(first("A"))',
    'since(first("A")) >= "30d"',
    'first("A") < date("2026-01-31")',
    'sequence("A", "B", within="1h")',
    'did("A") and count("B") > 1 or did("C")',
    {"when": 'did("A", within="1h")', "exit": "hour() == 24"},
    {"when": 'did("A") and hour() < 8', "exit": 'never("A")'},
]


@pytest.mark.parametrize("body", FOREVER)
def test_a_segment_that_nobody_can_leave_is_found(body: str | dict[str, str]) -> None:
    """A segment that only grows holds everybody in the end."""
    assert found(it=body)["it"][0].startswith("nobody can leave: ")


LEAVES: list[str | dict[str, str]] = [
    'did("A", within="400d")',
    'count("A") == 3',
    'count("A") != 3',
    'max("A", "price") < 5',
    'did("A") and hour() < 8',
    'never("A")',
    'since(first("A")) < "30d"',
    'sum("A", "price") >= 100',  # a refund is a negative number
    'sequence("A", then_not="B", wait="1h")',  # a late B takes it back
    'earliest("A", "campaign") == "x"',  # a late A is earlier
    {"when": 'did("A")', "exit": 'did("B", within="1h")'},
    {"when": "hour() < 8", "exit": 'never("A", within="1d")'},
]


@pytest.mark.parametrize("body", LEAVES)
def test_a_segment_that_can_be_left_is_left_alone(body: str | dict[str, str]) -> None:
    """What is lifelong in most cases is not proved to be."""
    assert "it" not in found(it=body)


def test_an_exit_that_holds_whenever_when_does_keeps_everybody_out() -> None:
    """Entering needs that the exit is not true."""
    body = {"when": 'count("A", within="7d") >= 3', "exit": 'did("A", within="30d")'}
    assert found(it=body) == {"it": ["nobody can enter: its exit holds whenever its when does"]}


def test_who_refers_to_a_segment_that_nobody_enters_is_told() -> None:
    """The fault is elsewhere, but the empty segment is this one."""
    assert found(a="hour() == 25", b='segment("a") and did("B", within="1d")', c='segment("a") or did("B", within="1d")') == {
        "a": ["nobody can enter: hour() == 25 is never true"],
        "b": ['nobody can enter: segment("a") is never true'],
        "c": ['in when: segment("a") is never true'],
    }


def test_who_refers_to_a_segment_that_nobody_leaves_cannot_leave_either() -> None:
    """A badge on a badge."""
    assert list(found(a='did("A")', b='segment("a") and count("B") > 2')) == ["a", "b"]


def test_a_segment_that_waits_for_a_model_is_no_proof() -> None:
    """While the model has nothing to say members stay, whatever else has become of them."""
    segments = {
        "likely": {"for": "x", "when": 'score("buys") >= 0.7 and did("A", within="1d")', "exit": 'never("A", within="1d")'},
        "it": {"for": "x", "when": 'segment("likely") and never("A", within="2d")'},
    }
    assert lint(parse_definitions({"models": {"buys": {"kind": "purchase"}}, "segments": segments})) == []


def test_two_parts_that_exclude_each_other_are_named() -> None:
    """An expression of ten parts is searched by hand otherwise."""
    when = 'did("C", within="1d") and count("A", within="7d") >= 5 and count("A", within="7d") < 3'
    assert found(it=when) == {"it": ['nobody can enter: count("A", within="7d") >= 5 excludes count("A", within="7d") < 3']}


def test_a_part_that_decides_nothing_is_named() -> None:
    """It is a slip of the pen in an expression that otherwise works."""
    assert found(it='did("A", within="1d") or hour() == 24', on='did("A", within="1d") and count("B") >= 0') == {
        "it": ["in when: hour() == 24 is never true"],
        "on": ['in when: count("B") >= 0 is always true'],
    }


def test_a_stay_that_outlasts_the_exit_is_found() -> None:
    """The exit comes and goes while the stay still holds, and nobody leaves."""
    body = {"when": 'did("A", within="7d")', "exit": 'did("B", within="1h") and idle("A") > "2h"', "stay": "1d"}
    assert found(it=body, fine=body | {"stay": "1h"}) == {
        "it": ["its exit holds for at most 1h after an event, its stay is 1d: an exit may pass unseen"]
    }


def test_segments_that_say_the_same_are_found_whatever_the_order_of_their_parts() -> None:
    """Two names for one thing cost twice, and drift apart."""
    assert found(
        a='did("A", within="1d") and trait("x") in ["u", "v"]',
        b='trait("x") in ["v", "u"] and did("A", within="1d")',
        c={"when": 'did("A", within="1d") and trait("x") in ["u", "v"]', "stay": "1h"},
    ) == {"b": ["says the same as 'a'"]}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Order completed", "Order Completed"),
        ("order completed", "Order Completed"),
        ("Order Complete", "Order Completed"),
        ("Oder Completed", "Order Completed"),
        ("Order Compelted", "Order Completed"),
        ("Order Completedd", "Order Completed"),
        ("Prodcut Viewed", "Product Viewed"),
        ("Product Search", None),
        ("Order Completed", None),
        ("Order *", None),
        ("Donation Given", None),
    ],
)
def test_a_name_that_is_almost_known_is_found(name: str, meant: str | None) -> None:
    """Names are compared to the letter, so a typing mistake is a segment without members."""
    assert almost_known(name) == meant


def test_an_almost_known_event_is_pointed_out_in_steps_and_lists_too() -> None:
    """Wherever a name may stand."""
    assert found(it='sequence(["A", "Cart viewed"], step("Order Complete"), within="1h", over="1d")') == {
        "it": [
            'listens to "Cart viewed", which is almost "Cart Viewed"; did you mean that?',
            'listens to "Order Complete", which is almost "Order Completed"; did you mean that?',
        ]
    }


def test_a_finding_has_its_place(tmp_path: Path) -> None:
    """Somebody has to go there."""
    file = tmp_path / "shop.yaml"
    file.write_text('segments:\n  fine: {for: x, when: \'did("A", within="1d")\'}\n  late:\n    for: x\n    when: hour() == 24\n')
    assert lint(load_definitions(file)) == [Finding("late", "nobody can enter: hour() == 24 is never true", str(file), 3)]


def test_the_library_is_above_suspicion() -> None:
    """What ships is what people copy."""
    assert lint(load_definitions(library_path())) == []


def test_a_condition_of_very_many_branches_ends() -> None:
    """Ten thousand segments are checked before each release; none may take minutes."""
    part = " and ".join(f'(did("A{n}", within="1d") or did("B{n}", within="2d") or hour() == {n})' for n in range(20))
    assert found(it=f"{part} and hour() == 23") == {}


def test_a_long_chain_of_segments_ends() -> None:
    """Segments that refer to segments are looked into, but not without end."""
    chain = {f"s{n}": f'segment("s{n - 1}") and did("E{n}", within="1d")' for n in range(1, 400)}
    assert found(s0='did("A", within="1d")', **chain) == {}


def test_the_canonical_text_tells_different_conditions_apart() -> None:
    """`a and (b or c)` is not `(a and b) or c`."""
    texts = ["hour() == 1 and (day() == 1 or month() == 1)", "hour() == 1 and day() == 1 or month() == 1", "not hour() == 1", "hour() == 1"]
    assert len({canonical(parse(text)) for text in texts}) == len(texts)
    assert canonical(parse("hour() != 1")) == canonical(parse("not hour() == 1"))
