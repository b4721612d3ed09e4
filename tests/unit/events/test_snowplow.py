"""Payloads of Snowplow's trackers."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from recorded_requests import events_of

from streamer.events.adapters import adapt
from streamer.events.adapters.outcome import Outcome, Refusal
from streamer.events.event import Event

RECEIVED_MS = 1_795_921_552_500  # half a second after the recorded body was sent
HOUR_MS = 3_600_000
SHOP = "com.snowplowanalytics.snowplow.ecommerce"
PAGE: dict[str, str] = {"e": "pv", "url": "https://shop.example.org/p/1", "eid": "e-1", "duid": "d-1", "dtm": str(RECEIVED_MS - 1_000)}


def packed(vendor: str, name: str, data: object) -> str:
    """Self-describing JSON as trackers pack it, without padding as those in browsers do."""
    raw = json.dumps({"schema": f"iglu:{vendor}/{name}/jsonschema/1-0-0", "data": data}).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def described(vendor: str, name: str, data: object) -> dict[str, object]:
    """An entity, or what an event describes."""
    return {"schema": f"iglu:{vendor}/{name}/jsonschema/1-0-0", "data": data}


def self_described(vendor: str, name: str, data: object, *entities: dict[str, object]) -> dict[str, str]:
    """A payload with an event of a schema, and entities."""
    payload = {key: value for key, value in PAGE.items() if key != "url"} | {
        "e": "ue",
        "ue_px": packed("com.snowplowanalytics.snowplow", "unstruct_event", described(vendor, name, data)),
    }
    return {**payload, "cx": packed("com.snowplowanalytics.snowplow", "contexts", list(entities))} if entities else payload


def outcomes(*payloads: object) -> list[Outcome]:
    """What a body of payloads gives."""
    schema = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"
    return list(adapt(json.dumps({"schema": schema, "data": payloads}).encode(), format_name="snowplow", received_ms=RECEIVED_MS))


def event(payload: object) -> Event:
    """The one event of a payload."""
    [found] = outcomes(payload)
    assert isinstance(found, Event), found
    return found


def refusal(payload: object) -> tuple[str, str]:
    """Reason and place for which a payload is refused."""
    [found] = outcomes(payload)
    assert isinstance(found, Refusal), found
    return found.reason, found.path


@pytest.mark.parametrize("name", ["snowplow_post", "snowplow_get"])
def test_what_the_python_tracker_sends_is_read_whole(name: str) -> None:
    """By either method: each kind of event, with texts for numbers, and what is said of page, screen and session."""
    found = events_of(name, "snowplow", RECEIVED_MS + 600)
    assert [one.name for one in found] == [
        "page",
        "Page Ping",
        "add-to-basket",
        "Product Added",
        "Order Completed",
        "screen",
        "voucher_seen",
        "Order Completed",
        "Order Item",
    ]
    assert {(one.user_id, one.anonymous_id) for one in found} == {("u-1", "d-1")}
    page, ping, structured, added, order, screen, own, transaction, item = (one.properties for one in found)
    address = "https://shop.example.org/p/1?x=1"
    assert page == {"url": address, "title": "P 1", "referrer": "https://ref.example.org/", "path": "/p/1", "search": "?x=1"}
    assert ping == {"x_min": 0, "x_max": 10, "y_min": 0, "y_max": 200}
    assert structured == {"category": "shop", "action": "add-to-basket", "label": "p1", "property": "blue", "value": 12.5}
    product = {"product_id": "p1", "name": "Shoe", "category": "Shoes", "price": 12.5, "quantity": 2, "currency": "EUR"}
    assert added == {**product, "cart_id": "c1", "value": 25.0}
    assert order is not None
    assert (order["order_id"], order["total"], order["products"]) == ("t1", 25.0, [product])
    assert screen == {"id": "sv1", "name": "Home"}
    assert own == {"code": "X1", "deep": {"a": [1]}}
    assert transaction is not None
    assert (transaction["order_id"], transaction["total"], transaction["currency"]) == ("o1", 30.0, "EUR")
    assert item == {**product, "order_id": "o1"}
    context = found[0].context or {}
    assert context["library"] == {"name": "snowplow-py", "version": "1.1.0"}
    assert context["screen"] == {"width": 1920, "height": 1080}
    assert context["session"] == {"id": "s-1", "index": 3}
    assert (context["app"], context["tracker"], context["timezone"], context["locale"]) == ({"name": "shop"}, "sp1", "Europe/Berlin", "en")
    assert (context["userAgent"], context["ip"]) == ("UA", "203.0.113.7")


@pytest.mark.parametrize(
    ("action", "entity", "name", "expected"),
    [
        ("product_view", ("product", {"id": "p1", "price": 5}), "Product Viewed", {"product_id": "p1", "price": 5}),
        ("list_click", ("product", {"id": "p1"}), "Product Clicked", {"product_id": "p1"}),
        ("list_view", ("product", {"id": "p1"}), "Product List Viewed", {"products": [{"product_id": "p1"}]}),
        ("remove_from_cart", ("product", {"id": "p1"}), "Product Removed", {"product_id": "p1"}),
        ("checkout_step", ("checkout_step", {"step": 1}), "Checkout Started", {"step": 1}),
        ("checkout_step", ("checkout_step", {"step": 2, "coupon_code": "X"}), "Checkout Step Viewed", {"step": 2, "coupon": "X"}),
        ("refund", ("refund", {"transaction_id": "t", "refund_amount": 9}), "Order Refunded", {"order_id": "t", "total": 9}),
        ("promo_click", ("promotion", {"id": "x"}), "Promotion Clicked", {"promotion_id": "x"}),
        ("trns_error", ("transaction", {"transaction_id": "t"}), "trns_error", {"order_id": "t"}),
    ],
)
def test_actions_of_the_shop_have_the_names_that_rules_use(
    action: str, entity: tuple[str, dict[str, Any]], name: str, expected: dict[str, Any]
) -> None:
    """Snowplow says what was done in the event, and to what in an entity."""
    found = event(self_described(SHOP, "snowplow_ecommerce_action", {"type": action}, described(SHOP, *entity)))
    assert (found.name, found.properties) == (name, expected)


def test_several_products_added_at_once_are_an_event_each() -> None:
    """Rules count and sum products that were added; each has an id of its own, the same on a second delivery."""
    products = [described(SHOP, "product", {"id": "p1", "price": 5}), described(SHOP, "product", {"id": "p2", "price": 7})]
    payload = self_described(SHOP, "snowplow_ecommerce_action", {"type": "add_to_cart"}, *products)
    found = outcomes(payload)
    assert found == outcomes(payload)
    assert [isinstance(one, Event) and one.properties for one in found] == [
        {"product_id": "p1", "price": 5},
        {"product_id": "p2", "price": 7},
    ]
    assert len({one.message_id for one in found if isinstance(one, Event)}) == 2


def test_more_products_than_an_event_may_have_are_refused() -> None:
    """A small message must not become all of memory."""
    products = [described(SHOP, "product", {"id": "p"})] * 300
    payload = self_described(SHOP, "snowplow_ecommerce_action", {"type": "add_to_cart"}, *products)
    assert refusal(payload) == ("too_large", "$.data[0].cx")


def test_older_schemas_have_the_same_names() -> None:
    """What a shop with an older tracker sends means the same."""
    found = event(self_described("com.snowplowanalytics.snowplow", "add_to_cart", {"sku": "p1", "unitPrice": 5, "quantity": 1}))
    assert (found.name, found.properties) == ("Product Added", {"product_id": "p1", "price": 5, "quantity": 1})
    searched = event(self_described("com.snowplowanalytics.snowplow", "site_search", {"terms": ["red", "shoe"]}))
    assert (searched.name, (searched.properties or {})["query"]) == ("Products Searched", "red shoe")


def test_another_vendors_schema_of_the_same_name_is_a_custom_event() -> None:
    """A name means something only together with its vendor."""
    assert event(self_described("org.example", "add_to_cart", {"sku": "p1"})).name == "add_to_cart"


def test_a_telephone_is_known_by_its_entities() -> None:
    """Mobile trackers say who, and on what, there; entities that we do not know are kept."""
    session = described("com.snowplowanalytics.snowplow", "client_session", {"userId": "device-1", "sessionId": "s-9", "sessionIndex": 2})
    device = described("com.snowplowanalytics.snowplow", "mobile_context", {"osType": "iOS", "osVersion": "19", "deviceModel": "X"})
    other = described("org.example", "experiment", {"arm": "b"})
    payload = self_described("com.snowplowanalytics.mobile", "screen_view", {"name": "Home"}, session, device, other)
    found = event({key: value for key, value in payload.items() if key != "duid"})
    assert (found.type, found.anonymous_id) == ("screen", "device-1")
    context = found.context or {}
    assert (context["device"], context["os"]) == ({"type": "ios", "model": "X"}, {"name": "iOS", "version": "19"})
    assert (context["session"], context["entities"]) == ({"id": "s-9", "index": 2}, {"experiment": {"arm": "b"}})


# clocks and ids


def test_the_clock_of_a_device_is_corrected_by_when_it_sent() -> None:
    """``stm`` is by the same clock as ``dtm``; the time that a shop vouches for is not corrected."""
    fast = {**PAGE, "dtm": str(RECEIVED_MS + HOUR_MS - 5_000), "stm": str(RECEIVED_MS + HOUR_MS)}
    assert (event(fast).timestamp_ms, (event(fast).context or {})["clock_offset_ms"]) == (RECEIVED_MS - 5_000, -HOUR_MS)
    assert event({**fast, "ttm": str(RECEIVED_MS - 9_000)}).timestamp_ms == RECEIVED_MS - 9_000
    assert event({key: value for key, value in PAGE.items() if key != "dtm"}).timestamp_ms == RECEIVED_MS


def test_without_an_id_a_second_delivery_is_the_same_event() -> None:
    """When it was sent is not content."""
    unnamed = {key: value for key, value in PAGE.items() if key != "eid"}
    first, again = event({**unnamed, "stm": str(RECEIVED_MS - 900)}), event({**unnamed, "stm": str(RECEIVED_MS)})
    assert first.message_id == again.message_id != event({**unnamed, "url": "https://shop.example.org/"}).message_id


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"e": "xx"}, ("unknown_type", "$.data[0].e")),
        ({"e": None}, ("unknown_type", "$.data[0].e")),
        ({"e": "ue"}, ("missing_event_name", "$.data[0].ue_px")),
        ({"e": "ue", "ue_px": "%%%"}, ("not_json", "$.data[0].ue_px")),
        ({"e": "ue", "ue_px": "e30"}, ("missing_event_name", "$.data[0].ue_px.data.schema")),
        ({"e": "se"}, ("missing_event_name", "$.data[0].e")),
        ({"cx": "W10"}, ("not_an_object", "$.data[0].cx")),
        ({"dtm": "soon"}, ("bad_timestamp", "$.data[0].dtm")),
        ({"duid": ""}, ("missing_id", "$.data[0].uid")),
    ],
)
def test_a_fault_is_named_by_the_field_of_the_payload(change: dict[str, Any], expected: tuple[str, str]) -> None:
    """Whoever corrects a tracker knows Snowplow's names, not ours."""
    assert refusal({**PAGE, **change}) == expected
