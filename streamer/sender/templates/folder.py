"""The folder of templates: what is in it, compiled once, and what each needs to be rendered.

A template is a folder of languages, and a language a folder of parts: ``cart_reminder/fa/subject.liquid``, ``text.liquid`` and, where there
is one, ``html.liquid``. Files are read at the start, never while a message is written.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from liquid import BoundTemplate, Environment, StrictDefaultUndefined
from liquid.exceptions import LiquidError
from liquid.span import Span

from streamer.errors import StreamerError
from streamer.suggest import did_you_mean

from . import filters
from .item_names import ItemNames
from .link_hosts import LinkHosts, literal_hosts
from .locales import choose, tag_of
from .ranges import shorten_ranges

Part = Literal["subject", "text", "html"]

PARTS: Final[tuple[Part, ...]] = get_args(Part)
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
FILE_BYTES_MAX: Final = 500_000
GIVEN: Final = frozenset({"customer", "message", "language", "direction", "unsubscribe_url", "variant"})
"""What every template is given beside the facts of its message."""


class TemplateError(StreamerError):
    """A template cannot be used or rendered. The message begins with ``file:line:column`` where a place is known, and quotes no fact."""


class _Limited(Environment):
    """A page of text needs none of these; what reaches one is a mistake, and must not take the sender's time or memory."""

    loop_iteration_limit = 10_000
    output_stream_limit = 500_000  # bytes
    local_namespace_limit = 100_000
    context_depth_limit = 10


@dataclass(frozen=True, slots=True)
class Compiled:
    """One part of a template. ``needs`` has the facts that it names, each with the place ``file:line:column`` of the first use; ``items``
    the same of the names of items, by the list that they are of; ``hosts`` those of addresses in it."""

    template: BoundTemplate
    needs: Mapping[str, str]
    items: Mapping[str, Mapping[str, str]]
    hosts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Written:
    """A template in one language; ``html`` is None where there is only text."""

    language: str
    subject: Compiled
    text: Compiled
    html: Compiled | None


class Templates:
    """All templates of a folder, compiled. ``problems`` says of those that cannot be used why; they are in it and in nothing else.

    Links may lead to the hosts of addresses that stand in the templates, and to ``link_hosts``.
    """

    def __init__(self, folder: Path, fallback: str = "en", link_hosts: Collection[str] = ()) -> None:
        self.problems: dict[str, str] = {}  # by template
        self._fallback = fallback
        self._written: dict[str, dict[str, Written]] = {}
        environments = _environments()
        for name in template_names(folder):
            try:
                self._written[name] = _read_template(folder, name, environments)
            except TemplateError as error:
                self.problems[name] = str(error)
        self.hosts = LinkHosts({*link_hosts, *(host for name in self._written for part in self._parts(name) for host in part.hosts)})

    @property
    def names(self) -> list[str]:
        """Those that can be used."""
        return sorted(self._written)

    def languages(self, name: str) -> list[str]:
        """In which languages a template is written."""
        return sorted(self._written.get(name, {}))

    def find(self, name: str, language: str) -> Written:
        """A template in the language that suits best. TemplateError where there is none."""
        languages = self._written.get(name)
        if languages is None:
            close = did_you_mean(name, self.names)
            raise TemplateError(self.problems.get(name) or f"there is no template {name!r}{f' ({close})' if close else ''}")
        chosen = choose(language, self._fallback, languages)
        if not chosen:
            raise TemplateError(f"{name}: written in {', '.join(sorted(languages))}, and neither for this reader nor in {self._fallback}")
        return languages[chosen]

    def needs(self, name: str) -> dict[str, str]:
        """The facts that some language of a template needs, each with the place where it stands first; empty for no template.

        A name that has a ``default`` is needed all the same: a fact may be missing for a customer, and yet must be defined for the message.
        """
        found: dict[str, str] = {}
        for part in self._parts(name):
            found = {**part.needs, **found}
        return found

    def item_needs(self, name: str, fact: str) -> dict[str, str]:
        """The names that some language of a template needs of the items of a list, each with the place where it stands first."""
        found: dict[str, str] = {}
        for part in self._parts(name):
            found = {**part.items.get(fact, {}), **found}
        return found

    def _parts(self, name: str) -> Iterator[Compiled]:
        for written in self._written.get(name, {}).values():
            yield from (part for part in (written.subject, written.text, written.html) if part is not None)


