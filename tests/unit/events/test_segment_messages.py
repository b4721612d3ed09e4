"""Messages in the form of Segment and RudderStack."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from event_strategies import nearly_right
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import RefusedError
from streamer.events.adapters import ADAPTERS, adapt, from_segment
from streamer.events.admission import REASONS
from streamer.events.codec import decode, encode

CORPUS = Path(__file__).parents[2] / "data" / "segment_format_events"
RECEIVED_MS = 1_700_000_000_000
TRACK: dict[str, Any] = {"type": "track", "event": "Cart Viewed", "messageId": "m-1", "userId": "c-17", "timestamp": "1970-01-01T00:00:01Z"}


def outcomes() -> list[Any]:
    """(file, line, outcome, place) of every message of the corpus, as decided in its table."""
    with (CORPUS / "OUTCOMES.tsv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    return [pytest.param(row["file"], int(row["line"]), row["outcome"], row["place"], id=f"{row['file']}:{row['line']}") for row in rows]


def message_of(file: str, line: int) -> dict[str, Any]:
    """The message at that place of the corpus."""
    text = (CORPUS / file).read_text(encoding="utf-8")
    return json.loads(text)["message"] if file.endswith(".json") else json.loads(text.splitlines()[line - 1])["event"]


def refusal(message: dict[str, Any], received_ms: int | None = None) -> tuple[str, str]:
    """Reason and place for which ``message`` is refused."""
    with pytest.raises(RefusedError) as caught:
        from_segment(message, received_ms=received_ms)
    return caught.value.reason, caught.value.path


# other people's messages


@pytest.mark.parametrize(("file", "line", "outcome", "place"), outcomes())
def test_the_vendors_own_messages_are_accepted_or_refused_on_purpose(file: str, line: int, outcome: str, place: str) -> None:
    """The table gives a reason for each, so that no change of ours moves one over by accident."""
    message = message_of(file, line)
    if outcome == "accepted":
        event = from_segment(message, received_ms=RECEIVED_MS)
        assert event.type == place
        assert decode(encode(event)) == event
    else:
        assert refusal(message, RECEIVED_MS) == (outcome, place)


def test_the_table_of_outcomes_covers_the_whole_corpus() -> None:
    """A message that is missing from the table would be decided by accident."""
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in CORPUS.glob("*.ndjson"))
    assert len(outcomes()) == lines + len(list(CORPUS.glob("rudder_sdk_browser/*.json"))) == 173


# whose clock


@pytest.mark.parametrize(
    ("clocks", "received_ms", "expected_ms"),
    [
        ({"timestamp": "1970-01-01T00:00:09Z", "originalTimestamp": 1, "sentAt": 2, "receivedAt": 3}, 4, 9_000),
        ({"originalTimestamp": 5_000, "sentAt": 6_000, "receivedAt": 9_000}, 99_000, 8_000),
        ({"originalTimestamp": 5_000, "sentAt": 6_000}, 9_000, 8_000),
        ({"originalTimestamp": 5_000, "sentAt": 6_000}, None, 5_000),
        ({"originalTimestamp": 5_000, "receivedAt": 9_000}, None, 5_000),
        ({"sentAt": 6_000, "receivedAt": 9_000}, None, 9_000),
        ({"sentAt": 6_000}, 9_000, 9_000),
        ({"sentAt": 6_000}, None, 6_000),
        ({"timestamp": "", "originalTimestamp": None}, 9_000, 9_000),
    ],
)
def test_the_time_is_taken_from_the_best_clock_there_is(clocks: dict[str, Any], received_ms: int | None, expected_ms: int) -> None:
    """A phone that is an hour wrong is an hour wrong in both of its clocks: their difference is right."""
    message = {**TRACK, "timestamp": None, **clocks}
    assert from_segment(message, received_ms=received_ms).timestamp_ms == expected_ms


def test_a_message_without_any_time_is_refused() -> None:
    """Nothing here reads a clock: a message that came from nowhere at no time did not happen."""
    assert refusal({**TRACK, "timestamp": None}) == ("bad_timestamp", "$.timestamp")


@pytest.mark.parametrize("clock", ["timestamp", "originalTimestamp", "sentAt", "receivedAt"])
def test_a_clock_that_cannot_be_read_is_refused_where_it_stands(clock: str) -> None:
    """To pass over it quietly would put the event at another time than the sender meant."""
    assert refusal({**TRACK, "timestamp": None, clock: "2023-11-22T10:12:44.75705:30"}, 1) == ("bad_timestamp", f"$.{clock}")


def test_a_clock_so_wrong_that_the_corrected_time_is_none_is_refused() -> None:
    """Taking out an error of fifty years leads before 1970."""
    assert refusal({**TRACK, "timestamp": None, "originalTimestamp": 0, "sentAt": 2**41}, 5) == ("bad_timestamp", "$.originalTimestamp")


def test_a_device_that_was_reset_to_before_1970_is_corrected() -> None:
    """A phone in India that begins anew shows 1969; its two clocks still tell how long the message waited."""
    clocks = {
        "originalTimestamp": "1969-12-31T18:30:10.000Z",
        "sentAt": "1969-12-31T18:30:11.000Z",
        "receivedAt": "2026-03-01T12:00:01.000Z",
    }
    event = from_segment({**TRACK, "timestamp": None, **clocks}, received_ms=None)
    assert event.timestamp_ms == 1_772_366_400_000
    assert refusal({**TRACK, "timestamp": None, "originalTimestamp": clocks["originalTimestamp"]}) == (
        "bad_timestamp",
        "$.originalTimestamp",
    )


@pytest.mark.parametrize("clock", ["sentAt", "originalTimestamp", "receivedAt"])
@pytest.mark.parametrize("garbled", ["2023-11-22T10:12:44.75705:30", 1_772_359_200, True, [], "soon"])
def test_a_clock_that_is_not_needed_costs_nothing(clock: str, garbled: object) -> None:
    """Beside a good timestamp nobody reads the others."""
    assert from_segment({**TRACK, clock: garbled}, received_ms=None).timestamp_ms == 1_000


@pytest.mark.parametrize("clock", ["timestamp", "originalTimestamp", "sentAt", "receivedAt"])
def test_seconds_are_refused_by_the_name_of_their_clock(clock: str) -> None:
    """Read as milliseconds they lie in January 1970."""
    assert refusal({**TRACK, "timestamp": None, clock: 1_772_359_200}, 1) == ("epoch_seconds", f"$.{clock}")


# who


@pytest.mark.parametrize(
    ("written", "expected"), [(17, "17"), (17.0, "17"), ("17", "17"), (2**62, str(2**62)), (10**35, "1" + "0" * 35), (2.0**53, str(2**53))]
)
def test_a_numeric_id_is_its_text(written: object, expected: str) -> None:
    """The same customer comes as a number from one SDK and as text from another."""
    assert from_segment({**TRACK, "userId": written}, received_ms=None).customer == expected


@pytest.mark.parametrize("written", [157963456373623802.0, 1e17, -(2.0**53) - 2, float("nan"), float("inf"), 10**256])
def test_a_number_that_may_have_lost_digits_is_no_id(written: float) -> None:
    """157963456373623802.0 is read as …808, who is somebody else."""
    assert refusal({**TRACK, "userId": written}) == ("wrong_type", "$.userId")
    assert refusal({**TRACK, "messageId": written}) == ("wrong_type", "$.messageId")


@pytest.mark.parametrize("written", [True, 1.5, [], {"id": 17}])
def test_an_id_that_is_neither_text_nor_whole_is_refused(written: object) -> None:
    """Half of a customer is nobody."""
    assert refusal({**TRACK, "userId": written}) == ("wrong_type", "$.userId")


def test_an_empty_user_id_leaves_the_anonymous_one() -> None:
    """RudderStack's browser SDK sends an empty text until somebody logs in."""
    assert from_segment({**TRACK, "userId": "", "anonymousId": "a-9"}, received_ms=None).customer == "a-9"


