"""What people write who know another language: found where a parser only says that it does not understand, with its remedy.

Asked only after a parser has failed, so nothing here decides what is right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import yaml


class Slip(NamedTuple):
    """``at``: its place in the text, or in the row. What was found, and what to write instead."""

    at: int
    found: str
    remedy: str


_TOKEN: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]*|[0-9]+(?:[A-Za-z]+[0-9]*)*|&&|\|\||!=|<>|[^\s]|[\u00a0\u2007\u202f]")
_WORDS: Final = {"AND": "and", "OR": "or", "NOT": "not", "IN": "in", "And": "and", "Or": "or", "Not": "not"}
_SIGNS: Final = {"&&": "and", "||": "or", "&": "and", "|": "or", "!": "not", "<>": "!="}
_TYPOGRAPHIC: Final = "\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb"
_RESERVED: Final = ("@", "`", "%")  # YAML keeps them for itself
_SPACES: Final = "\u00a0\u2007\u202f"
_LENGTH: Final = re.compile(r"(?:[0-9]+(?:ms|[smhdw]))+")


def in_expression(text: str) -> Slip | None:
    """The first slip in the text of an expression; None where there is none that is known."""
    for at, part in _tokens(text):
        if (slip := _slip(at, part)) is not None:
            return slip
    return None


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    """What stands outside of quotes; a quote without a partner is one, too."""
    at = 0
    while (match := _TOKEN.search(text, at)) is not None:
        part, at = match[0], match.end()
        if part not in "\"'":
            yield match.start(), part
            continue
        end = _closing(text, at, part)
        if end is None:
            yield match.start(), part
            return
        at = end + 1


def _closing(text: str, start: int, quote: str) -> int | None:
    at = start
    while at < len(text) and text[at] != quote:
        at += 2 if text[at] == "\\" else 1
    return at if at < len(text) else None


def _slip(at: int, part: str) -> Slip | None:
    if part in "\"'":
        return Slip(at, f"a {part} without its partner", "a text stands between two of them; one is missing here or before")
    if part in _WORDS or part in _SIGNS:
        return Slip(at, part, f"write {_WORDS.get(part) or _SIGNS[part]}")
    if part in _TYPOGRAPHIC:
        return Slip(at, f"the typographic quote {part}", 'write straight quotes: "…"')
    if part in _SPACES:
        return Slip(at, f"the space U+{ord(part):04X}, which is none here", "write an ordinary space")
    if _LENGTH.fullmatch(part):
        return Slip(at, f"the length {part} without quotes", f'write "{part}"')
    return None


def in_yaml(text: str, error: yaml.MarkedYAMLError) -> tuple[int, Slip] | None:
    """The row (from 0) and the slip on which YAML stumbled; None where it is none that is known."""
    mark, begun = error.problem_mark, error.context_mark
    if mark is None:
        return None
    rows = text.split("\n")
    row = rows[mark.line] if mark.line < len(rows) else ""
    if "quoted scalar" in (error.context or "") and begun is not None:
        quote = rows[begun.line][begun.column : begun.column + 1]
        return begun.line, Slip(begun.column, f"a {quote} without its partner", "close the text with the same quote")
    if (tab := row.find("\t", 0, mark.column + 1)) >= 0 and not row[:tab].strip():
        return mark.line, Slip(tab, "a tab", "indent with spaces, which is all that YAML takes")
    found = _in_row(row, mark.column, error)
    return None if found is None else (mark.line, found)


_KEY_AND_TEXT: Final = re.compile(r"""(?:.*[{,])?\s*(?P<key>[A-Za-z_0-9]+):[ \t]+(?P<text>[^\s].*)""")


def _in_row(row: str, column: int, error: yaml.MarkedYAMLError) -> Slip | None:
    begun = error.context_mark.column if error.context_mark is not None else 0
    if (error.context or "").startswith(("while scanning a tag", "while scanning an anchor")):
        sign = "&&" if row[begun : begun + 2] == "&&" else row[begun : begun + 1]
        return Slip(
            begun, f"a text that begins with {sign}", f"write {_SIGNS.get(sign, 'something else')} for it, and put the text in quotes"
        )
    before = _KEY_AND_TEXT.fullmatch(row[:column].rstrip() or " ")
    if row[column : column + 1] == ":" and before is not None:
        return Slip(column, f"a second colon behind '{before['key']}:'", "put the whole text in quotes")
    if row[column : column + 1] in _RESERVED and "cannot start any token" in (error.problem or ""):
        return Slip(column, f"a text that begins with {row[column]}", "put the text in quotes")
    if "mapping values" in (error.problem or "") and before is None:
        return Slip(column, "a key where a text goes on", "the line above lacks its colon, or this one is indented too far")
    quoted = before["text"] if before is not None else ""
    if quoted[:1] in ("'", '"') and quoted.count(quoted[0]) > 1 and "expected" in (error.problem or ""):
        other, inner = ("'", '\\"') if quoted[0] == '"' else ('"', "''")
        remedy = f"put the whole text in {other}, or write {inner} for each {quoted[0]} inside"
        return Slip(column, f"more text behind a closing {quoted[0]}", remedy)
    return None
