"""What one customer does on one visit to the simulated shop: a plan from the landing page to the order, or to the cart that is left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from streamer.demo.catalogue import CURRENCY, Catalogue, Product

if TYPE_CHECKING:
    from random import Random

    from streamer.demo.people import Customer
    from streamer.events.event import Kind

COUPON: Final = "AUTUMN10"
DISCOUNT_RATIO: Final = 0.1
REMOVES: Final = 0.06  # of what was put into the cart
CART_MAX: Final = 8  # products; what is left in a cart for long is forgotten, and events stay small


@dataclass(frozen=True, slots=True)
class VisitStep:
    """One thing that somebody is about to do."""

    name: str
    properties: dict[str, object] | None = None
    type: Kind = "track"
    traits: dict[str, object] | None = None
    path: str = "/"


@dataclass(slots=True)
class Visitor:
    """A customer and what the shop remembers of them between two visits."""

    customer: Customer
    visits: int = 0
    cart: list[Product] = field(default_factory=list[Product])
    orders: int = 0
    steps: list[VisitStep] = field(default_factory=list[VisitStep])


def plan_visit(visitor: Visitor, catalogue: Catalogue, random: Random) -> list[VisitStep]:
    """The steps of the next visit, in order; the cart and the number of orders are as they will be after it."""
    customer, personality = visitor.customer, visitor.customer.personality
    visitor.visits += 1
    steps = [VisitStep("Home", type="page", path="/")]
    if visitor.visits == 1 and not customer.anonymous:
        steps += _sign_up(customer)
    category = _category(customer, random)
    if random.random() < personality.searches:
        steps.append(
            VisitStep("Products Searched", {"query": f"{category.lower()} sale" if personality.cheap else category.lower()}, path="/search")
        )
    steps.append(VisitStep("Product List Viewed", {"list_id": category, "category": category}, path=f"/{category.lower()}"))
    for _ in range(random.randint(*personality.views)):
        product = _product(customer, catalogue, category, random)
        steps.append(_view(product))
        if random.random() < personality.add:
            steps += _add(visitor, product, random)
    return steps + _end(visitor, random)


def plan_left_cart(visitor: Visitor, catalogue: Catalogue, random: Random) -> list[VisitStep]:
    """A short visit of somebody known that ends with a product in the cart, and nothing after it: how the demo begins."""
    visitor.visits += 1
    product = random.choice(catalogue.by_category[visitor.customer.favourite])
    visitor.cart.append(product)
    return [*_sign_up(visitor.customer), _view(product), VisitStep("Product Added", product.properties(quantity=1), path=_path(product))]


def _sign_up(customer: Customer) -> list[VisitStep]:
    """Who they are, and what they agree to."""
    agreed = [VisitStep(event, {"topic": topic}, path="/account") for event, topic in customer.consents]
    return [VisitStep("", type="identify", traits=customer.traits), *agreed]


def _category(customer: Customer, random: Random) -> str:
    return customer.favourite if random.random() < customer.personality.focus else random.choice(customer.interests)


def _product(customer: Customer, catalogue: Catalogue, category: str, random: Random) -> Product:
    if customer.personality.cheap and random.random() < 0.8:
        return random.choice(catalogue.cheap)
    return random.choice(catalogue.by_category[category])


def _view(product: Product) -> VisitStep:
    return VisitStep("Product Viewed", product.properties(), path=_path(product))


def _add(visitor: Visitor, product: Product, random: Random) -> list[VisitStep]:
    visitor.cart = [*visitor.cart, product][-CART_MAX:]
    steps = [VisitStep("Product Added", product.properties(quantity=1), path=_path(product))]
    if random.random() < REMOVES:
        visitor.cart.remove(product)
        steps.append(VisitStep("Product Removed", product.properties(quantity=1), path="/cart"))
    return steps


def _end(visitor: Visitor, random: Random) -> list[VisitStep]:
    """What becomes of the cart."""
    personality = visitor.customer.personality
    if not visitor.cart:
        return []
    steps = [VisitStep("Cart Viewed", {"products": [product.properties(quantity=1) for product in visitor.cart]}, path="/cart")]
    if random.random() >= personality.checkout:
        return steps
    order_id = f"o-{visitor.customer.id}-{visitor.orders + 1}"
    steps.append(VisitStep("Checkout Started", {"order_id": order_id, "currency": CURRENCY}, path="/checkout"))
    if random.random() >= personality.buy:
        return steps
    coupon = random.random() < personality.coupon
    if coupon:
        steps.append(VisitStep("Coupon Applied", {"order_id": order_id, "coupon_id": COUPON}, path="/checkout"))
    steps.append(VisitStep("Order Completed", _order(order_id, visitor.cart, coupon=coupon), path="/thanks"))
    visitor.cart = []
    visitor.orders += 1
    return steps


def _order(order_id: str, cart: list[Product], *, coupon: bool) -> dict[str, object]:
    whole_cents = sum(product.price_cents for product in cart)
    off_cents = round(whole_cents * DISCOUNT_RATIO) if coupon else 0
    found: dict[str, object] = {
        "order_id": order_id,
        "subtotal": whole_cents / 100,
        "discount": off_cents / 100,
        "total": (whole_cents - off_cents) / 100,
        "revenue": (whole_cents - off_cents) / 100,
        "currency": CURRENCY,
        "products": [product.properties(quantity=1) for product in cart],
    }
    return {**found, "coupon": COUPON} if coupon else found


def _path(product: Product) -> str:
    return f"/{product.category.lower()}/{product.product_id}"
