"""An answer 200 says that all of it is in the log; every other answer says in words what is wrong."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import Any

import pytest

from streamer.collector.limits import LIMITS
from streamer.events.dead_letter import raw_of
from streamer.events.sender import WRITE_KEY_HEADER
from streamer.wire import EVENTS, shard_of

from .desk import KEYS, SERVER, SHARDS, opened, track

pytestmark = pytest.mark.fast

BATCH = {"batch": [track(number=1), track(number=2)], "sentAt": "2026-11-29T03:00:00Z"}


@pytest.mark.parametrize(
    ("path", "body", "ids"),
    [
        ("/v1/track", track(), ["m-1"]),
        ("/v1/t", {name: value for name, value in track().items() if name != "type"}, ["m-1"]),
        ("/v1/p", {**track(), "type": "page", "name": "Home"}, ["m-1"]),
        ("/v1/identify", {"messageId": "m-1", "userId": "u-1"}, ["m-1"]),
        ("/v1/batch", BATCH, ["m-1", "m-2"]),
        ("/v1/b", BATCH, ["m-1", "m-2"]),
        ("/api/s/track", track(), ["m-1"]),
        ("/beacon/v1/batch", BATCH, ["m-1", "m-2"]),
    ],
)
async def test_events_of_each_path_are_in_the_log_when_it_answers(path: str, body: dict[str, object], ids: list[str]) -> None:
    """The SDKs have these paths built in."""
    async with opened() as desk:
        response = await desk.post(path, body, Content_Type="text/plain")  # as browsers say it; nobody believes it
        assert (response.status, await response.json()) == (200, {"success": True, "accepted": len(ids)})
        assert [event.message_id for event in desk.sink.events] == ids


async def test_a_record_lies_in_the_shard_of_its_customer_and_names_its_key() -> None:
    """The segmenter reads a customer in one shard; whoever mends a producer must know which it is."""
    async with opened(keys=KEYS) as desk:
        await desk.post("/v1/track", track(userId="u-7"), key=SERVER)
    [record] = desk.sink.records
    assert (record.topic, record.partition, record.key) == (EVENTS, shard_of("u-7", SHARDS), b"u-7")
    assert dict(record.headers) == {WRITE_KEY_HEADER: b"back"}


async def test_one_bad_event_does_not_cost_its_batch() -> None:
    """SDKs drop all of a batch that is refused: RudderStack's gateway loses the good ones so."""
    bad = {"type": "track", "event": "Product Viewed", "messageId": "m-9"}
    async with opened() as desk:
        response = await desk.post("/v1/batch", {"batch": [track(number=1), bad, 5, track(number=2)]})
        assert response.status == 200
        said = await response.json()
        assert (said["success"], said["accepted"]) == (True, 2)
        assert [(each["index"], each["code"], each["path"]) for each in said["refused"]] == [
            (1, "missing_id", "$.batch[1].userId"),
            (2, "wrong_type", "$.batch[2]"),
        ]
        letters = desk.sink.letters
        assert [(letter.reason, letter.origin, letter.format) for letter in letters] == [
            ("missing_id", None, "segment_sdk"),
            ("wrong_type", None, "segment_sdk"),
        ]
        assert json.loads(raw_of(letters[0])) == bad
        assert [event.message_id for event in desk.sink.events] == ["m-1", "m-2"]


async def test_a_client_must_not_believe_that_something_of_it_arrived_where_nothing_did() -> None:
    """It would count as delivered what is a dead letter."""
    async with opened() as desk:
        response = await desk.post("/v1/track", {"type": "track", "event": "Product Viewed"})
        said = await response.json()
        assert (response.status, said["success"], said["code"], said["path"]) == (400, False, "missing_id", "$.userId")
        assert said["message"]
        assert len(desk.sink.letters) == 1


async def test_what_is_no_json_is_a_dead_letter_too() -> None:
    """Its bytes are all that tells what a broken client does."""
    async with opened() as desk:
        response = await desk.post("/v1/batch", b'{"batch": [')
        assert (response.status, (await response.json())["code"]) == (400, "not_json")
        assert raw_of(desk.sink.letters[0]) == b'{"batch": ['


