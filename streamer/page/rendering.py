"""From facts to HTML. Everything is escaped; what comes from outside is also cut, and has its own direction."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from streamer.printable import printable

from .files import address_of
from .languages import LANGUAGES, OWN_NAMES, direction_of
from .view import ViewFacts
from .wording import Wording

TEMPLATES: Final = Path(__file__).with_name("templates")
SHOWN_CHARS_MAX: Final = 200  # of a text from outside


def outside(text: object, most: int = SHOWN_CHARS_MAX) -> Markup:
    """A text that somebody else wrote, as HTML: nothing in it is obeyed, and it turns no line round.

    >>> print(outside("<img src=x onerror=alert(1)> \\u202e"))
    <bdi>&lt;img src=x onerror=alert(1)&gt; \\u202e</bdi>
    """
    whole = str(text)
    shown = printable(whole[:most]) + ("…" if len(whole) > most else "")
    return Markup("<bdi>{}</bdi>").format(shown)


def outside_lines(text: object, most: int = SHOWN_CHARS_MAX) -> Markup:
    """As ``outside``, of several lines, each with a direction of its own."""
    whole = str(text)
    lines = [*whole[:most].split("\n"), *(["…"] if len(whole) > most else [])]
    return Markup("\n").join(outside(line, most) for line in lines)


def path_part(text: object) -> str:
    """A text as one part of a path, or in a query."""
    return quote(str(text), safe="")


def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.filters.update(outside=outside, outside_lines=outside_lines, path_part=path_part, printable=printable)  # pyright: ignore[reportUnknownMemberType] - of Jinja's own filters
    return found


_ENVIRONMENT: Final = _environment()
_EVERYWHERE: Final = {
    "file": address_of,
    "languages": [(one, OWN_NAMES[one], direction_of(one)) for one in LANGUAGES],
    "part": _ENVIRONMENT.get_template("parts.html").module,
}


def page_of(template: str, words: Wording, facts: ViewFacts) -> str:
    """The whole page of a template."""
    return _rendered(template, words, facts, is_live_part=False)


def live_part(template: str, words: Wording, facts: ViewFacts) -> str:
    """The block ``live`` of a template alone."""
    return _rendered(template, words, facts, is_live_part=True)


def _rendered(template: str, words: Wording, facts: ViewFacts, *, is_live_part: bool) -> str:
    frame = {"t": words, "language": words.language, "direction": direction_of(words.language), "is_live_part": is_live_part}
    return _ENVIRONMENT.get_template(f"{template}.html").render(_EVERYWHERE | frame | dict(facts))
