"""Text from outside, made safe to look at: nothing in it moves a cursor, sets a title, turns the line round or hides.

Values, ids and names come from producers and authors whom nobody checked. A terminal obeys control characters (of both ranges: U+009B
begins a command as ESC does), and bidirectional overrides make a line read as another one.
"""

from __future__ import annotations

from typing import Final
from unicodedata import category

OBEYED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # control, format, half of a pair, separators of lines and paragraphs
JOINERS: Final = "\u200c\u200d"  # format characters without which Persian, Hindi and many emoji cannot be written


def printable(text: str) -> str:
    r"""The text on one line, with escapes as in Python for whatever a terminal would obey.

    >>> print(printable("evil \x1b[2J \u202e\nname"))
    evil \x1b[2J \u202e\nname
    """
    return text if text.isprintable() else "".join(_escaped(one) if _is_obeyed(one) else one for one in text)


def printable_json(text: str) -> str:
    r"""The same JSON, with JSON's own escapes for it: it decodes to the same value.

    >>> print(printable_json('{"name": "\u202eevil"}'))
    {"name": "\u202eevil"}
    """
    return text if text.isprintable() else "".join(_json_escaped(one) if _is_obeyed(one) else one for one in text)


def _is_obeyed(one: str) -> bool:
    return category(one) in OBEYED and one not in JOINERS


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode()


def _json_escaped(one: str) -> str:
    """Characters above U+FFFF are pairs in JSON."""
    pair = one.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{pair[at : at + 4]}" for at in range(0, len(pair), 4))
