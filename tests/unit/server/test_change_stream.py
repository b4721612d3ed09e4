"""Readers of changes who do not read, or cannot be served: cut or asked to come back, and nothing lost."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import closing
from time import monotonic
from typing import Final

import pytest

from streamer.server import change_stream, feed
from streamer.server.change_stream import EVENT_STREAM
from streamer.server.stream_position import ShardPosition, StreamPosition
from streamer.server.tokens import read_tokens
from streamer.transports.kafka.change_records import ChangeRecord
from streamer.web.secret_tables import hash_of
from tests.unit.flow.persons import segments

from .desk import ReaderDesk, reading

RULES: Final = segments(buyer='did("A")')
FILLING: Final = "x" * 2_000
CHANGES: Final = 8_000  # 16 MB: more than the two sockets hold together, and less than the feed does


def changes(first: int, number: int) -> list[ChangeRecord]:
    """Changes in turn in both shards."""
    found: list[ChangeRecord] = []
    for at in range(first, first + number):
        body = {"id": f"1-{at % 2}-{at // 2}-0", "type": "segment.entered", "data": {"segment": "buyer", "because": FILLING}}
        found.append(ChangeRecord(at % 2, at // 2, (1, at // 2, 0), json.dumps(body).encode()))
    return found


async def connect(desk: ReaderDesk, last_id: str = "") -> socket.socket:
    """A socket that has asked for changes, and reads nothing by itself."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    made.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(made, ("127.0.0.1", desk.client.server.port))
    header = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
    await loop.sock_sendall(made, f"GET /v1/changes HTTP/1.0\r\nHost: localhost\r\n{header}\r\n".encode())
    return made


def whole_events(raw: bytes) -> list[tuple[str, str]]:
    """The id of the stream and of the change of each event that came whole; the rest a browser throws away as well."""
    found: list[tuple[str, str]] = []
    for block in raw.partition(b"\r\n\r\n")[2].decode(errors="replace").split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "data" in fields:
            found.append((fields["id"], json.loads(fields["data"])["id"]))
    return found


async def read_until(made: socket.socket, last: bytes = b"") -> bytes:
    """What comes, to the end of the connection, or to the end of the event with ``last`` in it."""
    loop, found = asyncio.get_running_loop(), bytearray()
    async with asyncio.timeout(20):
        while not last or last not in found[-10_000:] or not found.endswith(b"\n\n"):
            try:
                raw = await loop.sock_recv(made, 2**20)
            except ConnectionResetError:
                break
            if not raw:
                break
            found += raw
    return bytes(found)


def figure(desk: ReaderDesk, name: str, **labels: str) -> float:
    return desk.server.metrics.registry.get_sample_value(name, labels) or 0.0


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something to hold."""
    deadline = monotonic() + 20
    while not holds():
        assert monotonic() < deadline, "it did not come"
        await asyncio.sleep(0.01)


async def test_who_does_not_read_is_cut_and_goes_on_without_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real socket that takes nothing. Kept alive it would hold its place for ever; cut, it comes back with the last id that it has."""
    monkeypatch.setattr(change_stream, "WRITE_SECONDS", 0.3)
    written = changes(0, CHANGES)
    last = f'"1-1-{CHANGES // 2 - 1}-0"'.encode()
    async with reading(RULES) as desk:
        desk.feed.begin(StreamPosition([ShardPosition(0), ShardPosition(0)]))
        with closing(await connect(desk)) as slow, closing(await connect(desk)) as quick:
            await until(lambda: figure(desk, "server_streams") == 2)
            reading_on = asyncio.create_task(read_until(quick, last))
            desk.feed.add(written)
            everything = whole_events(await reading_on)
            await until(lambda: figure(desk, "server_streams_ended_total", why="slow") == 1)
            assert figure(desk, "server_streams") == 1, "the quick one is still there"
            got = whole_events(await read_until(slow))
        assert 0 < len(got) < CHANGES, "it had room for all"
        with closing(await connect(desk, got[-1][0])) as again:
            rest = whole_events(await read_until(again, last))
        wanted = [json.loads(record.value)["id"] for record in written]
        assert ([change for _, change in everything] == wanted) is True, "the slow one held up the quick one"
        assert ([change for _, change in (*got, *rest)] == wanted) is True, f"{len(got)} and {len(rest)} of {CHANGES}"


