"""What is wrong in messages is refused with its place, what was expected, and what was probably meant."""

from __future__ import annotations

from typing import Final

import pytest

from streamer.errors import DefinitionError
from streamer.language.definitions import load_definitions, parse_definitions

HEAD: Final = """segments: {cart: {for: x, when: did("A")}}
models: {likely: {kind: purchase}, groups: {kind: groups}}
topics: {offers: opt_in}
channels: {push: {cap: 1 per 1d}}
messages:
  m:
    for: x
    on: entered("cart")
    channel: email
    topic: offers
"""
LINE: Final = HEAD.count("\n") + 1  # of what follows


def refusal(text: str) -> DefinitionError:
    with pytest.raises(DefinitionError) as found:
        parse_definitions(text, file="shop.yaml")
    return found.value


WRONG: Final[list[tuple[str, int, str, str]]] = [  # a line of the message, column, message, hint
    ("dealy: 30m", 5, "found the unknown key 'dealy' in the message 'm'", "did you mean delay?"),
    ("also: [migration]", 12, "expected a cause of changes, found 'migration'", "known are definitions, merge"),
    ("also: merg", 11, "expected a cause of changes, found 'merg'", "did you mean merge?"),
    ("delay: half an hour", 12, "expected a duration such as '30m', '1h30m' or '7d' (units ms s m h d w), found 'half an hour'", ""),
    ("delay: 401d", 12, "expected at most 400d", ""),
    (
        'require: trait("plan")',
        14,
        'expected a condition that is true or false, found a value: trait("plan")',
        "compare it (== …), or exists(…)",
    ),
    ('require: neverr("A")', 14, "found the unknown function neverr()", "did you mean never?"),
    ("stay: yes", 11, "expected true or false, found 'yes'", "known are true, false"),
    ("again: allways", 12, "expected always, once or a duration such as 30d, found 'allways'", "did you mean always?"),
    ("again: 0s", 12, "expected a duration of 1ms or more", "again: always has no pause"),
    ("expiry: 31d", 13, "expected at most 30d", ""),
    ("expiry: 0ms", 13, "expected an expiry of 1ms to 30d", ""),
    ("kind: transactionl", 11, "expected a kind of message, found 'transactionl'", "did you mean transactional?"),
    ('address: count("A")', 14, 'expected a value such as trait("email"), found count("A")', ""),
    ('language: [trait("locale")]', 15, "expected a text, found a list", ""),
    ("facts: [a]", 12, "expected a mapping of facts, found a list", ""),
    ('facts: {First: trait("x")}', 13, "expected a name of a-z, 0-9 and _ for a fact, found 'First'", ""),
    ('facts: {language: trait("x")}', 13, "found the fact 'language', which means something else in a template", ""),
    (
        'facts: {n: did("A")}',
        16,
        'expected a value, a number or a time such as trait("first_name"), found did("A")',
        "",
    ),
    ("facts: {items: {left_of: A}}", 20, "expected 'by' in the fact 'items', found none", ""),
    ("facts: {items: {left_off: A, by: id}}", 21, "found the unknown key 'left_off' in the fact 'items'", "did you mean left_of?"),
    ("facts: {items: {left_of: A*, by: id}}", 30, "expected the whole name of an event, found 'A*'", ""),
    ("facts: {items: {left_of: A, by: id, max: 21}}", 46, "expected a whole number from 1 to 20, found '21'", ""),
    ("facts: {items: {left_of: A, by: a..b}}", 37, 'expected a path such as "price" or "address.city"', ""),
    ("template: ../secret", 15, "expected a name of a-z, 0-9 and _ for a template, found '../secret'", ""),
    ("cap: 1 in 7d", 10, "expected a cap such as 1 per 7d, found '1 in 7d'", ""),
    ("cap: 0 per 7d", 10, "expected a cap of 1 to 100 messages, found 0", ""),
    ("cap: 1 per 401d", 10, "expected a window of 1ms to 400d in a cap", ""),
    ("cap: 1 per week", 10, "expected a duration such as '30m', '1h30m' or '7d' (units ms s m h d w), found 'week'", ""),
    ("cap: [1 per 7d, 2 per 1w]", 21, "found a second cap over the same window; the first is 1 per 7d", ""),
    ("cap: [1 per 1d, 2 per 2d, 3 per 3d, 4 per 4d, 5 per 5d]", 10, "expected 1 to 4 caps, found 5", ""),
    ('quiet: "9pm-9am"', 12, "expected quiet hours such as 21:00-09:00, or none, found '9pm-9am'", ""),
    ('quiet: "21:00-24:30"', 12, "expected quiet hours such as 21:00-09:00, or none, found '21:00-24:30'", ""),
    (
        'quiet: "00:00-24:00"',
        12,
        "expected quiet hours that leave some of the day, found the whole day",
        "write quiet: none for no quiet hours",
    ),
    ("holdout: 0.1", 14, "expected a share such as 10%, found '0.1'", ""),
    ("holdout: 100%", 14, "expected a hold-out below 100%, which leaves somebody to send to", ""),
    ("variants: {a: 0}", 19, "expected a whole number from 1 to 10000, found '0'", ""),
    ("variants: {}", 15, "expected 1 to 10 variants, found 0", ""),
    ("priority: high", 15, "expected a whole number from -1000 to 1000, found 'high'", ""),
    ("goal: Order Completed", 11, "expected a mapping with 'event' and 'within', found a text", ""),
    ("goal: {event: Order Completed}", 11, "expected 'within' in the goal, found none", ""),
    ("goal: {event: Order Completed, within: 0s}", 44, "expected a length of 1ms to 400d", ""),
]


