"""Messages in the form of Segment and RudderStack."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from event_strategies import nearly_right
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import RefusedError
from streamer.events.adapters import ADAPTERS, Adapter, adapt
from streamer.events.adapters.digest import content_id
from streamer.events.adapters.message import Message
from streamer.events.adapters.outcome import Outcome, Refusal, each
from streamer.events.adapters.segment import from_segment, segment_event
from streamer.events.admission import REASONS, SIZE_MAX
from streamer.events.codec import decode, encode, from_fields
from streamer.events.event import Event

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS = Path(__file__).parents[2] / "data" / "segment_format_events"
OF_THIS_FORM = ("streamer", "segment", "rudderstack", "segment_sdk")
RECEIVED_MS = 1_700_000_000_000
TRACK: dict[str, Any] = {"type": "track", "event": "Cart Viewed", "messageId": "m-1", "userId": "c-17", "timestamp": "1970-01-01T00:00:01Z"}


def segment_outcomes(body: dict[str, Any]) -> list[Outcome]:
    """What a body in this form gives."""
    return list(from_segment(Message(json.dumps(body).encode())))


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
        segment_event(message, received_ms)
    return caught.value.reason, caught.value.path


# other people's messages


@pytest.mark.parametrize(("file", "line", "outcome", "place"), outcomes())
def test_the_vendors_own_messages_are_accepted_or_refused_on_purpose(file: str, line: int, outcome: str, place: str) -> None:
    """The table gives a reason for each, so that no change of ours moves one over by accident."""
    message = message_of(file, line)
    if outcome == "accepted":
        event = segment_event(message, RECEIVED_MS)
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
    message: dict[str, object] = {**TRACK, "timestamp": None, **clocks}
    assert segment_event(message, received_ms).timestamp_ms == expected_ms


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
    event = segment_event({**TRACK, "timestamp": None, **clocks}, None)
    assert event.timestamp_ms == 1_772_366_400_000
    assert refusal({**TRACK, "timestamp": None, "originalTimestamp": clocks["originalTimestamp"]}) == (
        "bad_timestamp",
        "$.originalTimestamp",
    )


@pytest.mark.parametrize("clock", ["sentAt", "originalTimestamp", "receivedAt"])
@pytest.mark.parametrize("garbled", ["2023-11-22T10:12:44.75705:30", 1_772_359_200, True, [], "soon"])
def test_a_clock_that_is_not_needed_costs_nothing(clock: str, garbled: object) -> None:
    """Beside a good timestamp nobody reads the others."""
    assert segment_event({**TRACK, clock: garbled}, None).timestamp_ms == 1_000


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
    assert segment_event({**TRACK, "userId": written}, None).customer == expected


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
    assert segment_event({**TRACK, "userId": "", "anonymousId": "a-9"}, None).customer == "a-9"


# what


@pytest.mark.parametrize("kind", ["Track", "TRACK", "track"])
def test_the_type_may_be_in_any_case(kind: str) -> None:
    """RudderStack's own tests have all three."""
    assert segment_event({**TRACK, "type": kind}, None).type == "track"


@pytest.mark.parametrize("kind", [None, 5, "action", ""])
@pytest.mark.parametrize("timestamp", [TRACK["timestamp"], None, "soon"])
def test_a_message_of_no_known_type_is_refused(kind: object, timestamp: str | None) -> None:
    """Old pages of the spec say ``action``; to guess from the other fields would accept fragments too. Its time is not looked at."""
    assert refusal({**TRACK, "type": kind, "timestamp": timestamp}) == ("unknown_type", "$.type")


def test_the_body_of_a_batch_gives_every_message_in_it() -> None:
    """It is what the vendors' HTTP interfaces take, so it is what somebody stores."""
    found = list(segment_outcomes({"batch": [TRACK, {**TRACK, "messageId": "m-2"}], "sentAt": "2026-03-01T10:00:02Z"}))
    assert [one.message_id for one in found if isinstance(one, Event)] == ["m-1", "m-2"]


def test_a_message_of_a_batch_that_is_none_costs_the_others_nothing() -> None:
    """The refusal says which element it is and carries that element alone."""
    nested, named = {"batch": [TRACK]}, {**TRACK, "userId": None, "anonymousId": None, "event": "größer"}
    found = list(segment_outcomes({"batch": [5, TRACK, named, nested, TRACK]}))
    refused = [(one.reason, one.path) for one in found if isinstance(one, Refusal)]
    assert refused == [("wrong_type", "$.batch[0]"), ("missing_id", "$.batch[2].userId"), ("unknown_type", "$.batch[3].type")]
    assert [type(one) for one in found] == [Refusal, Event, Refusal, Refusal, Event]
    assert [json.loads(one.part) for one in found if isinstance(one, Refusal) and isinstance(one.part, bytes)] == [5, named, nested]


