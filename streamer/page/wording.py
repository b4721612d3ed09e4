"""The words of a page in one language: texts of the catalogues, with numbers, moments and plurals as the language has them.

A catalogue is ``texts/LANGUAGE.toml``, a table for each view. Digits are European in every language, as they are on the command line, in
the log and in the rules: a figure is compared by looking at it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, cast

from babel import Locale
from babel.dates import format_datetime
from babel.numbers import format_decimal, format_percent
from babel.units import format_unit

from streamer.units import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from streamer.values import time_text

from .languages import PageLanguage

TEXTS: Final = Path(__file__).with_name("texts")
CatalogueText = str | Mapping[str, str]  # a text, or one for each plural of the language
TextValue = str | int | float
_UNITS: Final = (("day", DAY_MS), ("hour", HOUR_MS), ("minute", MINUTE_MS), ("second", SECOND_MS))


@cache
def catalogue(language: PageLanguage) -> Mapping[str, CatalogueText]:
    """All texts of a language, by TABLE.NAME."""
    tables: dict[str, object] = tomllib.loads((TEXTS / f"{language}.toml").read_text(encoding="utf-8"))
    found: dict[str, CatalogueText] = {}
    for table, entries in tables.items():
        for name, entry in cast("dict[str, CatalogueText]", entries).items():
            found[f"{table}.{name}"] = entry
    return found


class Wording:
    """Says things in a language. KeyError for a text that no catalogue has: a test looks at all of them."""

    def __init__(self, language: PageLanguage) -> None:
        self.language: Final[PageLanguage] = language
        self.locale = Locale.parse(language)
        self._texts = catalogue(language)

    def __call__(self, key: str, **named: TextValue) -> str:
        """The text of TABLE.NAME with what it names. Numbers are written as the language does; ``n`` chooses the plural."""
        entry = self._texts[key]
        if not isinstance(entry, str):
            n = named["n"]
            assert not isinstance(n, str), "a plural is of a number"
            entry = entry[self.locale.plural_form(n)]
        written = {name: value if isinstance(value, str) else self.number(value) for name, value in named.items()}
        return entry.format_map(written)

    def text(self, key: str) -> str:
        """The text itself, with the holes that it has."""
        entry = self._texts[key]
        assert isinstance(entry, str), "it has plurals"
        return entry

    def has(self, key: str) -> bool:
        """Whether there is such a text."""
        return key in self._texts

    def number(self, value: float, digits: int = 0) -> str:
        """A number with at most so many digits behind the point."""
        return _decimal(round(value, digits), digits, self.language)

    def percent(self, share: float) -> str:
        """A share of 1 with one digit behind the point."""
        return format_percent(share, format="#,##0.0%", locale=self.locale)

    def length(self, ms: float) -> str:
        """A length of time in its two largest units at most."""
        if ms < SECOND_MS:
            return format_unit(int(ms), "millisecond", "short", locale=self.locale)
        parts: list[str] = []
        rest = int(ms)
        for unit, unit_ms in _UNITS:
            amount, rest = divmod(rest, unit_ms)
            if amount:
                parts.append(format_unit(amount, unit, "short", locale=self.locale))
            elif parts:
                break
        return " ".join(parts[:2])

    def whole_length(self, ms: int) -> str:
        """A length of time in all its units, to the millisecond: what a definition asks is not rounded."""
        parts: list[str] = []
        for unit, unit_ms in (*_UNITS, ("millisecond", 1)):
            amount, ms = divmod(ms, unit_ms)
            if amount or (unit_ms == 1 and not parts):
                parts.append(format_unit(amount, unit, "short", locale=self.locale))
        return " ".join(parts)

    def moment(self, at: str | int) -> str:
        """A moment in UTC, to the second; ``at`` as in answers (RFC 3339) or UTC milliseconds."""
        return format_datetime(_time(at), "d MMM y, HH:mm:ss", locale=self.locale)

    def clock(self, at: str | int) -> str:
        """The time of day in UTC, to the millisecond."""
        time = _time(at)
        return f"{time:%H:%M:%S}.{time.microsecond // 1_000:03}"

    def machine(self, at: str | int) -> str:
        """A moment as the attribute of a ``time`` wants it: RFC 3339, to the millisecond."""
        return at if isinstance(at, str) else time_text(at)

    def hour(self, at_ms: int) -> str:
        """A moment on the axis of a chart: day, hours and minutes in UTC."""
        return format_datetime(_time(at_ms), "d MMM HH:mm", locale=self.locale)


@lru_cache(maxsize=8_192)  # a table has few different numbers, and writing one takes longer than all else in its cell
def _decimal(value: float, digits: int, language: PageLanguage) -> str:
    return format_decimal(value, format=f"#,##0.{'#' * digits}" if digits else "#,##0", locale=language)


@cache
def wording(language: PageLanguage) -> Wording:
    """The words in a language."""
    return Wording(language)


def _time(at: str | int) -> datetime:
    return datetime.fromisoformat(at) if isinstance(at, str) else datetime.fromtimestamp(at / 1_000, UTC)


__all__ = ["TEXTS", "CatalogueText", "Wording", "catalogue", "wording"]
