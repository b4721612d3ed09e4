"""Payloads of Snowplow's trackers: the body of a POST (``payload_data``) or the query of a GET.

All values are texts, self-describing events and entities JSON in base64. Actions and entities of Snowplow's e-commerce schemas become
events of Segment's e-commerce spec; a schema of the shop's own is a custom event by its name. Entities that we do not know are kept in
the context. ``dtm`` and ``stm`` are the clock of the device, ``ttm`` a time that the shop vouches for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, cast

from streamer.errors import RefusedError
from streamer.events.adapters.device_clock import DeviceTime, corrected, device_ms, in_years
from streamer.events.adapters.digest import content_id
from streamer.events.adapters.fields import at_source, first_identifier, identifier, number, without_empty
from streamer.events.adapters.iglu import Iglu, entities_of, event_in
from streamer.events.adapters.outcome import Outcome, each_element
from streamer.events.adapters.pages import page_of
from streamer.events.adapters.products import per_product, renamed
from streamer.events.adapters.snowplow_context import context_of
from streamer.events.codec import from_json, unknown_type
from streamer.events.json_limits import json_type, within_limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamer.events.adapters.message import Message
    from streamer.events.event import Event

SHOP: Final = "com.snowplowanalytics.snowplow.ecommerce"
OLD_SHOP: Final = "com.snowplowanalytics.snowplow"
ACTIONS: Final = {
    "product_view": "Product Viewed",
    "list_view": "Product List Viewed",
    "list_click": "Product Clicked",
    "add_to_cart": "Product Added",
    "remove_from_cart": "Product Removed",
    "checkout_step": "Checkout Step Viewed",
    "transaction": "Order Completed",
    "refund": "Order Refunded",
    "promo_view": "Promotion Viewed",
    "promo_click": "Promotion Clicked",
}
SCHEMAS: Final = {
    "link_click": "Link Clicked",
    "add_to_cart": "Product Added",
    "remove_from_cart": "Product Removed",
    "site_search": "Products Searched",
    "application_install": "Application Installed",
    "application_foreground": "Application Opened",
    "application_background": "Application Backgrounded",
}
OURS: Final = (OLD_SHOP, "com.snowplowanalytics.mobile")  # whose schemas have names of ours
PRODUCT: Final = {"id": "product_id", "sku": "product_id", "unitPrice": "price"}
ORDER: Final = {"transaction_id": "order_id", "revenue": "total", "discount_code": "coupon", "discount_amount": "discount"}
REFUND: Final = {"transaction_id": "order_id", "refund_amount": "total", "refund_reason": "reason"}
STEP: Final = {"payment_method": "payment_method", "coupon_code": "coupon"}
STRUCTURED: Final = {"se_ca": "category", "se_ac": "action", "se_la": "label", "se_pr": "property", "se_va": "value"}
TRANSACTION: Final = {
    "tr_id": "order_id",
    "tr_af": "affiliation",
    "tr_tt": "total",
    "tr_tx": "tax",
    "tr_sh": "shipping",
    "tr_ci": "city",
    "tr_st": "state",
    "tr_co": "country",
    "tr_cu": "currency",
}
ITEM: Final = {
    "ti_id": "order_id",
    "ti_sk": "product_id",
    "ti_nm": "name",
    "ti_ca": "category",
    "ti_pr": "price",
    "ti_qu": "quantity",
    "ti_cu": "currency",
}
PING: Final = {"pp_mix": "x_min", "pp_max": "x_max", "pp_miy": "y_min", "pp_may": "y_max"}
AMOUNTS: Final = frozenset({"value", "total", "tax", "shipping", "price", "quantity", *PING.values()})
SOURCES: Final = {"userId": "uid", "anonymousId": "duid", "messageId": "eid", "context": "cx", "event": "e"}


class Said(NamedTuple):
    """What a payload says happened. ``products`` stand in its entities."""

    kind: str
    name: str
    properties: dict[str, object]
    products: list[dict[str, object]] = []


def from_snowplow(message: Message) -> Iterator[Outcome]:
    """The events of each payload in a body, of a body that is one payload, or of a query."""
    if not message.body:
        yield from _events(dict(message.query), message.received_ms)
        return
    body = message.fields()
    if "data" in body or "e" not in body:
        yield from each_element(body.get("data"), "$.data", lambda payload: _events(payload, message.received_ms))
    else:
        yield from _events(body, message.received_ms)


def _events(payload: dict[str, object], received_ms: int | None) -> Iterator[Event]:
    """The events of one payload; ``RefusedError`` with the place in it."""
    time = _time(payload, received_ms)
    entities = entities_of(payload)
    said = _said(payload, entities)
    message_id = identifier(payload, "eid") or _content_id(payload, time.at_ms)
    session = entities.first("client_session")
    shared = {
        "type": said.kind,
        "event": said.name or None,
        "userId": identifier(payload, "uid") or identifier(entities.first("user"), "id"),
        "anonymousId": first_identifier(payload, "duid", "tnuid", "nuid") or identifier(session, "userId"),
        "traits": without_empty({"email": entities.first("user").get("email")}) or None,
        "context": {**context_of(payload, entities), **time.marks()} or None,
    }
    try:
        for one_id, properties in per_product(said.name, message_id, said.properties, said.products, path="$.cx"):
            yield from_json({**shared, "messageId": one_id, "properties": properties or None}, timestamp_ms=time.at_ms)
    except RefusedError as error:
        raise at_source(error, SOURCES) from None


def _said(payload: dict[str, object], entities: Iglu) -> Said:
    match payload.get("e"):
        case "pv":
            return Said("page", "", page_of(payload.get("url"), payload.get("page"), payload.get("refr")))
        case "pp":
            return Said("track", "Page Ping", _named(payload, PING))
        case "se":
            properties = _named(payload, STRUCTURED)
            return Said("track", identifier(payload, "se_ac") or "", properties)
        case "tr":
            return Said("track", "Order Completed", _named(payload, TRANSACTION))
        case "ti":
            return Said("track", "Order Item", _named(payload, ITEM))
        case "ue":
            return _self_described(payload, entities)
        case str():
            raise _unknown("another text")
        case other:
            raise _unknown(json_type(other))


def _unknown(found: str) -> RefusedError:
    return RefusedError(unknown_type(found).reason, path="$.e", detail=f"expected one of pv, pp, se, tr, ti, ue, found {found}")


def _named(payload: dict[str, object], names: dict[str, str]) -> dict[str, object]:
    """The fields that are there, by our names, amounts as numbers."""
    found = renamed({key: payload.get(key) for key in names}, names)
    return {name: number(value) if name in AMOUNTS else value for name, value in found.items()}


def _self_described(payload: dict[str, object], entities: Iglu) -> Said:
    vendor, name, data = event_in(payload)
    if name == "snowplow_ecommerce_action" and vendor == SHOP:
        return _shop_action(data, entities)
    if name == "screen_view" and vendor in OURS:
        return Said("screen", "", data)
    ours = SCHEMAS.get(name, name) if vendor in OURS else name
    if vendor == OLD_SHOP and name in {"add_to_cart", "remove_from_cart"}:
        return Said("track", ours, renamed(data, PRODUCT))
    if ours == "Products Searched" and isinstance(terms := data.get("terms"), list):
        return Said("track", ours, {**data, "query": " ".join(str(term) for term in cast("list[object]", terms))})
    return Said("track", ours, data)


def _shop_action(data: dict[str, object], entities: Iglu) -> Said:
    """An action of the e-commerce schemas: what it is about stands in its entities."""
    action = identifier(data, "type") or ""
    name = ACTIONS.get(action, action)
    step = entities.first("checkout_step")
    if action == "checkout_step" and number(step.get("step")) == 1:
        name = "Checkout Started"
    properties = {
        **renamed({key: value for key, value in data.items() if key != "type"}, {"name": "list_name"}),
        **renamed(entities.first("cart"), {"total_value": "value"}),
        **renamed(step, STEP),
        **renamed(entities.first("promotion"), {"id": "promotion_id"}),
        **renamed(entities.first("transaction"), ORDER),
        **renamed(entities.first("refund"), REFUND),
    }
    return Said("track", name, properties, [renamed(product, PRODUCT) for product in entities.all("product")])


def _time(payload: dict[str, object], received_ms: int | None) -> DeviceTime:
    true, made, sent = (device_ms(number(payload.get(key)), path=f"$.{key}") for key in ("ttm", "dtm", "stm"))
    if true is not None:
        return in_years(corrected(true, None, received_ms), path="$.ttm")
    if made is not None:
        return in_years(corrected(made, sent, received_ms), path="$.dtm")
    moment = sent if received_ms is None else received_ms
    if moment is None:
        raise RefusedError("bad_timestamp", path="$.dtm", detail="absent, as is stm, and it is not known when the message was received")
    return in_years(DeviceTime(moment), path="$.stm")


def _content_id(payload: dict[str, object], at_ms: int) -> str:
    """Made of all but when it was sent, so that a second delivery is the same event."""
    content = {key: value for key, value in payload.items() if key != "stm"}
    return content_id(within_limits(content if content.get("dtm") or content.get("ttm") else {**content, "dtm": at_ms}))
