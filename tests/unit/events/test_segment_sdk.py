"""What the SDKs of Segment, RudderStack and Jitsu put on the wire."""

from __future__ import annotations

import json
from typing import Any

import pytest
from event_strategies import nearly_right
from hypothesis import given
from hypothesis import strategies as st
from recorded_requests import events_of

from streamer.events.adapters import adapt
from streamer.events.adapters.outcome import Outcome, Refusal
from streamer.events.admission import REASONS
from streamer.events.event import Event
from streamer.values import parse_time_ms

RECEIVED_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
TRACK: dict[str, Any] = {"type": "track", "event": "Cart Viewed", "messageId": "m-1", "userId": "c-17"}


def outcomes(body: object, *, received_ms: int | None = RECEIVED_MS, kind: str = "") -> list[Outcome]:
    """What a body gives."""
    return list(adapt(json.dumps(body).encode(), format_name="segment_sdk", received_ms=received_ms, kind=kind))


def event(body: object, *, received_ms: int | None = RECEIVED_MS, kind: str = "") -> Event:
    """The one event of a body."""
    [found] = outcomes(body, received_ms=received_ms, kind=kind)
    assert isinstance(found, Event), found
    return found


# recorded


def test_what_segments_python_sdk_sends_is_read_whole() -> None:
    """Each kind of message, with the ids of both kinds, and a time that the caller gave."""
    received = parse_time_ms("2026-11-29T03:05:49Z")
    found = events_of("segment_python", "segment_sdk", received)
    assert [(one.name, one.user_id, one.anonymous_id) for one in found] == [
        ("identify", "u-1", None),
        ("Product Added", "u-1", "an-1"),
        ("page", "u-1", None),
        ("screen", "u-1", None),
        ("group", "u-1", None),
        ("alias", "u-1", None),
        ("Product Viewed", None, "an-2"),
        ("Old", "u-1", None),
    ]
    assert found[0].traits == {"email": "a@example.org"}
    assert found[1].properties == {"product_id": "p1", "price": 12.5}
    assert found[2].properties == {"url": "https://shop.example.org/cart", "name": "Cart", "category": "Shop"}
    assert found[5].properties == {"previousId": "an-1"}
    assert found[7].timestamp_ms == parse_time_ms("2026-01-01T10:00:00Z")
    assert all(one.context == {"library": {"name": "analytics-python", "version": "2.4.0"}} for one in found)


def test_what_rudderstacks_python_sdk_sends_is_read_whole() -> None:
    """Its traits stand in the context."""
    found = events_of("rudder_python", "segment_sdk", parse_time_ms("2026-11-29T03:05:51Z"))
    assert [one.name for one in found] == ["identify", "Order Completed", "page", "Old"]
    assert found[0].traits == {"email": "a@example.org"}
    assert found[1].properties == {"order_id": "o1", "total": 30.0}


@pytest.mark.parametrize(("name", "received"), [("segment_python", "2026-11-29T02:05:49Z"), ("rudder_python", "2026-11-29T02:05:51Z")])
def test_a_client_whose_clock_is_an_hour_fast_is_corrected(name: str, received: str) -> None:
    """On the wire there is only the device's own time under ``timestamp``."""
    received_ms = parse_time_ms(received)
    assert received_ms is not None
    first = events_of(name, "segment_sdk", received_ms)[0]
    assert received_ms - 2_000 < first.timestamp_ms <= received_ms
    offset = (first.context or {})["clock_offset_ms"]
    assert -HOUR_MS - 2_000 < offset < -HOUR_MS + 2_000


# the clocks


def test_the_devices_time_is_the_events_own_and_not_that_of_its_batch() -> None:
    """RudderStack's node SDK writes when it sent under ``timestamp`` of the batch, and Segment's under ``sentAt``."""
    element = {**TRACK, "originalTimestamp": RECEIVED_MS - 60_000, "sentAt": RECEIVED_MS - 100}
    [found] = outcomes({"batch": [element], "timestamp": RECEIVED_MS - 100})
    assert isinstance(found, Event)
    assert found.timestamp_ms == RECEIVED_MS - 60_000


