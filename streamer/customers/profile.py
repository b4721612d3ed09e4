"""What models measure customers by: one small memory over everything they do, in whole numbers.

Decayed counts fade by half in a day or in thirty: the sum of ``2^(-age / half-life)`` over all events, kept as thousandths at the moment
of the newest event. A late event is added with the age it has. Rounding makes the result the same on every machine; two orders of the same
events may differ by a thousandth, which is why only models read it, and no rule.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from streamer.events.event import Event
from streamer.values import Json, lookup, scaled

from .memories import Data, Spec, Update
from .state import NEVER

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
SESSION_GAP_MS: Final = 30 * 60_000
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

# places in the data
FIRST, LAST, GAP, SAID, DEVICE, SESSION, SESSION_EVENTS, PRODUCTS = range(8)
VIEW_AT, CART_AT, ORDER_AT, ORDERS, SPEND = range(8, 13)
VIEWS_DAY, CARTS_DAY, SEARCHES_DAY = range(13, 16)
VIEWS_MONTH, CARTS_MONTH, ORDERS_MONTH, SPEND_MONTH, REFUNDS_MONTH, COUPONS_MONTH, REMOVES_MONTH = range(16, 23)
LENGTH: Final = 23
_BY_DAY: Final = range(13, 16)
_BY_MONTH: Final = range(16, 23)
_COUNTED: Final[dict[int, tuple[int, ...]]] = {
    VIEW: (VIEWS_DAY, VIEWS_MONTH),
    CART: (CARTS_DAY, CARTS_MONTH),
    ORDER: (ORDERS_MONTH,),
    SEARCH: (SEARCHES_DAY,),
    REMOVE: (REMOVES_MONTH,),
    COUPON: (COUPONS_MONTH,),
    REFUND: (REFUNDS_MONTH,),
    OTHER: (),
}
_STAMPED: Final = {VIEW: VIEW_AT, CART: CART_AT, ORDER: ORDER_AT}

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
class Profile:
    """Everything that models measure. Data: a list of ``LENGTH`` whole numbers, by the places above."""

    def update(self) -> Update:
        """The fitting function."""
        return _update


def _update(old: Data, value: Json, t: int, _now: int) -> Data:
    kind, amount, product, device = value
    if old is None:
        data: list[Any] = [0] * LENGTH
        data[FIRST] = data[LAST] = data[SESSION] = t
        data[PRODUCTS] = []
    else:
        data = old
        _let_pass(data, t)
    if device:
        data[DEVICE] = device
    if t < data[SESSION]:  # a late one, of a visit before this
        product = 0
    else:
        data[SESSION_EVENTS] += 1
    if product and product not in data[PRODUCTS] and len(data[PRODUCTS]) < PRODUCTS_MAX:
        data[PRODUCTS].append(product)
    if kind in _STAMPED:
        place = _STAMPED[kind]
        data[place] = max(data[place], t)
    age_ms = data[LAST] - t
    for place in _COUNTED[kind]:
        data[place] += _faded(THOUSANDTHS, age_ms, DAY_MS if place in _BY_DAY else 30 * DAY_MS)
    if kind == ORDER:
        data[ORDERS] += 1
        data[SPEND] = min(AMOUNT_MAX, data[SPEND] + amount)
        data[SPEND_MONTH] = min(AMOUNT_MAX, data[SPEND_MONTH] + _faded(amount // 10, age_ms, 30 * DAY_MS))
    return data


def _let_pass(data: list[Any], t: int) -> None:
    """Bring the counts to the moment of a newer event; a late one changes when the first was, and no more."""
    passed_ms = t - data[LAST]
    if passed_ms < 0:
        data[FIRST] = min(data[FIRST], t)
        return
    data[GAP] = passed_ms
    if passed_ms > SESSION_GAP_MS:
        data[SESSION], data[SESSION_EVENTS], data[PRODUCTS] = t, 0, []
    if passed_ms:
        data[LAST] = t
        _fade(data, passed_ms)


def _fade(data: list[Any], passed_ms: int) -> None:
    day, month = 2.0 ** (-passed_ms / DAY_MS), 2.0 ** (-passed_ms / (30 * DAY_MS))
    for place in _BY_DAY:
        if data[place]:
            data[place] = round(data[place] * day)
    for place in _BY_MONTH:
        if data[place]:
            data[place] = round(data[place] * month)


def _faded(count: int, age_ms: int, half_life_ms: int) -> int:
    return round(count * 2.0 ** (-age_ms / half_life_ms)) if age_ms else count


def next_rung(data: Data, now: int) -> int:
    """The next moment after ``now`` at which a silent customer is measured again; ``NEVER`` after the last."""
    if data is None:
        return NEVER
    at = bisect_right(LADDER_MS, now - data[LAST])
    return data[LAST] + LADDER_MS[at] if at < len(LADDER_MS) else NEVER


@dataclass(frozen=True, slots=True)
class Held:
    """Something that the step itself puts there: a score, an example whose outcome is not known yet. Data: what was put."""

    def update(self) -> Update:
        """The fitting function."""
        return _held


def _held(_old: Data, value: Json, _t: int, _now: int) -> Data:
    return value


AnySpec = Spec | Profile | Held
