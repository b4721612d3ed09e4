"""Redis with TLS, a client certificate, and a user who may do no more than a worker must: every call of the store goes through."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import uuid
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from redis import Redis

from streamer.errors import SettingsError, StoreUnavailableError
from streamer.local.redis import RedisServer
from streamer.settings import Settings
from streamer.stores.base import OutputPosition
from streamer.stores.redis import RedisStore, connect

from .dump import dump, next_commit

COMMANDS = (  # the README's table
    "get set del unlink type watch multi exec hset hdel hget hmget hlen hkeys zadd zrem zcard zrangebyscore "
    "xadd xrange xtrim memory|usage info client|setinfo"
)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """One of our own: these tests add users."""
    with RedisServer(appendonly=False) as found:
        yield found


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, and what it says of a server and of a client; all made here."""
    folder = tmp_path_factory.mktemp("tls")
    fresh = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    _openssl(folder, *fresh, "-x509", "-days", "2", "-subj", "/CN=ca", "ca")
    for name in ("server", "client"):
        (folder / "ext").write_text("subjectAltName=IP:127.0.0.1")
        _openssl(folder, *fresh, "-subj", f"/CN={name}", name)
        signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext"]
        subprocess.run(
            ["openssl", "x509", "-req", "-in", f"{name}.pem", "-out", f"{name}.crt", *signing],
            cwd=folder,
            check=True,
            capture_output=True,
        )
    return folder


def _openssl(folder: Path, *arguments: str) -> None:
    *rest, name = arguments
    command = ["openssl", *rest, "-keyout", f"{name}.key", "-out", f"{name}.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@asynccontextmanager
async def encrypted(port: int, certificates: Path) -> AsyncGenerator[int]:
    """TLS in front of a server, for those who show a certificate of our CA; its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates / "ca.pem"))
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(_copy(reader, server_writer), _copy(server_reader, writer))
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as listening:
        yield listening.sockets[0].getsockname()[1]


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(1 << 16):
            target.write(data)
    target.close()


def store_of(settings: Settings) -> RedisStore:
    store = settings.open_store()
    assert isinstance(store, RedisStore)
    return store


async def test_a_user_who_may_do_no_more_than_a_worker_must_is_enough(server: RedisServer, certificates: Path) -> None:
    """Over TLS with a client certificate, by settings of their own; Redis has refused nothing."""
    namespace = f"least-{uuid.uuid4().hex}"
    with Redis.from_url(server.url) as admin:
        rights = [*(f"+{command}" for command in COMMANDS.split()), f"~{{{namespace}:*", f"~{namespace}:*"]
        admin.execute_command("ACL", "SETUSER", "worker", "reset", "on", ">s3cret/#", *rights)
        admin.execute_command("ACL", "LOG", "RESET")
        async with encrypted(server.port, certificates) as port:
            store = store_of(_settings(port, namespace, certificates))
            commit = next_commit(await store.acquire(0), states={"a": b"1"}, wakes={"a": 10}, outbox=b"said", documents={"doc": b"text"})
            await store.commit(0, commit)
            await store.verify(0, commit.checkpoint)
            assert (await dump(store)).states == [("a", b"1")]
            gone = next_commit(commit.checkpoint, states={"a": None}, wakes={"a": None})
            await store.commit(0, gone)
            await store.trim(0, upto=OutputPosition(9, 9))
            assert await store.put_document("manifest", b"x") == b"x"
            assert await store.get_document("doc", shard=0) == b"text"
            await store.health()
            await store.close()
        assert admin.execute_command("ACL", "LOG") == []


async def test_a_right_that_is_taken_away_is_a_store_that_refuses_and_not_one_that_lost_keys(server: RedisServer) -> None:
    """A refused HLEN was taken for a number that differs: every shard halted for good, or would have been told anew."""
    namespace = f"less-{uuid.uuid4().hex}"
    trusted, refused = connect(server.url, namespace=namespace), set[str]()
    with Redis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "less", "reset", "on", ">pw", "~*", "+@all")
        store = connect(server.url.replace("redis://", "redis://less:pw@"), namespace=namespace)
        for shard, command in enumerate(COMMANDS.split()):
            wakes = {"a": 10}
            kept = next_commit(await trusted.acquire(shard), states={"a": b"1"}, wakes=wakes, outbox=b"said", documents={"doc": b"text"})
            await trusted.commit(shard, kept)
            admin.execute_command("ACL", "SETUSER", "less", f"-{command}")
            more = next_commit(kept.checkpoint, states={"b": b"2"}, wakes={"b": 9, "a": None}, outbox=b"more")
            for call in (store.verify(shard, kept.checkpoint), store.commit(shard, more), store.acquire(shard)):
                try:
                    await call
                except StoreUnavailableError:
                    refused.add(command)
            admin.execute_command("ACL", "SETUSER", "less", "+@all")
            await store.acquire(shard)
    assert {"get", "set", "type", "watch", "multi", "exec", "hset", "hlen", "zadd", "zrem", "zcard", "xadd"} <= refused
    await store.close()
    await trusted.close()


async def test_without_its_certificate_a_client_is_turned_away(server: RedisServer, certificates: Path) -> None:
    """Else the test before would prove nothing about certificates."""
    async with encrypted(server.port, certificates) as port:
        settings = _settings(port, "x", certificates).model_copy(update={"store_cert_file": None, "store_key_file": None})
        store = store_of(settings)
        with pytest.raises(StoreUnavailableError):
            await store.health()
        await store.close()


def _settings(port: int, namespace: str, certificates: Path) -> Settings:
    return Settings.model_validate(
        {
            "store": f"rediss://127.0.0.1:{port}/0",
            "store_username": "worker",
            "store_password": "s3cret/#",
            "store_ca_file": str(certificates / "ca.pem"),
            "store_cert_file": str(certificates / "client.crt"),
            "store_key_file": str(certificates / "client.key"),
            "namespace": namespace,
        }
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"store": "redis://h:1", "store_ca_file": "ca.pem"}, "expected a rediss:// address"),
        ({"store": "rediss://h:1", "store_ca_file": "/nowhere/ca.pem"}, "STREAMER_STORE_CA_FILE: cannot use /nowhere/ca.pem"),
        ({"store": "rediss://h:1", "store_cert_file": "/nowhere/c.pem"}, "STREAMER_STORE_CERT_FILE: cannot use /nowhere/c.pem"),
        ({"store": "rediss://h:1", "store_key_file": "k.pem"}, "STREAMER_STORE_KEY_FILE: expected STREAMER_STORE_CERT_FILE"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(given: dict[str, str], says: str) -> None:
    """The library would say so at the first connection, by a text of its own."""
    with pytest.raises(SettingsError, match=says):
        _ = Settings.model_validate(given).open_store()
