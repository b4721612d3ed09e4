"""Redis behind Sentinel: after a failover commits go to the new primary, and until then the store is away, no worse."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from streamer.errors import CommitUnknownError, SettingsError, StoreUnavailableError
from streamer.local.children import LOOPBACK, Child, free_port
from streamer.local.redis import RedisServer, find_redis_server
from streamer.settings import Settings, without_password
from streamer.stores.base import Commit
from streamer.stores.redis import RedisStore, connect
from streamer.stores.sentinel import read_address

from .dump import dump, next_commit

DEADLINE_S = 30.0
SERVICE = "shop"


@pytest.fixture
def primary() -> Iterator[RedisServer]:
    with RedisServer(appendonly=False, options={"repl-diskless-sync-delay": "0"}) as server:
        yield server


@pytest.fixture
def replica(primary: RedisServer) -> Iterator[RedisServer]:
    with RedisServer(appendonly=False, options={"replicaof": f"{LOOPBACK} {primary.port}"}) as server:
        yield server


@pytest.fixture
def sentinel(primary: RedisServer, replica: RedisServer, tmp_path: Path) -> Iterator[int]:
    """One that watches both and decides alone; its port."""
    port, file = free_port(), tmp_path / "sentinel.conf"
    lines = (f"monitor {SERVICE} {LOOPBACK} {primary.port} 1", f"down-after-milliseconds {SERVICE} 300", f"failover-timeout {SERVICE} 1000")
    file.write_text(f"port {port}\nbind {LOOPBACK}\ndir {tmp_path}\n" + "".join(f"sentinel {line}\n" for line in lines))
    child = Child([str(find_redis_server()), str(file), "--sentinel"], log=tmp_path / "sentinel.log", cwd=tmp_path)
    try:
        child.wait_until(lambda: _knows_replica(port, replica.port), name="the sentinel", deadline_s=DEADLINE_S)
        yield port
    finally:
        child.stop()


def _knows_replica(port: int, replica: int) -> bool:
    try:
        with Redis(host=LOOPBACK, port=port) as client:
            found: list[Any] = client.sentinel_slaves(SERVICE)  # type: ignore[no-untyped-call]
    except (OSError, RedisError):  # it is only starting
        return False
    return any(one["port"] == replica and one["master-link-status"] == "ok" for one in found)


async def _committed(store: RedisStore, commit: Commit) -> list[str]:
    """Try until it is there; what the store said meanwhile."""
    said: list[str] = []
    end = monotonic() + DEADLINE_S
    while monotonic() < end:
        try:
            await store.commit(0, commit)
        except (StoreUnavailableError, CommitUnknownError) as error:
            said.append(type(error).__name__)
        else:
            return said
        await asyncio.sleep(0.1)
    raise AssertionError(f"no commit in {DEADLINE_S} s: {said[-3:]}")


async def test_after_a_failover_commits_go_to_the_new_primary(primary: RedisServer, replica: RedisServer, sentinel: int) -> None:
    """The primary dies under a worker: for a while the store is away, then the worker goes on where it was."""
    store = connect(f"redis+sentinel://{LOOPBACK}:1,{LOOPBACK}:{sentinel}/{SERVICE}/0")  # the first one is not there
    try:
        first = next_commit(await store.acquire(0), states={"a": b"1"})
        await store.commit(0, first)
        with Redis(port=primary.port) as client:
            assert client.execute_command("WAIT", 1, 5_000) == 1, "the replica has it"
        primary.kill()
        second = next_commit(first.checkpoint, states={"b": b"2"})
        said = await _committed(store, second)
        assert "StoreUnavailableError" in said
        direct = connect(replica.url)
        assert (await dump(direct)).states == [("a", b"1"), ("b", b"2")]
        assert not (await store.health()).dangers
        await direct.close()
    finally:
        await store.close()


async def test_a_primary_that_was_demoted_is_away_and_keeps_no_connection(primary: RedisServer, replica: RedisServer) -> None:
    """It goes on answering, and refuses every write: as long as connections to it are kept nobody asks where the new one is."""
    store = connect(primary.url)
    try:
        checkpoint = await store.acquire(0)
        with Redis(port=primary.port) as client, Redis(port=replica.port) as other:
            other.replicaof("NO", "ONE")  # type: ignore[no-untyped-call]
            client.replicaof(LOOPBACK, str(replica.port))  # type: ignore[no-untyped-call]
            commit = next_commit(checkpoint, states={"a": b"1"})
            with pytest.raises(StoreUnavailableError):
                await store.commit(0, commit)
            assert [danger.name for danger in (await store.health()).dangers] == ["replica"]
            client.replicaof("NO", "ONE")  # type: ignore[no-untyped-call]
            await store.commit(0, next_commit(await store.acquire(0), states={"a": b"1"}))
    finally:
        await store.close()


def test_an_address_says_sentinels_service_and_database() -> None:
    """A password may hold anything, percent-encoded; a port may be left out."""
    found = read_address("rediss+sentinel://worker:a%2Fb%40c@h1:1,[::1]:2,h3/my%20shop")
    assert found == (((("h1", 1)), ("::1", 2), ("h3", 26_379)), "my shop", 0, True, "worker", "a/b@c")


@pytest.mark.parametrize(
    "address", ["redis+sentinel://h:1", "redis+sentinel://h:x/shop", "redis+sentinel:///shop", "redis+sentinel://h:1/shop/x"]
)
def test_what_is_no_address_is_refused_without_being_shown(address: str) -> None:
    """It may hold a password."""
    with pytest.raises(SettingsError, match=r"expected redis\+sentinel://USER"):
        connect(address)


def test_the_setting_takes_it_and_shows_no_password() -> None:
    """`streamer config` is what people paste into tickets."""
    url = "redis+sentinel://worker:s3cret@h1:1,h2:2/shop/0"
    assert Settings.model_validate({"store": url}).shown()["store"] == without_password(url) == url.replace("s3cret", "********")
