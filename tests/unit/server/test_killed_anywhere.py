"""A server for readers is killed between any two of its waits: who comes back with the last id has neither a gap nor a repetition."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from aiohttp.abc import AbstractStreamWriter
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from streamer.server import change_stream, feed
from streamer.server.change_stream import ChangeStreams, StreamWish
from streamer.server.feed import ChangeFilter, Feed
from streamer.server.stream_position import read_stream_position
from streamer.settings import load_settings
from streamer.telemetry.server_metrics import ServerMetrics
from streamer.transports.kafka.change_records import ChangeRecord
from tests.killed import Reaper, run_at_once, run_until
from tests.live.change_readers import by_shard

SHARDS: Final = 2
CHANGES: Final = 40
SEGMENTS: Final = ("buyer", "quiet")
TAKE_S: Final = 0.01  # that Kafka holds back a fetch of nothing
KILLS_MIN: Final = 60  # fewer, and the process does not do what it should


class Topic:
    """Changes as relays leave them: every third lies there twice. It grows while others wait."""

    def __init__(self) -> None:
        self.shards: list[list[ChangeRecord]] = [[] for _ in range(SHARDS)]
        self.ids: list[tuple[str, str]] = []  # id and segment of each change, once

    def grow(self) -> None:
        number = len(self.ids)
        if number == CHANGES:
            return
        shard, offset, segment = number % SHARDS, number, SEGMENTS[number // SHARDS % 2]
        change_id = f"1-{shard}-{offset}-0"
        body = json.dumps({"id": change_id, "type": "segment.entered", "data": {"segment": segment}}).encode()
        for _ in range(2 if number % 3 == 0 else 1):
            self.shards[shard].append(ChangeRecord(shard, len(self.shards[shard]), (1, offset, 0), body))
        self.ids.append((change_id, segment))


class RecordsInMemory:
    """``ChangeRecords`` over the topic, for one process."""

    def __init__(self, topic: Topic, reaper: Reaper) -> None:
        self._topic = topic
        self._reaper = reaper
        self._next: dict[int, int] = {}

    @asynccontextmanager
    async def opened(self, _settings: object) -> AsyncGenerator[RecordsInMemory]:
        await self._reaper.wait()
        yield RecordsInMemory(self._topic, self._reaper)

    async def bounds(self) -> tuple[dict[int, int], dict[int, int]]:
        await self._reaper.wait()
        return dict.fromkeys(range(SHARDS), 0), {shard: len(records) for shard, records in enumerate(self._topic.shards)}

    def seek(self, offsets: Mapping[int, int]) -> None:
        self._next = dict(offsets)

    async def take(self) -> list[ChangeRecord]:
        await self._reaper.wait()
        found: list[ChangeRecord] = []
        for shard, offset in self._next.items():
            some = self._topic.shards[shard][offset : offset + 3]
            self._next[shard] += len(some)
            found += some
        if not found:
            await asyncio.sleep(TAKE_S)
        await self._reaper.wait()
        return found

    def behind(self) -> int:
        return 0

    async def positions(self) -> dict[int, int]:
        await self._reaper.wait()
        return dict(self._next)


class Connection(AbstractStreamWriter):
    """What a reader gets of one connection: a write may come whole, in part, or not at all before the process is gone."""

    def __init__(self, reaper: Reaper) -> None:
        self.raw = b""
        self._reaper = reaper

    async def write(self, chunk: Any) -> None:
        for part in (chunk[: len(chunk) // 2], chunk[len(chunk) // 2 :]):
            await self._reaper.wait()
            self.raw += bytes(part)
        await self._reaper.wait()

    async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None:
        assert " 200 " in status_line
        await self._reaper.wait()

    async def write_eof(self, chunk: bytes = b"") -> None:
        await self.write(chunk)

    async def drain(self) -> None: ...

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None: ...

    def enable_chunking(self) -> None: ...


class Reader:
    """Comes back with the last id of an event that came whole, as a browser does."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.first_id = self.last_id = ""
        self.connection: Connection | None = None

    def connect(self, reaper: Reaper) -> Connection:
        self.connection = Connection(reaper)
        return self.connection

    def take(self) -> None:
        """What came of the connection, which is over."""
        raw = self.connection.raw if self.connection is not None else b""
        self.connection = None
        for block in raw.decode().split("\n\n")[:-1]:
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            self.last_id = fields.get("id", self.last_id)
            self.first_id = self.first_id or self.last_id
            if "data" in fields:
                self.ids.append(json.loads(fields["data"])["id"])


