"""Filters that know the reader's language and zone: money, numbers, moments, plurals, links. Each raises a Liquid error for a value that it
cannot write, so a template fails with its place instead of saying something odd."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final, Literal, cast, get_args

from babel import Locale, dates, numbers
from liquid import Environment, Markup, RenderContext
from liquid.exceptions import FilterArgumentError, FilterValueError
from liquid.filter import with_context

from streamer.values import parse_time_ms
from streamer.zones import PINNED, find_zone, local

from .link_hosts import ADDRESS, LinkHosts
from .locales import locale_of

Width = Literal["short", "medium", "long", "full"]
Signed = Callable[[str], str]

WIDTHS: Final = get_args(Width)
LANGUAGE: Final = "language"  # names that rendering gives to a template, and filters read
ZONE: Final = "_zone"
SIGN: Final = "_sign"
HOSTS: Final = "_hosts"
OWN_SEPARATORS: Final = "default"  # of the numbering system that the language usually has
ZEROS: Final = {"arab": 0x660, "arabext": 0x6F0, "beng": 0x9E6, "deva": 0x966, "mymr": 0x1040}  # whose digits follow one another
URL_BYTES_MAX: Final = 1_500  # so that a link that carries it is never longer than the collector reads
DIGITS_MAX: Final = 30  # before the point: more is no amount; Babel refuses it too, without saying where


def register(environment: Environment) -> None:
    """Put the filters into an environment."""
    for function in (money, number, date, time, plural, link, bdi):
        environment.add_filter(function.__name__, with_context(function))


def money(value: object, currency: object = None, *, context: RenderContext) -> str:
    """An amount in whole units (12.5) with its currency (``"EUR"``), as the language writes it."""
    if not isinstance(currency, str) or len(currency) != 3 or not currency.isalpha():
        raise FilterArgumentError('money: expected the code of a currency, such as money: "EUR"', token=None)
    amount, locale = _decimal("money", value), _locale(context)
    return _own_digits(numbers.format_currency(amount, currency.upper(), locale=locale, numbering_system=OWN_SEPARATORS), locale)


def number(value: object, *, context: RenderContext) -> str:
    """A number with the separators and digits of the language."""
    return _number(_decimal("number", value), _locale(context))


def date(value: object, width: object = "medium", *, context: RenderContext) -> str:
    """The day of a moment, on the customer's calendar."""
    locale = _locale(context)
    return _own_digits(dates.format_date(_moment("date", value, context), _width("date", width), locale=locale), locale)


def time(value: object, width: object = "short", *, context: RenderContext) -> str:
    """The time of day of a moment, in the customer's zone."""
    moment, locale = _moment("time", value, context), _locale(context)
    return _own_digits(dates.format_time(moment, _width("time", width), tzinfo=moment.tzinfo, locale=locale), locale)


def plural(value: object, *, context: RenderContext, **forms: object) -> str:
    """The form that the language uses for this number, of ``zero``, ``one``, ``two``, ``few``, ``many``, ``other``; ``#`` in it becomes the
    number."""
    found = _decimal("plural", value)
    locale = _locale(context)
    form = forms.get(locale.plural_form(found), forms.get("other"))
    if not isinstance(form, str):
        raise FilterArgumentError('plural: expected forms, such as one: "# item", other: "# items"', token=None)
    return form.replace("#", _number(found, locale))


def link(value: object, *, context: RenderContext) -> str:
    """An address by way of the collector, which counts the click; the address itself where links are not signed here.

    It leads to a host that the operator allowed, see ``LinkHosts``.
    """
    if not isinstance(value, str) or ADDRESS.fullmatch(value) is None or len(value.encode()) > URL_BYTES_MAX:
        expected = f"https:// or http:// and a host, without blanks, at most {URL_BYTES_MAX:,} bytes"
        raise FilterValueError(f"link: expected an address that begins with {expected}", token=None)
    if not cast("LinkHosts", context.resolve(HOSTS)).allow(value):
        raise FilterValueError("link: to a host that stands in no template; STREAMER_LINK_HOSTS can allow it", token=None)
    sign = cast("Signed | None", context.resolve(SIGN, default=None))
    return value if sign is None else sign(str(value))


def bdi(value: object, *, context: RenderContext) -> str:
    """A text that keeps its own direction inside one of the other, such as a name or a price."""
    text = "" if value is None else value if isinstance(value, str) else str(value)
    return Markup("<bdi>{}</bdi>").format(text) if context.autoescape else f"\u2068{text}\u2069"


def _number(value: Decimal, locale: Locale) -> str:
    return _own_digits(numbers.format_decimal(value, locale=locale, numbering_system=OWN_SEPARATORS), locale)


def _own_digits(text: str, locale: Locale) -> str:
    """With the digits that the language usually has: Babel writes those of English."""
    zero = ZEROS.get(locale.default_numbering_system)
    return text if zero is None else text.translate({ord("0") + digit: zero + digit for digit in range(10)})


def _locale(context: RenderContext) -> Locale:
    return locale_of(_text(context, LANGUAGE))


def _decimal(name: str, value: object) -> Decimal:
    try:
        found = Decimal(str(value)) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except InvalidOperation:
        found = None
    if found is None or not found.is_finite() or found.adjusted() >= DIGITS_MAX:
        raise FilterValueError(f"{name}: expected a number", token=None)
    return found


def _moment(name: str, value: object, context: RenderContext) -> datetime:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    ms = parse_time_ms(value) if is_whole else parse_time_ms(str(value)) if isinstance(value, str) else None
    if ms is None:
        raise FilterValueError(f"{name}: expected a moment, as a text or in milliseconds", token=None)
    return local(ms, find_zone(_text(context, ZONE)) or PINNED.utc)


def _width(name: str, value: object) -> Width:
    if value not in WIDTHS:
        raise FilterArgumentError(f"{name}: expected {', '.join(WIDTHS)}", token=None)
    return cast(Width, value)


def _text(context: RenderContext, name: str) -> str:
    found = cast(object, context.resolve(name, default=""))
    return found if isinstance(found, str) else ""


__all__ = ["HOSTS", "LANGUAGE", "SIGN", "ZONE", "register"]