def test_what_a_batch_says_holds_for_each_message_that_does_not_say_it_itself() -> None:
    """The vendors' interfaces take one context and one clock for all; a device whose clock is an hour slow is corrected once."""
    slow = {key: value for key, value in TRACK.items() if key != "timestamp"} | {"originalTimestamp": "2026-03-01T09:00:00Z"}
    body: dict[str, object] = {
        "batch": [slow, {**TRACK, "context": {"locale": "fr"}}],
        "context": {"locale": "de", "ip": "::1"},
        "sentAt": "2026-03-01T09:00:02Z",
        "receivedAt": "2026-03-01T10:00:02Z",
    }
    first, second = (one for one in segment_outcomes(body) if isinstance(one, Event))
    assert (first.timestamp_ms, first.context) == (1_772_359_200_000, {"locale": "de", "ip": "::1"})
    assert (second.timestamp_ms, second.context) == (1_000, {"locale": "fr", "ip": "::1"})


def test_an_empty_batch_is_skipped_and_not_lost() -> None:
    """Every line of a file counts; this one says that there was nothing."""
    assert list(segment_outcomes({"batch": []})) == [Refusal("skipped", "$.batch", "an empty list")]


def test_an_element_with_half_of_a_surrogate_pair_can_still_be_shown() -> None:
    """It is no event, and no UTF-8 either; what is refused is written down all the same."""
    [found] = segment_outcomes({"batch": [{**TRACK, "userId": "\ud83d"}]})
    assert isinstance(found, Refusal)
    assert isinstance(found.part, bytes)
    assert json.loads(found.part)["userId"] == "\ud83d"


@pytest.mark.parametrize(("written", "expected"), [(12, "12"), (12.0, "12"), ("12", "12")])
def test_a_numeric_event_name_is_its_text(written: object, expected: str) -> None:
    """As a numeric id is."""
    assert segment_event({**TRACK, "event": written}, None).name == expected


@pytest.mark.parametrize("section", ["properties", "traits", "context"])
def test_an_empty_array_is_an_empty_object(section: str) -> None:
    """PHP writes an empty map so: the vendors' own library for PHP does."""
    assert segment_event({**TRACK, section: []}, None) == segment_event({**TRACK, section: {}}, None)
    assert segment_event({**TRACK, "context": {"traits": []}}, None) == segment_event(TRACK, None)


def test_the_traits_of_the_context_are_overruled_by_those_of_the_message() -> None:
    """The context holds what was known before, the message what has just been said."""
    message: dict[str, object] = {
        **TRACK,
        "type": "identify",
        "traits": {"plan": "gold"},
        "context": {"traits": {"plan": "free", "city": "Graz"}, "locale": "de"},
    }
    event = segment_event(message, None)
    assert event.traits == {"plan": "gold", "city": "Graz"}
    assert event.context == {"locale": "de"}


def test_the_traits_of_a_group_are_not_the_customers() -> None:
    """A company's name and plan would otherwise overwrite those of the person who joined it."""
    message: dict[str, object] = {
        **TRACK,
        "type": "group",
        "groupId": 7,
        "traits": {"name": "Initech"},
        "context": {"traits": {"name": "Jane"}},
    }
    event = segment_event(message, None)
    assert event.properties == {"name": "Initech", "groupId": "7"}
    assert event.traits == {"name": "Jane"}


@pytest.mark.parametrize("kind", ["page", "screen"])
def test_the_name_of_a_page_becomes_a_property(kind: str) -> None:
    """Rules look at properties, and the name of the page is what most of them ask for."""
    message: dict[str, object] = {
        **TRACK,
        "type": kind,
        "name": "Home",
        "category": "Start",
        "properties": {"name": "old", "category": "kept"},
    }
    event = segment_event(message, None)
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
    event = segment_event({**TRACK, "type": kind, "event": "Checkout", **changes}, None)
    assert (event.name, (event.properties or {}).get("name")) == (kind, expected)


def test_an_alias_keeps_the_id_it_comes_from() -> None:
    """Whoever merges histories needs both ids."""
    event = segment_event({**TRACK, "type": "alias", "previousId": "a-9"}, None)
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
    assert segment_event({**TRACK, "integrations": {"a": odd}}, None) == segment_event(TRACK, None)
    if not isinstance(odd, list):
        nameless = {key: value for key, value in TRACK.items() if key != "messageId"}
        assert segment_event({**nameless, "properties": {"a": odd}}, None).message_id.startswith("content-")


# which


