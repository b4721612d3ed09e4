"""The same shop's events on every run: sessions of customers who look, put into the cart, buy, and sometimes say the same twice.

A record is about 300 bytes, as a web shop's tracker sends them. Customers come uniformly at random, which is the worst case for a
worker that batches: at tens of thousands of events a second hardly anyone appears twice in a batch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from streamer.values import time_text

CATEGORIES = ("Shoes", "Fashion", "Electronics", "Home", "Bags", "Hats", "Sports", "Kids", "Furniture", "Garden", "Books", "Toys")
BRANDS = tuple(f"brand-{number:03d}" for number in range(500))
PRODUCTS = 5_000
LOCALES = ("de-DE", "de-AT", "en-GB", "fr-FR", "nl-NL", "it-IT")
DEVICES = ("mobile", "mobile", "mobile", "desktop", "desktop", "tablet")
COUNTRIES = ("DE", "AT", "CH", "GB", "FR", "NL", "IT")
DUPLICATES = 0.01


@dataclass(frozen=True, slots=True)
class Made:
    """One record to be written: ``at_ms`` is when it reaches the log."""

    customer: str
    at_ms: int
    value: bytes


@dataclass(slots=True)
class _Shopper:
    """What makes a customer's events hang together."""

    locale: str
    device: str
    category: str
    cart: list[float] = field(default_factory=list[float])
    seen: bool = False


def events(number: int, *, customers: int, start_ms: int, gap_ms: int, seed: int = 1) -> Iterator[Made]:
    """``number`` records; two of the same customer come ``gap_ms`` of log time apart, on average."""
    draw = random.Random(seed)
    shoppers: dict[int, _Shopper] = {}
    last: Made | None = None
    for count in range(number):
        at_ms = start_ms + gap_ms * count // customers
        if last is not None and draw.random() < DUPLICATES:
            yield Made(last.customer, at_ms, last.value)
            continue
        who = draw.randrange(customers)
        shopper = shoppers.get(who)
        if shopper is None:
            shopper = shoppers[who] = _Shopper(draw.choice(LOCALES), draw.choice(DEVICES), draw.choice(CATEGORIES))
        made = Made(f"c-{who:06d}", at_ms, _record(draw, shopper, f"c-{who:06d}", count, at_ms))
        last = made if draw.random() < 0.5 else last
        yield made


def _record(draw: random.Random, shopper: _Shopper, customer: str, count: int, at_ms: int) -> bytes:
    stamp = time_text(at_ms - draw.randrange(2_000))
    ids = f'"messageId":"m-{count:09d}-{draw.randrange(1 << 32):08x}","userId":"{customer}","timestamp":"{stamp}"'
    context = f'"context":{{"locale":"{shopper.locale}","device":{{"type":"{shopper.device}"}}}}'
    chance = draw.random()
    if not shopper.seen and chance < 0.3:
        shopper.seen = True
        traits = (
            f'"traits":{{"address":{{"country":"{draw.choice(COUNTRIES)}"}},"plan":"free","birthday":"1990-0{draw.randrange(1, 10)}-11"}}'
        )
        return f'{{"type":"identify",{ids},{traits},{context}}}'.encode()
    category = shopper.category if draw.random() < 0.6 else draw.choice(CATEGORIES)
    price = round(draw.uniform(5, 200), 2)
    if shopper.cart and chance < 0.10:
        total, shopper.cart = round(sum(shopper.cart), 2), []
        return _track("Order Completed", ids, f'"order_id":"o-{count:08d}","total":{total},"currency":"EUR","coupon":null', context)
    if shopper.cart and chance < 0.20:
        return _track(
            "Checkout Started", ids, f'"order_id":"o-{count:08d}","value":{round(sum(shopper.cart), 2)},"currency":"EUR"', context
        )
    product = (
        f'"product_id":"p-{draw.randrange(PRODUCTS):04d}","category":"{category}","brand":"{draw.choice(BRANDS)}",'
        f'"name":"Product of {category}","price":{price},"currency":"EUR"'
    )
    if chance < 0.35:
        shopper.cart.append(price)
        return _track("Product Added", ids, f'{product},"quantity":1', context)
    return _track("Product Viewed", ids, product, context)


def _track(name: str, ids: str, properties: str, context: str) -> bytes:
    return f'{{"type":"track","event":"{name}",{ids},"properties":{{{properties}}},{context}}}'.encode()
