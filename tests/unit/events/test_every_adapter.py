"""What every adapter keeps, whatever is pushed through it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_requests import BODIES, recorded

from streamer.events.adapters import ADAPTERS, adapt
from streamer.events.adapters.outcome import Outcome, Refusal
from streamer.events.admission import REASONS
from streamer.events.codec import decode, encode
from streamer.events.event import Event

LISTS = {"segment_sdk": "batch", "segment": "batch", "streamer": "batch", "snowplow": "data", "ga4": "events"}
WORDS = st.sampled_from(
    [
        *("pv", "se", "ue", "tr", "ti", "pp", "track", "page", "view_item", "add_to_cart"),
        *("u-1", "1700000000000", "2026-01-01T00:00:00", "", "soon"),
    ]
)
DESCRIBED = b'{"data": {"schema": "iglu:a/b/jsonschema/1-0-0", "data": {"c": 1}}}'
PACKED = st.sampled_from([b"{}", b"[]", b'{"data": []}', DESCRIBED, b"\xff"]).map(lambda raw: base64.urlsafe_b64encode(raw).decode())
KEYS = st.sampled_from(
    [
        *(
            "type",
            "event",
            "userId",
            "anonymousId",
            "messageId",
            "timestamp",
            "originalTimestamp",
            "sentAt",
            "properties",
            "traits",
            "context",
        ),
        *("originalTimestamp", "e", "eid", "uid", "duid", "dtm", "stm", "ttm", "ue_px", "ue_pr", "cx", "co", "se_ac", "tr_id", "res", "tv"),
        *("name", "params", "items", "client_id", "user_id", "timestamp_micros", "user_properties", "device"),
        *("specversion", "id", "source", "subject", "time", "data", "data_base64", "userid"),
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5) | WORDS | PACKED,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
ELEMENTS: st.SearchStrategy[Any] = st.dictionaries(KEYS, VALUES, max_size=10) | VALUES
MOMENTS = st.none() | st.integers(0, 2**41)


def is_sound(outcome: Outcome) -> bool:
    """An event that the log can hold, or a refusal for a known reason."""
    if isinstance(outcome, Event):
        return decode(encode(outcome)) == outcome
    return outcome.reason in REASONS and outcome.path.startswith("$")


def elements_of(found: list[Outcome], place: str, count: int) -> Iterator[int]:
    """Indexes of the elements that were refused."""
    for index in range(count):
        if any(not isinstance(one, Event) and one.path.startswith(f"{place}[{index}]") for one in found):
            yield index


@pytest.mark.parametrize("name", sorted(ADAPTERS))
@given(
    st.binary(max_size=60) | ELEMENTS.map(lambda value: json.dumps(value).encode()),
    MOMENTS,
    st.dictionaries(st.sampled_from(["ce-id", "ce-source", "ce-type", "ce_id", "ce_source", "ce_type", "ce-subject"]), st.text(max_size=5)),
    st.dictionaries(KEYS, st.text(max_size=5) | WORDS | PACKED),
)
def test_no_message_breaks_an_adapter(
    name: str, raw: bytes, received_ms: int | None, headers: dict[str, str], query: dict[str, str]
) -> None:
    """Its doors stand open to the whole world: what comes is an event or is refused, and never an error."""
    found = list(adapt(raw, format_name=name, received_ms=received_ms, headers=headers, query=query))
    assert found
    assert all(is_sound(one) for one in found)


@pytest.mark.parametrize("name", sorted(LISTS))
@given(st.lists(ELEMENTS, min_size=1, max_size=4), MOMENTS)
def test_no_element_of_a_list_is_lost(name: str, elements: list[Any], received_ms: int | None) -> None:
    """Each is refused by its place, or is an event: one, or where it tells of several products, several."""
    key = LISTS[name]
    raw = json.dumps({key: elements, "client_id": "c-1"}).encode()
    found = list(adapt(raw, format_name=name, received_ms=received_ms))
    refused = list(elements_of(found, f"$.{key}", len(elements)))
    accepted = sum(isinstance(one, Event) for one in found)
    assert len(found) - accepted == len(refused), "a refusal that is of no element"
    assert accepted >= len(elements) - len(refused)
    assert accepted or len(refused) == len(elements)


@pytest.mark.parametrize("name", sorted(file.stem for file in BODIES.glob("*.ndjson")))
@given(data=st.data())
def test_recorded_bodies_that_were_damaged_break_nothing(name: str, data: st.DataObject) -> None:
    """What is nearly right reaches further in than what is drawn: a byte of a real body is changed, or its end is gone."""
    request = data.draw(st.sampled_from(recorded(name)))
    raw = bytearray(request.body)
    for at in data.draw(st.lists(st.integers(0, max(0, len(raw) - 1)), max_size=3)) if raw else []:
        raw[at] = data.draw(st.integers(0, 255))
    body = bytes(raw[: data.draw(st.integers(0, len(raw)))]) if data.draw(st.booleans()) else bytes(raw)
    for format_name in ("segment_sdk", "snowplow"):
        found = list(adapt(body, format_name=format_name, received_ms=1_795_921_552_500, query=request.query))
        assert found
        assert all(is_sound(one) for one in found)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("cloudevents", {"specversion": "1.0", "id": "\ud800", "source": "/s", "type": "Cart Viewed", "subject": "c-1"}),
        ("cloudevents", [{"specversion": "1.0", "id": "1", "source": "\ud800", "type": "Cart Viewed", "subject": "c-1"}]),
        ("ga4", {"client_id": "\ud800", "events": [{"name": "purchase"}]}),
        ("segment_sdk", {"type": "track", "event": "Cart Viewed", "messageId": "\ud800", "userId": "c-1"}),
    ],
)
def test_half_of_a_character_in_an_id_is_refused(name: str, body: object) -> None:
    """A text that was cut within an emoji; ids are made of it, and no two of such may be taken for one."""
    found = list(adapt(json.dumps(body).encode(), format_name=name, received_ms=1_795_921_552_500))
    assert [one.reason for one in found if isinstance(one, Refusal)] == ["bad_utf8"]
    assert len(found) == 1
