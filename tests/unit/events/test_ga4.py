"""Bodies of Google Analytics 4's Measurement Protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamer.events.adapters import adapt
from streamer.events.adapters.outcome import Outcome, Refusal
from streamer.events.event import Event

RECEIVED_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
ITEM = {"item_id": "p1", "item_name": "Shoe", "item_category": "Shoes", "item_brand": "B", "price": 12.5, "quantity": 2, "index": 3}
PRODUCT = {"product_id": "p1", "name": "Shoe", "category": "Shoes", "brand": "B", "price": 12.5, "quantity": 2, "position": 3}


def body(*events: object, **more: object) -> dict[str, object]:
    """A body of a device and a user."""
    return {"client_id": "c.1", "user_id": "u-1", "timestamp_micros": (RECEIVED_MS - 1_000) * 1_000, "events": list(events), **more}


def outcomes(whole: object, received_ms: int | None = RECEIVED_MS) -> list[Outcome]:
    """What a body gives."""
    return list(adapt(json.dumps(whole).encode(), format_name="ga4", received_ms=received_ms))


def event(name: str, params: dict[str, Any] | None = None, **more: object) -> Event:
    """The one event of a body with one."""
    [found] = outcomes(body({"name": name, "params": params or {}}, **more))
    assert isinstance(found, Event), found
    return found


@pytest.mark.parametrize(
    ("name", "params", "expected", "properties"),
    [
        ("view_item", {"items": [ITEM]}, "Product Viewed", PRODUCT),
        ("add_to_cart", {"currency": "EUR", "value": 25, "items": [ITEM]}, "Product Added", {"currency": "EUR", "value": 25, **PRODUCT}),
        ("remove_from_cart", {"items": [ITEM]}, "Product Removed", PRODUCT),
        ("view_item_list", {"item_list_id": "l", "items": [ITEM]}, "Product List Viewed", {"list_id": "l", "products": [PRODUCT]}),
        ("view_cart", {"items": [ITEM]}, "Cart Viewed", {"products": [PRODUCT]}),
        ("begin_checkout", {}, "Checkout Started", None),
        ("add_payment_info", {"payment_type": "card"}, "Payment Info Entered", {"payment_method": "card"}),
        ("search", {"search_term": "shoe"}, "Products Searched", {"query": "shoe"}),
        ("tutorial_begin", {"step": "1"}, "tutorial_begin", {"step": "1"}),
        (
            "purchase",
            {"transaction_id": "t1", "value": 30.0, "tax": 5, "items": [ITEM]},
            "Order Completed",
            {"order_id": "t1", "value": 30.0, "total": 30.0, "tax": 5, "products": [PRODUCT]},
        ),
        ("refund", {"transaction_id": "t1", "value": 30.0}, "Order Refunded", {"order_id": "t1", "value": 30.0, "total": 30.0}),
    ],
)
def test_events_have_the_names_that_rules_use(name: str, params: dict[str, Any], expected: str, properties: dict[str, Any] | None) -> None:
    """A rule over "Order Completed" must see the purchases of a shop that speaks Google's words."""
    found = event(name, params)
    assert (found.name, found.properties) == (expected, properties)
    assert (found.user_id, found.anonymous_id, found.timestamp_ms) == ("u-1", "c.1", RECEIVED_MS - 1_000)


def test_a_page_is_a_page() -> None:
    """Its address is in the context of every event that says it."""
    page = {"url": "https://shop.example.org/p/1", "title": "P", "path": "/p/1"}
    params = {"page_location": page["url"], "page_title": "P"}
    viewed = event("page_view", params)
    assert (viewed.type, viewed.event, viewed.properties) == ("page", None, page)
    assert (event("begin_checkout", params).context or {})["page"] == page
    assert event("screen_view", {"firebase_screen": "Home"}).properties == {"name": "Home"}


