"""Names of events as Segment's specification and LANGUAGE.md write them, and names that are almost one of them."""

from __future__ import annotations

from typing import Final

# Segment's e-commerce, mobile and review specifications, https://segment.com/docs/connections/spec/ecommerce/v2/
KNOWN_EVENTS: Final = (
    *("Products Searched", "Product List Viewed", "Product List Filtered", "Promotion Viewed", "Promotion Clicked"),
    *("Product Clicked", "Product Viewed", "Product Added", "Product Removed", "Cart Viewed"),
    *("Checkout Started", "Checkout Step Viewed", "Checkout Step Completed", "Payment Info Entered"),
    *("Order Completed", "Order Updated", "Order Refunded", "Order Cancelled"),
    *("Coupon Entered", "Coupon Applied", "Coupon Denied", "Coupon Removed"),
    *("Product Added to Wishlist", "Product Removed from Wishlist", "Wishlist Product Added to Cart"),
    *("Product Shared", "Cart Shared", "Product Reviewed"),
    *("Application Installed", "Application Opened", "Application Backgrounded", "Application Updated"),
    *("Application Uninstalled", "Application Crashed"),
    # of messages: what customers, providers and senders say
    *("Consent Given", "Consent Withdrawn", "Message Sent", "Message Failed", "Message Unknown", "Message Opened", "Message Clicked"),
    *("Message Bounced", "Message Complained", "Message Unsubscribed", "Message Suppressed", "Message Unsuppressed"),
)
_BY_LOWER: Final = {name.lower(): name for name in KNOWN_EVENTS}


def almost_known(name: str) -> str | None:
    """The known event that a name misses by its case or by one letter."""
    if name in KNOWN_EVENTS or name.endswith("*"):
        return None
    found = _BY_LOWER.get(name.lower())
    return found or next((known for known in KNOWN_EVENTS if one_letter_apart(name.lower(), known.lower())), None)


def one_letter_apart(one: str, other: str) -> bool:
    """Equal after changing, adding or dropping one letter, or swapping two neighbours."""
    if abs(len(one) - len(other)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    rest, other_rest = one[start:], other[start:]
    return (
        rest[1:] == other_rest[1:]
        or rest[1:] == other_rest
        or rest == other_rest[1:]
        or (rest[1:2] + rest[:1] == other_rest[:2] and rest[2:] == other_rest[2:])
    )
