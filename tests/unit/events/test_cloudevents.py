"""CloudEvents: structured, in a batch, and with their attributes in headers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamer.events.adapters import adapt
from streamer.events.adapters.outcome import Outcome, Refusal
from streamer.events.event import Event
from streamer.values import parse_time_ms

RECEIVED_MS = 1_795_921_552_500
CLOUD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "/shop",
    "type": "org.example.voucher.seen",
    "subject": "c-17",
    "time": "2026-11-29T03:00:00Z",
    "data": {"code": "X1"},
}


def outcomes(body: object, headers: dict[str, str] | None = None, received_ms: int | None = RECEIVED_MS) -> list[Outcome]:
    """What a body gives."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return list(adapt(raw, format_name="cloudevents", received_ms=received_ms, headers=headers or {}))


def event(body: object, headers: dict[str, str] | None = None) -> Event:
    """The one event of a body."""
    [found] = outcomes(body, headers)
    assert isinstance(found, Event), found
    return found


def test_any_object_is_a_custom_event_by_its_type() -> None:
    """The customer is the subject, unless the data or the envelope says better."""
    found = event(CLOUD)
    assert (found.name, found.customer, found.properties) == ("org.example.voucher.seen", "c-17", {"code": "X1"})
    assert (found.timestamp_ms, found.context) == (parse_time_ms("2026-11-29T03:00:00Z"), {"source": "/shop"})
    assert event({**CLOUD, "userid": "u-1"}).customer == "u-1"
    assert event({**CLOUD, "data": {"userId": "u-2"}, "userid": "u-1"}).customer == "u-2"
    anonymous = event({**CLOUD, "anonymousid": "an-1"})
    assert (anonymous.user_id, anonymous.anonymous_id) == (None, "an-1")


def test_data_in_our_form_is_that_event() -> None:
    """With its own id and time where it has them, else with those of the envelope."""
    ours = {"event": "Order Completed", "userId": "u-1", "properties": {"total": 5}}
    found = event({**CLOUD, "data": ours})
    assert (found.name, found.customer, found.properties) == ("Order Completed", "u-1", {"total": 5})
    assert found.timestamp_ms == parse_time_ms("2026-11-29T03:00:00Z")
    own = event({**CLOUD, "data": {**ours, "messageId": "m-1", "timestamp": RECEIVED_MS - 5}})
    assert (own.message_id, own.timestamp_ms) == ("m-1", RECEIVED_MS - 5)
    assert event({**CLOUD, "data": {"type": "page", "anonymousId": "an-1"}}).type == "page"


def test_source_and_id_together_name_an_event() -> None:
    """Each source counts for itself; a second delivery is the same event, whatever else changed."""
    first = event(CLOUD).message_id
    assert first == event({**CLOUD, "time": "2026-11-29T03:00:01Z"}).message_id
    assert len({first, event({**CLOUD, "source": "/other"}).message_id, event({**CLOUD, "id": "2"}).message_id}) == 3


def test_a_batch_is_a_list() -> None:
    """One bad element costs nothing but itself; content types are not needed."""
    first, second, third = outcomes([CLOUD, 5, {**CLOUD, "id": "2"}], {"content-type": "text/plain"})
    assert isinstance(first, Event)
    assert isinstance(third, Event)
    assert isinstance(second, Refusal)
    assert (second.reason, second.path, second.part) == ("wrong_type", "$[1]", b"5")
    [empty] = outcomes([])
    assert isinstance(empty, Refusal)
    assert empty.reason == "skipped"


@pytest.mark.parametrize("prefix", ["ce-", "ce_"])
def test_attributes_may_stand_in_headers(prefix: str) -> None:
    """By HTTP with a hyphen, in Kafka with an underscore; what is not ASCII is percent-encoded."""
    headers = {f"{prefix}{name}": value for name, value in CLOUD.items() if name not in {"data", "subject"}}
    found = event(CLOUD["data"], {**headers, f"{prefix}subject": "c-%E2%82%AC", "content-type": "application/json"})
    assert (found.customer, found.properties, found.message_id) == ("c-€", {"code": "X1"}, event(CLOUD).message_id)
    [empty] = outcomes(b"", {**headers, f"{prefix}subject": "c-17"})
    assert isinstance(empty, Event)
    assert empty.properties is None


def test_data_may_be_in_base64() -> None:
    """As a producer writes it that has bytes."""
    found = event({key: value for key, value in CLOUD.items() if key != "data"} | {"data_base64": "eyJjb2RlIjoiWDEifQ=="})
    assert found.properties == {"code": "X1"}


def test_without_a_time_it_happened_when_it_came_and_never_later() -> None:
    """A server's clock is believed, but for that."""
    untimed = {key: value for key, value in CLOUD.items() if key != "time"}
    assert event(untimed).timestamp_ms == RECEIVED_MS
    assert event({**CLOUD, "time": "2027-01-01T00:00:00Z"}).timestamp_ms == RECEIVED_MS
    [found] = outcomes(untimed, received_ms=None)
    assert isinstance(found, Refusal)
    assert (found.reason, found.path) == ("bad_timestamp", "$.time")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (5, ("not_an_object", "$")),
        ({}, ("wrong_type", "$.id")),
        ({**CLOUD, "source": ""}, ("wrong_type", "$.source")),
        ({**CLOUD, "data": "text"}, ("wrong_type", "$.data")),
        ({**CLOUD, "data_base64": "%"}, ("not_json", "$.data_base64")),
        ({**CLOUD, "time": "soon"}, ("bad_timestamp", "$.time")),
        ({**CLOUD, "subject": ""}, ("missing_id", "$.subject")),
        ({**CLOUD, "type": "x" * 300}, ("bad_text", "$.type")),
        ({**CLOUD, "data": {"event": "A", "userId": "u", "timestamp": "soon"}}, ("bad_timestamp", "$.data.timestamp")),
    ],
)
def test_a_fault_is_named_by_its_place(body: object, expected: tuple[str, str]) -> None:
    """By the attribute of the envelope, or by the field of the data."""
    [found] = outcomes(body)
    assert isinstance(found, Refusal)
    assert (found.reason, found.path) == expected
