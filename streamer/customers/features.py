"""The features that models see: a fixed, ordered list of finite numbers, measured of a profile at a moment.

The same function measures in the step, in a replay and for training, and it sees nothing but what was remembered before the moment.
Numbers are rounded to thousandths, so what an example carries is to the bit what was scored.
"""

from __future__ import annotations

from functools import lru_cache
from math import log1p
from typing import Final
from zoneinfo import ZoneInfo

from streamer.examples import Category, Cyclic, Feature, FeatureList, Flag, Linear, Logarithm
from streamer.units import DAY_MS, HOUR_MS, MINUTE_MS, WEEKDAY_NAMES
from streamer.zones import local

from .profile import PRODUCTS_MAX, THOUSANDTHS, Profile

_LOG_HOURS_MAX: Final = 9.17  # 400 days: as far as windows reach; "never" counts as this
_ORDER: Final = ("Order Completed",)
_CART: Final = ("Product Added",)
_VIEW: Final = ("Product Viewed", "Product List Viewed", "Product Clicked")
_ANY: Final = ("*",)


def _hours(name: str, reads: tuple[str, ...], words: str) -> Feature:
    return Feature(name, Logarithm("hours", "long", "short"), 0.0, _LOG_HOURS_MAX, reads=reads, words=words)


def _count(name: str, high: float, reads: tuple[str, ...], words: str) -> Feature:
    return Feature(name, Logarithm("events", "many", "few"), 0.0, high, reads=reads, words=words)


FEATURES: Final = FeatureList(
    version=1,
    features=(
        _hours("silence", _ANY, "time since the last activity"),
        _hours("gap", _ANY, "time between the last two activities"),
        _hours("since_view", _VIEW, "time since the last product view"),
        _hours("since_cart", _CART, "time since something was put into the cart"),
        _hours("since_order", _ORDER, "time since the last order"),
        _hours("known_for", _ANY, "time since the first visit"),
        _count("session_events", 7.0, _ANY, "activities in this visit"),
        Feature("session_minutes", Logarithm("minutes", "long", "short"), 0.0, 7.3, reads=_ANY, words="length of this visit"),
        Feature("session_products", Linear("products"), 0.0, float(PRODUCTS_MAX), reads=_VIEW, words="different products in this visit"),
        _count("views_day", 7.0, _VIEW, "product views lately (half-life a day)"),
        _count("carts_day", 5.0, _CART, "cart adds lately (half-life a day)"),
        _count("searches_day", 5.0, ("Products Searched",), "searches lately (half-life a day)"),
        _count("views_month", 9.0, _VIEW, "product views (half-life 30 days)"),
        _count("carts_month", 7.0, _CART, "cart adds (half-life 30 days)"),
        _count("orders_month", 5.0, _ORDER, "orders (half-life 30 days)"),
        Feature("spend_month", Logarithm("currency"), 0.0, 14.0, reads=_ORDER, words="spend (half-life 30 days)"),
        _count("orders", 7.0, _ORDER, "orders ever"),
        Feature("basket", Logarithm("currency"), 0.0, 14.0, reads=_ORDER, words="average order"),
        _count("removes_month", 5.0, ("Product Removed",), "things taken out of the cart again"),
        _count("coupons_month", 5.0, ("Coupon Applied",), "coupons used"),
        _count("refunds_month", 5.0, ("Order Refunded",), "orders sent back"),
        Feature("cart_open", Flag(), 0.0, 1.0, reads=(*_CART, *_ORDER), words="an open cart"),
        Feature("device", Category(("unknown", "mobile", "desktop", "tablet")), 0.0, 3.0, reads=("context",), words="device"),
        Feature("daytime", Cyclic("eighth of the day", hours=3), 0.0, 7.0, reads=(), words="time of day"),
        Feature("weekday", Category(WEEKDAY_NAMES, proper=True), 0.0, 6.0, reads=(), words="day of the week"),
    ),
    crosses=(
        ("cart_open", "since_cart"),
        ("views_day", "carts_day"),
        ("orders", "since_order"),
        ("session_events", "session_products"),
        ("silence", "known_for"),
    ),
)
_HIGHS: Final = tuple(feature.high for feature in FEATURES.features)


def measure(profile: Profile, now: int, zone: ZoneInfo) -> tuple[float, ...]:
    """The features of a profile at ``now`` (UTC milliseconds, not before its newest event), in the order of ``FEATURES``."""
    passed_ms = now - profile.last_ms
    day, month = 2.0 ** (-passed_ms / DAY_MS), 2.0 ** (-passed_ms / (30 * DAY_MS))
    orders, spend = profile.orders, profile.spend
    eighth, weekday = _local(now // (15 * MINUTE_MS), zone)
    found = (
        log1p(passed_ms / HOUR_MS),
        log1p(profile.gap_ms / HOUR_MS),
        _ago(profile.view_at_ms, now),
        _ago(profile.cart_at_ms, now),
        _ago(profile.order_at_ms, now),
        log1p((now - profile.first_ms) / HOUR_MS),
        log1p(profile.session_events),
        log1p((profile.last_ms - profile.session_at_ms) / MINUTE_MS),
        len(profile.products),
        log1p(profile.views_day * day / THOUSANDTHS),
        log1p(profile.carts_day * day / THOUSANDTHS),
        log1p(profile.searches_day * day / THOUSANDTHS),
        log1p(profile.views_month * month / THOUSANDTHS),
        log1p(profile.carts_month * month / THOUSANDTHS),
        log1p(profile.orders_month * month / THOUSANDTHS),
        log1p(profile.spend_month * month / THOUSANDTHS),
        log1p(orders),
        log1p(spend / orders / 10_000) if orders else 0.0,
        log1p(profile.removes_month * month / THOUSANDTHS),
        log1p(profile.coupons_month * month / THOUSANDTHS),
        log1p(profile.refunds_month * month / THOUSANDTHS),
        1.0 if profile.cart_at_ms > profile.order_at_ms else 0.0,
        profile.device,
        eighth,
        weekday,
    )
    return tuple([round(number, 3) if number < high else high for number, high in zip(found, _HIGHS, strict=True)])


def _ago(t: int, now: int) -> float:
    return log1p((now - t) / HOUR_MS) if t else _LOG_HOURS_MAX


@lru_cache(maxsize=4_096)
def _local(quarter_hour: int, zone: ZoneInfo) -> tuple[int, int]:
    """Eighth of the day and weekday; no zone changes its offset within a quarter of an hour."""
    wall = local(quarter_hour * 15 * MINUTE_MS, zone)
    return wall.hour // 3, wall.weekday()
