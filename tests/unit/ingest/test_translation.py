"""What becomes of a message of a shop: events in their customer's shard, dead letters with the place where it lay, and nothing lost."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import DefinitionError, SettingsError
from streamer.events.adapters.outcome import Outcome
from streamer.events.codec import decode
from streamer.events.dead_letter import read_dead_letter
from streamer.events.event import Event
from streamer.ingest.message_reader import FORMATS, message_reader
from streamer.ingest.sources import group_of, source_problems
from streamer.ingest.translation import Translated, Translation
from streamer.settings import Settings, load_settings
from streamer.transports.kafka.dead_letters_topic import FoundLetter, place_in_words
from streamer.transports.kafka.source_consumer import SourceMessage
from streamer.wire import DEAD_LETTERS, EVENTS, DeadLetter, Headers, Origin, shard_of

NOW_MS = 1_790_000_000_000
CLICK = {"type": "track", "event": "Product Viewed", "userId": "ada", "messageId": "m-1", "timestamp": NOW_MS - 1_000}
ROWS = """
format: ndjson
customer: who
timestamp: {column: at, format: ms}
event: {column: what}
message_id: row
"""


def settings(format_name: str = "segment", **more: Any) -> Settings:
    return Settings(ingest_format=format_name, **more)  # pyright: ignore[reportCallIssue]


def message(value: object, *, offset: int = 7, partition: int = 2, headers: Headers = ()) -> SourceMessage:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return SourceMessage("shop.clicks", partition, offset, NOW_MS, raw, headers)


def translate(said: SourceMessage, using: Settings | None = None) -> Translated:
    using = using or settings()
    return Translation(using, message_reader(using), lambda: NOW_MS).of(said)


def events(found: Translated) -> list[Event]:
    return [decode(record.value) for record in found.records if record.topic == EVENTS]


def letters(found: Translated) -> list[DeadLetter]:
    return [read_dead_letter(record.value) for record in found.records if record.topic == DEAD_LETTERS]


def test_an_event_lies_in_its_customers_shard_and_carries_no_header_of_the_shop() -> None:
    """A header of ours on a record of the shop would forbid links, or pass for a record of control."""
    found = translate(message(CLICK, headers=(("streamer-no-link", b"1"), ("streamer-control", b"1"))))
    [record] = found.records
    assert (record.topic, record.partition, record.key, record.headers) == (EVENTS, shard_of("ada", 12), b"ada", ())
    assert (found.events, found.reasons) == (1, [])
    assert events(found)[0].message_id == "m-1"


def test_each_part_that_is_no_event_is_a_dead_letter_with_the_place_of_the_message() -> None:
    """Whoever mends a producer looks the message up in the shop's own topic."""
    batch = {"batch": [CLICK, {**CLICK, "timestamp": "soon"}, 5]}
    found = translate(message(batch))
    assert (len(events(found)), found.events, found.reasons) == (1, 1, ["bad_timestamp", "wrong_type"])
    first, second = letters(found)
    assert first.origin == second.origin == Origin("shop.clicks", 2, 7)
    assert (first.format, first.path, second.path) == ("segment", "$.batch[1].timestamp", "$.batch[2]")
    assert json.loads(b64decode(first.raw))["timestamp"] == "soon"
    assert [record.key for record in found.records[1:]] == [b"ada", b""]
    assert place_in_words(FoundLetter(0, "ada", first, 0)) == "topic shop.clicks partition 2 offset 7"


def test_an_id_that_names_nobody_is_taken_away_before_the_shard_is_chosen() -> None:
    """By it the event would lie in another shard than its customer's, and cost a hop."""
    [record] = translate(message({**CLICK, "userId": "undefined", "anonymousId": "a-9"})).records
    assert (record.key, record.partition) == (b"a-9", shard_of("a-9", 12))
    assert translate(message({**CLICK, "userId": "null"})).reasons == ["placeholder_id"]


def test_a_record_without_a_value_is_skipped_and_counted() -> None:
    """Compacted topics write them where something was deleted: nothing is wrong, and there may be millions."""
    assert translate(SourceMessage("shop.clicks", 0, 1, NOW_MS, None)) == Translated([], 0, ["skipped"])


def test_an_error_of_ours_costs_that_message_alone() -> None:
    """The whole topic would stand still behind it, for ever."""

    def read(_message: SourceMessage) -> Iterator[Outcome]:
        raise ZeroDivisionError("secret of a customer")

    found = Translation(settings(), read, lambda: NOW_MS).of(message(CLICK))
    [letter] = letters(found)
    assert (letter.reason, letter.origin, found.reasons) == ("fault", Origin("shop.clicks", 2, 7), ["fault"])
    assert "secret" not in letter.detail
    assert json.loads(b64decode(letter.raw)) == CLICK


def test_what_has_neither_time_nor_id_is_the_same_event_when_it_is_read_again() -> None:
    """The record's time stands in, and the id is made of what is there: after a crash it counts once."""
    bare = {"type": "track", "event": "Order Completed", "userId": "ada"}
    once, again = translate(message(bare)), translate(message(bare))
    assert once == again
    assert events(once)[0].timestamp_ms == NOW_MS