async def test_who_is_passed_by_all_that_is_kept_is_cut_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they have not got is gone from the list: to go on would be a gap, and Kafka has it."""
    async with reading(RULES) as desk:
        desk.feed.begin(StreamPosition([ShardPosition(0), ShardPosition(0)]))
        with closing(await connect(desk)) as slow:
            await until(lambda: figure(desk, "server_streams") == 1)
            desk.feed.add(changes(0, CHANGES))
            await until(lambda: figure(desk, "server_changes_sent_total") > 0)
            monkeypatch.setattr(feed, "KEPT_RECORDS", 10)
            desk.feed.add(changes(CHANGES, 100))  # while its sockets are full
            got = whole_events(await read_until(slow))
        assert figure(desk, "server_streams_ended_total", why="behind") == 1
        assert 0 < len(got) < CHANGES
        wanted = [json.loads(record.value)["id"] for record in changes(0, len(got))]
        assert ([change for _, change in got] == wanted) is True, "it was told something out of turn"


@pytest.mark.parametrize("last_id", ["", "0:1,1:0"])
async def test_who_cannot_be_served_now_is_asked_to_come_back_in_the_words_of_its_client(
    last_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser's EventSource never comes back after a 503: it gets an event and an end, which it does come back after."""
    monkeypatch.setattr(change_stream, "READY_SECONDS", 0.05)
    async with reading(RULES) as desk:  # its feed reads nothing: Kafka is away
        plain = await desk.get("/v1/changes", **({"Last_Event_ID": last_id} if last_id else {}))
        assert (plain.status, plain.body["code"], plain.headers["Retry-After"]) == (503, "kafka_away", "1")
        async with desk.client.get("/v1/changes", headers={"Accept": EVENT_STREAM, "Last-Event-ID": last_id}) as response:
            body = await response.text()
        assert (response.status, response.content_type, response.headers["Cache-Control"]) == (200, EVENT_STREAM, "no-store")
        lines = dict(line.split(": ", 1) for line in body.splitlines() if line)
        assert lines.keys() == {"retry", "event", "data"}, "an id would take from it where it stands"
        assert (lines["retry"], lines["event"], json.loads(lines["data"])) == ("5000", "unavailable", plain.body)
        assert figure(desk, "server_errors_total", code="kafka_away") == 2


async def test_what_will_not_pass_is_an_error_for_a_browser_too() -> None:
    """A wrong id stays wrong: to come back with it for ever would help nobody."""
    async with reading(RULES) as desk:
        found = await desk.get("/v1/changes", Accept=EVENT_STREAM, Last_Event_ID="nonsense")
        assert (found.status, found.body["code"]) == (400, "bad_cursor")


@pytest.mark.parametrize(
    ("last_id", "status", "code", "says"),
    [
        ("0:1.2.0.0,1:0", 400, "bad_cursor", "it is of generation 2 of the log, which is at 1"),
        ("0:1.1.0.0,1:0", 410, "cursor_expired", "it is of generation 1 of the log, which is at 2: read memberships anew"),
    ],
)
async def test_an_id_of_another_generation_is_refused_with_what_was_expected(last_id: str, status: int, code: str, says: str) -> None:
    """Of a log that is told anew nothing of the old story holds; and an id of a later one is of somebody else's deployment."""
    async with reading(RULES) as desk:
        told = 2 if status == 410 else 1
        desk.feed.begin(StreamPosition([ShardPosition(1, (told, 0, 0)), ShardPosition(0)]))
        found = await desk.get("/v1/changes", Last_Event_ID=last_id)
        assert (found.status, found.body["code"], found.body["path"]) == (status, code, "header.Last-Event-ID")
        assert says in found.body["message"]


async def test_a_token_that_is_revoked_ends_its_streams_and_no_others() -> None:
    """Else whoever was shut out would hear all changes for as long as the connection lives."""
    tables = {name: f'[tokens.{name}]\nhash = "{hash_of(name)}"\nroles = ["read"]\n' for name in ("leaver", "stayer")}
    async with reading(RULES, tokens=read_tokens("".join(tables.values()), "tokens.toml")) as desk:
        desk.feed.begin(StreamPosition([ShardPosition(0), ShardPosition(0)]))
        opened = {name: await desk.client.get("/v1/changes", headers={"Authorization": f"Bearer {name}"}) for name in tables}
        await until(lambda: figure(desk, "server_streams") == 2)
        desk.server.use_tokens(read_tokens(tables["stayer"], "tokens.toml"))
        await opened["leaver"].read()  # it ends
        assert figure(desk, "server_streams_ended_total", why="revoked") == 1
        desk.feed.add(changes(0, 1))
        assert await opened["stayer"].content.readuntil(b'"}}\n\n')
        assert figure(desk, "server_streams") == 1
        found = await desk.get("/v1/changes", Authorization="Bearer leaver")
        assert (found.status, found.body["code"]) == (401, "unknown_token")