# what


@pytest.mark.parametrize("kind", ["Track", "TRACK", "track"])
def test_the_type_may_be_in_any_case(kind: str) -> None:
    """RudderStack's own tests have all three."""
    assert from_segment({**TRACK, "type": kind}, received_ms=None).type == "track"


@pytest.mark.parametrize("kind", [None, 5, "action", ""])
@pytest.mark.parametrize("timestamp", [TRACK["timestamp"], None, "soon"])
def test_a_message_of_no_known_type_is_refused(kind: object, timestamp: str | None) -> None:
    """Old pages of the spec say ``action``; to guess from the other fields would accept fragments too. Its time is not looked at."""
    assert refusal({**TRACK, "type": kind, "timestamp": timestamp}) == ("unknown_type", "$.type")


def test_the_body_of_a_batch_is_told_from_a_message() -> None:
    """It is what the vendors' HTTP interfaces take, so it is what somebody stores."""
    assert refusal({"batch": [TRACK], "sentAt": "2026-03-01T10:00:02Z"}) == ("batch_body", "$.batch")


@pytest.mark.parametrize(("written", "expected"), [(12, "12"), (12.0, "12"), ("12", "12")])
def test_a_numeric_event_name_is_its_text(written: object, expected: str) -> None:
    """As a numeric id is."""
    assert from_segment({**TRACK, "event": written}, received_ms=None).name == expected