def test_a_time_of_a_device_is_corrected_by_the_records_time() -> None:
    """The shop's own collector stamped the record when it received it."""
    wire = {**CLICK, "timestamp": "2026-09-21T15:33:20Z", "sentAt": "2026-09-21T15:33:21Z"}
    [event] = events(translate(message(wire), settings("segment_sdk")))
    assert event.timestamp_ms == NOW_MS - 1_000
    assert "clock_offset_ms" in (event.context or {})


def test_cloudevents_have_their_attributes_in_headers() -> None:
    """The binary form of the Kafka binding; other headers are nobody's business."""
    headers: Headers = (("ce_id", b"1"), ("ce_source", b"/shop"), ("ce_type", b"Order Completed"), ("ce_subject", b"ada"), ("x", b"\xff"))
    [event] = events(translate(message({"total": 5}, headers=headers), settings("cloudevents")))
    assert (event.name, event.customer, event.properties) == ("Order Completed", "ada", {"total": 5})


def test_the_frame_of_a_schema_registry_is_taken_off() -> None:
    """Producers with one write a zero and the number of the schema before the JSON."""
    assert events(translate(message(b"\0\0\0\0\x05" + json.dumps(CLICK).encode())))[0].customer == "ada"
    [letter] = letters(translate(message(b"\0\0\0\0\x05{")))
    assert (letter.reason, b64decode(letter.raw)) == ("not_json", b"\0\0\0\0\x05{"), "as it lay"


def test_equal_rows_are_told_apart_by_where_they_lay(tmp_path: Path) -> None:
    """Where a mapping says so; and the same row read again is the same event."""
    file = tmp_path / "rows.yaml"
    file.write_text(ROWS)
    using = settings("", ingest_mapping=str(file))
    row = {"who": "ada", "at": NOW_MS, "what": "Product Viewed"}
    here, again, there = (translate(message(row, offset=at), using) for at in (1, 1, 2))
    assert here == again
    assert events(here)[0].message_id != events(there)[0].message_id
    assert letters(translate(message({**row, "at": "soon"}), using))[0].format == "mapping"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("group_by: [who]", "group_by"),
        ("sort: true", "sort"),
        ("placeholder_ids: [nobody-17]", "placeholder_ids"),
    ],
)
def test_a_mapping_that_no_stream_can_keep_is_refused_at_the_start(more: str, why: str, tmp_path: Path) -> None:
    """A topic has no end behind which a group or an order would be complete, and the log has placeholders of its own."""
    file = tmp_path / "rows.yaml"
    file.write_text(f"{ROWS}{more}\n")
    with pytest.raises(DefinitionError, match=why):
        message_reader(settings("", ingest_mapping=str(file)))


def test_a_mapping_of_csv_is_refused_at_the_start() -> None:
    """A message is a row as JSON."""
    with pytest.raises(DefinitionError, match="ndjson"):
        message_reader(settings("", ingest_mapping="online_retail"))


@pytest.mark.parametrize(("name", "mapping"), [("", None), ("segmnt", None), ("pixel", None), ("segment", "otto")])
def test_the_format_is_said_once_and_well(name: str, mapping: str | None) -> None:
    """A guess would make dead letters of a whole topic."""
    with pytest.raises(SettingsError, match="STREAMER_INGEST_FORMAT"):
        message_reader(settings(name, ingest_mapping=mapping))


def test_each_format_has_a_group_of_its_own() -> None:
    """Members of one group share out each other's topics, and would read them in the wrong format."""
    assert group_of(settings("ga4", group="live")) == "live-ingest-ga4"
    assert group_of(settings("", ingest_mapping="otto")) == "streamer-ingest-mapping"


def test_our_own_topics_and_those_that_are_not_there_are_no_sources() -> None:
    """To read the log and to write to it what was read never ends."""
    topics = ("streamer.events", "shop.click")
    found = [*source_problems(settings(ingest_topics=topics), {"streamer.events", "shop.clicks"})]
    assert len(found) == 2
    assert "a topic of ours" in found[0]
    assert "did you mean shop.clicks" in found[1]
    assert [*source_problems(settings(ingest_topics="shop.clicks , shop.clicks"), {"shop.clicks"})] == []
    assert [*source_problems(settings(), {"shop.clicks"})] != []
    with pytest.raises(SettingsError, match="STREAMER_INGEST_TOPICS: "):
        load_settings(ingest_topics=("no topic",))


@given(st.sampled_from(FORMATS), st.binary(max_size=200) | st.text().map(str.encode), st.none() | st.integers(0, NOW_MS))
def test_whatever_a_message_holds_it_becomes_events_and_letters(name: str, raw: bytes, received_ms: int | None) -> None:
    """Nothing raises, and of nothing there is no trace: as many records as events and refusals that are none on purpose."""
    found = translate(SourceMessage("shop.clicks", 0, 3, received_ms, raw, (("ce_id", raw),)), settings(name))
    refused = [reason for reason in found.reasons if reason != "skipped"]
    assert len(found.records) == found.events + len(refused)
    assert found.records or found.reasons
    assert "fault" not in refused
