"""The newest changes, read once for all: what is in the list, who can go on from it, and what goes."""

from __future__ import annotations

import json

import pytest

from streamer.server import feed as feed_module
from streamer.server.feed import ChangeFilter, Feed, entry_of
from streamer.server.stream_position import ShardPosition, StreamPosition
from streamer.settings import load_settings
from streamer.telemetry.server_metrics import ServerMetrics
from streamer.transports.kafka.change_records import ChangeRecord

SHARDS = 2


def record(shard: int, kafka_offset: int, offset: int, segment: str = "buyer", *, kind: str = "segment.entered") -> ChangeRecord:
    """A change as it lies in Kafka."""
    data = {"segment": segment} if segment else {}
    return ChangeRecord(
        shard, kafka_offset, (1, offset, 0), json.dumps({"id": f"1-{shard}-{offset}-0", "type": kind, "data": data}).encode()
    )


def empty_feed() -> Feed:
    """One that stands at the beginning."""
    feed = Feed(load_settings(shards=SHARDS), ServerMetrics())
    feed.begin(StreamPosition([ShardPosition(0), ShardPosition(0)]))
    return feed


def ids_of(chunk: bytes) -> list[str]:
    return [json.loads(line[6:])["id"] for line in chunk.decode().splitlines() if line.startswith("data: ")]


def test_what_a_relay_wrote_twice_is_in_the_feed_once() -> None:
    """Readers are promised each change once; the topic repeats some."""
    feed = empty_feed()
    feed.add([record(0, 0, 10), record(0, 1, 12), record(0, 2, 10), record(0, 3, 12), record(1, 0, 5), record(0, 4, 14)])
    chunk, number = feed.chunk(0, ChangeFilter())
    assert ids_of(chunk) == ["1-0-10-0", "1-0-12-0", "1-1-5-0", "1-0-14-0"]
    assert (number, feed.end) == (4, 4)
    assert feed.position.text() == "0:5.1.14.0,1:1.1.5.0"


def test_who_stands_before_the_oldest_entry_is_sent_to_kafka_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who went on from the list although something before it has gone would have a gap."""
    monkeypatch.setattr(feed_module, "KEPT_RECORDS", 3)
    feed = empty_feed()
    feed.add([record(0, number, number) for number in range(5)])
    assert (feed.first, feed.end) == (2, 5)
    for kafka_offset, is_covered, is_behind in ((0, False, True), (1, False, True), (2, True, False), (5, True, False), (6, False, False)):
        position = StreamPosition([ShardPosition(kafka_offset), ShardPosition(0)])
        assert (feed.covers(position), feed.is_behind(position)) == (is_covered, is_behind), kafka_offset
    assert feed.entry(2).record.kafka_offset == 2


def test_large_changes_leave_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is bounded in bytes too."""
    monkeypatch.setattr(feed_module, "KEPT_BYTES", 5_000)
    feed = empty_feed()
    feed.add([record(0, number, number, "s" * 1_000) for number in range(20)])
    kept = sum(len(feed.entry(number).event) + len(feed.entry(number).id) for number in range(feed.first, feed.end))
    assert 3_000 < kept <= 5_000
    assert feed.end == 20


def test_a_filter_keeps_its_segments_and_merges() -> None:
    """A merge is of no segment: who does not hear of it keeps an id that is nobody's."""
    feed = empty_feed()
    feed.add([record(0, 0, 1, "buyer"), record(0, 1, 2, "quiet"), record(0, 2, 3, "", kind="customer.merged")])
    assert ids_of(feed.chunk(0, ChangeFilter(frozenset({"quiet"})))[0]) == ["1-0-2-0", "1-0-3-0"]
    assert ids_of(feed.chunk(0, ChangeFilter())[0]) == ["1-0-1-0", "1-0-2-0", "1-0-3-0"]
    chunk, number = feed.chunk(0, ChangeFilter(frozenset({"nothing"})))
    assert (ids_of(chunk), number) == (["1-0-3-0"], 3), "what is not wanted is behind the reader too"


def test_readers_at_the_same_place_share_their_bytes() -> None:
    """A thousand readers cost one copy; and who reads on gets the rest in pieces of a bounded size."""
    feed = empty_feed()
    feed.add([record(0, number, number) for number in range(2_000)])
    first, number = feed.chunk(0, ChangeFilter())
    assert feed.chunk(0, ChangeFilter())[0] is first
    assert len(first) < feed_module.CHUNK_BYTES + 1_000
    found = ids_of(first)
    while number < feed.end:
        chunk, number = feed.chunk(number, ChangeFilter())
        found += ids_of(chunk)
    assert found == [f"1-0-{number}-0" for number in range(2_000)]


@pytest.mark.parametrize("value", [b"\xff\xfe", b"{}", b'{"type": "other\\n"}', b"line\r\nid: 0:0\n\nevent: x"])
def test_a_record_that_nobody_can_read_stays_one_event_of_no_type_of_ours(value: bytes) -> None:
    """Whatever lies in the topic, it cannot end an event, or say another id."""
    entry = entry_of(ChangeRecord(0, 0, (1, 1, 0), value), "0:1")
    lines = entry.event.split(b"\n")
    assert lines[0] == b"event: unreadable"
    assert all(line.startswith(b"data: ") for line in lines[1:-2])
    assert lines[-2:] == [b"", b""]
