"""``GET /v1/changes``: segment changes as server-sent events, each once, in order within each shard, resumed where they were cut.

A reader who comes back with the ``Last-Event-ID`` of further back than the process has in memory gets the rest from Kafka first. One that
does not read is cut, and comes back like that. One that cannot be served at the moment is asked to come back, in the words of its client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, get_args

from aiohttp import web

from streamer.errors import UnansweredError
from streamer.settings import Settings
from streamer.telemetry.server_metrics import ServerMetrics
from streamer.transports.kafka.change_records import ChangeRecord, ChangeRecords

from .errors import PASSING, AnswerError, encode_json, error_response
from .feed import ChangeFilter, Feed, entry_of
from .stream_position import PATH, ShardPosition, StreamPosition

HEARTBEAT_SECONDS: Final = 15.0
RETRY_MS: Final = 2_000  # after so long a browser comes back
UNAVAILABLE_RETRY_MS: Final = 5_000  # and after so long where it could not be served
WRITE_SECONDS: Final = 30.0  # a reader who takes nothing for so long is cut
READY_SECONDS: Final = 3.0
CATCH_UPS_MAX: Final = 8  # readers who are served from Kafka at a time
EVENT_STREAM: Final = "text/event-stream"
STREAM_HEADERS: Final = {"Content-Type": EVENT_STREAM, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
StreamEnd = Literal["gone", "slow", "behind", "kafka_away", "revoked", "closed"]
ENDS: Final[tuple[StreamEnd, ...]] = get_args(StreamEnd)


class StreamWish(NamedTuple):
    """What a reader of changes wants, behind which position (None: from now on), and whether they may still read."""

    wanted: ChangeFilter
    since: StreamPosition | None
    may_read: Callable[[], bool]


def no_stream(error: AnswerError, accept: str) -> web.Response:
    """The answer where no stream could begin. A browser's EventSource gives up for ever at any status but 200, so where one asks it is told
    of what passes by an event, in a stream that ends, and comes back by itself with its last id."""
    if EVENT_STREAM not in accept or error.status not in PASSING:
        return error_response(error)
    event = b"retry: %d\nevent: unavailable\ndata: %b\n\n" % (UNAVAILABLE_RETRY_MS, encode_json(error.body))
    return web.Response(body=event, headers=STREAM_HEADERS)


class ChangeStreams:
    """Serves readers of changes from one feed."""

    def __init__(self, settings: Settings, feed: Feed, metrics: ServerMetrics, streams_max: int) -> None:
        self.open = 0
        self._settings = settings
        self._feed = feed
        self._metrics = metrics
        self._streams_max = streams_max
        self._catching_up = asyncio.Semaphore(CATCH_UPS_MAX)

    def look_at_tokens(self) -> None:
        """Have each stream look whether its reader may still read: tokens are others now."""
        self._feed.wake()

    async def serve(self, request: web.BaseRequest, wish: StreamWish) -> web.StreamResponse:
        """Send changes until the reader goes, or may read no more; AnswerError where nothing is sent yet."""
        if self.open >= self._streams_max:
            raise AnswerError("overloaded", "as many read changes as may; come back")
        self.open += 1
        self._metrics.streams.inc()
        why: StreamEnd = "gone"
        since = wish.since
        try:
            await self._feed_ready()
            if since is not None:
                self._check_generation(since)
                if not self._feed.covers(since):
                    await self._check_kept(since)
            reader = _OpenStream(request, self._feed, wish, self._metrics)
            await reader.begin(since if since is not None else self._feed.position.copy())
            why = await self._send(reader, since)
            return reader.response
        except TimeoutError:
            why = "slow"
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError from None
        finally:
            self.open -= 1
            self._metrics.streams.dec()
            self._metrics.streams_ended.labels(why).inc()

    async def _send(self, reader: _OpenStream, since: StreamPosition | None) -> StreamEnd:
        try:
            if since is not None and not await self._catch_up(reader, since):
                return "behind"
        except UnansweredError:
            return "kafka_away"
        return await reader.follow()

    async def _feed_ready(self) -> None:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._feed.ready.wait()
        except TimeoutError:
            raise AnswerError("kafka_away", "the topic of changes cannot be read at the moment; come back") from None

    def _check_generation(self, since: StreamPosition) -> None:
        """AnswerError where an id is of another log than the one that is told now."""
        of, now = since.generation, self._feed.position.generation
        if of > self._settings.rules.log_generation:
            said = f"it is of generation {of} of the log, which is at {self._settings.rules.log_generation}"
            raise AnswerError("bad_cursor", f"{said}: expected an id of this deployment's", PATH)
        if of and of < now:
            said = f"it is of generation {of} of the log, which is at {now}"
            raise AnswerError("cursor_expired", f"{said}: read memberships anew, and begin without an id", PATH)

    async def _check_kept(self, since: StreamPosition) -> None:
        """AnswerError where what follows is not kept any more, or never was there."""
        try:
            async with ChangeRecords.opened(self._settings) as records:
                begins, ends = await records.bounds()
        except UnansweredError:
            raise AnswerError("kafka_away", "the topic of changes cannot be read at the moment; come back") from None
        for shard, at in enumerate(since.shards):
            if at.kafka_offset > ends[shard]:
                raise AnswerError("bad_cursor", f"shard {shard} has not come so far: expected an id of this deployment's", PATH)
            if at.kafka_offset < begins[shard]:
                said = f"changes of shard {shard} that follow are not kept any more: read memberships anew, and begin without an id"
                raise AnswerError("cursor_expired", said, PATH)

    async def _catch_up(self, reader: _OpenStream, since: StreamPosition) -> bool:
        """From Kafka what is older than the feed's entries; then those of the feed that are not behind the reader. Whether they came so
        far."""
        while self._feed.is_behind(since):
            async with self._catching_up, ChangeRecords.opened(self._settings) as records:
                records.seek({shard: at.kafka_offset for shard, at in enumerate(since.shards)})
                while self._feed.is_behind(since):
                    for record in await records.take():
                        await reader.write_own(record, since)
                    for shard, offset in (await records.positions()).items():
                        at = since.shards[shard]
                        since.move(shard, ShardPosition(max(offset, at.kafka_offset), at.place))
                    await reader.say_where(since)
        return await reader.join(since)


class _OpenStream:
    """One stream. ``number`` is where it stands in the feed."""

    def __init__(self, request: web.BaseRequest, feed: Feed, wish: StreamWish, metrics: ServerMetrics) -> None:
        self.response = web.StreamResponse(headers=STREAM_HEADERS)
        self.number = feed.end
        self._request = request
        self._feed = feed
        self._wanted = wish.wanted
        self._may_read = wish.may_read
        self._now = asyncio.get_running_loop().time
        self._written_at = self._now()
        self._metrics = metrics

    async def begin(self, position: StreamPosition) -> None:
        """Say from where on, before the first change: a connection that is cut before it goes on from there."""
        self.number = self._feed.end
        await self.response.prepare(self._request)
        await self._write(b"retry: %d\nid: %b\n\n" % (RETRY_MS, position.text().encode()))

    async def write_own(self, record: ChangeRecord, since: StreamPosition) -> None:
        """Send a record under the reader's own position, if it is new to them and wanted."""
        if not since.take(record):
            return
        entry = entry_of(record, since.text())
        if self._wanted.wants(entry.segment):
            await self._write(entry.id + entry.event)

    async def say_where(self, since: StreamPosition) -> None:
        """The id alone, where nothing was sent for long: what was passed over is behind the reader then, whatever cuts the connection."""
        if self._now() - self._written_at >= HEARTBEAT_SECONDS:
            await self._write(b": \nid: %b\n\n" % since.text().encode())

    async def join(self, since: StreamPosition) -> bool:
        """Send of the feed's entries those that are new to the reader, until both stand at the same place. False where entries went
        meanwhile that the reader had not got."""
        self.number = self._feed.first
        while not self._feed.is_closed and self._may_read():
            while self.number < self._feed.end:
                if self.number < self._feed.first:
                    return False
                self.number += 1
                await self.write_own(self._feed.entry(self.number - 1).record, since)
            if since.shards == self._feed.position.shards:
                return True
            await self._feed.changed(HEARTBEAT_SECONDS)
            await self._write(b": \n\n")
        return True

    async def follow(self) -> StreamEnd:
        """Send what comes."""
        while not self._feed.is_closed:
            if not self._may_read():
                return "revoked"
            if self.number < self._feed.first:
                return "behind"
            chunk, number = self._feed.chunk(self.number, self._wanted)
            passed, self.number = number - self.number, number
            if chunk:
                await self._write(chunk)
            elif not passed:
                await self._wait()
        return "closed"

    async def _wait(self) -> None:
        """A heartbeat where nothing comes: with the id, since what was not wanted is behind the reader too."""
        before = self._feed.end
        await self._feed.changed(HEARTBEAT_SECONDS)
        if self._feed.end == before and not self._feed.is_closed:
            await self._write(b": \n%b\n" % self._feed.id_at(self.number))

    async def _write(self, data: bytes) -> None:
        async with asyncio.timeout(WRITE_SECONDS):
            await self.response.write(data)
        self._now = asyncio.get_running_loop().time
        self._written_at = self._now()
        self._metrics.changes_sent.inc(data.count(b"\ndata: "))


__all__ = ["ChangeStreams", "StreamWish", "no_stream"]