def template_names(folder: Path) -> list[str]:
    """The templates of a folder by their names; an empty list where there is no folder."""
    return sorted(one.name for one in folder.iterdir() if one.is_dir() and NAME.fullmatch(one.name)) if folder.is_dir() else []


def names_needed(folder: Path, template: str) -> dict[str, str]:
    """The facts that a template needs, each with its place ``file:line:column``. TemplateError where it cannot be used."""
    templates = Templates(folder)
    if template in templates.problems or template not in templates.names:
        templates.find(template, "")
    return templates.needs(template)


def place_of(error: LiquidError) -> str:
    """``file:line:column: `` of an error, as far as they are known."""
    name = "" if error.template_name is None else str(error.template_name)
    context = error.context()
    return ":".join((name or "template", *(map(str, (context[0], context[1] + 1)) if context is not None else ()))) + ": "


def _environments() -> Mapping[Part, Environment]:
    """One that escapes for HTML, and one for plain text. Neither has a way to other files, or past the escaping."""
    made: dict[Part, Environment] = {}
    for part in PARTS:
        environment = _Limited(autoescape=part == "html", undefined=StrictDefaultUndefined)
        filters.register(environment)
        del environment.filters["safe"]
        for tag in ("include", "render", "extends", "block", "macro", "call"):
            environment.tags.pop(tag, None)
        made[part] = environment
    return made


def _read_template(folder: Path, name: str, environments: Mapping[Part, Environment]) -> dict[str, Written]:
    found: dict[str, Written] = {}
    for place in sorted(one for one in (folder / name).iterdir() if one.is_dir()):
        language = tag_of(place.name)
        if not language:
            raise TemplateError(f"{name}/{place.name}: expected a folder named after a language, such as en or pt-BR")
        parts = {part: _read_part(place / f"{part}.liquid", f"{name}/{place.name}/{part}.liquid", environments[part]) for part in PARTS}
        subject, text = parts["subject"], parts["text"]
        if subject is None or text is None:
            raise TemplateError(f"{name}/{place.name}: expected subject.liquid and text.liquid, as not everybody reads HTML")
        found[place.name] = Written(language, subject, text, parts["html"])
    if not found:
        raise TemplateError(f"{name}: expected a folder for each language, found none")
    return found


def _read_part(file: Path, shown: str, environment: Environment) -> Compiled | None:
    if not file.is_file():
        return None
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise TemplateError(f"{shown}: larger than {FILE_BYTES_MAX:,} bytes")
        source = file.read_text(encoding="utf-8")
        template = environment.from_string(source, name=shown)
        return _compiled(template, source)
    except LiquidError as error:
        error.template_name = error.template_name or shown
        raise TemplateError(f"{place_of(error)}{error.message}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"{shown}: cannot be read ({type(error).__name__})") from None


def _compiled(template: BoundTemplate, source: str) -> Compiled:
    """A part with what it needs; TemplateError for a filter that is none, which the library finds only when it renders."""
    found = template.analyze(include_partials=False)
    for name, uses in found.filters.items():
        if name not in template.env.filters:
            close = did_you_mean(name, template.env.filters)
            raise TemplateError(f"{_place(template, uses[0], source)}: there is no filter {name!r}{f' ({close})' if close else ''}")
    shorten_ranges(template)
    needs = {name: _place(template, uses[0].span, source) for name, uses in found.globals.items() if name not in GIVEN}
    items = ItemNames(template, GIVEN | found.locals.keys()).found
    places = {of: {name: _place(template, span, source) for name, span in names.items()} for of, names in items.items()}
    return Compiled(template, needs, places, frozenset(literal_hosts(source)))


def _place(template: BoundTemplate, span: Span, source: str) -> str:
    line, column = span.line_col(source)
    return f"{template.name}:{line}:{column + 1}"


__all__ = ["GIVEN", "NAME", "PARTS", "TemplateError", "Templates", "Written", "names_needed", "place_of", "template_names"]
