"""History that servers send goes to a topic of its own, in the order of time, each event once; what does not fit is named."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from streamer.events.codec import decode
from streamer.imports.importer import BEFORE
from streamer.imports.overlap import OVERLAP
from streamer.imports.requests import BROUGHT_BY, DISPLACED
from streamer.imports.sifting import AFTER
from streamer.transports.kafka.event_writer import Record
from streamer.units import DAY_MS
from streamer.wire import ARRIVED_HEADER, HISTORY, arrived_text, read_arrived, shard_of

from .desk import BROWSER, KEYS, SERVER, SHARDS, Desk, opened

pytestmark = pytest.mark.fast

BEGAN_MS = 1_700_000_000_000


def order(number: int, days: int = 10, customer: str = "u-1") -> dict[str, Any]:
    """So many days before the log began."""
    body = {"type": "track", "event": "Order Completed", "messageId": f"m-{number}", "userId": customer}
    return {**body, "timestamp": BEGAN_MS - days * DAY_MS}


def written(desk: Desk) -> list[tuple[str, int]]:
    """Of each record its message, and how many days before the log began it counts as arrived."""
    assert {record.topic for record in desk.sink.records} <= {HISTORY}, "an import writes nothing else, dead letters neither"
    found = [(decode(record.value).message_id, read_arrived(record.headers)) for record in desk.sink.records]
    return [(message_id, (BEGAN_MS - arrived[0]) // DAY_MS) for message_id, arrived in found if arrived is not None]


async def sent(desk: Desk, *events: dict[str, Any], path: str = "/v1/import", **more: Any) -> tuple[int, dict[str, Any]]:
    response = await desk.post(path, {"batch": events, **more}, key=SERVER)
    return response.status, await response.json()


def reasons(said: dict[str, Any]) -> list[tuple[int, str]]:
    return [(one["index"], one["code"]) for one in said["refused"]]


@pytest.mark.parametrize(("path", "more"), [("/v1/import", {}), ("/v1/batch", {"import": True})])
async def test_history_lies_in_its_topic_in_the_order_of_time_when_it_is_answered(path: str, more: dict[str, Any]) -> None:
    """A lane gives it out as it lies there, and SDKs send a batch in any order."""
    async with opened(keys=KEYS, begins_ms=BEGAN_MS) as desk:
        said = await sent(desk, order(1, days=5), order(2, days=9), order(3, days=7), path=path, **more)
        assert said == (200, {"success": True, "accepted": 3})
        assert written(desk) == [("m-2", 9), ("m-3", 7), ("m-1", 5)]
    record = desk.sink.records[0]
    assert (record.partition, record.key) == (shard_of("u-1", SHARDS), b"u-1")
    assert record.headers == ((ARRIVED_HEADER, arrived_text(BEGAN_MS - 9 * DAY_MS, BROUGHT_BY)),)


async def test_a_batch_that_does_not_say_so_is_no_history() -> None:
    """An event may have a property of that name."""
    async with opened(keys=KEYS, begins_ms=BEGAN_MS) as desk:
        for more in ({"import": False}, {"import": "true"}, {"context": {"import": True}}):
            response = await desk.post("/v1/batch", {"batch": [{**order(1), "properties": {"import": True}}], **more}, key=SERVER)
            assert response.status == 200
        assert len(desk.sink.events) == 3


@pytest.mark.parametrize("path", ["/v1/import", "/v1/batch"])
async def test_a_key_that_anybody_can_read_brings_no_history_in(path: str) -> None:
    """A forged past makes buyers of anybody, and models learn from it."""
    async with opened(keys=KEYS, begins_ms=BEGAN_MS) as desk:
        response = await desk.post(path, {"batch": [order(1)], "import": True}, key=BROWSER, Origin="https://shop.example")
        assert (response.status, (await response.json())["code"]) == (403, "import_not_allowed")
        assert (await desk.post(path, {"batch": [order(1)], "import": True})).status == 401
        assert desk.sink.records == []


async def test_before_the_log_has_begun_an_answer_says_what_to_do() -> None:
    """There history goes to the head of the log, which only the command writes; nothing is lost meanwhile, and no SDK is kept waiting."""
    async with opened(keys=KEYS) as desk:
        status, said = await sent(desk, order(1))
        assert (status, said["code"]) == (409, "log_not_begun")
        assert "streamer import FILES" in said["message"]
        assert desk.sink.records == []


async def test_what_is_no_history_is_named_with_its_place_and_the_rest_is_taken() -> None:
    """As ``streamer import`` leaves it out: what the log has itself, what is to come, what is no event."""
    async with opened(keys=KEYS, begins_ms=BEGAN_MS) as desk:
        future = {**order(2), "timestamp": "2100-01-01T00:00:00Z"}
        undated = {name: value for name, value in order(3).items() if name != "timestamp"}
        status, said = await sent(desk, order(1, days=0), order(4), {"type": "track"}, future, undated, {**order(5), "userId": "null"})
        assert (status, said["accepted"]) == (200, 1)
        codes = [code for _, code in reasons(said)]
        assert reasons(said)[0] == (0, OVERLAP)
        assert [index for index, _ in reasons(said)] == [0, 2, 3, 4, 5]
        assert set(codes[2:4]) <= {AFTER, OVERLAP, "future"}
        assert codes[4] == "placeholder_id"
        assert [message_id for message_id, _ in written(desk)] == ["m-4"]


async def test_what_happened_before_the_newest_of_its_shard_is_refused() -> None:
    """Behind it it would be late, and folded wrongly or not at all. Another shard goes on by itself, and so does the same moment."""
    other = next(name for name in (f"u-{number}" for number in range(2, 99)) if shard_of(name, SHARDS) != shard_of("u-1", SHARDS))
    async with opened(keys=KEYS, begins_ms=BEGAN_MS) as desk:
        await sent(desk, order(1, days=8))
        status, said = await sent(desk, order(2, days=9), order(3, days=8), order(4, days=20, customer=other))
        assert (status, said["accepted"], reasons(said)) == (200, 2, [(0, BEFORE)])
        assert "order of time" in said["refused"][0]["message"]
        status, said = await sent(desk, order(5, days=9))
        assert (status, said["success"], said["code"]) == (400, False, BEFORE)
        assert {message_id for message_id, _ in written(desk)} == {"m-1", "m-3", "m-4"}


async def test_the_same_again_adds_nothing() -> None:
    """An answer may be lost, and whoever does not know sends again; also to another process, which knows what lies there."""
    async with opened(keys=KEYS, begins_ms=BEGAN_MS) as desk, opened(keys=KEYS, begins_ms=BEGAN_MS) as other:
        await sent(desk, order(1, days=8), order(2, days=7))
        other.sink.records += desk.sink.records
        for one in (desk, other):
            said = await sent(one, order(1, days=8), order(2, days=7), order(3, days=6), order(3, days=6))
            assert said == (200, {"success": True, "accepted": 1, "was_there": 3})
            assert written(one) == [("m-1", 8), ("m-2", 7), ("m-3", 6)]
            assert (await sent(one, order(1, days=8)))[1] == {"success": True, "accepted": 0, "was_there": 1}


async def test_what_others_have_written_meanwhile_is_known() -> None:
    """Another collector, or ``streamer import``."""
    async with opened(keys=KEYS, begins_ms=BEGAN_MS) as desk, opened(keys=KEYS, begins_ms=BEGAN_MS) as other:
        await sent(desk, order(1, days=8))
        other.sink.records += desk.sink.records
        await sent(other, order(2, days=4))
        desk.sink.records += other.sink.records[1:]
        assert (await sent(desk, order(2, days=4), order(3, days=6)))[1]["was_there"] == 1
        assert written(desk) == [("m-1", 8), ("m-2", 4)]


async def test_what_came_to_lie_behind_later_history_of_somebody_else_is_named() -> None:
    """Nothing locks the topic, so two who write at the same moment must at least hear of it."""
    async with opened(keys=KEYS, begins_ms=BEGAN_MS) as desk:
        desk.sink.gate = asyncio.Event()
        asked = asyncio.create_task(sent(desk, order(1, days=8), order(2, days=2)))
        await desk.sink.waiting.wait()
        value = json.dumps(order(3, days=5)).encode()
        headers = ((ARRIVED_HEADER, arrived_text(BEGAN_MS - 5 * DAY_MS, "00000000000000aa")),)
        desk.sink.records.append(Record(HISTORY, shard_of("u-1", SHARDS), b"u-1", value, headers))
        desk.sink.gate.set()
        status, said = await asked
        assert (status, said["accepted"], reasons(said)) == (200, 1, [(0, DISPLACED)])
        assert written(desk) == [("m-3", 5), ("m-1", 8), ("m-2", 2)]
        assert reasons((await sent(desk, order(4, days=3)))[1]) == [(0, BEFORE)], "and what lies there now is what counts"


async def test_where_kafka_does_not_do_its_part_the_client_comes_back_and_nothing_is_there_twice() -> None:
    """Whether it was written or not: nothing that was believed of the topic is believed any more."""
    async with opened(keys=KEYS, begins_ms=BEGAN_MS) as desk:
        desk.sink.fails = True
        assert (await sent(desk, order(1)))[0] == 429
        desk.sink.fails, desk.history.fails = False, True
        assert (await sent(desk, order(1)))[1]["code"] == "kafka_away"
        desk.history.fails = False
        assert (await sent(desk, order(1)))[1] == {"success": True, "accepted": 1}
        desk.sink.gate = asyncio.Event()
        asked = asyncio.create_task(sent(desk, order(2, days=3)))
        await desk.sink.waiting.wait()
        desk.history.fails = True  # it is written, and nobody can say how
        desk.sink.gate.set()
        assert (await asked)[1]["code"] == "kafka_away"
        desk.history.fails = False
        assert (await sent(desk, order(2, days=3)))[1] == {"success": True, "accepted": 0, "was_there": 1}
        assert len(desk.sink.records) == 2


async def test_a_strict_request_is_taken_whole_or_not_at_all() -> None:
    """As elsewhere; a request where one event is no history is no exception."""
    async with opened(keys=KEYS, begins_ms=BEGAN_MS) as desk:
        for bad in (order(2, days=-1), {"type": "track"}):
            status, said = await sent(desk, order(1), bad, path="/v1/import?strict=1")
            assert (status, said["success"], len(said["refused"])) == (400, False, 1)
        assert desk.sink.records == []
        assert await sent(desk, order(1), path="/v1/import?strict=1") == (200, {"success": True, "accepted": 1})
        assert (await sent(desk, order(1), order(2), order(3, days=11), path="/v1/import?strict=1"))[0] == 400
        assert [message_id for message_id, _ in written(desk)] == ["m-1"]
