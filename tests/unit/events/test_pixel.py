"""Events in the query of a request for an image."""

from __future__ import annotations

import base64
import json

from streamer.events.adapters import adapt
from streamer.events.adapters.outcome import Outcome, Refusal
from streamer.events.event import Event

RECEIVED_MS = 1_700_000_000_000


def outcome(query: dict[str, str], kind: str = "track", received_ms: int = RECEIVED_MS) -> Outcome:
    """What a query gives."""
    [found] = adapt(b"", format_name="pixel", received_ms=received_ms, kind=kind, query=query)
    return found


def test_parameters_are_fields_and_properties() -> None:
    """Amounts are numbers, ids stay texts: 007 is another product than 7. The key is no property."""
    found = outcome({"event": "Mail Opened", "userId": "c-17", "campaign": "c", "total": "12.5", "product_id": "007", "writeKey": "wk"})
    assert isinstance(found, Event)
    assert (found.name, found.customer, found.timestamp_ms) == ("Mail Opened", "c-17", RECEIVED_MS)
    assert found.properties == {"campaign": "c", "total": 12.5, "product_id": "007"}


def test_a_message_may_be_packed_whole() -> None:
    """As Segment's pixel has it, with or without padding."""
    raw = json.dumps({"event": "Mail Opened", "anonymousId": "an-1", "messageId": "m-1", "properties": {"a": 1}}).encode()
    for data in (base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).rstrip(b"=").decode()):
        found = outcome({"data": data, "writeKey": "wk"})
        assert isinstance(found, Event)
        assert (found.message_id, found.properties) == ("m-1", {"a": 1})


def test_each_opening_of_a_mail_is_an_event() -> None:
    """The same query comes again with every opening, and says no time."""
    query = {"event": "Mail Opened", "userId": "c-17"}
    first, again, later = outcome(query), outcome(query), outcome(query, received_ms=RECEIVED_MS + 1)
    assert isinstance(first, Event)
    assert isinstance(later, Event)
    assert first == again
    assert first.message_id != later.message_id


def test_a_query_that_says_nothing_is_refused() -> None:
    """With the place of the fault."""
    found, packed = outcome({}), outcome({"data": "%%"})
    assert isinstance(found, Refusal)
    assert found.reason == "missing_id"
    assert isinstance(packed, Refusal)
    assert (packed.reason, packed.path) == ("not_json", "$.data")
