"""What people write who come from SQL, JavaScript, a spreadsheet or a word processor: each slip has a sentence that names the mend."""

from __future__ import annotations

import pytest

from streamer.errors import DefinitionError
from streamer.language.definitions import parse_definitions
from streamer.language.parse import parse

IN_EXPRESSIONS = [
    ('did("A") AND did("B")', 1, 10, "AND", "write and"),
    ('did("A") OR did("B")', 1, 10, "OR", "write or"),
    ('NOT did("A")', 1, 1, "NOT", "write not"),
    ('did("A") && did("B")', 1, 10, "&&", "write and"),
    ('did("A")\nor did("B") || did("C")', 2, 13, "||", "write or"),
    ('!did("A")', 1, 1, "!", "write not"),
    ('count("A", within="1d") <> 3', 1, 25, "<>", "write !="),
    ("did(\u201cA\u201d)", 1, 5, "the typographic quote \u201c", 'write straight quotes: "…"'),
    ("did(\u201eA\u201c)", 1, 5, "the typographic quote \u201e", 'write straight quotes: "…"'),
    ("did(\u2018A\u2019)", 1, 5, "the typographic quote \u2018", 'write straight quotes: "…"'),
    ('did("A)', 1, 5, 'a " without its partner', "a text stands between two of them; one is missing here or before"),
    ('did(A")', 1, 6, 'a " without its partner', "a text stands between two of them; one is missing here or before"),
    ('did("A", within="30d)', 1, 17, 'a " without its partner', "a text stands between two of them; one is missing here or before"),
    ('did("A", within=30d)', 1, 17, "the length 30d without quotes", 'write "30d"'),
    ('did("A", within=1h30m)', 1, 17, "the length 1h30m without quotes", 'write "1h30m"'),
    ('did("A")\u00a0and did("B")', 1, 9, "the space U+00A0, which is none here", "write an ordinary space"),
]


@pytest.mark.parametrize(("text", "line", "column", "found", "mend"), IN_EXPRESSIONS, ids=[row[0] for row in IN_EXPRESSIONS])
def test_a_slip_in_an_expression_is_named_with_its_mend(text: str, line: int, column: int, found: str, mend: str) -> None:
    """ "Perhaps you forgot a comma?" sent people looking for one."""
    with pytest.raises(DefinitionError) as raised:
        parse(text)
    error = raised.value
    assert (error.line, error.column, error.message, error.hint) == (line, column, f"expected an expression, found {found}", mend)


@pytest.mark.parametrize(("text", "mend"), [('did("A") & did("B")', "write and"), ('did("A") | did("B")', "write or")])
def test_signs_that_python_takes_for_arithmetic_have_a_mend_too(text: str, mend: str) -> None:
    """They parse, and are no condition."""
    with pytest.raises(DefinitionError) as raised:
        parse(text)
    assert raised.value.hint == mend


def test_what_stands_in_quotes_is_no_slip() -> None:
    """A name may be called AND; the mistake is another one."""
    with pytest.raises(DefinitionError) as raised:
        parse('did("A AND B && !C", \'30d\') did("D")')
    assert "comma" in raised.value.message


def test_an_open_parenthesis_is_named() -> None:
    """The place is the end; the mistake is somewhere before."""
    with pytest.raises(DefinitionError) as raised:
        parse('did("A" and did("B")')
    assert raised.value.hint == "a ( is opened and never closed"


AFTER = "    when: hour() == 1\n"
IN_FILES = {
    "a tab": ("segments:\n\ta: x\n", 2, 1, "a tab", "indent with spaces, which is all that YAML takes"),
    "a tab among spaces": ("segments:\n  a:\n  \t  for: x\n", 3, 3, "a tab", "indent with spaces, which is all that YAML takes"),
    "a colon": (
        f"segments:\n  a:\n    for: Remind them: x\n{AFTER}",
        3,
        21,
        "a second colon behind 'for:'",
        "put the whole text in quotes",
    ),
    "a colon in a line": ("segments: {a: {for: it: x}}\n", 1, 23, "a second colon behind 'for:'", "put the whole text in quotes"),
    "an open quote": ("segments:\n  a:\n    when: 'did(x)\n", 3, 11, "a ' without its partner", "close the text with the same quote"),
    "quotes in quotes": (
        'segments:\n  a:\n    when: "did("A")"\n    for: x\n',
        *(3, 17, 'more text behind a closing "', 'put the whole text in \', or write \\" for each " inside'),
    ),
    "an apostrophe": (
        f"segments:\n  a:\n    for: 'It's here'\n{AFTER}",
        *(3, 14, "more text behind a closing '", "put the whole text in \", or write '' for each ' inside"),
    ),
    "a not": (
        'segments:\n  a:\n    when: !did("A")\n',
        *(3, 11, "a text that begins with !", "write not for it, and put the text in quotes"),
    ),
    "an at": ("segments:\n  a:\n    for: @all\n", 3, 10, "a text that begins with @", "put the text in quotes"),
    "no colon": (
        "segments:\n  a\n    for: x\n",
        *(3, 8, "a key where a text goes on", "the line above lacks its colon, or this one is indented too far"),
    ),
}


@pytest.mark.parametrize("case", IN_FILES.values(), ids=IN_FILES)
def test_a_slip_in_a_file_is_named_with_its_mend(case: tuple[str, int, int, str, str]) -> None:
    """ "Found character that cannot start any token" says nothing to whoever cannot see a tab."""
    text, line, column, found, mend = case
    with pytest.raises(DefinitionError) as raised:
        parse_definitions(text, file="shop.yaml")
    error = raised.value
    assert (error.line, error.column, error.message, error.hint) == (line, column, f"expected YAML, found {found}", mend)
    assert error.file == "shop.yaml"