def test_the_original_time_comes_before_the_other() -> None:
    """Where a message has both, one of them was written later."""
    assert event({**TRACK, "originalTimestamp": RECEIVED_MS - 9_000, "timestamp": RECEIVED_MS - 1_000}).timestamp_ms == RECEIVED_MS - 9_000


def test_a_time_of_receipt_is_ours_to_say() -> None:
    """Believed of a client, it would undo the correction."""
    late = {**TRACK, "timestamp": RECEIVED_MS, "sentAt": RECEIVED_MS, "receivedAt": RECEIVED_MS + HOUR_MS}
    assert event(late).timestamp_ms == RECEIVED_MS
    assert event(late, received_ms=None).timestamp_ms == RECEIVED_MS + HOUR_MS


def test_without_a_time_of_its_own_an_event_happened_when_it_came() -> None:
    """``sentAt`` is by the device's clock."""
    assert event({**TRACK, "sentAt": RECEIVED_MS - HOUR_MS}).timestamp_ms == RECEIVED_MS
    assert event({**TRACK, "sentAt": RECEIVED_MS - HOUR_MS}, received_ms=None).timestamp_ms == RECEIVED_MS - HOUR_MS
    [found] = outcomes(TRACK, received_ms=None)
    assert isinstance(found, Refusal)
    assert (found.reason, found.path) == ("bad_timestamp", "$.timestamp")


def test_a_clock_that_only_helps_does_not_cost_the_event() -> None:
    """An unreadable ``sentAt`` leaves the original; an unreadable original is refused."""
    assert event({**TRACK, "timestamp": RECEIVED_MS - 5, "sentAt": "soon"}).timestamp_ms == RECEIVED_MS - 5
    [found] = outcomes({**TRACK, "timestamp": "soon"})
    assert isinstance(found, Refusal)
    assert (found.reason, found.path) == ("bad_timestamp", "$.timestamp")


def test_a_mark_of_the_client_is_overwritten() -> None:
    """What was done to a time is ours to say."""
    sent = {**TRACK, "timestamp": RECEIVED_MS + HOUR_MS, "sentAt": RECEIVED_MS + HOUR_MS, "context": {"clock_offset_ms": 0}}
    assert event(sent).context == {"clock_offset_ms": -HOUR_MS}


# type and id


def test_the_path_says_the_type_where_the_body_does_not() -> None:
    """``POST /v1/page`` need not say it twice; what the body says comes first."""
    untyped = {key: value for key, value in TRACK.items() if key != "type"}
    assert event({**untyped, "timestamp": RECEIVED_MS}, kind="page").type == "page"
    assert event({**TRACK, "timestamp": RECEIVED_MS}, kind="page").type == "track"
    [found] = outcomes(untyped)
    assert isinstance(found, Refusal)
    assert found.reason == "unknown_type"


def test_without_an_id_of_its_own_a_second_delivery_is_the_same_event() -> None:
    """A random id would count a retry twice; when it was sent and how far the clock was off is not content."""
    unnamed = {key: value for key, value in TRACK.items() if key != "messageId"} | {"timestamp": RECEIVED_MS - HOUR_MS}
    first = event({**unnamed, "sentAt": RECEIVED_MS - HOUR_MS})
    again = event({**unnamed, "sentAt": RECEIVED_MS - HOUR_MS + 30_000}, received_ms=RECEIVED_MS + 30_000)
    other = event({**unnamed, "event": "Cart Left"})
    assert first.message_id == again.message_id != other.message_id


@given(st.lists(nearly_right() | st.integers() | st.none(), max_size=5), st.none() | st.integers(0, 2**41))
def test_nothing_of_a_batch_is_lost(elements: list[Any], received_ms: int | None) -> None:
    """Each element is an event or is refused for a known reason, and nothing else comes out."""
    found = outcomes({"batch": elements, "sentAt": 5}, received_ms=received_ms)
    assert len(found) == max(1, len(elements))
    assert all(isinstance(one, Event) or one.reason in REASONS for one in found)
