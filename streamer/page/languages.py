"""Which language a page is in: what was chosen, else what the browser asks for."""

from __future__ import annotations

import re
from typing import Final, Literal, get_args

PageLanguage = Literal["en", "uk", "ar", "fa"]
LANGUAGES: Final[tuple[PageLanguage, ...]] = get_args(PageLanguage)
FALLBACK: Final[PageLanguage] = "en"
OWN_NAMES: Final[dict[PageLanguage, str]] = {"en": "English", "uk": "Українська", "ar": "العربية", "fa": "فارسی"}
RIGHT_TO_LEFT: Final[frozenset[PageLanguage]] = frozenset({"ar", "fa"})
ACCEPT_CHARS_MAX: Final = 500
_RANGE: Final = re.compile(r"\s*([A-Za-z]{2,3})\b[^;]*(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?))?\s*")


def known_language(text: str | None) -> PageLanguage | None:
    """The language of that code; None for none of ours."""
    return next((language for language in LANGUAGES if language == text), None)


def language_of(accept: str) -> PageLanguage:
    """The language of ours that an ``Accept-Language`` header likes best.

    >>> language_of("de, uk-UA;q=0.8, en;q=0.5"), language_of("en;q=0.1, fa"), language_of("")
    ('uk', 'fa', 'en')
    """
    wishes: list[tuple[float, PageLanguage]] = []
    for item in accept[:ACCEPT_CHARS_MAX].split(","):
        found = _RANGE.fullmatch(item)
        language = None if found is None else known_language(found[1].lower())
        if found is not None and language is not None:
            wishes.append((float(found[2] or 1), language))
    return max(wishes, key=lambda wish: wish[0], default=(0.0, FALLBACK))[1]


def direction_of(language: PageLanguage) -> Literal["ltr", "rtl"]:
    """Which way its lines run."""
    return "rtl" if language in RIGHT_TO_LEFT else "ltr"
