"""Ask a Kafka broker whether it is there, and make topics: small synchronous calls for whoever starts one.

Each call has a deadline and runs in a thread of its own with its own event loop, so it may be made from anywhere, from inside
a running loop too. Needs a broker with CreateTopics: the mock cluster makes its topics through its own interface.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code

from streamer.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

T = TypeVar("T")

DEADLINE_S = 20.0
POLL_S = 0.05


def answers(bootstrap: str, *, deadline_s: float = 5.0) -> bool:
    """Whether a metadata request gets an answer that names a broker. ``bootstrap`` may hold several addresses, with commas."""
    try:
        if not any(_listens(address, deadline_s) for address in bootstrap.split(",")):  # aiokafka would log each refusal
            return False
        return _run(_names_a_broker(bootstrap), deadline_s)
    except (OSError, KafkaError):
        return False


def create_topic(bootstrap: str, name: str, partitions: int, config: Mapping[str, str] | None = None) -> None:
    """Make a topic with replication 1 and wait until each partition has a leader. SettingsError says what the broker said."""
    try:
        _run(_create(bootstrap, name, partitions, dict(config or {})), DEADLINE_S)
    except (OSError, KafkaError) as error:
        raise SettingsError(f"topic {name} could not be made at {bootstrap}: {error!r}") from error


def _listens(address: str, deadline_s: float) -> bool:
    host, _, port = address.strip().rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=deadline_s).close()
    except (OSError, ValueError):
        return False
    return True


async def _names_a_broker(bootstrap: str) -> bool:
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=4000)
    try:
        await client.start()
        return bool((await client.describe_cluster())["brokers"])
    finally:
        await client.close()


async def _create(bootstrap: str, name: str, partitions: int, config: dict[str, str]) -> None:
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    try:
        answer: Any = await client.create_topics([NewTopic(name, partitions, 1, topic_configs=config)])
        for _, code, *message in answer.topic_errors:
            if code:
                raise for_code(code)(*message)
        while not await _has_leaders(client, name, partitions):  # noqa: ASYNC110 - the broker sends no event
            await asyncio.sleep(POLL_S)
    finally:
        await client.close()


async def _has_leaders(client: AIOKafkaAdminClient, name: str, partitions: int) -> bool:
    (topic,) = await client.describe_topics([name])
    found = topic["partitions"]
    return len(found) == partitions and all(partition["leader"] >= 0 for partition in found)


def _run(coroutine: Coroutine[Any, Any, T], deadline_s: float) -> T:
    """Run it in a thread and a loop of its own. Raises TimeoutError, an OSError, past the deadline."""

    async def bounded() -> T:
        return await asyncio.wait_for(coroutine, deadline_s)

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="streamer-admin") as thread:
        return thread.submit(asyncio.run, bounded()).result()
