"""Changes as a relay writes them, and readers of ``streamer serve``."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
from aiokafka import AIOKafkaProducer
from confluent_kafka import Message

from streamer.local.children import Child, free_port
from streamer.settings import Settings
from streamer.wire import CHANGES, POSITION_HEADER, position_text

SEGMENTS: Final = ("buyer", "quiet")


def change(shard: int, offset: int, ordinal: int, segment: str) -> bytes:
    """A change as it lies in the topic."""
    at = "2026-11-29T03:00:00.000Z"
    position = {"generation": 1, "shard": shard, "offset": offset, "ordinal": ordinal}
    data = {"segment": segment, "definitions": 1, "at": at, "sequence": 1, "cause": {"kind": "event"}, "because": [], "position": position}
    head = {"specversion": "1.0", "id": f"1-{shard}-{offset}-{ordinal}", "source": "/streamer", "type": "segment.entered"}
    return json.dumps({**head, "subject": f"c-{offset}", "time": at, "datacontenttype": "application/json", "data": data}).encode()


def by_shard(ids: list[str]) -> dict[str, list[str]]:
    """Ids of changes in the order in which they stand, shard by shard."""
    found: dict[str, list[str]] = defaultdict(list)
    for one in ids:
        found[one.split("-")[1]].append(one)
    return dict(found)


def headers_of(record: Message) -> dict[str, bytes]:
    """The headers of a record that librdkafka has read."""
    return {name: value for name, value in record.headers() or [] if isinstance(value, bytes)}


class ChangeWriter:
    """Writes changes into the topic, each third of them twice, as a relay does that died before it trimmed."""

    def __init__(self, settings: Settings, client: AIOKafkaProducer) -> None:
        self.written: list[str] = []  # ids, each once, in order within each shard
        self.repeated = 0
        self._settings = settings
        self._client = client
        self._offsets = dict.fromkeys(range(settings.shards), 0)

    async def write(self, number: int) -> None:
        """So many more, shard by shard in turn."""
        for index in range(number):
            shard = len(self.written) % self._settings.shards
            self._offsets[shard] += 2
            offset, segment = self._offsets[shard], SEGMENTS[index % 2]
            for _ in range(2 if index % 3 == 0 else 1):
                await self._client.send_and_wait(
                    self._settings.topic(CHANGES),
                    change(shard, offset, 0, segment),
                    key=f"c-{offset}".encode(),
                    partition=shard,
                    headers=[(POSITION_HEADER, position_text(1, offset, 0))],
                )
            self.repeated += index % 3 == 0
            self.written.append(f"1-{shard}-{offset}-0")


class ServeProcess:
    """``streamer serve`` as a process that can be killed and started again at the same port."""

    def __init__(self, settings: Settings, folder: Path, name: str = "serve", **variables: str) -> None:
        self.port, self.web_port = free_port(), free_port()
        self._folder = folder
        self._name = name
        self._environment = {
            **os.environ,
            "STREAMER_KAFKA": settings.kafka,
            "STREAMER_STORE": settings.store.get_secret_value(),
            "STREAMER_TOPIC_PREFIX": settings.topic_prefix,
            "STREAMER_NAMESPACE": settings.namespace,
            "STREAMER_SHARDS": str(settings.shards),
            "STREAMER_SERVE_PORT": str(self.port),
            "STREAMER_SERVE_WEB_PORT": str(self.web_port),
            **variables,
        }
        self.starts = 0
        self.child = self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Child:
        self.starts += 1
        log = self._folder / f"{self._name}-{self.starts}.log"
        self.child = Child([sys.executable, "-m", "streamer", "serve"], log=log, env=self._environment)
        return self.child

    def kill(self) -> None:
        self.child.kill()

    async def until_ready(self) -> None:
        """Wait until it answers that it is ready."""
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while True:
                assert self.child.alive, self.child.log_tail(30)
                try:
                    async with session.get(f"http://127.0.0.1:{self.web_port}/readyz") as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)


class ServerSentEvent(NamedTuple):
    """One event of a stream; ``data`` is None where only an id came."""

    id: str
    data: Any


async def read_events(response: aiohttp.ClientResponse) -> AsyncIterator[ServerSentEvent]:
    """The events of a stream, by the rules of the HTML standard as far as they are used here."""
    last_id, data = "", list[str]()
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        name, _, value = line.partition(": ")
        if name == "id":
            last_id = value
        elif name == "data":
            data.append(value)
        elif not line:
            yield ServerSentEvent(last_id, json.loads("\n".join(data)) if data else None)
            data.clear()


class ResumingReader:
    """Reads changes as a browser does: comes back with the last id that it got."""

    def __init__(self, url: str, query: str = "") -> None:
        self.ids: list[str] = []
        self.last_id = ""
        self.cuts = 0
        self.connected = asyncio.Event()
        self._url = f"{url}/v1/changes{query}"

    async def run(self) -> None:
        """Until cancelled."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None), read_bufsize=2**20) as session:
            while True:
                with suppress(aiohttp.ClientError, OSError):
                    await self._read(session)
                self.cuts += self.last_id != ""
                await asyncio.sleep(0.05)

    async def _read(self, session: aiohttp.ClientSession) -> None:
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        async with session.get(self._url, headers=headers) as response:
            assert response.status in (200, 503), await response.text()
            if response.status == 503:
                return
            async for event in read_events(response):
                self.last_id = event.id
                self.connected.set()
                if event.data is not None:
                    self.ids.append(event.data["id"])
