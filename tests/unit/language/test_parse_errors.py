"""Wrong expressions: where it is wrong, what was expected, what was found, what was perhaps meant. And text that must never be run."""

from __future__ import annotations

import sys
import warnings

import pytest

from streamer.errors import DefinitionError
from streamer.language.parse import parse

# expression, column of the fault (from 1), message, hint
WRONG: list[tuple[str, int, str, str]] = [
    ('trait("plan")', 1, 'expected a condition that is true or false, found a value: trait("plan")', "compare it (== …), or exists(…)"),
    ("trait(plan)", 7, "expected a constant (text, number, true or false), found a name", "texts need quotes"),
    ("did(Order)", 5, "expected a constant (text, number, true or false), found a name", "texts need quotes"),
    ('count("A")', 1, 'expected a condition that is true or false, found a value: count("A")', "compare it, for example >= 3"),
    (
        'since(last("A"))',
        1,
        'expected a condition that is true or false, found a value: since(last("A"))',
        'compare it, for example >= "30m"',
    ),
    (
        'last("A")',
        1,
        'expected a condition that is true or false, found a value: last("A")',
        'for example since(last("…")) >= "30m", or did("…")',
    ),
    ("segment(loyal)", 9, "expected a constant (text, number, true or false), found a name", "texts need quotes"),
    ('segment("Loyal")', 9, "expected the name of a segment", ""),
    ('cuont("A") >= 3', 1, "found the unknown function cuont()", "did you mean count?"),
    ("cuont", 1, "expected a function call, found the bare name 'cuont'", "did you mean count?"),
    ('did("A") or', 12, "expected an expression, found: the end", ""),
    ('did("A" ', 9, "expected an expression, found: the end", "a ( is opened and never closed"),
    ('did("A") == True', 1, 'expected a value to compare, found a condition: did("A")', "conditions are used alone, without == True"),
    ('"A"', 1, "expected a condition or a function call, found the constant 'A'", ""),
    ("3", 1, "expected a condition or a function call, found the constant 3", ""),
    ("True", 1, "expected a condition or a function call, found the constant True", ""),
    ("true", 1, "expected a function call, found the bare name 'true'", "texts need quotes"),
    ('count("A") >= "3"', 15, "expected a number, found '3'", ""),
    ('count("A") >= 2.5', 15, "expected a whole number of 0 or more, found 2.5", ""),
    ('count("A", within="1d") >= 1001', 28, "expected a count of at most 1000, found 1001", ""),
    ('count("A") >= -1', 15, "expected a whole number of 0 or more, found -1", ""),
    ('count("A") >= true', 15, "expected a number, found True", ""),
    ('count("A") is 3', 1, "expected one of == != < <= > >= in, found 'is'", ""),
    ('count("A") >= count("B")', 15, "expected a constant (text, number, true or false), found a function call", ""),
    ('since(last("A")) >= 30', 21, 'expected a duration to compare with such as "30m" or "7d", found another constant', ""),
    ('since(last("A")) >= "30 m"', 21, "expected a duration such as '30m', '1h30m' or '7d' (units ms s m h d w), found '30 m'", ""),
    ('since(last("A")) >= "m30"', 21, "expected a duration such as '30m', '1h30m' or '7d' (units ms s m h d w), found 'm30'", ""),
    ('since(last("A")) == "30m"', 1, "expected < <= > or >= between durations, found ==", "no two moments are the same millisecond"),
    ('last("A") >= "30m"', 14, "expected another time, found a constant", 'write date("2026-01-31"), or since(...) >= "30m"'),
    ('last("A") > date("soon")', 18, 'expected a date such as "2026-01-31" or "2026-01-31T09:00:00Z"', ""),
    ('last("A") != last("B")', 1, "expected < <= > or >= between times, found !=", ""),
    ('last("A") > hour()', 13, "expected another time, found hour()", ""),
    ('did("A", within="401d")', 17, "expected a window of at most 400d", ""),
    ('did("A", within="0s")', 17, "expected a window of at least 1 ms, found '0s'", ""),
    ('did("A", whithin="1d")', 18, "found the unknown argument whithin= in did()", "did you mean within?"),
    ('did("A", within="1d", this="day")', 28, "expected either this= or within=, found both", ""),
    ('did("A", this="hour")', 15, "expected one of day, week, month, year, found 'hour'", ""),
    ('did("A", before="1d")', 17, "expected within= beside before=: events at most so old and at least so old", ""),
    ('did("A", within="1d", before="1d")', 30, "expected before= to be shorter than within=, found an empty window", ""),
    ('did("A", within="1d", before="2d")', 30, "expected before= to be shorter than within=, found an empty window", ""),
    ("did()", 1, "expected 1 argument in did(), found 0", ""),
    ('did("A", "B")', 1, "expected 1 argument in did(), found 2", ""),
    ('did("")', 5, 'expected the name of an event, such as "Product Viewed", "Product *" or "*"', ""),
    ('did("A*B")', 5, "expected '*' only at the end of an event name, found 'A*B'", ""),
    ('did(*["A"])', 5, "expected arguments one by one, found *", ""),
    ('did(**{"a": 1})', 1, "expected named arguments, found **", ""),
    ("did([])", 5, "expected 1 to 64 event names", ""),
    (
        'did("A", where=hour() == 3)',
        16,
        "expected a condition on the event itself, found hour(), which looks at the customer",
        'inside where= use prop("…") and eventcontext("…")',
    ),
    (
        'did("A", where=prop("x"))',
        16,
        'expected a condition that is true or false, found a value: prop("x")',
        "compare it, for example >= 3",
    ),
    ('prop("x") == 1', 1, "expected a condition on the customer, found prop(), which looks at one event", "prop() belongs inside where="),
    ('did("A", where=prop("x.") == 1)', 21, 'expected a path such as "plan" or "address.city"', ""),
    (
        'did("A", where=trait("x") == 1)',
        16,
        "expected a condition on the event itself, found trait(), which looks at the customer",
        'inside where= use prop("…") and eventcontext("…")',
    ),
    ('trait("a..b") == 1', 7, 'expected a path such as "plan" or "address.city"', ""),
    ('trait("a") in "abc"', 15, 'expected a list such as ["a", "b"] after \'in\'', "contains(value, part) looks inside a value"),
    ('trait("a") in []', 15, 'expected a list such as ["a", "b"] after \'in\'', "contains(value, part) looks inside a value"),
    ('did("A") in [1]', 1, "expected a value before 'in', found did(\"A\")", ""),
    ('weekday() == "monday"', 14, "expected one of mon, tue, wed, thu, fri, sat, sun, found 'monday'", ""),
    ('weekday() > "mon"', 13, "expected == or != for a weekday, found >", 'or weekday() in ["sat", "sun"]'),
    ('hour() == "8"', 11, "expected a number, found '8'", ""),
    ('trait("a") > true', 14, "expected a number or a text after >, found True", ""),
    ('age("1990-01-01") > 3', 5, "expected a condition or a function call, found the constant '1990-01-01'", ""),
    ('unchanged(last("A")) > "1d"', 11, 'expected a value such as trait("plan"), found last("A")', ""),
    ('exists("a")', 8, "expected a condition or a function call, found the constant 'a'", ""),
    ('contains(trait("a"))', 1, "expected 2 arguments in contains(), found 1", ""),
    ('startswith(trait("a"), "")', 24, "expected a text to begin with", ""),
    ('active("A", each="1d") > 3', 1, 'expected each= and of= in active(), such as active("*", each="1d", of=7)', ""),
    ('active("A", each="1d", of=401) > 3', 27, "expected a whole number from 1 to 400", ""),
    ('active("A", each="30d", of=14) > 3', 28, "expected periods of at most 400d in all", ""),
    ('active("A", each="1d", of=7) > 8', 32, "expected at most 7 (the number of periods), found 8", ""),
    ('sequence("A", within="1d")', 1, "expected two steps or more, or then_not=, in sequence(); for one event use did()", ""),
    ('sequence("A", "B")', 1, "expected within= with two steps or more, and only then", ""),
    ('sequence("A", then_not="B")', 1, "expected then_not= and wait= together", ""),
    ('sequence("A", "B", within="1d", wait="1h")', 1, "expected then_not= and wait= together", ""),
    ('sequence("A", within="1d", then_not="B", wait="1h")', 1, "expected within= with two steps or more, and only then", ""),
    ('sum("A") > 3', 1, "expected 2 arguments in sum(), found 1", ""),
    ('top("A", "x", within="1d") >= ', 31, "expected an expression, found: the end", ""),
    ('score("Purchase") >= 0.7', 7, "expected the name of a model", ""),
    ('trait("a").lower() == "x"', 1, "expected a function of the language, found a call of something else", ""),
    ('trait("a")["b"] == 1', 1, "expected a condition, found an index (a[b]), which the language does not have", ""),
    ('__import__("os").system("x")', 1, "expected a function of the language, found a call of something else", ""),
    ("().__class__", 1, "expected a condition, found an attribute (a.b), which the language does not have", ""),
    ("lambda: 1", 1, "expected a condition, found a lambda, which the language does not have", ""),
    ("[x for x in y]", 1, "expected a condition, found a comprehension, which the language does not have", ""),
    ("(x := 1)", 2, "expected a condition, found an assignment, which the language does not have", ""),
    ("f\"{trait('a')}\"", 1, "expected a condition, found an f-string, which the language does not have", ""),
    ('did(f"A")', 5, "expected a constant (text, number, true or false), found an f-string", ""),
    ('did(b"A")', 5, "expected a constant (text, number, true or false), found another constant", ""),
    ('1 if did("A") else 2', 1, "expected a condition, found an if-else, which the language does not have", ""),
    ('count("A") + 1 >= 3', 1, "expected a condition, found arithmetic, which the language does not have", ""),
    ('-count("A") >= 3', 1, "expected a condition, found arithmetic, which the language does not have", ""),
    ('trait("a") == 99999999999999999999', 15, "expected a number between -2^53 and 2^53", ""),
    ('trait("a") == 1e999', 15, "expected a number between -2^53 and 2^53", ""),
    ('trait("a") == None', 15, "expected a constant (text, number, true or false), found another constant", ""),
    ('trait("a") == [1]', 15, "expected a constant (text, number, true or false), found a list", ""),
    ('did("A"))', 10, "expected an expression, found: a ) that closes nothing", ""),
    ("await x", 1, "expected a condition, found an await, which the language does not have", ""),
    ('not trait("a")', 5, 'expected a condition that is true or false, found a value: trait("a")', "compare it (== …), or exists(…)"),
    (
        'did("A") and count("B")',
        14,
        'expected a condition that is true or false, found a value: count("B")',
        "compare it, for example >= 3",
    ),
    ('step("A")', 1, "found the unknown function step()", ""),
    ('did(step("A"))', 5, "expected a constant (text, number, true or false), found a function call", ""),
    ('count("A")("B")', 1, "expected a function of the language, found a call of something else", ""),
    ('eval("1")', 1, "found the unknown function eval()", ""),
    ('trait("a") == ...', 15, "expected a constant (text, number, true or false), found another constant", ""),
    ('trait("a") == 1j', 15, "expected a constant (text, number, true or false), found another constant", ""),
    ('hour() in [8, "9"]', 15, "expected a number, found '9'", ""),
    ("5 < 6", 1, "expected a condition or a function call, found the constant 5", ""),
    ("birthday()", 1, "expected 1 argument in birthday(), found 0", ""),
    ('language("de") == "de"', 1, "expected 0 arguments in language(), found 1", ""),
]


