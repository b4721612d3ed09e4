"""What other protocols than Segment's send by HTTP, and what stands beside a body."""

from __future__ import annotations

import base64

import pytest

from .desk import KEYS, SERVER, opened, track

pytestmark = pytest.mark.fast

TP2 = "/com.snowplowanalytics.snowplow/tp2"
VISITOR = base64.b64encode(b"an-9").decode()


async def test_an_event_without_an_id_is_of_whom_rudderstacks_header_names() -> None:
    """Its SDKs say there who is behind the request. What an event says of itself comes first."""
    nobody = {name: value for name, value in track(number=1).items() if name != "anonymousId"}
    batch = {
        "batch": [
            nobody,
            track(number=2),
            {**nobody, "messageId": "m-3", "userId": "u-1"},
            {**nobody, "messageId": "m-4", "anonymousId": ""},
        ]
    }
    async with opened() as desk:
        assert (await desk.post("/v1/batch", batch, AnonymousId=VISITOR)).status == 200
        found = [(event.message_id, event.user_id, event.anonymous_id) for event in desk.sink.events]
    assert found == [("m-1", None, "an-9"), ("m-2", None, "an-1"), ("m-3", "u-1", None), ("m-4", None, "an-9")]


async def test_a_header_that_nobody_can_read_names_nobody() -> None:
    """The event is a dead letter, as without it; the request is no error of ours."""
    nobody = {name: value for name, value in track().items() if name != "anonymousId"}
    async with opened() as desk:
        for header in ("%%%", base64.b64encode(b"\xff\xfe").decode(), ""):
            response = await desk.post("/v1/track", nobody, AnonymousId=header)
            assert (response.status, (await response.json())["code"]) == (400, "missing_id")
        assert len(desk.sink.letters) == 3


async def test_an_address_that_snowplow_or_google_passes_on_is_truncated_too() -> None:
    """A server-side tracker names its visitor's address in a field of its own."""
    snowplow = {"e": "pv", "eid": "m-1", "duid": "an-1", "ip": "203.0.113.77", "dtm": "1795921200000", "tv": "py-1.1.0", "p": "web"}
    ga4 = {"client_id": "an-1", "ip_override": "2001:db8:1:2::3", "events": [{"name": "page_view"}]}
    async with opened(keys=KEYS) as desk:
        assert (await desk.post(TP2, {"schema": "iglu:payload_data", "data": [snowplow]}, key=SERVER)).status == 200
        assert (await desk.post(f"/mp/collect?api_secret={SERVER}", ga4)).status == 204
        assert [(event.context or {}).get("ip") for event in desk.sink.events] == ["203.0.113.0", "2001:db8:1::"]


async def test_googles_measurement_protocol_is_taken_and_answered_with_nothing() -> None:
    """Its clients expect 204; the secret in the query is the key."""
    body = {"client_id": "an-1", "events": [{"name": "add_to_cart", "params": {"items": [{"item_id": "p-1"}]}}, {"name": "purchase"}]}
    async with opened(keys=KEYS) as desk:
        response = await desk.post(f"/mp/collect?measurement_id=G-1&api_secret={SERVER}", body)
        assert (response.status, await response.read()) == (204, b"")
        assert [event.event for event in desk.sink.events] == ["Product Added", "Order Completed"]
        assert (await desk.post("/mp/collect?api_secret=wrong", body)).status == 401


async def test_cloudevents_are_taken_one_as_a_list_and_with_headers() -> None:
    """The three forms of the protocol; which one it is, is not believed of the content type."""
    cloud = {"specversion": "1.0", "source": "/shop", "type": "Cart Viewed", "subject": "u-1"}
    async with opened(keys=KEYS) as desk:
        one = await desk.post("/cloudevents", {**cloud, "id": "1", "data": {"total": 5}}, key=SERVER)
        many = await desk.post("/cloudevents", [{**cloud, "id": "2"}, {**cloud, "id": "3"}, {**cloud, "id": ""}], key=SERVER)
        headers = {f"ce_{name}": text for name, text in cloud.items()}
        binary = await desk.post("/cloudevents", {"total": 7}, key=SERVER, ce_id="4", **headers)
        assert [one.status, many.status, binary.status] == [200, 200, 200]
        assert [each["index"] for each in (await many.json())["refused"]] == [2]
        assert [event.event for event in desk.sink.events] == ["Cart Viewed"] * 4
        assert [(event.properties or {}).get("total") for event in desk.sink.events] == [5, None, None, 7]
        assert len({event.message_id for event in desk.sink.events}) == 4
        assert len(desk.sink.letters) == 1