@pytest.mark.parametrize("section", ["properties", "traits", "context"])
def test_an_empty_array_is_an_empty_object(section: str) -> None:
    """PHP writes an empty map so: the vendors' own library for PHP does."""
    assert from_segment({**TRACK, section: []}, received_ms=None) == from_segment({**TRACK, section: {}}, received_ms=None)
    assert from_segment({**TRACK, "context": {"traits": []}}, received_ms=None) == from_segment(TRACK, received_ms=None)


def test_the_traits_of_the_context_are_overruled_by_those_of_the_message() -> None:
    """The context holds what was known before, the message what has just been said."""
    message = {
        **TRACK,
        "type": "identify",
        "traits": {"plan": "gold"},
        "context": {"traits": {"plan": "free", "city": "Graz"}, "locale": "de"},
    }
    event = from_segment(message, received_ms=None)
    assert event.traits == {"plan": "gold", "city": "Graz"}
    assert event.context == {"locale": "de"}


def test_the_traits_of_a_group_are_not_the_customers() -> None:
    """A company's name and plan would otherwise overwrite those of the person who joined it."""
    message = {**TRACK, "type": "group", "groupId": 7, "traits": {"name": "Initech"}, "context": {"traits": {"name": "Jane"}}}
    event = from_segment(message, received_ms=None)
    assert event.properties == {"name": "Initech", "groupId": "7"}
    assert event.traits == {"name": "Jane"}


@pytest.mark.parametrize("kind", ["page", "screen"])
def test_the_name_of_a_page_becomes_a_property(kind: str) -> None:
    """Rules look at properties, and the name of the page is what most of them ask for."""
    message = {**TRACK, "type": kind, "name": "Home", "category": "Start", "properties": {"name": "old", "category": "kept"}}
    event = from_segment(message, received_ms=None)
    assert (event.name, event.properties) == (kind, {"name": "Home", "category": "kept"})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "Checkout"),
        ({"properties": {"name": "Own"}}, "Own"),
        ({"name": "Said"}, "Said"),
        ({"name": "", "properties": {"name": ""}}, "Checkout"),
        ({"event": ""}, None),
        ({"event": {"a": 1}}, None),
    ],
)
@pytest.mark.parametrize("kind", ["page", "screen"])
def test_a_screen_that_is_named_by_its_event_keeps_the_name(kind: str, changes: dict[str, Any], expected: str | None) -> None:
    """RudderStack's mobile SDKs put it there."""
    event = from_segment({**TRACK, "type": kind, "event": "Checkout", **changes}, received_ms=None)
    assert (event.name, (event.properties or {}).get("name")) == (kind, expected)


