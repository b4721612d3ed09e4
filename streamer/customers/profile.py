"""What models measure customers by: one small memory over everything they do, in whole numbers.

Decayed counts fade by half in a day or in thirty: the sum of ``2^(-age / half-life)`` over all events, kept as thousandths at the moment
of the newest event. A late event is added with the age it has. Rounding makes the result the same on every machine; two orders of the same
events may differ by a thousandth, which is why only models read it, and no rule.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from zlib import crc32

import msgspec

from streamer.events.event import Event
from streamer.units import DAY_MS, HOUR_MS, MINUTE_MS
from streamer.values import Json, lookup, scaled

from .memories import Data, Update
from .state import NO_TIMER

SESSION_GAP_MS: Final = 30 * MINUTE_MS
AMOUNT_MAX: Final = 10**15  # ten-thousandths that are added up at most: a hundred billion of any currency, and far below 64 bits
PRODUCTS_MAX: Final = 8  # different products of a session that are told apart
THOUSANDTHS: Final = 1_000

# A customer who is silent is measured again so long after their newest event: what a score says of them changes while nothing happens.
LADDER_MS: Final = tuple(n * HOUR_MS for n in (1, 4, 12)) + tuple(n * DAY_MS for n in (1, 2, 4, 7, 14, 21, 30, 45, 60, 90, 180, 365))

VIEW, CART, ORDER, SEARCH, REMOVE, COUPON, REFUND, OTHER = range(8)
KINDS: Final[dict[str, int]] = {
    "Product Viewed": VIEW,
    "Product List Viewed": VIEW,
    "Product Clicked": VIEW,
    "Product Added": CART,
    "Product Removed": REMOVE,
    "Order Completed": ORDER,
    "Order Refunded": REFUND,
    "Products Searched": SEARCH,
    "Coupon Applied": COUPON,
}
DEVICES: Final[dict[str, int]] = {"mobile": 1, "phone": 1, "smartphone": 1, "ios": 1, "android": 1, "desktop": 2, "web": 2, "tablet": 3}

_MONTH_MS: Final = 30 * DAY_MS


class Profile(msgspec.Struct, array_like=True, gc=False):
    """What is remembered of everything a customer did, in whole numbers. Moments in UTC milliseconds, 0: never.

    ``gap_ms`` lies between the two newest events. ``said_ms``: when the profile was last said as an example. ``session_events`` and
    ``products`` (numbers of different ones, at most ``PRODUCTS_MAX``) are of the visit that began at ``session_at_ms``. ``spend`` is of
    all ``orders``, in ten-thousandths. What ends in ``_day`` or ``_month`` fades by half in a day or in thirty: thousandths at ``last_ms``.
    """

    first_ms: int
    last_ms: int
    gap_ms: int
    said_ms: int
    device: int
    session_at_ms: int
    session_events: int
    products: list[int]
    view_at_ms: int = 0
    cart_at_ms: int = 0
    order_at_ms: int = 0
    orders: int = 0
    spend: int = 0
    views_day: int = 0
    carts_day: int = 0
    searches_day: int = 0
    views_month: int = 0
    carts_month: int = 0
    orders_month: int = 0
    spend_month: int = 0
    refunds_month: int = 0
    coupons_month: int = 0
    removes_month: int = 0


def profile_of(data: Data) -> Profile:
    """The profile that a state carries: a list of its numbers as it was decoded, or what an event has made of it."""
    return data if type(data) is Profile else Profile(*data)


_amounts = tuple(lookup((name,)) for name in ("total", "revenue", "value"))
_device_type = lookup(("device", "type"))
_user_agent = lookup(("userAgent",))


def take(event: Event) -> Json:
    """What of an event counts: its kind, the amount of an order in ten-thousandths, a number for its product (0: none), the device (0: not
    said)."""
    kind = KINDS.get(event.event or "", OTHER) if event.type == "track" else OTHER
    properties = event.properties
    amount = product = 0
    if properties:
        if kind == ORDER:
            amount = next((found for look in _amounts if (found := scaled(look(properties))) is not None), 0)
        named = properties.get("product_id")
        if named is not None and type(named) is not dict and type(named) is not list:
            product = 1 + (crc32(str(named).encode()) & 0xFFFE)
    return kind, max(0, amount), product, _device(event.context) if event.context else 0


def _device(context: dict[str, Json]) -> int:
    named = _device_type(context)
    if type(named) is str:
        return DEVICES.get(named.lower(), 0)
    agent = _user_agent(context)
    if type(agent) is not str:
        return 0
    return 1 if "Mobi" in agent else 3 if "iPad" in agent or "Tablet" in agent else 2


@dataclass(frozen=True, slots=True)
class ProfileMemory:
    """Everything that models measure. Data: a ``Profile``, or the list of its numbers."""

    def update(self) -> Update:
        """How an event changes the data."""
        return _update


def _update(old: Data, value: Json, t: int, _now: int, origin_ms: int) -> Data:
    kind, amount, product, device = value
    t += origin_ms  # what models remember is in UTC
    if old is None:
        profile = Profile(t, t, 0, 0, 0, t, 0, [])
    else:
        profile = profile_of(old)
        _let_pass(profile, t)
    if device:
        profile.device = device
    _note_visit(profile, t, product)
    age_ms = profile.last_ms - t
    if kind in _COUNTS:
        _COUNTS[kind](profile, t, age_ms)
    if kind == ORDER:
        profile.orders += 1
        profile.spend = min(AMOUNT_MAX, profile.spend + amount)
        profile.spend_month = min(AMOUNT_MAX, profile.spend_month + _faded(amount // 10, age_ms, _MONTH_MS))
    return profile


def _let_pass(profile: Profile, t: int) -> None:
    """Bring the counts to the moment of a newer event; a late one changes when the first was, and no more."""
    passed_ms = t - profile.last_ms
    if passed_ms < 0:
        profile.first_ms = min(profile.first_ms, t)
        return
    profile.gap_ms = passed_ms
    if passed_ms > SESSION_GAP_MS:
        profile.session_at_ms, profile.session_events, profile.products = t, 0, []
    let_fade(profile, t)


def _note_visit(profile: Profile, t: int, product: int) -> None:
    if t < profile.session_at_ms:  # a late one, of a visit before this
        return
    profile.session_events += 1
    if product and product not in profile.products and len(profile.products) < PRODUCTS_MAX:
        profile.products.append(product)


def let_fade(profile: Profile, t: int) -> None:
    """Bring what fades to a moment that is not before the newest event."""
    passed_ms = t - profile.last_ms
    if not passed_ms:
        return
    profile.last_ms = t
    day, month = 2.0 ** (-passed_ms / DAY_MS), 2.0 ** (-passed_ms / _MONTH_MS)
    profile.views_day = round(profile.views_day * day)
    profile.carts_day = round(profile.carts_day * day)
    profile.searches_day = round(profile.searches_day * day)
    profile.views_month = round(profile.views_month * month)
    profile.carts_month = round(profile.carts_month * month)
    profile.orders_month = round(profile.orders_month * month)
    profile.spend_month = round(profile.spend_month * month)
    profile.refunds_month = round(profile.refunds_month * month)
    profile.coupons_month = round(profile.coupons_month * month)
    profile.removes_month = round(profile.removes_month * month)


def _count_view(profile: Profile, t: int, age_ms: int) -> None:
    profile.view_at_ms = max(profile.view_at_ms, t)
    profile.views_day += _faded(THOUSANDTHS, age_ms, DAY_MS)
    profile.views_month += _faded(THOUSANDTHS, age_ms, _MONTH_MS)


def _count_cart(profile: Profile, t: int, age_ms: int) -> None:
    profile.cart_at_ms = max(profile.cart_at_ms, t)
    profile.carts_day += _faded(THOUSANDTHS, age_ms, DAY_MS)
    profile.carts_month += _faded(THOUSANDTHS, age_ms, _MONTH_MS)


def _count_order(profile: Profile, t: int, age_ms: int) -> None:
    profile.order_at_ms = max(profile.order_at_ms, t)
    profile.orders_month += _faded(THOUSANDTHS, age_ms, _MONTH_MS)


def _count_search(profile: Profile, _t: int, age_ms: int) -> None:
    profile.searches_day += _faded(THOUSANDTHS, age_ms, DAY_MS)


def _count_remove(profile: Profile, _t: int, age_ms: int) -> None:
    profile.removes_month += _faded(THOUSANDTHS, age_ms, _MONTH_MS)


def _count_coupon(profile: Profile, _t: int, age_ms: int) -> None:
    profile.coupons_month += _faded(THOUSANDTHS, age_ms, _MONTH_MS)


def _count_refund(profile: Profile, _t: int, age_ms: int) -> None:
    profile.refunds_month += _faded(THOUSANDTHS, age_ms, _MONTH_MS)


# by kind of event: (profile, moment of the event, how much older it is than the newest)
_COUNTS: Final[dict[int, Callable[[Profile, int, int], None]]] = {
    VIEW: _count_view,
    CART: _count_cart,
    ORDER: _count_order,
    SEARCH: _count_search,
    REMOVE: _count_remove,
    COUPON: _count_coupon,
    REFUND: _count_refund,
}


def _faded(count: int, age_ms: int, half_life_ms: int) -> int:
    return round(count * 2.0 ** (-age_ms / half_life_ms)) if age_ms else count


def next_rung(data: Data, now: int) -> int:
    """The next moment after ``now`` at which a silent customer is measured again; ``NO_TIMER`` after the last."""
    if data is None:
        return NO_TIMER
    last_ms = profile_of(data).last_ms
    at = bisect_right(LADDER_MS, now - last_ms)
    return last_ms + LADDER_MS[at] if at < len(LADDER_MS) else NO_TIMER
