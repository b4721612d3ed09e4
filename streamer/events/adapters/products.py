"""Products of a foreign message in the words of Segment's e-commerce spec, which rules are written in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streamer.errors import RefusedError
from streamer.events.adapters.digest import content_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OF_ONE_PRODUCT: Final = frozenset({"Product Viewed", "Product Clicked", "Product Added", "Product Removed", "Product Added to Wishlist"})
PRODUCTS_MAX: Final = 250  # of one message; Google's end at 200, and a larger order would be larger than an event may be


def renamed(fields: Mapping[str, object], names: Mapping[str, str]) -> dict[str, object]:
    """The fields, those that we call otherwise by our names; empty ones left out."""
    return {names.get(key, key): value for key, value in fields.items() if value is not None and value != ""}


def per_product(
    name: str, message_id: str, properties: dict[str, object], products: list[dict[str, object]], *, path: str
) -> Iterator[tuple[str, dict[str, object]]]:
    """(message id, properties) of each event that a message with products tells of.

    An event of one product has the fields of the product among its own, and where several products were viewed or added at once each is
    an event of its own. Any other event has them all under ``products``. ``RefusedError`` with ``path`` for more than ``PRODUCTS_MAX``.

    >>> list(per_product("Product Added", "m", {"currency": "EUR"}, [{"product_id": "p1", "price": 5}], path="$.items"))
    [('m', {'currency': 'EUR', 'product_id': 'p1', 'price': 5})]
    """
    if len(products) > PRODUCTS_MAX:
        raise RefusedError("too_large", path=path, detail=f"{len(products)} products, at most {PRODUCTS_MAX}")
    if name not in OF_ONE_PRODUCT or not products:
        yield message_id, {**properties, "products": products} if products else properties
        return
    for index, product in enumerate(products):
        yield message_id if len(products) == 1 else content_id([message_id, index]), {**properties, **product}
