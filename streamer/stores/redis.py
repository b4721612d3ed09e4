# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""The store in Redis (6.2 or newer) or Valkey: a fast checkpoint of the log, replaceable.

All keys of a shard share a hash tag, so that a commit could be one slot of a cluster; but the client here speaks to one primary, and a
Redis Cluster is refused at the start::

    {streamer:7}:checkpoint  STRING  epoch, position, head, body, owner
    {streamer:7}:customers   HASH    customer -> state   one HMGET and one HSET a batch, 1-2 µs a customer; cheaper in memory than a key
                                                          each, and it is the list of customers that a change of definitions walks
    {streamer:7}:wakes       ZSET    customer -> due_ms
    {streamer:7}:outbox      STREAM  place -> outputs    trimmed by place, so a former owner cannot trim what it has not published
    {streamer:7}:documents   HASH    name -> content     what the customers' states cannot be read without

A commit is ``WATCH``, ``GET`` and a look at the types of the keys in one round trip, then ``MULTI`` … ``EXEC`` in another. It needs no
scripting right. redis-py retries by itself, up to ten times even on a time-out; here that is off: a commit whose reply was lost may have
gone through.
"""

from __future__ import annotations

from collections.abc import Sequence
from secrets import token_bytes
from typing import Any, Final, NamedTuple, NoReturn

import msgspec
from redis.asyncio import Connection, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from streamer.errors import CommitUnknownError, HaltError, KeysLostError, SettingsError, StoreUnavailableError
from streamer.tls import tls_context

from .base import Checkpoint, Commit, Fetched, Holdings, OutputPosition, Position, fenced, lost
from .health import Health
from .opening import NOBODY, Access
from .redis_health import read_health
from .sentinel import FORM, is_sentinel, sentinel_pool

SOCKET_SECONDS: Final = 5.0  # a commit of 500 states takes milliseconds; a fork of a large Redis may take a second
ACQUIRE_TRIES: Final = 20
ARGUMENTS_MAX: Final = 20_000
KEPT_AS: Final = {"customers": b"hash", "wakes": b"zset", "outbox": b"stream", "documents": b"hash"}


class _Kept(msgspec.Struct, array_like=True):
    epoch: int = 0
    offset: int = 0
    step: int = 0
    head: bytes = b""
    body: bytes = b""
    owner: bytes = b""
    holds: Holdings | None = None
    has_said: bool = False  # something was put into the outbox once: from then on its key is there, if only with nothing in it

    @property
    def at(self) -> Position:
        return Position(self.offset, self.step)


_encode_kept = msgspec.msgpack.Encoder().encode
_decode_kept = msgspec.msgpack.Decoder(_Kept).decode


def connect(url: str, *, namespace: str = "streamer", access: Access = NOBODY) -> RedisStore:
    """A store at a ``redis://``, ``rediss://`` or ``unix://`` address, or behind Sentinel (see ``stores.sentinel``). Connects on first use.
    SettingsError for what is no address, and for files of TLS that cannot be used.
    """
    given: dict[str, Any] = {
        **_options(url, access),
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": SOCKET_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "max_connections": 64,
    }
    open_pool: Any = sentinel_pool if is_sentinel(url) else ConnectionPool.from_url  # pyright: ignore[reportUnknownMemberType]
    try:
        pool = open_pool(url, **given)
    except ValueError:  # not with its text: of an address that is cut up wrongly that is a piece of the password
        form = FORM if is_sentinel(url) else "redis://USER:PASSWORD@HOST:PORT/NUMBER"
        raise SettingsError(f"STREAMER_STORE: expected {form}; write / ? # @ % in a password as %2F %3F %23 %40 %25") from None
    return RedisStore(Redis(connection_pool=pool), namespace=namespace)


def _options(url: str, access: Access) -> dict[str, Any]:
    """redis-py's names for who connects and for the files of TLS."""
    files = {"ssl_ca_certs": access.ca_file, "ssl_certfile": access.cert_file, "ssl_keyfile": access.key_file}
    given: dict[str, Any] = {"username": access.username, "password": access.password}
    if any(files.values()):
        if not url.startswith(("rediss://", "rediss+sentinel://")):
            raise SettingsError("STREAMER_STORE: expected a rediss:// address, as there are files for TLS")
        tls_context("STORE", access.ca_file, access.cert_file, access.key_file)
        given |= {**files, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
    return {name: value for name, value in given.items() if value is not None}


class RedisStore:
    """Keeps the promises of ``stores.base.Store``."""

    def __init__(self, client: Redis, *, namespace: str = "streamer") -> None:
        self._client = client
        self._namespace = namespace

    def _key(self, shard: int, name: str) -> str:
        return f"{{{self._namespace}:{shard}}}:{name}"

    async def _call(self, *command: Any) -> Any:
        try:
            return await self._client.execute_command(*command)  # pyright: ignore[reportUnknownMemberType]
        except (RedisError, OSError) as error:
            _refused(error)

    # ownership

    async def acquire(self, shard: int) -> Checkpoint:
        """See ``Store``."""
        key = self._key(shard, "checkpoint")
        for _ in range(ACQUIRE_TRIES):
            async with self._transaction() as transaction:
                old = _whole(shard, await self._watch(transaction, shard))
                new = msgspec.structs.replace(old, epoch=old.epoch + 1, owner=token_bytes(8))
                if await _harmless(transaction, [("SET", key, _encode_kept(new))]):
                    return _checkpoint(new)
        raise StoreUnavailableError(f"shard {shard}: {ACQUIRE_TRIES} others acquired it at the same time")

    async def verify(self, shard: int, expected: Checkpoint) -> None:
        """See ``Store``."""
        async with self._transaction() as transaction:
            found = await self._watch(transaction, shard)
            await transaction.together([("UNWATCH",)])
        _check(shard, expected, _kept(found.raw))
        _whole(shard, found)

    async def reset(self, shard: int, *, expected: Checkpoint | None = None) -> Checkpoint:
        """See ``Store``. A key of another type goes like ours."""
        key = self._key(shard, "checkpoint")
        others = [self._key(shard, name) for name in KEPT_AS]
        for _ in range(ACQUIRE_TRIES):
            async with self._transaction() as transaction:
                [raw] = await transaction.watch(key, [])
                old = _kept(raw)
                if expected is not None:
                    _check(shard, expected, old)
                new = _Kept(old.epoch + 1, owner=token_bytes(8))
                if await _harmless(transaction, [("UNLINK", *others), ("SET", key, _encode_kept(new))]):
                    return _checkpoint(new)
        raise StoreUnavailableError(f"shard {shard}: {ACQUIRE_TRIES} others acquired it at the same time")

    async def checkpoint(self, shard: int) -> Checkpoint:
        """See ``Store``."""
        return _checkpoint(_kept(await self._call("GET", self._key(shard, "checkpoint"))))

    # reading

    async def fetch(
        self, shard: int, customers: Sequence[str], *, until_ms: int, limit: int, expected: Checkpoint | None = None
    ) -> Fetched:
        """See ``Store``."""
        commands: list[tuple[Any, ...]] = []
        if customers:
            commands.append(("HMGET", self._key(shard, "customers"), *customers))
        if limit > 0:
            commands.append(("ZRANGEBYSCORE", self._key(shard, "wakes"), "-inf", until_ms, "WITHSCORES", "LIMIT", 0, limit))
        if expected is not None:  # the last to be answered: nothing before it can be newer
            commands.append(("GET", self._key(shard, "checkpoint")))
        async with self._transaction() as transaction:
            replies = await transaction.together(commands)
        if expected is not None:
            _check(shard, expected, _kept(replies.pop()))
        due = _wakes(replies.pop()) if limit > 0 else []
        return Fetched(replies.pop() if customers else [], due)

    async def customers(self, shard: int, *, expected: Checkpoint | None = None) -> list[str]:
        """See ``Store``. By ``HSCAN``: ``HKEYS`` of a million customers would stop the server for everyone."""
        found: set[str] = set()
        cursor = b"0"
        async with self._transaction() as transaction:
            while True:
                [(cursor, flat)] = await transaction.together([("HSCAN", self._key(shard, "customers"), cursor, "COUNT", 2_000)])
                found.update(name.decode() for name in (flat if isinstance(flat, dict) else flat[::2]))
                if int(cursor) == 0:
                    break
            if expected is not None:
                [raw] = await transaction.together([("GET", self._key(shard, "checkpoint"))])
                _check(shard, expected, _kept(raw))
        return sorted(found)

    # the commit

    async def commit(self, shard: int, commit: Commit) -> None:
        """See ``Store``."""
        key, expected = self._key(shard, "checkpoint"), commit.expected
        assert commit.position > expected.position, f"{commit.position} is not above {expected.position}"
        async with self._transaction() as transaction:
            found = await self._watch(transaction, shard)
            kept = _kept(found.raw)
            _check(shard, expected, kept)
            _whole(shard, found)
            commands = self._commands(shard, commit, has_said=kept.has_said or commit.outbox is not None)
            if not await transaction.execute(commands):
                raise fenced(shard, expected, _checkpoint(_kept(await self._call("GET", key))))

    async def _watch(self, transaction: _Transaction, shard: int) -> _Found:
        """Watch the checkpoint; return it and what there is of the shard's other keys, which must be of our types.

        A command on a key of another type fails inside EXEC, where what stands before and behind it is written all the same.
        """
        keys = {name: self._key(shard, name) for name in KEPT_AS}
        questions = [("TYPE", key) for key in keys.values()]
        questions += [("HLEN", keys["customers"]), ("ZCARD", keys["wakes"]), ("HLEN", keys["documents"])]
        raw, *answers = await transaction.watch(self._key(shard, "checkpoint"), questions)
        for answer in answers:  # a right that was taken from us, say; of a wrong type the answers before have told
            if isinstance(answer, ResponseError) and not str(answer).startswith("WRONGTYPE"):
                _refused(answer)
        types = answers[: len(keys)]
        for key, found, expected in zip(keys.values(), types, KEPT_AS.values(), strict=True):
            if found not in (b"none", expected):
                raise HaltError(f"{key}: expected a {expected.decode()}, found a {found.decode()}; something else writes under our names")
        there = dict(zip(keys, types, strict=True))
        return _Found(raw, Holdings(*answers[len(keys) :]), there["outbox"] != b"none", set(types) != {b"none"})

    def _commands(self, shard: int, commit: Commit, *, has_said: bool) -> list[tuple[Any, ...]]:
        """Everything one commit writes; the checkpoint last."""
        commands: list[tuple[Any, ...]] = []
        kept = [part for customer, state in commit.states.items() if state is not None for part in (customer, state)]
        gone = [customer for customer, state in commit.states.items() if state is None]
        armed = [part for customer, due_ms in commit.wakes.items() if due_ms is not None for part in (due_ms, customer)]
        asleep = [customer for customer, due_ms in commit.wakes.items() if due_ms is None]
        for name, key, arguments in (
            ("HSET", "customers", kept),
            ("HDEL", "customers", gone),
            ("ZADD", "wakes", armed),
            ("ZREM", "wakes", asleep),
        ):
            for start in range(0, len(arguments), ARGUMENTS_MAX):
                commands.append((name, self._key(shard, key), *arguments[start : start + ARGUMENTS_MAX]))  # noqa: PERF401
        if commit.outbox is not None:
            place, entry = commit.outbox
            commands.append(("XADD", self._key(shard, "outbox"), _name(place), "o", entry))
        if commit.document is not None:
            commands.append(("HSET", self._key(shard, "documents"), *commit.document))
        if commit.forgotten:
            commands.append(("HDEL", self._key(shard, "documents"), *commit.forgotten))
        new = _Kept(commit.expected.epoch, *commit.position, commit.head, commit.body, commit.expected.owner, commit.holds, has_said)
        commands.append(("SET", self._key(shard, "checkpoint"), _encode_kept(new)))
        return commands

    def _transaction(self) -> _Transaction:
        return _Transaction(self._client.connection_pool)

    # the outbox

    async def outbox(self, shard: int, *, after: OutputPosition | None, limit: int) -> list[tuple[OutputPosition, bytes]]:
        """See ``Store``."""
        begin = "-" if after is None else f"({_name(after)}"
        entries = await self._call("XRANGE", self._key(shard, "outbox"), begin, "+", "COUNT", limit)
        found: list[tuple[OutputPosition, bytes]] = []
        for name, fields in entries or ():
            offset, _, count = name.partition(b"-")
            values = list(fields.values()) if isinstance(fields, dict) else fields[1::2]
            found.append((OutputPosition(int(offset), int(count) - 1), values[0]))
        return found

    async def trim(self, shard: int, *, upto: OutputPosition) -> None:
        """See ``Store``."""
        await self._call("XTRIM", self._key(shard, "outbox"), "MINID", _name(upto._replace(ordinal=upto.ordinal + 1)))

    # documents

    async def put_document(self, name: str, content: bytes) -> bytes:
        """See ``Store``."""
        key = f"{self._namespace}:document:{name}"
        await self._call("SET", key, content, "NX")
        return await self._call("GET", key)

    async def replace_document(self, name: str, content: bytes) -> None:
        """See ``Store``."""
        await self._call("SET", f"{self._namespace}:document:{name}", content)

    async def get_document(self, name: str, *, shard: int | None = None) -> bytes | None:
        """See ``Store``."""
        if shard is not None:
            own = await self._call("HGET", self._key(shard, "documents"), name)
            if own is not None:
                return own
        return await self._call("GET", f"{self._namespace}:document:{name}")

    async def drop_document(self, name: str) -> None:
        """See ``Store``."""
        await self._call("DEL", f"{self._namespace}:document:{name}")

    # operation

    async def health(self) -> Health:
        """See ``Store``."""
        info = await self._call("INFO")
        return read_health(info if isinstance(info, dict) else _parse_info(info))

    async def memory_bytes(self, shards: int) -> int:
        """Bytes that customers and wake-ups take, as the server reckons them."""
        total = 0
        for shard in range(shards):
            for name in ("customers", "wakes"):
                total += await self._call("MEMORY", "USAGE", self._key(shard, name), "SAMPLES", 0) or 0
        return total

    async def close(self) -> None:
        """See ``Store``."""
        await self._client.aclose()
        pool = self._client.connection_pool
        await pool.disconnect()  # given to the client, so the client leaves it open
        if isinstance(pool, SentinelConnectionPool):
            await pool.sentinel_manager.aclose()


class _Transaction:
    """One connection held over WATCH and EXEC; after anything but success it is closed, so that nothing half-done is reused."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._connection: Connection | None = None
        self._clean = False

    async def __aenter__(self) -> _Transaction:
        try:
            self._connection = await self._pool.get_connection()
        except (RedisError, OSError) as error:
            _refused(error)
        return self

    async def __aexit__(self, *_error: object) -> None:
        connection = self._connection
        assert connection is not None
        if not self._clean:
            await connection.disconnect(nowait=True)
        await self._pool.release(connection)

    @property
    def _open(self) -> Any:
        assert self._connection is not None
        return self._connection

    async def together(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Commands in one round trip."""
        replies = await self._answers(commands)
        for reply in replies:
            if isinstance(reply, ResponseError):
                _refused(reply)
        self._clean = True
        return replies

    async def _answers(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        try:
            await self._open.send_packed_command(self._open.pack_commands(commands), check_health=False)
            return [await self._answer() for _ in commands]
        except (RedisError, OSError) as error:
            _refused(error)

    async def _answer(self) -> Any:
        try:
            return await self._open.read_response()
        except ResponseError as error:
            return error

    async def watch(self, key: str, questions: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Begin: the value of the watched key, and the answers to ``questions``, in one round trip. An answer may be a refusal."""
        replies = await self._answers([("WATCH", key), ("GET", key), *questions])
        for reply in replies[:2]:
            if isinstance(reply, ResponseError):
                _refused(reply)
        return replies[1:]

    async def execute(self, commands: Sequence[tuple[Any, ...]]) -> bool:
        """Run all of the commands or none; False when the watched key has changed meanwhile."""
        packed = self._open.pack_commands([("MULTI",), *commands, ("EXEC",)])
        try:
            await self._open.send_packed_command(packed, check_health=False)
        except (RedisError, OSError) as error:
            raise CommitUnknownError(f"the connection was lost while sending ({type(error).__name__})") from None
        refused: ResponseError | None = None
        try:
            for _ in range(len(commands) + 1):  # MULTI and what it queues
                try:
                    await self._open.read_response()
                except ResponseError as error:
                    refused = refused or error
            result = await self._open.read_response()
        except ResponseError as error:  # EXECABORT: something could not be queued, so nothing was written
            _refused(refused or error)
        except (RedisConnectionError, RedisTimeoutError, OSError) as error:
            raise CommitUnknownError(f"the reply was lost ({type(error).__name__})") from None
        failed = [item for item in result or () if isinstance(item, Exception)]
        if failed:
            raise HaltError(f"a key has another type than ours; part of a commit was written: {failed[0]}")
        self._clean = True
        return result is not None


class _Found(NamedTuple):
    """What there is of a shard: its checkpoint, the numbers of its entries, whether there is an outbox, and anything but a checkpoint."""

    raw: bytes | None
    holds: Holdings
    has_outbox: bool
    has_keys: bool


def _whole(shard: int, found: _Found) -> _Kept:
    """The checkpoint; KeysLostError unless there is everything that it says."""
    kept = _kept(found.raw)
    if found.raw is None and found.has_keys:
        what = "its checkpoint is gone and its other keys are not"
    elif kept.holds is not None and kept.holds != found.holds:
        what = lost(kept.holds, found.holds)
    elif kept.has_said and not found.has_outbox:
        what = "its outbox is gone"
    else:
        return kept
    raise KeysLostError(f"shard {shard}: {what}; keys were evicted or deleted")


async def _harmless(transaction: _Transaction, commands: Sequence[tuple[Any, ...]]) -> bool:
    """Execute what may be done twice: a lost reply is nothing but a store to ask again."""
    try:
        return await transaction.execute(commands)
    except CommitUnknownError as error:
        raise StoreUnavailableError(str(error)) from None


def _kept(raw: bytes | None) -> _Kept:
    return _decode_kept(raw) if raw else _Kept()


def _checkpoint(kept: _Kept) -> Checkpoint:
    return Checkpoint(kept.epoch, kept.at, kept.head, kept.body, kept.owner, kept.holds)


def _name(place: OutputPosition) -> str:
    """The name of an outbox entry in a stream; Redis allows every one but 0-0."""
    return f"{place.offset}-{place.ordinal + 1}"


def _wakes(raw: list[Any]) -> list[tuple[int, str]]:
    if raw and isinstance(raw[0], (list, tuple)):
        return [(int(score), name.decode()) for name, score in raw]
    return [(int(float(raw[at + 1])), raw[at].decode()) for at in range(0, len(raw), 2)]


def _parse_info(raw: bytes | str) -> dict[str, str]:
    text = raw.decode() if isinstance(raw, bytes) else raw
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _check(shard: int, expected: Checkpoint, found: _Kept) -> None:
    if _checkpoint(found).mark != expected.mark:
        raise fenced(shard, expected, _checkpoint(found))


def _refused(error: Exception) -> NoReturn:
    """Everything but a wrong type can pass: out of memory, loading, failing over, not reachable."""
    text = str(error)
    if isinstance(error, ResponseError) and text.startswith("WRONGTYPE"):
        raise HaltError("a key of ours holds another type: something else writes under this namespace") from None
    raise StoreUnavailableError(f"{type(error).__name__}: {text[:120]}") from None