async def test_a_strict_request_is_taken_whole_or_not_at_all() -> None:
    """For the tests of whoever sends: nothing bad passes in silence."""
    async with opened() as desk:
        response = await desk.post("/v1/batch?strict=1", {"batch": [track(), {"type": "track"}]})
        assert response.status == 400
        assert [each["index"] for each in (await response.json())["refused"]] == [1]
        assert desk.sink.records == []


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(json.dumps(BATCH).encode(), mtime=0), "gzip"),
        (zlib.compress(json.dumps(BATCH).encode()), "deflate"),
        (zlib.compress(json.dumps(BATCH).encode(), wbits=-15), "deflate"),
        (gzip.compress(json.dumps(BATCH).encode(), mtime=0), ""),  # forgotten by a proxy
        (
            gzip.compress(json.dumps(BATCH).encode()[:50], mtime=0) + gzip.compress(json.dumps(BATCH).encode()[50:], mtime=0),
            "gzip",
        ),  # by RFC 1952
        (gzip.compress(json.dumps(BATCH).encode(), mtime=0) + b"\0" * 512, "gzip"),  # filled up
    ],
)
async def test_packed_bodies_are_unpacked_whatever_they_are_called(body: bytes, encoding: str) -> None:
    """RudderStack's Node SDK sends gzip as a form."""
    async with opened() as desk:
        more = {"Content_Encoding": encoding} if encoding else {}
        response = await desk.post("/v1/batch", body, Content_Type="application/x-www-form-urlencoded", **more)
        assert (response.status, len(desk.sink.events)) == (200, 2)


