"""The local servers do what others rely on: they start, serve, come back with their data, and leave nothing behind."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, cast

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from redis import Redis
from redis.exceptions import OutOfMemoryError
from redis.exceptions import TimeoutError as RedisTimeout

from streamer.errors import SettingsError
from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.children import process_exists
from streamer.local.mock_kafka import MockKafka, MockKafkaProcess
from streamer.local.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable

PARTITIONS = 4


def test_a_redis_serves_over_tcp_and_its_socket(redis_server: RedisServer, fresh_name: str) -> None:
    """The demo uses the socket, other machines' tools the port."""
    with _client(redis_server) as over_tcp, Redis.from_url(redis_server.socket_url) as over_socket:
        over_tcp.set(fresh_name, "1")
        assert over_socket.get(fresh_name) == b"1"
        assert redis_server.socket_url.startswith("unix://")


def test_a_redis_of_the_distribution_serves_as_well() -> None:
    """Debian's is two major versions behind the one in the wheel, and knows fewer options."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server on the path (apt-get install redis-server)")
    with RedisServer(program=program) as server, _client(server) as client:
        client.set("a", "1")
        server.kill()
        server.restart()
        assert client.get("a") == b"1"
        assert server.version.startswith(("Redis ", "Valkey "))


def test_a_killed_redis_comes_back_on_its_port_with_all_that_it_acknowledged() -> None:
    """``kill -9`` of the store is one of the faults that the worker must survive; a server that forgot would prove nothing."""
    with RedisServer() as server:
        with _client(server) as client:
            for number in range(1000):
                client.set(f"key{number}", number)
        before, port = server.pid, server.port
        server.kill()
        assert not process_exists(before)
        assert not server.running
        server.restart()
        with _client(server) as client:
            assert client.dbsize() == 1000
        assert (port, True) == (server.port, server.pid != before)


def test_a_redis_can_come_back_empty() -> None:
    """A store that lost everything is another fault, with another answer."""
    with RedisServer() as server:
        with _client(server) as client:
            client.set("a", 1)
        server.kill()
        server.restart(empty=True)
        with _client(server) as client:
            assert client.dbsize() == 0


def test_a_full_redis_refuses_and_does_not_evict() -> None:
    """An eviction takes a customer's state or the position itself, and nobody notices."""
    with RedisServer(maxmemory="8mb") as server, _client(server) as client:
        kept = sum(_was_taken(client, f"key{number}", b"x" * 1_000_000) for number in range(16))
        assert 0 < kept < 16
        assert kept == client.dbsize()


def test_a_paused_redis_keeps_its_connections_and_does_not_answer() -> None:
    """The unpleasant kind of outage: nothing is refused, nothing comes back."""
    with RedisServer() as server, Redis.from_url(server.url, socket_timeout=0.3, retry=None) as client:
        client.set("a", 1)
        server.pause()
        with pytest.raises(RedisTimeout):
            client.get("a")
        server.resume()
        assert client.get("a") == b"1"


def test_a_stopped_redis_leaves_no_process_and_no_directory() -> None:
    """Whoever tries the demo must not find servers in his process list the next day."""
    with RedisServer() as server:
        pid, directory = server.pid, server.directory
        server.pause()  # even one that does not listen
    assert not process_exists(pid)
    assert not directory.exists()


def test_a_redis_that_cannot_start_says_why_and_leaves_nothing() -> None:
    """The server's own words are the useful ones, and they are in a directory that is about to go."""
    server = RedisServer(options={"no-such-option": "1"})
    with pytest.raises(SettingsError, match=r"ended with status 1(.|\n)*no-such-option"):
        server.start()
    assert not server.running
    with pytest.raises(SettingsError, match="not started"):
        _ = server.directory


def test_a_redis_started_in_a_thread_outlives_the_thread() -> None:
    """The kernel ties a child to the thread that forked it; a server must not die because a pool retired a thread."""
    with ThreadPoolExecutor(1) as pool:
        server = pool.submit(RedisServer().start).result()
    with server, _client(server) as client:
        time.sleep(0.2)
        assert client.ping()


PARENT = """
import json, sys, time
from streamer.local.mock_kafka import MockKafkaProcess
from streamer.local.redis import RedisServer
servers = [RedisServer().start(), MockKafkaProcess().start()]
print(json.dumps([server.pid for server in servers]), flush=True)
if sys.argv[1] == "waits":
    time.sleep(60)
"""


@pytest.mark.parametrize("end", ["is killed", "ends"])
def test_servers_end_with_the_process_that_started_them(end: str) -> None:
    """A killed demo cannot clean up after itself, so the kernel has to; one that just ends does it itself."""
    waits = "waits" if end == "is killed" else "ends"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, waits], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        pids = cast("list[int]", json.loads(parent.stdout.readline()))
        if waits == "waits":
            assert all(map(process_exists, pids))
            parent.send_signal(signal.SIGKILL)
    assert len(pids) == 2
    _eventually(lambda: not any(map(process_exists, pids)))


@pytest.mark.parametrize("kind", [MockKafka, MockKafkaProcess])
async def test_a_mock_cluster_serves_topics_with_as_many_partitions_as_asked(kind: type[MockKafka | MockKafkaProcess]) -> None:
    """Shards are partitions: a mock that made four of everything would not do."""
    with kind({"first": 6}) as mock:
        mock.create_topic("second", 3)
        assert [len(await _partitions(mock.bootstrap, name)) for name in ("first", "second")] == [6, 3]
        await _produce(mock.bootstrap, "first", 50)
        assert await _count(mock.bootstrap, "first") == 50
        with pytest.raises(SettingsError, match="already exists"):
            mock.create_topic("second", 3)


