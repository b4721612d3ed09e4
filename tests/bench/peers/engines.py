"""The engines: how each is started, how far it is, what state it keeps, and which lines its user wrote."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from redis.asyncio import Redis

from streamer import parse_definitions
from streamer.errors import SettingsError
from streamer.local.children import Child
from streamer.wire import CHANGES, EVENTS
from tests.bench.deployment import Deployment, Servers
from tests.bench.usage import cpu_s_of, rss_peak_mb_of

from .job import LIVE, LOG, SEGMENTS_FILE, SHARDS, Row, row_of_peer, row_of_streamer, segments_text

HERE: Final = Path(__file__).parent
LIVE_TIMES: Final = {"message.timestamp.type": "LogAppendTime"}
LOG_TIMES: Final = {"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": str(10**12)}


class Engine:
    """One engine on one log: its topics, its process, its place.

    ``live``: the broker's clock counts and durations are seconds; else the log's times count and the log is 60 days.
    """

    name: ClassVar[str] = ""
    guarantee: ClassVar[str] = ""
    row: Callable[[bytes], tuple[Row, str]] = staticmethod(row_of_peer)
    sources: ClassVar[Sequence[Path]] = ()
    uses_redis: ClassVar[bool] = False
    flushes_when_it_ends: ClassVar[bool] = False  # its state is on disk as a whole only then

    def __init__(self, servers: Servers, *, live: bool) -> None:
        self.servers, self.live = servers, live
        self.prefix = f"peers-{self.name}-{'live' if live else 'log'}"
        self.events, self.changes = f"{self.prefix}.events", f"{self.prefix}.changes"
        self.log = servers.folder / f"{self.prefix}.txt"
        self.state = servers.folder / f"{self.prefix}.state"
        self.ends = [0] * SHARDS
        self.process: Child | None = None
        self._admin: AIOKafkaAdminClient | None = None

    @classmethod
    def prepare(cls) -> None:
        """Fetch and build what the engine needs; SettingsError says why it cannot be had here."""

    @classmethod
    def lines(cls) -> int:
        """What the user wrote, without empty lines, comments and docstrings' own lines."""
        return sum(lines_of(path) for path in cls.sources)

    async def make_topics(self) -> None:
        """Topics of its own, so that no engine reads behind another."""
        self.servers.kafka.create_topic(self.events, SHARDS, LIVE_TIMES if self.live else LOG_TIMES)
        self.servers.kafka.create_topic(self.changes, SHARDS, LIVE_TIMES)
        self.state.mkdir()

    def start(self) -> None:
        """Start its process."""
        self.process = Child(self.command(), log=self.log, env={**os.environ, **self.environment()})

    def command(self) -> list[str]:
        """The program and its arguments."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """How every peer is told about the job."""
        durations = LIVE if self.live else LOG
        return {
            "JOB_KAFKA": self.servers.kafka.bootstrap,
            "JOB_REDIS": self.servers.redis.url,
            "JOB_EVENTS": self.events,
            "JOB_CHANGES": self.changes,
            "JOB_GROUP": self.prefix,
            "JOB_STATE": str(self.state),
            "JOB_CLOCK": "wall" if self.live else "log",
            "JOB_IDLE_MS": str(durations.idle_ms),
            "JOB_CART_MS": str(durations.cart_ms),
            "JOB_FRESH_MS": str(durations.fresh_ms),
        }

    @property
    def child(self) -> Child:
        """Its process; SettingsError with its last words where it has ended."""
        if self.process is None or not self.process.alive:
            raise SettingsError(f"{self.name} has ended:\n{self.process.log_tail(25) if self.process else ''}")
        return self.process

    def cpu_s(self) -> float:
        """Seconds of processor time so far."""
        return cpu_s_of(self.child.pid)

    def rss_peak_mb(self) -> float:
        """The most memory it had."""
        return rss_peak_mb_of(self.child.pid)

    async def done(self) -> int:
        """Events that are worked off for good: committed, and said or on their way."""
        if self._admin is None:
            self._admin = AIOKafkaAdminClient(bootstrap_servers=self.servers.kafka.bootstrap)
            await self._admin.start()
        try:
            found = await self._admin.list_consumer_group_offsets(self.prefix)
        except GroupCoordinatorNotAvailableError:  # the first group of this broker
            return 0
        return sum(max(0, place.offset) for where, place in found.items() if where.topic == self.events)

    async def state_bytes(self) -> float:
        """Of all customers, on disk where it keeps them there."""
        return bytes_below(self.state)

    def stop(self) -> None:
        """End its process in order."""
        if self.process is not None:
            self.process.stop()

    async def close(self) -> None:
        """Let go of everything."""
        self.stop()
        if self._admin is not None:
            await self._admin.close()


class Streamer(Engine):
    """This project, with its worker as it ships."""

    name = "streamer"
    guarantee = "once, one story"
    row = staticmethod(row_of_streamer)
    sources = (SEGMENTS_FILE,)
    uses_redis = True

    def __init__(self, servers: Servers, *, live: bool) -> None:
        super().__init__(servers, live=live)
        self.deployment: Deployment | None = None

    async def make_topics(self) -> None:
        self.deployment = Deployment(self.servers, self.prefix, log_time=not self.live)
        self.events, self.changes = self.deployment.settings.topic(EVENTS), self.deployment.settings.topic(CHANGES)
        self.ends = self.deployment.ends
        await self.deployment.define(parse_definitions(segments_text(LIVE if self.live else LOG)))
        self.ends = self.deployment.ends

    def start(self) -> None:
        assert self.deployment is not None
        self.deployment.start_worker()
        self.process = self.deployment.worker

    async def done(self) -> int:
        assert self.deployment is not None
        found = await self.deployment.positions()
        return sum(min(at, end) for at, end in zip(found, self.ends, strict=True))  # behind the events there are ticks

    async def state_bytes(self) -> float:
        assert self.deployment is not None
        return await self.deployment.store.memory_bytes(SHARDS)

    async def close(self) -> None:
        if self.deployment is not None:
            await self.deployment.close()


class Hand(Engine):
    """The consumer written by hand."""

    name = "hand"
    guarantee = "at least once"
    sources = (HERE / "rules.py", HERE / "hand.py")
    uses_redis = True

    def __init__(self, servers: Servers, *, live: bool) -> None:
        super().__init__(servers, live=live)
        self.redis: Any = Redis.from_url(f"{servers.redis.url.removesuffix('/0')}/{2 if live else 1}")

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.bench.peers.hand"]

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "JOB_REDIS": f"{self.servers.redis.url.removesuffix('/0')}/{2 if self.live else 1}"}

    async def done(self) -> int:
        return sum(int(raw or 0) for raw in await self.redis.mget([f"offset:{shard}" for shard in range(SHARDS)]))

    async def state_bytes(self) -> float:
        found, cursor = 0, 0
        while True:
            cursor, keys = await self.redis.scan(cursor, count=5_000)
            pipe = self.redis.pipeline(transaction=False)
            for key in keys:
                pipe.memory_usage(key, samples=0)
            found += sum(int(size or 0) for size in await pipe.execute())
            if not cursor:
                return float(found)

    async def close(self) -> None:
        self.stop()
        await self.redis.aclose()


def bytes_below(folder: Path) -> float:
    """Of all files; one that goes meanwhile is not counted."""
    found = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            found += path.stat().st_size if path.is_file() else 0
    return float(found)


def lines_of(path: Path) -> int:
    """Lines that are neither empty nor a comment nor inside a docstring."""
    marks = {".py": ("#", '"""'), ".java": ("//", "/**"), ".yaml": ("#", "#")}[path.suffix]
    found, inside = 0, False
    for raw in path.read_text(encoding="utf-8").splitlines():
        line = raw.strip()
        if path.suffix == ".py" and line.startswith('"""') and not inside:
            inside = not (line.endswith('"""') and len(line) > 3)
            continue
        if inside:
            inside = not line.endswith('"""')
            continue
        found += bool(line) and not line.startswith(marks)
    return found
