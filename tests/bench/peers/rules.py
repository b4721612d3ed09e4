"""The five segments as one writes them by hand: a customer's state, what an event does to it, who is inside at a moment."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
IDLE_MS = int(os.environ.get("JOB_IDLE_MS") or 30 * 60_000)
CART_MS = int(os.environ.get("JOB_CART_MS") or 3 * DAY_MS)
FRESH_MS = int(os.environ.get("JOB_FRESH_MS") or DAY_MS)
MONTH_MS, QUARTER_MS = 30 * DAY_MS, 90 * DAY_MS
BIG = 500 * 10_000  # amounts are kept in ten-thousandths
NAMES = ("big_spender", "cart_left", "new_visitor", "repeat_buyer", "window_shopper")
NEVER = -1


class Customer(msgspec.Struct, array_like=True):
    """What must be known of one customer; ``due`` is the next moment at which time alone may change something."""

    first: int
    last: int = NEVER
    added: int = NEVER
    ordered: int = NEVER
    orders: list[tuple[int, int]] = []  # moment and amount, of the last 90 days
    views: list[int] = []  # the newest five
    inside: list[bool] = msgspec.field(default_factory=lambda: [False] * 5)
    said: list[int] = msgspec.field(default_factory=lambda: [0] * 5)
    due: int = NEVER


class Change(msgspec.Struct):
    customer: str
    segment: str
    kind: str
    at: int
    sequence: int
    cause: str


def wake(who: str, customer: Customer, until: int) -> Iterator[Change]:
    """The changes by time alone up to and with ``until``."""
    while NEVER < customer.due <= until:
        yield from judge(who, customer, customer.due, "timer")


def take(who: str, customer: Customer, name: str, total: float, now: int) -> Iterator[Change]:
    """Remember an event at ``now``, and the changes it makes. Wake the customer before."""
    customer.last = now
    if name == "Product Viewed":
        customer.views = [*customer.views[-4:], now]
    elif name == "Product Added":
        customer.added = now
    elif name == "Order Completed":
        customer.ordered = now
        customer.orders = [*((at, amount) for at, amount in customer.orders if at > now - QUARTER_MS), (now, round(total * 10_000))]
    yield from judge(who, customer, now, "event")


def judge(who: str, customer: Customer, now: int, cause: str) -> Iterator[Change]:
    for index, holds in enumerate(inside_now(customer, now)):
        if holds != customer.inside[index]:
            customer.inside[index] = holds
            customer.said[index] += 1
            yield Change(who, NAMES[index], "entered" if holds else "exited", now, customer.said[index], cause)
    customer.due = next_due(customer, now)


def inside_now(customer: Customer, now: int) -> tuple[bool, bool, bool, bool, bool]:
    orders, open_cart = customer.orders, customer.added > customer.ordered and customer.added > now - CART_MS
    looked = len(customer.views) == 5 and customer.views[0] > now - HOUR_MS
    return (
        sum(amount for at, amount in orders if at > now - QUARTER_MS) >= BIG,
        open_cart and (customer.inside[1] or customer.last <= now - IDLE_MS),
        customer.first > now - FRESH_MS,
        len(orders) > 1 and orders[-2][0] > now - MONTH_MS,
        looked and (customer.ordered == NEVER or customer.ordered <= now - HOUR_MS),
    )


def next_due(customer: Customer, now: int) -> int:
    big, cart, fresh, repeat, shopper = customer.inside
    due: list[int] = []
    if big:
        due.append(_spent_until(customer))
    if cart:
        due.append(customer.added + CART_MS)
    elif customer.added > customer.ordered:
        due.append(customer.last + IDLE_MS)
    if fresh:
        due.append(customer.first + FRESH_MS)
    if repeat:
        due.append(customer.orders[-2][0] + MONTH_MS)
    if shopper:
        due.append(customer.views[0] + HOUR_MS)
    elif len(customer.views) == 5 and customer.ordered != NEVER:
        due.append(customer.ordered + HOUR_MS)
    return min((at for at in due if at > now), default=NEVER)


def _spent_until(customer: Customer) -> int:
    """When the newest orders that make up the sum begin to fall out of it."""
    total = 0
    for at, amount in reversed(customer.orders):
        total += amount
        if total >= BIG:
            return at + QUARTER_MS
    return NEVER