async def test_a_mock_cluster_serves_one_consumer_group_member() -> None:
    """The demo's worker joins a group; with the mock's own delay it would wait for three seconds."""
    with MockKafka({"events": 6}) as mock:
        await _produce(mock.bootstrap, "events", 10)
        async with AIOKafkaConsumer("events", bootstrap_servers=mock.bootstrap, group_id="g", auto_offset_reset="earliest") as member:
            assert len(member.assignment()) == 6


def test_a_stopped_mock_process_leaves_no_process() -> None:
    """As for Redis."""
    with MockKafkaProcess() as mock:
        pid = mock.pid
        assert process_exists(pid)
    assert not process_exists(pid)


async def test_a_kafka_shares_a_topic_between_two_members_and_gives_it_back(kafka: ApacheKafka | ExternalKafka, topic: str) -> None:
    """What the mock cannot do."""
    await _produce(kafka.bootstrap, topic, 40)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(_member(kafka.bootstrap, topic))
        assert len(first.assignment()) == PARTITIONS
        async with _member(kafka.bootstrap, topic) as second:
            await _shared([first, second], [2, 2])
        await _shared([first], [PARTITIONS])


async def test_a_kafka_stamps_records_with_its_own_time(kafka: ApacheKafka | ExternalKafka, topic: str) -> None:
    """Log time is the broker's arrival time, so the topic's settings must have been taken."""
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        sent = await producer.send_and_wait(topic, b"x", timestamp_ms=1000)
    assert sent.timestamp_type == 1
    assert abs((sent.timestamp or 0) / 1000 - time.time()) < 60


async def test_a_restarted_kafka_keeps_its_address_and_records(kafka: ApacheKafka | ExternalKafka, topic: str) -> None:
    """An orderly restart of the broker is everyday life."""
    server = _ours(kafka)
    await _produce(server.bootstrap, topic, 40)
    before = (server.bootstrap, server.pid)
    server.restart()
    assert before[0] == server.bootstrap
    assert before[1] != server.pid
    assert await _count(server.bootstrap, topic) == 40


async def test_a_killed_kafka_comes_back_with_all_that_it_acknowledged(kafka: ApacheKafka | ExternalKafka, topic: str) -> None:
    """``kill -9`` of the broker: its process is gone, its page cache is not."""
    server = _ours(kafka)
    await _produce(server.bootstrap, topic, 40)
    before = server.pid
    server.kill()
    assert not process_exists(before)
    assert not server.running
    server.restart()
    assert await _count(server.bootstrap, topic) == 40
    await _produce(server.bootstrap, topic, 40)
    assert await _count(server.bootstrap, topic) == 80


async def test_a_paused_kafka_does_not_answer_and_then_goes_on(kafka: ApacheKafka | ExternalKafka, topic: str) -> None:
    """A broker in a long garbage collection looks like this."""
    server = _ours(kafka)
    async with AIOKafkaProducer(bootstrap_servers=server.bootstrap) as producer:
        await producer.send_and_wait(topic, b"x")
        server.pause()
        late = asyncio.ensure_future(producer.send_and_wait(topic, b"x"))
        await asyncio.sleep(1.0)
        assert not late.done()
        server.resume()
        await asyncio.wait_for(late, 30)
    assert await _count(server.bootstrap, topic) == 2


def test_a_stopped_kafka_leaves_no_process_and_no_directory(kafka: ApacheKafka | ExternalKafka) -> None:
    """As for Redis; and two brokers at once do not meet."""
    _ours(kafka)
    with ApacheKafka(heap_mb=256) as server:
        pid, directory = server.pid, server.directory
        assert server.bootstrap != kafka.bootstrap
        assert process_exists(pid)
        assert directory.exists()
    assert not process_exists(pid)
    assert not directory.exists()


def _client(server: RedisServer) -> Redis:
    return Redis.from_url(server.url, socket_timeout=5)


def _was_taken(client: Redis, key: str, value: bytes) -> bool:
    try:
        client.set(key, value)
    except OutOfMemoryError:
        return False
    return True


def _ours(kafka: ApacheKafka | ExternalKafka) -> ApacheKafka:
    if isinstance(kafka, ExternalKafka):
        pytest.skip("the broker that STREAMER_KAFKA names is not ours to kill")
    return kafka


def _member(bootstrap: str, topic: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=f"{topic}-group", auto_offset_reset="earliest", heartbeat_interval_ms=200
    )


async def _shared(members: list[AIOKafkaConsumer], wanted: list[int]) -> None:
    async with asyncio.timeout(30):
        while [len(member.assignment()) for member in members] != wanted:
            for member in members:
                await member.getmany(timeout_ms=50)


async def _produce(bootstrap: str, topic: str, count: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        for number in range(count):
            await producer.send_and_wait(topic, b"x", partition=number % PARTITIONS)


async def _partitions(bootstrap: str, topic: str) -> set[int]:
    async with AIOKafkaConsumer(topic, bootstrap_servers=bootstrap) as consumer:
        return consumer.partitions_for_topic(topic) or set()


async def _count(bootstrap: str, topic: str) -> int:
    """How many records can be read, by reading them."""
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        for place in places:
            consumer.seek(place, 0)
        read = 0
        async with asyncio.timeout(30):
            while read < sum(ends.values()):
                read += sum(map(len, (await consumer.getmany(timeout_ms=200)).values()))
        return read


def _eventually(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