def test_an_alias_keeps_the_id_it_comes_from() -> None:
    """Whoever merges histories needs both ids."""
    event = from_segment({**TRACK, "type": "alias", "previousId": "a-9"}, received_ms=None)
    assert event.properties == {"previousId": "a-9"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"traits": [1]}, ("wrong_type", "$.traits")),
        ({"context": "web"}, ("wrong_type", "$.context")),
        ({"context": {"traits": 1}}, ("wrong_type", "$.context.traits")),
        ({"type": "page", "name": {"path": "/"}}, ("wrong_type", "$.name")),
        ({"event": None}, ("missing_event_name", "$.event")),
        ({"userId": "\ud800"}, ("bad_utf8", "$.userId")),
        ({"properties": {"a": json.loads("[" * 40 + "]" * 40)}}, ("too_deep", f"$.properties.a{'[0]' * 30}")),
    ],
)
def test_a_refusal_names_the_place_in_the_message(changes: dict[str, Any], expected: tuple[str, str]) -> None:
    """The sender knows their message, not our event."""
    assert refusal({**TRACK, **changes}) == expected


@pytest.mark.parametrize("odd", [float("nan"), 10**30, "\ud800", json.loads("[" * 40 + "]" * 40)])
def test_a_field_that_nobody_reads_costs_nothing(odd: object) -> None:
    """Integrations are for other people's destinations."""
    assert from_segment({**TRACK, "integrations": {"a": odd}}, received_ms=None) == from_segment(TRACK, received_ms=None)
    if not isinstance(odd, list):
        nameless = {key: value for key, value in TRACK.items() if key != "messageId"}
        assert from_segment({**nameless, "properties": {"a": odd}}, received_ms=None).message_id.startswith("content-")


# which


def test_a_second_delivery_without_an_id_is_the_same_event() -> None:
    """A retry differs in when it was sent and received, and in nothing else."""
    message = {key: value for key, value in TRACK.items() if key != "messageId"} | {"timestamp": None, "originalTimestamp": 5_000}
    once = from_segment({**message, "sentAt": 6_000, "receivedAt": 7_000}, received_ms=None)
    again = from_segment({**dict(reversed(message.items())), "sentAt": 16_000, "receivedAt": 17_500}, received_ms=None)
    assert once.message_id == again.message_id == "content-2e76f24c775db93f0ffe5afeadf4ebed"


def test_two_messages_that_say_the_same_at_no_time_are_two_events() -> None:
    """Without any time of its own, a second look at a product would be swallowed as a retry of the first."""
    message = {key: value for key, value in TRACK.items() if key not in {"messageId", "timestamp"}}
    assert from_segment(message, received_ms=1).message_id != from_segment(message, received_ms=2).message_id


# laws


@given(nearly_right(), st.none() | st.integers(0, 2**42))
def test_any_message_is_an_event_or_refused_for_a_known_reason(message: dict[str, Any], received_ms: int | None) -> None:
    """Admission is a public door: nothing that is pushed through it may break it."""
    try:
        event = from_segment(message, received_ms=received_ms)
    except RefusedError as error:
        outcome = error.reason
        assert outcome in REASONS
    else:
        assert decode(encode(event)) == event


def test_a_message_is_left_as_it_was() -> None:
    """It may go to a dead letter or another adapter afterwards."""
    message = {**TRACK, "type": "group", "traits": {"a": 1}, "properties": {"b": 2}, "context": {"traits": {"c": 3}}}
    before = json.dumps(message)
    from_segment(message, received_ms=None)
    assert json.dumps(message) == before


# the registry


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_adapter_takes_bytes_and_gives_an_event(name: str) -> None:
    """Admission knows formats only by their names."""
    event = adapt(json.dumps(TRACK).encode(), format_name=name, received_ms=None)
    assert (event.name, event.customer, event.timestamp_ms) == ("Cart Viewed", "c-17", 1_000)


def test_a_format_nobody_knows_is_refused() -> None:
    """The name comes from a header, which comes from outside."""
    with pytest.raises(RefusedError, match="unknown_format"):
        adapt(b"{}", format_name="ga4", received_ms=None)


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_adapter_looks_at_the_size_first(name: str) -> None:
    """A door that reads before it measures can be kept busy with one large letter."""
    with pytest.raises(RefusedError, match="too_large"):
        adapt(b"[" * 5_000_000, format_name=name, received_ms=None)
