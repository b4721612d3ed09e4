"""What Redis does when things go wrong, and what its store makes of it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from redis import Redis

from streamer.errors import CommitUnknownError, FencedError, HaltError, KeysLostError, StoreUnavailableError
from streamer.flow.catalog import Plans
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import parse_definitions
from streamer.local.redis import RedisServer
from streamer.stores.base import Commit, Fetched, OutputPosition, Position, Store
from streamer.stores.buckets import bucket_of
from streamer.stores.redis import RedisStore, connect
from streamer.stores.redis_connection import Exchange, RedisCommand
from streamer.wire import LogRecord, definitions_control

from .dump import dump, next_commit, ownerless
from .proxy import Proxy

FULL: dict[str, Any] = {"states": {"a": b"1", "b": b"2"}, "wakes": {"a": 10}, "outbox": b"said", "documents": {"doc": b"text"}}
EXEC = b"\r\nEXEC\r\n"
CUSTOMERS = f"customers:{bucket_of('a')}"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """One of our own: these tests change its settings and kill it."""
    with RedisServer(appendonly=False) as found:
        yield found


@pytest.fixture
def namespace() -> str:
    """Keys that nobody else has."""
    return f"faults-{uuid.uuid4().hex}"


@pytest.fixture
def admin(server: RedisServer) -> Iterator[Redis]:
    """A plain client beside the store."""
    with Redis.from_url(server.url) as client:
        yield client


@pytest.fixture
async def store(server: RedisServer, namespace: str) -> AsyncIterator[RedisStore]:
    """The store over a wire that holds."""
    found = connect(server.url, namespace=namespace)
    yield found
    await found.close()


@pytest.fixture
async def proxy(server: RedisServer) -> AsyncIterator[Proxy]:
    """A wire that can be cut."""
    async with Proxy(server.port).running() as found:
        yield found


@pytest.fixture
async def cut_store(proxy: Proxy, namespace: str) -> AsyncIterator[RedisStore]:
    """The same shards as ``store``, over the wire that can be cut."""
    found = connect(f"redis://127.0.0.1:{proxy.port}/0", namespace=namespace)
    yield found
    await found.close()


async def test_a_lost_reply_is_unknown_and_the_head_tells_that_it_went_through(store: Store, cut_store: Store, proxy: Proxy) -> None:
    """To try again at once would be fenced by oneself; to believe in failure would say everything twice."""
    commit = next_commit(await cut_store.acquire(0), **FULL)
    proxy.cut_at = EXEC
    with pytest.raises(CommitUnknownError):
        await cut_store.commit(0, commit)
    assert proxy.cuts == 1
    assert await cut_store.checkpoint(0) == commit.checkpoint
    assert (await dump(store)).outbox == [(commit.position, b"said")]


async def test_a_commit_cut_off_on_its_way_is_unknown_and_the_head_tells_that_it_did_not(
    store: Store, cut_store: Store, proxy: Proxy
) -> None:
    """For the client the two look alike."""
    commit = next_commit(await cut_store.acquire(0), **FULL)
    before = await dump(store)
    proxy.cut_at, proxy.before = EXEC, True
    with pytest.raises(CommitUnknownError):
        await cut_store.commit(0, commit)
    assert proxy.cuts == 1
    assert await dump(store) == before
    await cut_store.commit(0, commit)
    assert await cut_store.checkpoint(0) == commit.checkpoint


@pytest.mark.parametrize("before", [False, True], ids=["after", "before"])
async def test_a_shard_commits_once_whatever_becomes_of_the_reply(store: Store, cut_store: Store, proxy: Proxy, before: bool) -> None:
    """It asks for the output digest, and goes on or tries again."""
    definitions = parse_definitions({"segments": {"known": {"for": "x", "when": 'did("A")'}}})
    switch = LogRecord(0, 0, definitions_control(definitions.content(), definitions.digest, 1), control=True)
    event = LogRecord(1, 5, b'{"event": "A", "messageId": "m", "userId": "c", "timestamp": 5}')
    shard = await Shard.acquire(0, cut_store, Plans(cut_store, Rules(shards=1)), Rules(shards=1), pause=_no_wait)
    await shard.process([switch])
    proxy.cut_at, proxy.before = EXEC, before
    outputs = await shard.process([event])
    assert proxy.cuts == 1
    assert [len(entry) for _, entry in outputs] == [1]
    found = await dump(store)
    assert found.checkpoint == shard.checkpoint
    assert [place for place, _ in found.outbox] == [OutputPosition(1, 0)]


async def test_a_lost_reply_to_shards_that_commit_together_is_unknown_to_each(cut_store: Store, proxy: Proxy) -> None:
    """One transaction commits them all: its reply is everybody's."""
    commits = [next_commit(await cut_store.acquire(shard), **FULL) for shard in range(3)]
    proxy.cut_at = EXEC
    results = await _together(cut_store, commits)
    assert proxy.cuts == 1
    assert [type(result) for result in results] == [CommitUnknownError] * 3
    assert [await cut_store.checkpoint(shard) for shard in range(3)] == [commit.checkpoint for commit in commits]


