"""Languages of readers: which of the languages of a template suits whom, and how each is written."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Final, Literal

from babel import Locale, UnknownLocaleError

TAG: Final = re.compile(r"[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8}){0,3}")
FALLBACK: Final = Locale("en")


def tag_of(text: str) -> str:
    """A language tag in its usual form, ``pt-BR``; empty for what is none. ``en_US.UTF-8`` is ``en-US``.

    >>> tag_of("PT_br"), tag_of("fa"), tag_of("zh-hant-tw"), tag_of("<script>")
    ('pt-BR', 'fa', 'zh-Hant-TW', '')
    """
    text = text.partition(".")[0]
    if TAG.fullmatch(text) is None:
        return ""
    language, *rest = re.split("[_-]", text)
    return "-".join((language.lower(), *(one.title() if len(one) == 4 else one.upper() for one in rest)))


def choose(wanted: str, fallback: str, there: Collection[str]) -> str:
    """The language to write in, of those that are ``there``: the one that is wanted, a wider one, the fallback, or the only one; empty
    where none will do.

    >>> choose("pt-BR", "en", ["en", "pt"]), choose("de", "en", ["en", "pt"]), choose("de", "en", ["uk"]), choose("de", "en", ["uk", "fa"])
    ('pt', 'en', 'uk', '')
    """
    by_tag = {tag_of(one): one for one in there}
    for tag in (*_wider(tag_of(wanted)), *_wider(tag_of(fallback))):
        if tag in by_tag:
            return by_tag[tag]
    return next(iter(there)) if len(there) == 1 else ""


def _wider(tag: str) -> Iterator[str]:
    """A tag, and each that is wider: ``pt-BR``, then ``pt``."""
    while tag:
        yield tag
        tag = tag.rpartition("-")[0]


@lru_cache(maxsize=256)
def locale_of(tag: str) -> Locale:
    """What Babel knows of a language; of one that it does not know, English."""
    for one in _wider(tag):
        with suppress(UnknownLocaleError, ValueError):
            return Locale.parse(one, sep="-")
    return FALLBACK


def direction_of(tag: str) -> Literal["ltr", "rtl"]:
    """Whether it is written from the right.

    >>> direction_of("fa"), direction_of("ar-EG"), direction_of("uk")
    ('rtl', 'rtl', 'ltr')
    """
    return "rtl" if locale_of(tag).character_order == "right-to-left" else "ltr"
