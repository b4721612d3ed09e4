"""What the simulated shop sells: invented goods of invented brands, drawn from a table by a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from random import Random

CURRENCY: Final = "EUR"
PRODUCTS_PER_CATEGORY: Final = 12
CHEAP_CENTS: Final = 2_500  # what a bargain hunter looks at first

# category: brands, things, the lowest and highest price in whole euros
TABLE: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[int, int]]]] = {
    "Shoes": (("Norrvik", "Pacewell", "Terrano"), ("trail shoe", "sneaker", "ankle boot", "sandal"), (29, 179)),
    "Clothing": (("Norrvik", "Halden", "Costa Lina"), ("rain jacket", "down jacket", "denim jacket", "parka"), (49, 299)),
    "Books": (("Lantern Press", "Quill & Co"), ("novel", "cookbook", "atlas", "biography"), (8, 39)),
    "Kitchen": (("Hearthly", "Brava"), ("pan", "kettle", "knife set", "mixer"), (12, 189)),
    "Garden": (("Greenfold", "Terrano"), ("planter", "hose", "lantern", "deck chair"), (9, 129)),
    "Toys": (("Dicebound", "Pixelorn"), ("board game", "puzzle", "controller", "card game"), (10, 79)),
    "Beauty": (("Solea", "Mira Bell"), ("face cream", "perfume", "shampoo", "nail set"), (6, 89)),
    "Electronics": (("Auralis", "Pixelorn"), ("headphones", "speaker", "record player", "microphone"), (19, 349)),
}


@dataclass(frozen=True, slots=True)
class Product:
    """One thing on offer."""

    product_id: str
    name: str
    category: str
    brand: str
    price_cents: int

    def properties(self, *, quantity: int = 0) -> dict[str, object]:
        """As an event carries it: prices in units of the currency, as Segment's specification has them."""
        found: dict[str, object] = {
            "product_id": self.product_id,
            "sku": self.product_id.upper(),
            "name": self.name,
            "category": self.category,
            "brand": self.brand,
            "price": self.price_cents / 100,
            "currency": CURRENCY,
        }
        return {**found, "quantity": quantity} if quantity else found


class Catalogue:
    """All products, and those of one category or price."""

    def __init__(self, random: Random) -> None:
        self.products = tuple(
            _product(random, category, number) for category in TABLE for number in range(1, PRODUCTS_PER_CATEGORY + 1)
        )  # fmt: skip
        self.by_category = {category: tuple(item for item in self.products if item.category == category) for category in TABLE}
        self.cheap = tuple(item for item in self.products if item.price_cents < CHEAP_CENTS)


def _product(random: Random, category: str, number: int) -> Product:
    brands, things, (lowest, highest) = TABLE[category]
    brand, thing = random.choice(brands), random.choice(things)
    euros = lowest + int((highest - lowest) * random.random() ** 2)  # many cheap things, few dear ones
    return Product(f"{category.lower()}-{number:02d}", f"{brand} {thing}", category, brand, euros * 100 + random.choice((0, 50, 90, 95)))
