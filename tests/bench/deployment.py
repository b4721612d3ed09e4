"""Real servers, a log written ahead of time, and a worker process whose processor time is read from the system."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any

from streamer.deployment.connecting import starting
from streamer.errors import SettingsError
from streamer.language.definitions import Definitions
from streamer.local.apache_kafka import ApacheKafka, ExternalKafka, find_kafka
from streamer.local.children import Child, free_port
from streamer.local.redis import RedisServer
from streamer.settings import Settings
from streamer.stores.redis import RedisStore, connect
from streamer.transports.kafka.clients import producer
from streamer.transports.kafka.control import send_control
from streamer.wire import CHANGES, EVENTS, definitions_control

from .sending import write
from .shop import Made
from .usage import Usage, usage_of

SHARDS = 12
POLL_SECONDS = 0.05
STALL_SECONDS = 60.0


class Servers:
    """One Kafka and one Redis of the machine's own for the whole run."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Servers:
        kafka = find_kafka()
        if kafka is None:
            raise SettingsError("needs a real Kafka: STREAMER_KAFKA, or sudo apt-get install -y default-jre-headless maven")
        self.redis = self._stack.enter_context(RedisServer(maxmemory="2gb"))
        self.kafka: ApacheKafka | ExternalKafka = self._stack.enter_context(kafka)
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="streamer-bench-")))
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()


class Deployment:
    """Topics, keys and a worker of one part.

    With ``log_time`` the log keeps the times it is given, as a broker's own: hours of a shop can be worked off in seconds. Without it the
    broker's clock counts, as in production.
    """

    def __init__(self, servers: Servers, name: str, *, log_time: bool, shards: int = SHARDS) -> None:
        self.settings = Settings(
            kafka=servers.kafka.bootstrap,
            store=servers.redis.url,  # type: ignore[arg-type] - pydantic makes the secret
            topic_prefix=name,
            namespace=name,
            group=name,
            shards=shards,
            trust_producer_time=log_time,
        )
        stamps = {"message.timestamp.type": "CreateTime" if log_time else "LogAppendTime", "message.timestamp.after.max.ms": str(10**12)}
        servers.kafka.create_topic(self.settings.topic(EVENTS), shards, stamps)
        servers.kafka.create_topic(self.settings.topic(CHANGES), shards, {"message.timestamp.type": "LogAppendTime"})
        self.store: RedisStore = connect(servers.redis.url, namespace=name)
        self.ends = [0] * shards
        self._log = servers.folder / f"{name}.log"
        self._worker: Child | None = None

    async def define(self, definitions: Definitions) -> None:
        """Definitions, before anything else."""
        content, digest = definitions.content(), definitions.digest
        async with starting(self.settings) as (client, _):
            await send_control(client, self.settings, definitions_control(content, digest, 1), range(self.settings.shards))
        self.ends = [1] * self.settings.shards

    async def write(self, made: Iterable[Made]) -> None:
        """Append to the log in whole batches, as fast as the broker takes them."""
        client = producer(self.settings)
        await client.start()
        try:
            await write(client, self.settings.topic(EVENTS), made, self.ends)
        finally:
            await client.stop()

    def start_worker(self) -> None:
        """``streamer worker`` in a process of its own."""
        environment = {**self._environment(), "STREAMER_WEB_PORT": str(free_port())}
        self._worker = Child([sys.executable, "-m", "streamer", "worker"], log=self._log, env=environment)

    async def command(self, *words: str) -> None:
        """Run a command of ours in a process of its own, as an operator would. SettingsError where it fails."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "streamer", *words),
            env=self._environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        if process.returncode:
            raise SettingsError(f"{' '.join(words)}: {said.decode()}")

    def _environment(self) -> dict[str, str]:
        settings = self.settings
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")},
            "STREAMER_KAFKA": settings.kafka,
            "STREAMER_STORE": settings.store.get_secret_value(),
            "STREAMER_TOPIC_PREFIX": settings.topic_prefix,
            "STREAMER_NAMESPACE": settings.namespace,
            "STREAMER_GROUP": settings.group,
            "STREAMER_SHARDS": str(settings.shards),
            "STREAMER_TRUST_PRODUCER_TIME": str(settings.trust_producer_time),
        }

    def stop_worker(self) -> None:
        """SIGTERM, as an operator would."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def usage(self) -> Usage:
        """Of the worker, all threads."""
        assert self._worker is not None
        return usage_of(self._worker.pid)

    @property
    def worker(self) -> Child:
        """The process that ``start_worker`` started."""
        assert self._worker is not None
        return self._worker

    async def positions(self) -> list[int]:
        """How far the shards are committed."""
        return [(await self.store.checkpoint(shard)).position.offset for shard in range(self.settings.shards)]

    async def work_off(self) -> tuple[Usage, Usage]:
        """Wait until everything written is committed and published; the worker's usage when it began and at the end."""
        begin = await self.positions()
        first: Usage | None = None
        last_progress, before = monotonic(), begin
        while True:
            usage, found = self.usage(), await self.positions()
            if found == begin or first is None:
                first = usage
            if found != before:
                last_progress, before = monotonic(), found
            if all(at >= end for at, end in zip(found, self.ends, strict=True)) and not await self._unpublished():
                return first, self.usage()
            if monotonic() - last_progress > STALL_SECONDS:
                raise SettingsError(f"the worker stands still at {found} of {self.ends}:\n{self._worker and self._worker.log_tail(20)}")
            await asyncio.sleep(POLL_SECONDS)

    async def _unpublished(self) -> bool:
        for shard in range(self.settings.shards):
            if await self.store.outbox(shard, after=None, limit=1):
                return True
        return False

    async def close(self) -> None:
        """Stop the worker, let go of connections."""
        self.stop_worker()
        await self.store.close()