async def test_what_is_packed_behind_the_first_piece_is_not_passed_over() -> None:
    """Two events that were packed one after the other are no JSON together: answered 200, the second would be nowhere."""
    async with opened() as desk:
        both = gzip.compress(json.dumps(track(number=1)).encode()) + gzip.compress(json.dumps(track(number=2)).encode())
        response = await desk.post("/v1/track", both, Content_Encoding="gzip")
        assert (response.status, (await response.json())["code"]) == (400, "not_json")
        assert len(desk.sink.letters) == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "code"),
    [
        ("POST", "/v1/batch", b"no gzip", {"Content-Encoding": "gzip"}, 400, "bad_gzip"),
        ("POST", "/v1/batch", gzip.compress(b"{}" * 500, mtime=0)[:-9], {"Content-Encoding": "gzip"}, 400, "bad_gzip"),
        ("POST", "/v1/batch", gzip.compress(json.dumps(BATCH).encode(), mtime=0) + b"more", {"Content-Encoding": "gzip"}, 400, "bad_gzip"),
        ("POST", "/v1/batch", gzip.compress(b"", mtime=0) * 65, {"Content-Encoding": "gzip"}, 400, "bad_gzip"),
        ("POST", "/v1/batch", gzip.compress(b" " * 300_000, mtime=0) * 2, {"Content-Encoding": "gzip"}, 413, "too_large"),
        ("POST", "/v1/batch", b"{}", {"Content-Encoding": "br"}, 400, "bad_encoding"),
        ("POST", "/v1/batch", b"x" * (LIMITS.request_bytes + 1), {}, 413, "too_large"),
        ("POST", "/v1/batch", gzip.compress(b" " * 50_000_000, 9, mtime=0), {"Content-Encoding": "gzip"}, 413, "too_large"),
        ("POST", "/v1/batch", json.dumps({"batch": [5] * 2_501}).encode(), {}, 413, "too_large"),
        ("POST", "/v1/import", b"{}", {}, 409, "log_not_begun"),
        ("POST", "/v1/nothing", b"{}", {}, 404, "not_found"),
        ("GET", "/v1/track", b"", {}, 405, "method_not_allowed"),
        ("POST", "/i", b"", {}, 405, "method_not_allowed"),
    ],
)
async def test_an_error_says_what_it_is_in_json(
    method: str, path: str, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    """RudderStack's Python SDK takes an error without code and message for a broken connection, and sends it four times."""
    async with opened() as desk:
        response = await desk.client.request(method, path, data=body, headers=headers)
        said: dict[str, Any] = await response.json()
        assert (response.status, said["success"], said["code"], said["path"]) == (status, False, code, "$")
        assert said["message"]
        assert desk.sink.records == []


async def test_no_two_hundred_before_the_log_has_it() -> None:
    """Everything else stands on this."""
    async with opened() as desk:
        desk.sink.gate = asyncio.Event()
        asked = asyncio.create_task(desk.post("/v1/batch", BATCH))
        await desk.sink.waiting.wait()
        await asyncio.sleep(0.02)
        assert not asked.done()
        desk.sink.gate.set()
        assert (await asked).status == 200


async def test_kafka_that_does_not_answer_makes_clients_come_back() -> None:
    """A 5xx they try again in a fraction of a second, a 4xx they drop."""
    async with opened() as desk:
        desk.sink.fails = True
        response = await desk.post("/v1/batch", BATCH)
        assert (response.status, (await response.json())["code"]) == (429, "kafka_away")
        assert 5 <= int(response.headers["Retry-After"]) <= 30


async def test_while_kafka_is_away_one_request_tries_for_all() -> None:
    """Holding each for five seconds would keep thousands of connections for nothing."""
    async with opened() as desk:
        desk.sink.failing_seconds = 9.0
        desk.sink.in_flight_records = 1
        response = await desk.post("/v1/track", track())
        assert (response.status, (await response.json())["code"]) == (429, "kafka_away")
        desk.sink.in_flight_records = 0
        assert (await desk.post("/v1/track", track())).status == 200


@pytest.mark.parametrize("limits", [LIMITS._replace(in_flight_events=1), LIMITS._replace(in_flight_bytes=50)])
async def test_more_than_there_is_room_for_makes_clients_come_back(limits: Any) -> None:
    """Memory is bounded whatever comes in."""
    async with opened(limits=limits) as desk:
        response = await desk.post("/v1/batch", BATCH)
        assert (response.status, (await response.json())["code"]) == (429, "overloaded")
        assert desk.sink.records == []
        assert desk.collector.room.bytes == 0


async def test_a_body_that_does_not_come_ends_the_request() -> None:
    """Half of a request, held for ever, is how few machines keep many connections."""
    async with opened(limits=LIMITS._replace(body_seconds=0.05)) as desk:
        reader, writer = await asyncio.open_connection(desk.client.server.host, desk.client.server.port)
        writer.write(b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
        async with asyncio.timeout(5):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        writer.close()
        assert desk.collector.room.bytes == 0


async def test_a_client_that_waits_for_leave_to_send_gets_it() -> None:
    """curl does so for larger bodies, and would wait a second each time."""
    async with opened() as desk:
        reader, writer = await asyncio.open_connection(desk.client.server.host, desk.client.server.port)
        body = json.dumps(track()).encode()
        writer.write(b"POST /v1/track HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        async with asyncio.timeout(5):
            assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
            assert await reader.readline() == b"\r\n"
            writer.write(body)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_an_event_larger_than_an_sdk_would_send_is_refused_alone() -> None:
    """A batch with one huge event keeps the others."""
    async with opened() as desk:
        response = await desk.post("/v1/batch", {"batch": [track(), track(number=2, properties={"html": "x" * 40_000})]})
        said = await response.json()
        assert (response.status, said["accepted"], said["refused"][0]["code"]) == (200, 1, "too_large")


async def test_an_error_of_ours_is_said_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """SDKs come back after a 500; the text of the error, which may quote a customer, stays in the process."""

    def fails(*_args: object, **_more: object) -> None:
        raise ZeroDivisionError("c-17")

    monkeypatch.setattr("streamer.collector.intake.adapt", fails)
    async with opened() as desk:
        response = await desk.post("/v1/track", track())
        assert response.status == 500
        assert "c-17" not in await response.text()
        assert (await response.json())["code"] == "internal"


async def test_what_sdks_measure_of_themselves_is_forgotten() -> None:
    """An error would only make them send it again."""
    async with opened() as desk:
        assert (await desk.post("/v1/m", {"series": []})).status == 200
        assert desk.sink.records == []


async def test_the_prefix_of_the_paths_is_the_shops() -> None:
    """Ad blockers have lists of the usual paths."""
    async with opened(collect_prefix="/s/7") as desk:
        assert (await desk.post("/s/7/v1/track", track())).status == 200
        assert (await desk.post("/v1/track", track())).status == 404


async def test_a_dead_letter_has_no_more_of_an_address_than_the_log() -> None:
    """What is refused is kept for weeks, and read by people."""
    bad = {**track(), "event": 5.5, "context": {"ip": "203.0.113.77"}}
    async with opened() as desk:
        await desk.post("/v1/batch", {"batch": [bad]})
        await desk.post("/v1/track", b'{"context": {"ip": "2001:db8:1:2::3"')
        first, second = map(raw_of, desk.sink.letters)
        assert json.loads(first)["context"] == {"ip": "203.0.113.0"}
        assert second == b'{"context": {"ip": "2001:db8:1::"'