class Story:
    """A reader over processes of which the first two are killed at their ``at``-th wait."""

    def __init__(self, at: int, wanted: ChangeFilter, monkeypatch: pytest.MonkeyPatch) -> None:
        self.was_killed = False
        self.expected: list[str] = []
        self.reader = Reader()
        self._at = at
        self._wanted = wanted
        self._topic = Topic()
        self._monkeypatch = monkeypatch

    async def tell(self) -> None:
        """Until the reader has the last change."""
        for _ in range(6):
            self._topic.grow()
        for process in range(3):
            if not self._is_told():
                await self._process(Reaper(self._at if process < 2 else 0, self._topic.grow))
        begun = read_stream_position(self.reader.first_id, SHARDS)
        self.expected = [one for one, shard, offset in self._wanted_ones() if offset > begun.shards[shard].place[1]]

    async def _process(self, reaper: Reaper) -> None:
        for module in (change_stream, feed):
            self._monkeypatch.setattr(module, "ChangeRecords", RecordsInMemory(self._topic, reaper))
        settings = load_settings(shards=SHARDS)
        read = Feed(settings, ServerMetrics())
        streams = ChangeStreams(settings, read, ServerMetrics(), 10)

        async def serve() -> None:
            while True:  # who was cut, as it did not read as fast as changes come, is there again
                connection = self.reader.connect(reaper)
                since = read_stream_position(self.reader.last_id, SHARDS) if self.reader.last_id else None
                wish = StreamWish(self._wanted, since, lambda: True)
                await streams.serve(make_mocked_request("GET", "/v1/changes", writer=connection), wish)
                self.reader.take()

        await run_until(self._is_told, read.run(), serve(), reaper=reaper)
        self.reader.take()
        self.was_killed = self.was_killed or (self._at > 0 and reaper.waits == self._at)

    def _is_told(self) -> bool:
        last, connection = self._topic.ids[-1][0], self.reader.connection
        came = connection is not None and f'"{last}"'.encode() in connection.raw and connection.raw.endswith(b"\n\n")
        return len(self._topic.ids) == CHANGES and (came or last in self.reader.ids)

    def _wanted_ones(self) -> list[tuple[str, int, int]]:
        """Id, shard and offset of each change that is wanted, those too that are still to come."""
        whole = Topic()
        for _ in range(CHANGES):
            whole.grow()
        return [(one, int(one.split("-")[1]), int(one.split("-")[2])) for one, segment in whole.ids if self._wanted.wants(segment)]


@pytest.mark.parametrize("segment", [None, SEGMENTS[1]])
def test_killed_between_any_two_waits_it_leaves_neither_gap_nor_repetition(segment: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """So few changes are kept in memory that whoever comes back needs Kafka too; a write may be cut in its middle."""
    monkeypatch.setattr(feed, "KEPT_RECORDS", 4)
    monkeypatch.setattr(change_stream, "HEARTBEAT_SECONDS", 0.02)
    wanted = ChangeFilter(None if segment is None else frozenset({segment}))
    kills = 0
    while True:
        story = Story(kills + 1, wanted, monkeypatch)
        run_at_once(story.tell())
        assert by_shard(story.reader.ids) == by_shard(story.expected), f"killed at wait {kills + 1}"
        if not story.was_killed:
            break
        kills += 1
    assert kills > KILLS_MIN, f"only {kills} waits: the process did not do what it should"