@pytest.mark.parametrize(("line", "column", "message", "hint"), WRONG, ids=[row[0][:50] for row in WRONG])
def test_a_wrong_word_is_refused_with_its_place(line: str, column: int, message: str, hint: str) -> None:
    """Ten lines of a marketer's, and the one that is wrong must be found without a programmer."""
    error = refusal(f"{HEAD}    {line}\n")
    assert (error.line, error.column, error.message, error.hint) == (LINE, column, message, hint)


INSTEAD: Final[list[tuple[str, str, int, int, str, str]]] = [  # what stands there, what instead, line, column, message, hint
    ('entered("cart")', 'trait("x")', 8, 9, 'expected entered("…"), left("…") or a condition that turns true, found trait("x")', ""),
    ('entered("cart")', "cart", 8, 9, "expected a function call, found the bare name 'cart'", "texts need quotes"),
    ('entered("cart")', 'entered("crat")', 8, 18, "the message 'm' refers to the unknown segment 'crat'", "did you mean cart?"),
    ('entered("cart")', 'segment("crat")', 8, 18, "the message 'm' refers to the unknown segment 'crat'", "did you mean cart?"),
    (
        'entered("cart")',
        'score("likly") > 0.5',
        8,
        16,
        "in the message 'm': score() names the model 'likly', which is not defined (did you mean likely?)",
        "",
    ),
    ("channel: email", "channel: emial", 9, 14, "found the unknown channel 'emial'", "did you mean email?"),
    (
        "channel: email",
        "channel: sms",
        9,
        14,
        "found the unknown channel 'sms'",
        "known are console, email, push, webhook; others are defined under channels:",
    ),
    ("topic: offers", "topic: offer", 10, 12, "found the unknown topic 'offer'", "did you mean offers?"),
    (
        "    topic: offers\n",
        "",
        6,
        3,
        "expected 'topic' in the message 'm', since marketing needs consent, found none",
        "name one of topics:, or say kind: transactional if the customer asked for it",
    ),
    ("    channel: email\n", "", 6, 3, "expected 'channel' in the message 'm', found none", ""),
    ("    for: x\n", '    for: " "\n', 7, 10, "expected a sentence that says what the message is for, found nothing", ""),
    ("  m:\n", "  M:\n", 6, 3, "expected a name of a-z, 0-9 and _ for a message, found 'M'", ""),
    ("opt_in", "opt-in", 3, 18, "expected opt_in or opt_out, found 'opt-in'", "did you mean opt_in?"),
    ("{cap: 1 per 1d}", "{caps: 1 per 1d}", 4, 19, "found the unknown key 'caps' in the channel 'push'", "did you mean cap?"),
    ("channels:", "chanels:", 4, 1, "found the unknown key 'chanels'", "did you mean channels?"),
]


@pytest.mark.parametrize(("there", "instead", "line", "column", "message", "hint"), INSTEAD, ids=[row[1].strip()[:40] for row in INSTEAD])
def test_a_name_that_nobody_knows_is_refused(there: str, instead: str, line: int, column: int, message: str, hint: str) -> None:
    """What is loaded refers to nothing that is not there: no message waits for ever for a segment that was misspelt."""
    assert there in HEAD
    error = refusal(HEAD.replace(there, instead, 1))
    assert (error.line, error.column, error.message, error.hint) == (line, column, message, hint)


def test_what_is_said_twice_is_refused_with_the_first_place(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Of two messages of one name, in two files, only one could hold: whoever wrote the other must learn of it."""
    folder = tmp_path_factory.mktemp("definitions")
    (folder / "a.yaml").write_text(HEAD)
    (folder / "b.yaml").write_text("messages:\n  m: {for: x, on: hour() == 1, channel: email, topic: offers}\n")
    with pytest.raises(DefinitionError) as found:
        load_definitions(folder)
    assert found.value.message == f"found the message 'm' a second time; it was defined at {folder / 'a.yaml'}:6"
    assert (found.value.file, found.value.line) == (str(folder / "b.yaml"), 2)


def test_sections_may_stand_in_different_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Legal keeps the topics, marketing the messages."""
    folder = tmp_path_factory.mktemp("definitions")
    (folder / "a.yaml").write_text("messages:\n  m: {for: x, on: hour() == 1, channel: push, topic: offers}\n")
    (folder / "b.yaml").write_text('topics: {offers: opt_out}\nchannels: {push: {quiet: "22:00-24:00"}}\nmessage_limits: {holdout: 5%}\n')
    definitions = load_definitions(folder)
    assert [(one.name, one.quiet and one.quiet.text) for one in definitions.messages] == [("m", "22:00-00:00")]


def test_limits_of_all_are_given_once() -> None:
    """Two files with two global caps: neither is obviously the one."""
    error = refusal("message_limits: {cap: 1 per 1d}\n" * 2)
    assert error.message == "found the key 'message_limits' twice"


@pytest.mark.parametrize("line", ["delay: %s", "require: %s", 'require: did("A", within="%s")', "address: %s", "again: 1%s", "expiry: %s"])
def test_an_error_quotes_no_more_than_the_beginning_of_what_it_found(line: str) -> None:
    """A file was pasted into a value by mistake, and its five thousand letters hid what was wrong."""
    error = refusal(f"{HEAD}    {line % ('x' * 5_000)}\n")
    assert "xxxx" in error.message
    assert len(error.message) < 300
