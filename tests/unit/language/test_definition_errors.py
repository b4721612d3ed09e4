"""Wrong definitions files: every fault with its file, line and column; and YAML that must not do anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.errors import DefinitionError
from streamer.language.definitions import load_definitions, parse_definitions

FINE = "segments:\n  a: {for: x, when: 'did(\"A\")'}\n"


def refusal(text: str) -> DefinitionError:
    with pytest.raises(DefinitionError) as raised:
        parse_definitions(text, file="shop.yaml")
    return raised.value


# name, text, line, column, message, hint
WRONG: list[tuple[str, str, int, int, str, str]] = [
    ("empty", "", 0, 0, "expected a mapping with 'segments', found an empty file", ""),
    ("a list", "- a\n- b\n", 1, 1, "expected a mapping with 'segments', found a list", ""),
    ("a text", "segments\n", 1, 1, "expected a mapping with 'segments', found a text", ""),
    (
        "unknown top",
        "segmets:\n  a: 1\n",
        1,
        1,
        "found the unknown key 'segmets'",
        "did you mean segments?",
    ),
    ("segments as a list", "segments:\n  - a\n", 2, 3, "expected a mapping of segment names, found a list", ""),
    ("segments as nothing", "segments:\n", 1, 10, "expected a mapping of segment names, found a text", ""),
    ("a segment as a text", 'segments:\n  a: did("A")\n', 2, 6, "expected a mapping with 'for' and 'when', found a text", ""),
    (
        "a name with capitals",
        "segments:\n  Loyal: {for: x, when: x}\n",
        2,
        3,
        "expected a segment name of a-z, 0-9 and _, found 'Loyal'",
        "",
    ),
    (
        "a name that is too long",
        f"segments:\n  {'a' * 65}: {{}}\n",
        2,
        3,
        f"expected a segment name of a-z, 0-9 and _, found '{'a' * 65}'",
        "",
    ),
    ("a number as name", "segments:\n  1: {for: x, when: x}\n", 2, 3, "expected a segment name of a-z, 0-9 and _, found '1'", ""),
    ("twice in one file", "segments:\n  a: {for: x, when: hour() == 1}\n  a: {}\n", 3, 3, "found the key 'a' twice", ""),
    ("no when", "segments:\n  a:\n    for: x\n", 2, 3, "expected 'when' in the segment 'a', found none", ""),
    ("no for", "segments:\n  a:\n    when: hour() == 1\n", 2, 3, "expected 'for' in the segment 'a', found none", ""),
    (
        "an empty for",
        "segments:\n  a:\n    for: ' '\n    when: hour() == 1\n",
        3,
        10,
        "expected a sentence that says what the segment is for, found nothing",
        "",
    ),
    (
        "an escape in for",
        'segments:\n  a:\n    for: "x\\e[2J"\n    when: hour() == 1\n',
        3,
        10,
        "expected a printable text, found the character U+001B",
        "",
    ),
    (
        "another line in for",
        'segments:\n  a:\n    for: "x\\Ly"\n    when: hour() == 1\n',
        3,
        10,
        "expected a printable text, found the character U+2028",
        "",
    ),
    ("a near key", "segments:\n  a:\n    fro: x\n", 3, 5, "found the unknown key 'fro' in the segment 'a'", "did you mean for?"),
    (
        "a strange key",
        "segments:\n  a:\n    sql: x\n",
        3,
        5,
        "found the unknown key 'sql' in the segment 'a'",
        "known are for, when, exit, stay, cooldown",
    ),
    ("a key twice", "segments:\n  a:\n    for: x\n    for: y\n", 4, 5, "found the key 'for' twice", ""),
    ("a list as when", "segments:\n  a:\n    for: x\n    when: [a]\n", 4, 11, "expected a text, found a list", ""),
    ("a mapping as when", "segments:\n  a:\n    for: x\n    when: {did: A}\n", 4, 11, "expected a text, found a mapping", ""),
    (
        "a wrong stay",
        "segments:\n  a:\n    for: x\n    when: hour() == 1\n    stay: ten\n",
        5,
        11,
        "expected a duration such as '30m', '1h30m' or '7d' (units ms s m h d w), found 'ten'",
        "",
    ),
    (
        "a number as stay",
        "segments:\n  a:\n    for: x\n    when: hour() == 1\n    stay: 10\n",
        5,
        11,
        "expected a duration such as '30m', '1h30m' or '7d' (units ms s m h d w), found '10'",
        "",
    ),
    (
        "a cool-down too long",
        "segments:\n  a:\n    for: x\n    when: hour() == 1\n    cooldown: 401d\n",
        5,
        15,
        "expected at most 400d",
        "",
    ),
    (
        "an unknown zone",
        f"zone: Europe/Berlim\n{FINE}",
        1,
        7,
        "expected an IANA time zone such as Europe/Berlin, found 'Europe/Berlim'",
        "",
    ),
    (
        "a path as zone",
        f"zone: ../../etc/passwd\n{FINE}",
        1,
        7,
        "expected an IANA time zone such as Europe/Berlin, found '../../etc/passwd'",
        "",
    ),
    ("a zone twice", f"zone: UTC\nzone: Europe/Berlin\n{FINE}", 2, 1, "found the key 'zone' twice", ""),
    (
        "when, plain",
        'segments:\n  a:\n    for: x\n    when: cuont("A") > 1\n',
        4,
        11,
        "found the unknown function cuont()",
        "did you mean count?",
    ),
    (
        "when, quoted",
        "segments:\n  a:\n    for: x\n    when: 'cuont(\"A\") > 1'\n",
        4,
        12,
        "found the unknown function cuont()",
        "did you mean count?",
    ),
    (
        "when, folded",
        'segments:\n  a:\n    for: x\n    when: >\n      did("A") and\n      did("B") and foo("C")\n',
        6,
        20,
        "found the unknown function foo()",
        "",
    ),
    (
        "when, literal",
        'segments:\n  a:\n    for: x\n    when: |\n      did("A")\n      and foo("C")\n',
        6,
        11,
        "found the unknown function foo()",
        "",
    ),
    (
        "when, plain over two lines",
        'segments:\n  a:\n    for: x\n    when: did("A")\n      and foo("C")\n',
        5,
        11,
        "found the unknown function foo()",
        "",
    ),
    (
        "when, quoted over two lines",
        'segments:\n  a:\n    for: x\n    when: \'did("A")\n      and foo("C")\'\n',
        5,
        11,
        "found the unknown function foo()",
        "",
    ),
    (
        "when, folded, ends early",
        'segments:\n  a:\n    for: x\n    when: >\n      did("A") and\n      did("B") and\n\n  b: {}\n',
        6,
        19,
        "expected an expression, found: the end",
        "",
    ),
    (
        "exit",
        "segments:\n  a:\n    for: x\n    when: hour() == 1\n    exit: hour()\n",
        5,
        11,
        "expected a condition that is true or false, found a value: hour()",
        "compare it, for example >= 3",
    ),
    (
        "unknown segment",
        'segments:\n  loyal: {for: x, when: hour() == 1}\n  b:\n    for: x\n    when: segment("loyl")\n',
        3,
        0,
        "the segment 'b' refers to the unknown segment 'loyl'",
        "did you mean loyal?",
    ),
    ("itself", 'segments:\n  a:\n    for: x\n    when: segment("a")\n', 2, 0, "found a cycle of segments: a -> a", ""),
    ("two documents", "segments: {}\n---\nsegments: {}\n", 2, 1, "expected YAML, found: but found another document", ""),
]


@pytest.mark.parametrize(("name", "text", "line", "column", "message", "hint"), WRONG, ids=[row[0] for row in WRONG])
def test_a_wrong_file_is_refused_with_place_and_words(name: str, text: str, line: int, column: int, message: str, hint: str) -> None:
    """Hundreds of definitions are edited by many hands; the place is what they need first."""
    error = refusal(text)
    assert error.file == "shop.yaml"
    assert (error.line, error.column, error.message, error.hint) == (line, column, message, hint)


def test_a_cycle_is_shown_with_its_path() -> None:
    """Who refers to whom is the whole answer."""
    a, b, c = (
        'for: x, when: "segment(\\"b\\")"',
        'for: x, when: "exists(left(\\"c\\"))"',
        'for: x, when: hour() == 1, exit: "exists(entered(\\"a\\"))"',
    )
    error = refusal(f"segments:\n  a: {{{a}}}\n  b: {{{b}}}\n  c: {{{c}}}\n")
    assert (error.message, error.line) == ("found a cycle of segments: a -> b -> c -> a", 4)


def test_a_name_in_two_files_is_refused_with_both_places(tmp_path: Path) -> None:
    """Files are merged; the second would silently win."""
    (tmp_path / "1.yaml").write_text(FINE)
    (tmp_path / "2.yml").write_text("segments:\n\n  a: {for: y, when: 'hour() == 1'}\n")
    with pytest.raises(DefinitionError) as raised:
        load_definitions(tmp_path)
    assert (raised.value.file, raised.value.line) == (str(tmp_path / "2.yml"), 3)
    assert raised.value.message == f"found the segment 'a' a second time; it was defined at {tmp_path / '1.yaml'}:2"


def test_a_name_is_as_good_as_a_path_and_a_text_is_neither(tmp_path: Path) -> None:
    """It was an AttributeError, for which nobody would look among the definitions."""
    file = tmp_path / "mine.yaml"
    file.write_text("segments: {buyer: {for: Bought., when: did('A')}}", encoding="utf-8")
    assert load_definitions(str(file)).digest == load_definitions(file).digest
    with pytest.raises(DefinitionError, match="parse_definitions reads a text"):
        load_definitions("segments:\n  buyer: {for: Bought.}\n")


def test_two_zones_in_two_files_are_refused(tmp_path: Path) -> None:
    """A shop has one; the order of files must not decide."""
    (tmp_path / "1.yaml").write_text("zone: UTC\n" + FINE)
    (tmp_path / "2.yaml").write_text("zone: Europe/Berlin\n")
    with pytest.raises(DefinitionError, match="found a second zone; it was UTC before"):
        load_definitions(tmp_path)


def test_what_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    """Each with its own words."""
    with pytest.raises(DefinitionError, match="found nothing there"):
        load_definitions(tmp_path / "none.yaml")
    with pytest.raises(DefinitionError, match=r"expected \*.yaml files in the folder, found none"):
        load_definitions(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("# größe\n".encode("latin-1"))
    with pytest.raises(DefinitionError, match="expected UTF-8 text, found a byte that is not at 4"):
        load_definitions(tmp_path)


HOSTILE = {
    "a call": "segments: !!python/object/apply:os.system ['touch /tmp/streamer-was-here']",
    "an object as a segment": "segments: {a: !!python/object/apply:os.system ['true']}",
    "an object mapping": "segments: {a: !!python/object:os.Path {for: x, when: hour() == 1}}",
    "a name as when": "segments: {a: {for: x, when: !!python/name:os.system 'hour() == 1'}}",
    "bytes as when": "segments: {a: {for: x, when: !!binary aG91cigpID09IDE=}}",
    "a tag of one's own": "segments: {a: {for: x, when: !shop 'hour() == 1'}}",
    "a merge key": "segments: {<<: {a: {for: x, when: hour() == 1}}}",
    "a merge key in a segment": "base: &b {for: x}\nsegments: {a: {<<: *b, when: hour() == 1}}",
    "aliases of aliases": "a: &a [x, x]\n"
    + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)),
    "aliases under segments": "segments:\n  a: &a {for: x, when: [x]}\n  b: *a\n",
    "an alias of itself": "segments: &s {a: *s}",
    "an alias of nothing": "segments: *s",
    "brackets": "segments: " + "[" * 200_000,
    "braces": "segments: " + "{a: " * 100_000,
    "dashes": "segments:\n" + "- " * 200_000,
    "a question": "? " * 100_000,
    "a tab": "segments:\n\ta: x",
    "a null": "segments: {a\0: x}",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_yaml_that_wants_more_than_to_be_read_is_refused(text: str) -> None:
    """Definitions come over the log, too: no tag makes an object, no alias a bomb, and no nesting takes the process down."""
    refusal(text)


def test_one_segment_may_be_an_alias_of_another() -> None:
    """Plain sharing is harmless: the caps hold for what it amounts to."""
    found = parse_definitions("segments:\n  a: &a {for: x, when: 'did(\"A\")'}\n  b: *a\n")
    assert [segment.name for segment in found.segments] == ["a", "b"]


def test_content_reads_back_as_the_same_definitions() -> None:
    """What a ``definitions`` record carries is what the files said."""
    text = (
        'zone: Europe/Berlin\nsegments:\n  b: {for: "ü; \\"x\\"", when: segment("a"), stay: 1h}\n'
        '  a:\n    for: x\n    when: >\n      did("A")\n      or did("B")\n    exit: hour() == 1\n'
    )
    first = parse_definitions(text)
    again = parse_definitions(first.content())
    assert (again.digest, again.zone) == (first.digest, "Europe/Berlin")
    assert [(s.name, s.when, s.exit, s.stay_ms) for s in again.segments] == [(s.name, s.when, s.exit, s.stay_ms) for s in first.segments]


def test_a_chain_of_thousands_of_segments_is_put_in_order() -> None:
    """Depth of reference is no depth of recursion."""
    chain = {f"s{n:05}": {"for": "x", "when": f'segment("s{n + 1:05}")' if n < 2_999 else "hour() == 1"} for n in range(3_000)}
    found = parse_definitions({"segments": chain})
    assert [segment.name for segment in found.segments] == sorted(chain, reverse=True)