def test_several_products_added_at_once_are_an_event_each() -> None:
    """Rules sum the prices of products that were added."""
    found = outcomes(body({"name": "add_to_cart", "params": {"items": [ITEM, {**ITEM, "item_id": "p2"}]}}))
    assert [isinstance(one, Event) and (one.properties or {})["product_id"] for one in found] == ["p1", "p2"]


def test_what_stands_once_in_a_body_holds_for_its_events() -> None:
    """Traits, the device and where it is."""
    found = event(
        "view_cart",
        user_properties={"tier": {"value": "gold"}, "gone": {"value": None}},
        device={"category": "mobile", "operating_system": "Android", "language": "de"},
        user_location={"city": "Berlin", "country_id": "DE"},
        consent={"ad_user_data": "DENIED"},
    )
    assert found.traits == {"tier": "gold"}
    assert found.context == {
        "device": {"type": "mobile"},
        "os": {"name": "Android"},
        "locale": "de",
        "location": {"city": "Berlin", "country": "DE"},
        "consent": {"ad_user_data": "DENIED"},
    }


def test_an_app_is_known_by_its_instance() -> None:
    """Firebase says ``app_instance_id`` where the web says ``client_id``."""
    [found] = outcomes({"app_instance_id": "a-1", "events": [{"name": "first_open"}]})
    assert isinstance(found, Event)
    assert (found.customer, found.name, found.timestamp_ms) == ("a-1", "Application Installed", RECEIVED_MS)


def test_an_event_may_have_a_time_of_its_own() -> None:
    """And nothing happened after it was told."""
    ahead = {"name": "b", "timestamp_micros": (RECEIVED_MS + HOUR_MS) * 1_000}
    first, second = outcomes(body({"name": "a", "timestamp_micros": (RECEIVED_MS - 5) * 1_000}, ahead))
    assert isinstance(first, Event)
    assert isinstance(second, Event)
    assert (first.timestamp_ms, second.timestamp_ms) == (RECEIVED_MS - 5, RECEIVED_MS)


def test_a_repeated_body_has_the_same_ids_and_equal_events_in_it_have_not() -> None:
    """There are no ids on the wire: a second cart of the same shoe is one more, a second request is not."""
    twice = body({"name": "add_to_cart"}, {"name": "add_to_cart"})
    ids = [one.message_id for one in outcomes(twice) if isinstance(one, Event)]
    assert ids == [one.message_id for one in outcomes(twice, RECEIVED_MS + 60_000) if isinstance(one, Event)]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("whole", "expected"),
    [
        ({"client_id": "c"}, ("wrong_type", "$.events")),
        (body({"params": {}}), ("missing_event_name", "$.events[0].name")),
        (body({"name": "a", "params": 5}), ("wrong_type", "$.events[0].params")),
        (body({"name": "a", "params": {"items": [5]}}), ("wrong_type", "$.events[0].params.items[0]")),
        (body({"name": "a"}, timestamp_micros="soon"), ("bad_timestamp", "$.events[0].timestamp_micros")),
        ({"events": [{"name": "a"}]}, ("missing_id", "$.events[0].user_id")),
        ({"client_id": [], "events": [{"name": "a"}]}, ("wrong_type", "$.client_id")),
    ],
)
def test_a_fault_is_named_by_the_field_of_the_body(whole: object, expected: tuple[str, str]) -> None:
    """Whoever corrects a sender knows Google's names, not ours."""
    [found] = outcomes(whole)
    assert isinstance(found, Refusal)
    assert (found.reason, found.path) == expected


def test_what_holds_for_all_events_must_not_become_all_of_memory() -> None:
    """A body of one megabyte could say 60 kB of traits for ten thousand events."""
    large = body(*[{"name": "a"}] * 10_000, user_properties={"t": {"value": "x" * 60_000}})
    [found] = outcomes(large)
    assert isinstance(found, Refusal)
    assert found.reason == "too_large"