def refusal(text: str, *, line: int = 1, column: int = 1) -> DefinitionError:
    with pytest.raises(DefinitionError) as raised:
        parse(text, file="shop.yaml", line=line, column=column)
    return raised.value


@pytest.mark.parametrize(("text", "column", "message", "hint"), WRONG, ids=[row[0] for row in WRONG])
def test_a_wrong_expression_is_refused_with_place_and_words(text: str, column: int, message: str, hint: str) -> None:
    """Whoever wrote it mends it without asking us."""
    error = refusal(text)
    assert (error.file, error.line, error.column, error.message, error.hint) == ("shop.yaml", 1, column, message, hint)


def test_the_place_counts_from_where_the_text_begins() -> None:
    """An expression begins somewhere in a file, and may have several rows."""
    text = 'did("A") and\n  count("B") >= "x"'
    assert (refusal(text, line=7, column=11).line, refusal(text, line=7, column=11).column) == (8, 17)
    assert (refusal('count("B") >= "x"', line=7, column=11).line, refusal('count("B") >= "x"', line=7, column=11).column) == (7, 25)


def test_a_column_counts_characters_and_not_bytes() -> None:
    """Python's parser counts bytes; editors do not."""
    assert refusal('trait("größe") == "ü" and foo("x")').column == 27
    assert refusal('did("A") and\ntrait("größe") == "ü" and foo("x")').column == 27