def test_a_second_delivery_without_an_id_is_the_same_event() -> None:
    """A retry differs in when it was sent and received, and in nothing else."""
    message = {key: value for key, value in TRACK.items() if key != "messageId"} | {"timestamp": None, "originalTimestamp": 5_000}
    once = segment_event({**message, "sentAt": 6_000, "receivedAt": 7_000}, None)
    again = segment_event({**dict(reversed(message.items())), "sentAt": 16_000, "receivedAt": 17_500}, None)
    assert once.message_id == again.message_id == "content-2e76f24c775db93f0ffe5afeadf4ebed"


def test_two_messages_that_say_the_same_at_no_time_are_two_events() -> None:
    """Without any time of its own, a second look at a product would be swallowed as a retry of the first."""
    message = {key: value for key, value in TRACK.items() if key not in {"messageId", "timestamp"}}
    assert segment_event(message, 1).message_id != segment_event(message, 2).message_id


# laws


@given(nearly_right(), st.none() | st.integers(0, 2**42))
def test_any_message_is_an_event_or_refused_for_a_known_reason(message: dict[str, Any], received_ms: int | None) -> None:
    """Admission is a public door: nothing that is pushed through it may break it."""
    try:
        event = segment_event(message, received_ms)
    except RefusedError as error:
        outcome = error.reason
        assert outcome in REASONS
    else:
        assert decode(encode(event)) == event


def test_a_message_is_left_as_it_was() -> None:
    """It may go to a dead letter or another adapter afterwards."""
    message: dict[str, object] = {**TRACK, "type": "group", "traits": {"a": 1}, "properties": {"b": 2}, "context": {"traits": {"c": 3}}}
    before = json.dumps(message)
    segment_event(message, None)
    assert json.dumps(message) == before


# the registry


@pytest.mark.parametrize("name", OF_THIS_FORM)
def test_each_format_of_this_form_takes_bytes_and_gives_an_event(name: str) -> None:
    """Whoever brings messages knows formats only by their names."""
    [event] = adapt(json.dumps(TRACK).encode(), format_name=name, received_ms=None)
    assert isinstance(event, Event)
    assert (event.name, event.customer, event.timestamp_ms) == ("Cart Viewed", "c-17", 1_000)


@pytest.mark.parametrize("name", OF_THIS_FORM)
def test_each_format_of_this_form_takes_a_batch_of_any_length(name: str) -> None:
    """One alone as many; none larger than the log may hold, however small the others are."""
    large = {**TRACK, "messageId": "m-2", "properties": {"text": "x" * SIZE_MAX}}
    raw = json.dumps({"batch": [TRACK] * 1_000 + [large]}).encode()
    *events, last = adapt(raw, format_name=name, received_ms=None)
    assert len(raw) > SIZE_MAX
    assert [type(event) for event in events] == [Event] * 1_000
    assert isinstance(last, Refusal)
    assert (last.reason, last.path) == ("too_large", "$.batch[1000]")


def test_a_format_nobody_knows_is_refused() -> None:
    """The name comes from a header, which comes from outside."""
    [found] = adapt(b"{}", format_name="nobodys", received_ms=None)
    assert isinstance(found, Refusal)
    assert (found.reason, found.part) == ("unknown_format", None)


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_adapter_looks_at_the_size_first(name: str) -> None:
    """A door that reads before it measures can be kept busy with one large letter."""
    [found] = adapt(b"[" * 5_000_000, format_name=name, received_ms=None)
    assert isinstance(found, Refusal)
    assert found.reason == "too_large"


def from_measurements(message: Message) -> Iterator[Outcome]:
    """An adapter as the contributor's page describes it: a body with a device and many events."""
    body = message.fields()

    def read(element: dict[str, Any]) -> Event:
        fields = {"event": element.get("name"), "anonymousId": body.get("client_id"), "properties": element.get("params")}
        return from_fields({**fields, "messageId": content_id([body.get("client_id"), element])}, timestamp_ms=message.received_ms)

    yield from each(body, "events", read)


def test_a_new_format_with_many_events_needs_one_function_and_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the contributor's page promises: the door does the rest, and a body without the list is refused as a whole."""
    adapter: Adapter = from_measurements
    monkeypatch.setitem(ADAPTERS, "measurements", adapter)
    body = {"client_id": "d-1", "events": [{"name": "view_item", "params": {"price": 5}}, {"params": {}}]}
    event, refused = adapt(json.dumps(body).encode(), format_name="measurements", received_ms=RECEIVED_MS)
    assert isinstance(event, Event)
    assert (event.name, event.customer, event.timestamp_ms) == ("view_item", "d-1", RECEIVED_MS)
    assert isinstance(refused, Refusal)
    assert (refused.reason, refused.path) == ("missing_event_name", "$.events[1].event")
    assert list(adapt(b"{}", format_name="measurements", received_ms=0)) == [
        Refusal("wrong_type", "$.events", "expected an array, found null")
    ]
