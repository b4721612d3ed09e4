"""Bodies of Google Analytics 4's Measurement Protocol: a device, perhaps a user, and up to 25 events.

Its names become those of Segment's e-commerce spec (``view_item`` is "Product Viewed"), others stay as they are. The times in it are those
of servers, and there is no ``sentAt``: they are believed, but for being later than received. Hashed personal data (``user_data``) is not
read.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final, cast

from streamer.errors import RefusedError
from streamer.events.adapters.device_clock import DeviceTime, corrected, in_years
from streamer.events.adapters.digest import content_id
from streamer.events.adapters.fields import at_source, first_identifier, identifier, number, without_empty
from streamer.events.adapters.outcome import Outcome, check_shared, each_element
from streamer.events.adapters.pages import page_of
from streamer.events.adapters.products import per_product, renamed
from streamer.events.codec import from_json, section
from streamer.events.json_limits import json_type, within_limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamer.events.adapters.message import Message
    from streamer.events.event import Event

NAMES: Final = {
    "view_item": "Product Viewed",
    "view_item_list": "Product List Viewed",
    "select_item": "Product Clicked",
    "add_to_cart": "Product Added",
    "remove_from_cart": "Product Removed",
    "add_to_wishlist": "Product Added to Wishlist",
    "view_cart": "Cart Viewed",
    "begin_checkout": "Checkout Started",
    "add_shipping_info": "Checkout Step Completed",
    "add_payment_info": "Payment Info Entered",
    "purchase": "Order Completed",
    "refund": "Order Refunded",
    "view_promotion": "Promotion Viewed",
    "select_promotion": "Promotion Clicked",
    "search": "Products Searched",
    "view_search_results": "Products Searched",
    "share": "Product Shared",
    "login": "Signed In",
    "sign_up": "Signed Up",
    "first_open": "Application Installed",
    "app_update": "Application Updated",
}
PAGES: Final = {"page_view": "page", "screen_view": "screen"}
ORDERS: Final = frozenset({"purchase", "refund"})
PARAMS: Final = {
    "transaction_id": "order_id",
    "search_term": "query",
    "item_list_id": "list_id",
    "item_list_name": "list_name",
    "payment_type": "payment_method",
    "screen_name": "name",
    "firebase_screen": "name",
}
PAGE: Final = ("page_location", "page_title", "page_referrer")
ITEM: Final = {
    "item_id": "product_id",
    "item_name": "name",
    "item_brand": "brand",
    "item_category": "category",
    "item_variant": "variant",
    "item_list_id": "list_id",
    "item_list_name": "list_name",
    "index": "position",
}
SOURCES: Final = {"userId": "user_id", "anonymousId": "client_id", "event": "name", "properties": "params"}


def from_ga4(message: Message) -> Iterator[Outcome]:
    """The events of a body, each with the ids, the traits and the device that stand in it once.

    Without a ``timestamp_micros`` an event happened when it was received. There are no ids of events: one is made of the content and the
    place in the list, so that a repeated body is a repeated event, as far as it says when it happened.
    """
    body = message.fields()
    try:
        shared = _shared(body)
        check_shared(shared, body.get("events"), path="$")
    except RefusedError as error:
        raise at_source(error, SOURCES) from None
    place = count()

    def read(element: dict[str, object]) -> Iterator[Event]:
        try:
            yield from _events(body, element, shared, next(place), message.received_ms)
        except RefusedError as error:
            raise at_source(error, SOURCES) from None

    yield from each_element(body.get("events"), "$.events", read)


def _shared(body: dict[str, object]) -> dict[str, object]:
    """What the events of a body have in common."""
    return {
        "userId": identifier(body, "user_id"),
        "anonymousId": first_identifier(body, "client_id", "app_instance_id"),
        "traits": _user_properties(body) or None,
        "context": _context(body) or None,
    }


def _events(
    body: dict[str, object], element: dict[str, object], shared: dict[str, object], place: int, received_ms: int | None
) -> Iterator[Event]:
    name = identifier(element, "name") or ""
    params = section(element, "params") or {}
    time = _time(body, element, received_ms)
    page = page_of(*(params.get(key) for key in PAGE))
    context = without_empty({**cast("dict[str, object]", shared["context"] or {}), "page": page, **time.marks()})
    message_id = content_id(within_limits({"shared": [shared["userId"], shared["anonymousId"], time.at_ms, place], "event": element}))
    properties = _properties(name, params)
    for one_id, found in per_product(NAMES.get(name, name), message_id, properties, _items(params), path="$.params.items"):
        fields = {**shared, "messageId": one_id, "context": context or None, "properties": found or None}
        if name in PAGES:
            fields["type"] = PAGES[name]
        else:
            fields["event"] = NAMES.get(name, name)
        yield from_json(fields, timestamp_ms=time.at_ms)


def _time(body: dict[str, object], element: dict[str, object], received_ms: int | None) -> DeviceTime:
    for found in (element.get("timestamp_micros"), body.get("timestamp_micros")):
        if found is None:
            continue
        micros = number(found)
        if not isinstance(micros, int) or isinstance(micros, bool):
            raise RefusedError("bad_timestamp", path="$.timestamp_micros", detail=f"expected whole microseconds, found {json_type(found)}")
        return in_years(corrected(micros // 1_000, None, received_ms), path="$.timestamp_micros")
    if received_ms is None:
        raise RefusedError("bad_timestamp", path="$.timestamp_micros", detail="absent, and it is not known when the message was received")
    return DeviceTime(received_ms)


def _properties(name: str, params: dict[str, object]) -> dict[str, object]:
    """The parameters by our names. The value of an order is its total, as shops fill it in."""
    found = renamed({key: value for key, value in params.items() if key != "items" and key not in PAGE}, PARAMS)
    if name in ORDERS and "total" not in found and "value" in found:
        found["total"] = found["value"]
    return {**found, **page_of(*(params.get(key) for key in PAGE))}


def _items(params: dict[str, object]) -> list[dict[str, object]]:
    items: object = params.get("items")
    if items is None:
        return []
    if not isinstance(items, list):
        raise RefusedError("wrong_type", path="$.params.items", detail=f"expected an array, found {json_type(items)}")
    found: list[dict[str, object]] = []
    for index, item in enumerate(cast("list[object]", items)):
        if not isinstance(item, dict):
            raise RefusedError("wrong_type", path=f"$.params.items[{index}]", detail=f"expected an object, found {json_type(item)}")
        found.append(renamed(cast("dict[str, object]", item), ITEM))
    return found


def _user_properties(body: dict[str, object]) -> dict[str, object]:
    """Traits: each stands under a ``value``."""
    found = section(body, "user_properties") or {}
    values = {name: cast("dict[str, object]", held).get("value") if isinstance(held, dict) else held for name, held in found.items()}
    return without_empty(values)


def _context(body: dict[str, object]) -> dict[str, object]:
    device, location = section(body, "device") or {}, section(body, "user_location") or {}
    return without_empty(
        {
            "device": without_empty({"type": device.get("category"), "model": device.get("model"), "manufacturer": device.get("brand")}),
            "os": without_empty({"name": device.get("operating_system"), "version": device.get("operating_system_version")}),
            "locale": device.get("language"),
            "location": without_empty(
                {"city": location.get("city"), "region": location.get("region_id"), "country": location.get("country_id")}
            ),
            "userAgent": body.get("user_agent"),
            "ip": body.get("ip_override"),
            "consent": section(body, "consent"),
        }
    )