@pytest.mark.parametrize("text", ['did("A") or', 'did("A"', 'count("A") >=', "not", 'did("A") and (did("B")', "("])
def test_what_ends_too_early_is_wrong_at_its_end(text: str) -> None:
    """The added parenthesis of the parser is nobody's fault."""
    error = refusal(text, line=3, column=11)
    assert (error.line, error.column, error.message) == (3, 11 + len(text), "expected an expression, found: the end")


@pytest.mark.parametrize("text", ['did("A")) or (did("B")', 'did("A"))', "hour() == 1) and (hour() == 2", ")("])
def test_parentheses_that_only_fit_the_added_one_are_refused(text: str) -> None:
    """The text is put into parentheses to be read; it must not close them."""
    assert "a ) that closes nothing" in refusal(text).message or text == ")("


@pytest.mark.parametrize("text", ["", " ", "()", "# a comment"])
def test_nothing_is_not_an_expression(text: str) -> None:
    """An empty condition would be true for everybody, or for nobody."""
    assert refusal(text).message == "expected an expression, found nothing"


@pytest.mark.parametrize("text", ['did("A") = 3', 'count("A") = 3'])
def test_one_equals_sign_is_answered_with_two(text: str) -> None:
    """The slip that everybody makes."""
    assert refusal(text).hint == "compare with ==, not ="


