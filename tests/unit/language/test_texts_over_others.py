"""A text put over what was published: what both name is the text's, all else stays, and what is wrong has a place in the text."""

from __future__ import annotations

import pytest

from streamer.errors import DefinitionError
from streamer.language.definitions import BASE, parse_definitions, parse_over

BEFORE = parse_definitions(
    """
zone: Europe/Kyiv
segments:
  seen: {for: x, when: 'did("A")'}
  often: {for: x, when: 'count("A", within="1d") >= 3'}
channels: {email: {cap: 1 per 4h}}
messages:
  word: {for: x, on: entered("seen"), channel: console, kind: transactional}
message_limits: {cap: 3 per 1d}
"""
)


def test_a_text_adds_to_what_is_there_and_takes_the_place_of_what_it_names() -> None:
    """A marketer writes one segment, and the others must not be gone by that."""
    after = parse_over(BEFORE.content(), """segments: {often: {for: y, when: 'did("B")'}, new: {for: z, when: 'segment("seen")'}}""")
    whole = parse_definitions(
        """
zone: Europe/Kyiv
segments:
  seen: {for: x, when: 'did("A")'}
  often: {for: y, when: 'did("B")'}
  new: {for: z, when: 'segment("seen")'}
channels: {email: {cap: 1 per 4h}}
messages:
  word: {for: x, on: entered("seen"), channel: console, kind: transactional}
message_limits: {cap: 3 per 1d}
"""
    )
    assert after.content() == whole.content()


def test_what_has_no_names_is_replaced_whole() -> None:
    """The zone, and the limits of messages."""
    after = parse_over(BEFORE.content(), "zone: Europe/Berlin\nmessage_limits: {cap: 1 per 1d}")
    assert (after.zone, after.written["message_limits"]) == ("Europe/Berlin", {"cap": "1 per 1d"})
    assert [one.name for one in after.segments] == [one.name for one in BEFORE.segments]


def test_nothing_over_nothing_else_is_the_same() -> None:
    """What was published is read as it was meant."""
    assert parse_over(BEFORE.content(), "segments: {}").content() == BEFORE.content()


@pytest.mark.parametrize(
    ("text", "file", "line"),
    [
        ("segments:\n  new: {for: x, when: 'segment(\"gone\")'}", "mine", 2),
        ("segments:\n  often: {for: x}\n", "mine", 2),
        ("- a list", "mine", 1),
        ("segment: {}", "mine", 1),
        ("segments: [a]", "mine", 1),
        ('messages: {word: {for: x, on: entered("seen"), channel: console, kind: transactional, template: a b}}', "mine", 1),
    ],
)
def test_what_is_wrong_is_said_with_its_place_in_the_text(text: str, file: str, line: int) -> None:
    """Whoever writes sees only their own text."""
    with pytest.raises(DefinitionError) as error:
        parse_over(BEFORE.content(), text, file="mine")
    assert (error.value.file, error.value.line) == (file, line)


def test_what_the_text_makes_wrong_in_the_others_is_said_of_them() -> None:
    """A name that others need."""
    base = parse_definitions("segments: {a: {for: x, when: 'did(\"A\")'}, b: {for: x, when: 'segment(\"a\")'}}")
    with pytest.raises(DefinitionError, match="cycle") as error:
        parse_over(base.content(), "segments: {a: {for: x, when: 'segment(\"b\")'}}", file="mine")
    assert error.value.file in ("mine", BASE)