async def test_an_owner_who_comes_between_check_and_commit_fences_its_own_shard_alone(
    store: Store, cut_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction of all is refused then, and each shard is committed by itself."""
    commits = [next_commit(await store.acquire(shard), **FULL) for shard in range(3)]
    execute, sizes = Exchange.execute, list[int]()

    async def after_another_came(exchange: Exchange, commands: Sequence[RedisCommand]) -> list[Any] | None:
        sizes.append(len(commands))
        if len(sizes) == 1:
            await cut_store.acquire(1)
        return await execute(exchange, commands)

    monkeypatch.setattr(Exchange, "execute", after_another_came)
    results = await _together(store, commits)
    assert [type(result) for result in results] == [type(None), FencedError, type(None)]
    of_one = sizes[0] // 3
    assert sizes == [3 * of_one, 1, of_one, of_one]  # all, the other's acquisition, and the two that it does not concern
    assert [bool((await dump(store, shard)).states) for shard in range(3)] == [True, False, True]


@pytest.mark.parametrize("name", [CUSTOMERS, "wakes", "outbox", "documents"])
async def test_a_shard_with_a_key_of_a_foreign_type_halts_alone(store: Store, admin: Redis, namespace: str, name: str) -> None:
    """Others that fetch or commit at the same time go on."""
    commits = [next_commit(await store.acquire(shard), **FULL) for shard in range(3)]
    admin.execute_command("LPUSH", f"{{{namespace}:1}}:{name}", "x")
    fetches = (store.fetch(shard, ["a"], until_ms=10, limit=1) for shard in range(3))
    found = await asyncio.gather(*fetches, return_exceptions=True)
    assert (found[0], found[2]) == (Fetched([None], []), Fetched([None], []))
    results = await _together(store, commits)
    assert [type(result) for result in results] == [type(None), HaltError, type(None)]


async def _together(store: Store, commits: Sequence[Commit]) -> list[BaseException | None]:
    """What becomes of commits of shards 0, 1, … at the same time."""
    return await asyncio.gather(*(store.commit(shard, commit) for shard, commit in enumerate(commits)), return_exceptions=True)


async def test_a_lost_reply_to_acquire_is_an_unavailable_store(store: Store, cut_store: Store, proxy: Proxy) -> None:
    """It may have raised the epoch; to raise it again does no harm, so it is simply tried again."""
    proxy.cut_at = EXEC
    with pytest.raises(StoreUnavailableError):
        await cut_store.acquire(0)
    assert proxy.cuts == 1
    assert (await store.checkpoint(0)).epoch == 1
    assert (await cut_store.acquire(0)).epoch == 2


async def test_reads_that_are_cut_are_unavailable(cut_store: Store, proxy: Proxy) -> None:
    """Nothing was written, so whoever asked may ask again."""
    await cut_store.acquire(0)
    for command, call in (
        (b"HMGET", lambda: cut_store.fetch(0, ["a"], until_ms=1, limit=1)),
        (b"GET", lambda: cut_store.checkpoint(0)),
        (b"HLEN", lambda: cut_store.customers(0, 0, limit=1)),
        (b"XRANGE", lambda: cut_store.outbox(0, after=None, limit=1)),
        (b"WATCH", lambda: cut_store.acquire(0)),
    ):
        proxy.cut_at = command
        with pytest.raises(StoreUnavailableError):
            await call()
    assert proxy.cuts == 5
    assert (await cut_store.checkpoint(0)).epoch == 1


async def test_a_full_redis_refuses_a_commit_whole(store: Store, admin: Redis) -> None:
    """Reads go on; the shard waits and tries again."""
    checkpoint = await store.acquire(0)
    await store.commit(0, next_commit(checkpoint, **FULL))
    before = await dump(store)
    refused = next_commit(before.checkpoint, states={"a": b"new", "b": None}, wakes={"a": None}, outbox=b"more")
    admin.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailableError, match=r"OOM|memory"):
            await store.commit(0, refused)
        assert await dump(store) == before
    finally:
        admin.config_set("maxmemory", 0)
    await store.commit(0, refused)
    assert await store.checkpoint(0) == refused.checkpoint


async def test_a_replica_refuses_a_commit_whole(store: Store, admin: Redis) -> None:
    """After a failover the old primary is one; it must not keep what it is told."""
    await store.commit(0, next_commit(await store.acquire(0), **FULL))
    before = await dump(store)
    admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(StoreUnavailableError, match=r"READONLY|read only"):
            await store.commit(0, next_commit(before.checkpoint, states={"a": b"new"}))
        with pytest.raises(StoreUnavailableError):
            await store.acquire(0)
    finally:
        admin.execute_command("REPLICAOF", "NO", "ONE")
    assert await dump(store) == before


@pytest.mark.parametrize("name", [CUSTOMERS, "wakes", "outbox", "documents", "checkpoint"])
async def test_a_key_of_a_foreign_type_halts_before_anything_is_written(store: Store, admin: Redis, namespace: str, name: str) -> None:
    """Inside EXEC the other commands would have run: the position would have gone on without its states."""
    await store.commit(0, next_commit(await store.acquire(0), **FULL))
    checkpoint = await store.checkpoint(0)
    key = f"{{{namespace}:0}}:{name}"
    raw = {other: admin.dump(f"{{{namespace}:0}}:{other}") for other in (CUSTOMERS, "wakes", "outbox", "documents", "checkpoint")}
    admin.delete(key)
    admin.execute_command("GEOADD" if name != "wakes" else "LPUSH", key, *((13, 38, "x") if name != "wakes" else ("x",)))
    with pytest.raises(HaltError):
        await store.commit(0, next_commit(checkpoint, states={"a": b"new"}, wakes={"a": 99}, outbox=b"more", documents={"doc": b"new"}))
    with pytest.raises(HaltError):
        await store.acquire(0)
    for other, was in raw.items():
        if other != name:
            assert admin.dump(f"{{{namespace}:0}}:{other}") == was


async def test_a_checkpoint_that_is_gone_alone_halts(store: Store, admin: Redis, namespace: str) -> None:
    """An eviction policy took it (it has been seen to): to begin anew over the old states would count everything twice."""
    await store.commit(0, next_commit(await store.acquire(0), **FULL))
    assert admin.delete(f"{{{namespace}:0}}:checkpoint") == 1
    with pytest.raises(HaltError, match="checkpoint is gone"):
        await store.acquire(0)
    for name in (CUSTOMERS, f"customers:{bucket_of('b')}", "wakes", "outbox", "documents"):
        admin.delete(f"{{{namespace}:0}}:{name}")
    assert (await store.acquire(0)).position == Position(0, 0)


async def test_an_outbox_that_is_gone_is_noticed_though_it_was_empty(store: Store, admin: Redis, namespace: str) -> None:
    """Trimmed to nothing its key is still there: without it nobody knows whether something was waiting in it."""
    await store.commit(0, next_commit(await store.acquire(0), **FULL))
    await store.trim(0, upto=OutputPosition(9, 9))
    now = await store.checkpoint(0)
    await store.verify(0, now)
    assert admin.delete(f"{{{namespace}:0}}:outbox") == 1
    for call in (lambda: store.verify(0, now), lambda: store.commit(0, next_commit(now)), lambda: store.acquire(0)):
        with pytest.raises(KeysLostError, match="its outbox is gone"):
            await call()


async def test_an_eviction_policy_is_a_danger(store: RedisStore, admin: Redis) -> None:
    """It is looked at while the worker runs, too."""
    assert (await store.health()).dangers == []
    admin.config_set("maxmemory-policy", "allkeys-random")
    try:
        [danger] = (await store.health()).dangers
        assert "CONFIG SET maxmemory-policy noeviction" in danger.remedy
    finally:
        admin.config_set("maxmemory-policy", "noeviction")


async def test_an_owner_of_a_lost_time_is_fenced(store: Store, admin: Redis, namespace: str) -> None:
    """A failover lost its acquisition, and the next one got the same epoch, position and output digest: they are two all the same."""
    key = f"{{{namespace}:0}}:checkpoint"
    await store.commit(0, next_commit(await store.acquire(0)))
    older = admin.dump(key)
    lost = await store.acquire(0)
    admin.restore(key, 0, older, replace=True)  # pyright: ignore[reportArgumentType] - DUMP of a key that is there
    now = await store.acquire(0)
    assert ownerless(now) == ownerless(lost)
    with pytest.raises(FencedError):
        await store.commit(0, next_commit(lost))
    await store.commit(0, next_commit(now))


async def test_no_key_expires_and_a_shards_keys_share_one_slot(store: Store, admin: Redis, namespace: str) -> None:
    """A state that vanished by the wall clock would vanish elsewhere in every replay; a commit over two slots is refused by a cluster."""
    for shard in (0, 11):
        await store.commit(shard, next_commit(await store.acquire(shard), **FULL))
        await store.commit(shard, next_commit(await store.checkpoint(shard), **FULL))
    await store.put_document("manifest", b"x")
    keys = [key.decode() for key in admin.scan_iter(f"*{namespace}*")]
    assert len(keys) == 2 * 6 + 1  # two buckets of customers
    assert {admin.ttl(key) for key in keys} == {-1}
    for shard in (0, 11):
        ours = [key for key in keys if key.startswith(f"{{{namespace}:{shard}}}:")]
        assert len(ours) == 6
        assert {key[key.index("{") : key.index("}")] for key in ours} == {f"{{{namespace}:{shard}"}  # what a cluster hashes


async def test_a_server_that_is_gone_is_unavailable_and_comes_back(server: RedisServer, namespace: str) -> None:
    """Whoever waits goes on by itself."""
    store = connect(server.url, namespace=namespace)
    checkpoint = await store.acquire(0)
    server.kill()
    for call in (
        lambda: store.acquire(0),
        lambda: store.checkpoint(0),
        lambda: store.commit(0, next_commit(checkpoint)),
        lambda: store.fetch(0, ["a"], until_ms=0, limit=1),
        lambda: store.trim(0, upto=OutputPosition(1, 0)),
        lambda: store.put_document("x", b"x"),
    ):
        with pytest.raises(StoreUnavailableError):
            await call()
    server.restart(empty=True)
    assert (await store.checkpoint(0)).epoch == 0
    await store.close()


async def _no_wait(_seconds: float) -> None:
    return None