@pytest.mark.parametrize(
    "text", ['trait("a") == "x', 'did("A") and and did("B")', 'did("A"); did("B")', "import os", "x = 1", "def f(): pass"]
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    """In whatever words Python has for it."""
    assert refusal(text).message.startswith("expected an expression, found")


HOSTILE = [
    '__import__("os").system("touch /tmp/streamer-was-here")',
    'eval("1")',
    'exec("1")',
    'open("/etc/passwd")',
    'getattr(trait("a"), "b")',
    "().__class__.__bases__[0].__subclasses__()",
    'trait("a").__class__ == 1',
    '"{0.__class__}".format(did("A"))',
    'f"{__import__(chr(111))}" == 1',
    'did(f"{1}")',
    "lambda: 1",
    "(lambda: did)()",
    "[did(x) for x in y]",
    "{x for x in y}",
    "{x: x for x in y}",
    "(x for x in y)",
    '(a := did("A"))',
    "did(*x)",
    "did(**x)",
    "await x",
    "yield x",
    "(yield x)",
    "...",
    "x if y else z",
    "a.b.c",
    "a[0]",
    'did["A"]',
    'did("A")("B")',
    '"a" * 1000000000',
    "9 ** 9 ** 9",
    "1 << 10000000000",
    'count("A") > 10 ** 100',
    'trait("a") == 1j',
    'trait("a") == b"x"',
    'trait("a") == None',
    'trait("a") == __debug__',
    '_parser("A")',
    'whole("A")',
]


_told: list[str] | None = None


def _listen(name: str, _: object) -> None:
    if _told is not None and name in ("exec", "import", "open", "os.system", "subprocess.Popen"):
        _told.append(name)


sys.addaudithook(_listen)  # hooks cannot be taken away, so there is one


@pytest.mark.parametrize("text", HOSTILE)
def test_text_that_wants_to_be_run_is_refused(text: str) -> None:
    """Nothing of a definition is ever evaluated: what is not in the list of the language is refused, and not guarded against."""
    global _told
    _told = told = []
    try:
        with pytest.raises(DefinitionError):
            parse(text)
    finally:
        _told = None
    assert told == []


HUGE = {
    "nots": "not " * 4_900 + 'did("A")',
    "parentheses": "(" * 9_000 + ")" * 9_000,
    "attributes": "a" + ".b" * 9_000,
    "indices": "a" + "[0]" * 6_000,
    "minuses": "-" * 19_000 + "1",
    "lambdas": "lambda:" * 2_800 + "1",
    "comparisons": "1" + "<1" * 9_000,
    "ors": " or ".join(['did("A")'] * 1_400),
    "dictionaries": "{" * 90 + "}" * 90,
    "digits": 'trait("a") == ' + "9" * 10_000,
    "hexadecimal digits": 'trait("a") == 0x' + "f" * 10_000,
    "a long name": 'did("' + "A" * 10_000 + '")',
    "a long text": 'trait("a") == "' + "A" * 10_000 + '"',
    "a long list": f'trait("a") in [{", ".join(["1"] * 65)}]',
    "too many characters": 'did("A")' + " " * 20_000,
    "a null": 'did("A\0")',
    "a line separator": 'did("A\u2028")',
    "a surrogate": 'trait("a") == "\\ud800"',
    "a raw surrogate": 'trait("a") == "\ud800"',
    "infinity": 'trait("a") == 1e999',
    "nested calls": "number(" * 60 + 'trait("a")' + ")" * 60 + " == 1",
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
def test_a_huge_or_strange_expression_is_refused_and_nothing_worse(text: str) -> None:
    """A definition can come over the log: it must not take a worker down."""
    refusal(text)


def test_a_doubtful_escape_is_refused_whatever_the_warnings_are_set_to() -> None:
    """Python only warns of it, so one process would take what another refuses."""
    for action in ("ignore", "error"):
        with warnings.catch_warnings():
            warnings.simplefilter(action)
            assert "invalid escape sequence" in refusal(r'trait("a") == "\d"').message
