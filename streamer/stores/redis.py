# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""The store in Redis (6.2 or newer) or Valkey: a fast checkpoint of the log, replaceable.

All keys of a shard share a hash tag, so that a commit could be one slot of a cluster; but the client here speaks to one primary, and a
Redis Cluster is refused at the start::

    {streamer:7}:checkpoint  STRING  epoch, position, output digest, body, owner
    {streamer:7}:customers:B HASH    customer -> state   those of bucket B, see ``buckets``: at most 64 HMGET and HSET a batch; cheaper in
                                                          memory than a key each, and the lists that a change of definitions walks
    {streamer:7}:wakes       ZSET    customer -> due_ms
    {streamer:7}:outbox      STREAM  place -> outputs    trimmed by place, so a former owner cannot trim what it has not published
    {streamer:7}:documents   HASH    name -> content     what the customers' states cannot be read without
    {streamer:7}:lane:NAME:… the same once more for a ``lane``, until it is dropped
    {streamer:7}:lanes       SET     the names of these

A commit is ``WATCH``, ``GET`` and a look at the keys that it writes in one round trip, then ``MULTI`` … ``EXEC`` in another. It needs no
scripting right. Shards that fetch or commit at the same time share round trips, and one transaction commits them all; where a checkpoint
among theirs has changed meanwhile, each is committed by itself. redis-py retries by itself, up to ten times even on a time-out; here that
is off: a commit whose reply was lost may have gone through.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from secrets import token_bytes
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from streamer.errors import CommitUnknownError, HaltError, KeysLostError, SettingsError, StoreError, StoreUnavailableError
from streamer.tls import tls_context

from .base import Checkpoint, Commit, Committed, Fetched, Holdings, OutputPosition, Page, Position, fenced, lost
from .buckets import BUCKETS, by_bucket
from .health import Health
from .opening import NOBODY, Access
from .redis_connection import SOCKET_SECONDS, Exchange, RedisCommand, answered, refuse, written
from .redis_health import read_health
from .sentinel import FORM, is_sentinel, sentinel_pool
from .together import Together

ACQUIRE_TRIES: Final = 20
ARGUMENTS_MAX: Final = 20_000
COMMITTED_TRIES: Final = 20
MARK_BYTES: Final = 64  # of an encoded checkpoint: epoch, position and output digest are in them
COMMANDS_TOGETHER_MAX: Final = 1_000
ENTRIES_TOGETHER_MAX: Final = 2_000  # states and wake-ups of one transaction: the server does nothing else meanwhile
KEPT_AS: Final = {"wakes": b"zset", "outbox": b"stream", "documents": b"hash"}  # the buckets of customers are hashes
ALL_BUCKETS: Final = range(BUCKETS)


class _Kept(msgspec.Struct, array_like=True):
    epoch: int = 0
    offset: int = 0
    step: int = 0
    output_digest: bytes = b""
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
        "socket_timeout": None,  # each exchange has a time of its own: one for every reply costs more than the reply
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

    def __init__(self, client: Redis, *, namespace: str = "streamer", lane: str = "") -> None:
        self._client = client
        self._namespace = namespace
        self._lane = lane
        self._prefix = f"lane:{lane}:" if lane else ""
        self._rounds = Together(self._ask_together, len, COMMANDS_TOGETHER_MAX)
        self._commits = Together(self._commit_together, _entries, ENTRIES_TOGETHER_MAX)

    def _key(self, shard: int, name: str) -> str:
        return f"{{{self._namespace}:{shard}}}:{self._prefix}{name}"

    def _lanes_key(self, shard: int) -> str:
        return f"{{{self._namespace}:{shard}}}:lanes"

    def _bucket_key(self, shard: int, bucket: int) -> str:
        return self._key(shard, f"customers:{bucket}")

    async def _call(self, *command: Any) -> Any:
        async with self._exchange() as exchange:
            [reply] = answered(await exchange.together([command]))
        return reply

    async def _ask(self, commands: Sequence[RedisCommand]) -> list[Any]:
        """Replies to commands, in one round trip with those of others: for what every batch of every shard does."""
        return answered(await self._rounds.ask(commands))

    async def _ask_together(self, asked: Sequence[Sequence[RedisCommand]]) -> list[list[Any] | Exception]:
        async with self._exchange() as exchange:
            replies = iter(await exchange.together([command for commands in asked for command in commands]))
        return [[next(replies) for _ in commands] for commands in asked]

    # ownership

    async def acquire(self, shard: int) -> Checkpoint:
        """See ``Store``."""
        key = self._key(shard, "checkpoint")
        if self._lane:
            await self._call("SADD", self._lanes_key(shard), self._lane)
        for _ in range(ACQUIRE_TRIES):
            async with self._exchange() as exchange:
                [replies] = await self._watch_all(exchange, [(shard, ALL_BUCKETS)])
                old = _whole(shard, self._found(shard, ALL_BUCKETS, replies))
                new = msgspec.structs.replace(old, epoch=old.epoch + 1, owner=token_bytes(8))
                if await _harmless(exchange, [("SET", key, _encode_kept(new))]):
                    return _checkpoint(new)
        raise StoreUnavailableError(f"shard {shard}: {ACQUIRE_TRIES} others acquired it at the same time")

    async def verify(self, shard: int, expected: Checkpoint) -> None:
        """See ``Store``."""
        found = self._found(shard, ALL_BUCKETS, await self._rounds.ask(self._questions(shard, ALL_BUCKETS)))
        _check(shard, expected, _kept(found.raw))
        _whole(shard, found)

    async def reset(self, shard: int, *, expected: Checkpoint | None = None) -> Checkpoint:
        """See ``Store``. A key of another type goes like ours."""
        key, others = self._key(shard, "checkpoint"), self._all_but_the_checkpoint(shard)
        for _ in range(ACQUIRE_TRIES):
            async with self._exchange() as exchange:
                old = _kept(answered(await exchange.watch([key], [("GET", key)]))[0])
                if expected is not None:
                    _check(shard, expected, old)
                new = _Kept(old.epoch + 1, owner=token_bytes(8))
                if await _harmless(exchange, [("UNLINK", *others), ("SET", key, _encode_kept(new))]):
                    return _checkpoint(new)
        raise StoreUnavailableError(f"shard {shard}: {ACQUIRE_TRIES} others acquired it at the same time")

    def _all_but_the_checkpoint(self, shard: int) -> list[str]:
        return [*(self._key(shard, name) for name in KEPT_AS), *(self._bucket_key(shard, bucket) for bucket in ALL_BUCKETS)]

    async def checkpoint(self, shard: int) -> Checkpoint:
        """See ``Store``."""
        return _checkpoint(_kept(await self._call("GET", self._key(shard, "checkpoint"))))

    # reading

    async def fetch(
        self, shard: int, customers: Sequence[str], *, until_ms: int, limit: int, expected: Checkpoint | None = None
    ) -> Fetched:
        """See ``Store``."""
        buckets = by_bucket(customers)
        commands: list[RedisCommand] = [("HMGET", self._bucket_key(shard, bucket), *names) for bucket, names in buckets.items()]
        if limit > 0:
            commands.append(("ZRANGEBYSCORE", self._key(shard, "wakes"), "-inf", until_ms, "WITHSCORES", "LIMIT", 0, limit))
        if expected is not None:  # the last to be answered: nothing before it can be newer
            commands.append(("GET", self._key(shard, "checkpoint")))
        replies = await self._ask(commands)
        if expected is not None:
            _check(shard, expected, _kept(replies.pop()))
        due = _wakes(replies.pop()) if limit > 0 else []
        return Fetched(_in_order(customers, buckets, replies), due)

    async def committed(self, shard: int, customers: Sequence[str]) -> Committed:
        """See ``Store``. The checkpoint is read before the states, and its beginning, which every commit changes, once more behind them."""
        key, buckets = self._key(shard, "checkpoint"), by_bucket(customers)
        commands: list[RedisCommand] = [("HMGET", self._bucket_key(shard, bucket), *names) for bucket, names in buckets.items()]
        for _ in range(COMMITTED_TRIES):
            raw, *replies, mark = await self._ask([("GET", key), *commands, ("GETRANGE", key, 0, MARK_BYTES - 1)])
            if (raw or b"")[:MARK_BYTES] == mark:
                return Committed(_checkpoint(_kept(raw)), _in_order(customers, buckets, replies))
        raise StoreUnavailableError(f"shard {shard}: a commit came between {COMMITTED_TRIES} times")

    async def customers(self, shard: int, bucket: int, *, limit: int, expected: Checkpoint | None = None) -> Page:
        """See ``Store``. A bucket comes by one ``HKEYS``, which stops the server for a millisecond where it has 10,000 customers."""
        sizes = await self._ask([("HLEN", self._bucket_key(shard, one)) for one in range(bucket, BUCKETS)])
        filled = [(one, size) for one, size in enumerate(sizes, bucket) if size]
        number = count = 0
        while number < len(filled) and count < limit:
            count += filled[number][1]
            number += 1
        commands: list[RedisCommand] = [("HKEYS", self._bucket_key(shard, one)) for one, _ in filled[:number]]
        if expected is not None:
            commands.append(("GET", self._key(shard, "checkpoint")))
        replies = await self._ask(commands) if commands else []
        if expected is not None:
            _check(shard, expected, _kept(replies.pop()))
        names = [name for names in replies for name in sorted(raw.decode() for raw in names)]
        return Page(names, filled[number][0] if number < len(filled) else None)

    # the commit

    async def commit(self, shard: int, commit: Commit) -> None:
        """See ``Store``."""
        assert commit.position > commit.expected.position, f"{commit.position} is not above {commit.expected.position}"
        await self._commits.ask(_Asked(shard, commit, by_bucket(commit.states)))

    async def _commit_together(self, asked: Sequence[_Asked]) -> list[Exception | None]:
        """Commits of shards in one transaction; what becomes of each. Of two for one shard the second begins when the first is done."""
        first = {one.shard: at for at, one in reversed(list(enumerate(asked)))}
        now = sorted(first.values())
        answers = dict(zip(now, await self._commit_shards([asked[at] for at in now]), strict=True))
        later = [at for at in range(len(asked)) if at not in answers]
        if later:
            answers |= zip(later, await self._commit_together([asked[at] for at in later]), strict=True)
        return [answers[at] for at in range(len(asked))]

    async def _commit_shards(self, asked: Sequence[_Asked]) -> list[Exception | None]:
        """One transaction for all whose shard is as they expect, so one that is fenced or broken holds up nobody else."""
        async with self._exchange() as exchange:
            founds = await self._watch_all(exchange, [(one.shard, one.buckets) for one in asked])
            checked = [_outcome(lambda one=one, found=found: self._checked(one, found)) for one, found in zip(asked, founds, strict=True)]
            commands = [command for part in checked if not isinstance(part, Exception) for command in part]
            replies = await exchange.execute(commands) if commands else []
        if replies is None:
            return [
                part if isinstance(part, Exception) else await self._once_more(one, asked) for one, part in zip(asked, checked, strict=True)
            ]
        left = iter(replies)
        return [
            part if isinstance(part, Exception) else _outcome(lambda part=part: written([next(left) for _ in part])) for part in checked
        ]

    async def _once_more(self, one: _Asked, asked: Sequence[_Asked]) -> Exception | None:
        """What becomes of a commit after a transaction during which one of the checkpoints had changed: by itself it tells whose."""
        try:
            if len(asked) > 1:
                return (await self._commit_shards([one]))[0]
            return fenced(one.shard, one.commit.expected, await self.checkpoint(one.shard))
        except StoreError as error:
            return error

    def _checked(self, asked: _Asked, found: Sequence[Any]) -> list[RedisCommand]:
        """The commands of a commit whose shard is as it expects."""
        shard, commit, buckets = asked
        there = self._found(shard, buckets, found)
        kept = _kept(there.raw)
        _check(shard, commit.expected, kept)
        _whole(shard, there)
        return self._commands(asked, has_said=kept.has_said or commit.outbox is not None)

    async def _watch_all(self, exchange: Exchange, asked: Sequence[tuple[int, Collection[int]]]) -> list[Sequence[Any]]:
        """Watch the checkpoints of shards; replies for ``_found`` to each with its buckets, in one round trip."""
        questions = [self._questions(shard, buckets) for shard, buckets in asked]
        keys = [self._key(shard, "checkpoint") for shard, _ in asked]
        replies = iter(await exchange.watch(keys, [question for own in questions for question in own]))
        return [[next(replies) for _ in own] for own in questions]

    def _questions(self, shard: int, buckets: Collection[int]) -> list[RedisCommand]:
        keys = {name: self._key(shard, name) for name in KEPT_AS}
        numbers = [("ZCARD", keys["wakes"]), ("HLEN", keys["documents"])]
        sizes = [("HLEN", self._bucket_key(shard, bucket)) for bucket in buckets]
        return [("GET", self._key(shard, "checkpoint")), *(("TYPE", key) for key in keys.values()), *numbers, *sizes]

    def _found(self, shard: int, buckets: Collection[int], replies: Sequence[Any]) -> _Found:
        """What there is of a shard's keys, which must be of our types; of the customers' only ``buckets`` were looked at.

        A command on a key of another type fails inside EXEC, where what stands before and behind it is written all the same.
        """
        raw, *answers = replies
        answered([raw])
        for answer in answers:  # a right that was taken from us, say; of a wrong type the answers before have told
            if isinstance(answer, ResponseError) and not str(answer).startswith("WRONGTYPE"):
                refuse(answer)
        types = dict(zip(KEPT_AS, answers, strict=False))
        for name, expected in KEPT_AS.items():
            if types[name] not in (b"none", expected):
                what = f"expected a {expected.decode()}, found a {types[name].decode()}"
                raise HaltError(f"{self._key(shard, name)}: {what}; something else writes under our names")
        wakes, documents, *sizes = answers[len(types) :]
        for bucket, size in zip(buckets, sizes, strict=True):
            if isinstance(size, ResponseError):
                raise HaltError(f"{self._bucket_key(shard, bucket)}: expected a hash; something else writes under our names")
        is_anything_there = set(types.values()) != {b"none"} or any(sizes)
        return _Found(raw, dict(zip(buckets, sizes, strict=True)), wakes, documents, types["outbox"] != b"none", is_anything_there)

    def _commands(self, asked: _Asked, *, has_said: bool) -> list[RedisCommand]:
        """Everything one commit writes; the checkpoint last."""
        shard, commit, buckets = asked
        commands: list[RedisCommand] = []
        for bucket, names in buckets.items():
            key = self._bucket_key(shard, bucket)
            commands += _cut("HSET", key, [part for name in names if (state := commit.states[name]) is not None for part in (name, state)])
            commands += _cut("HDEL", key, [name for name in names if commit.states[name] is None])
        wakes = self._key(shard, "wakes")
        commands += _cut("ZADD", wakes, [part for name, due_ms in commit.wakes.items() if due_ms is not None for part in (due_ms, name)])
        commands += _cut("ZREM", wakes, [name for name, due_ms in commit.wakes.items() if due_ms is None])
        if commit.outbox is not None:
            place, entry = commit.outbox
            commands.append(("XADD", self._key(shard, "outbox"), _name(place), "o", entry))
        commands += _cut("HSET", self._key(shard, "documents"), [part for document in commit.documents.items() for part in document])
        if commit.forgotten:
            commands.append(("HDEL", self._key(shard, "documents"), *commit.forgotten))
        new = _Kept(
            commit.expected.epoch, *commit.position, commit.output_digest, commit.body, commit.expected.owner, commit.holds, has_said
        )
        commands.append(("SET", self._key(shard, "checkpoint"), _encode_kept(new)))
        return commands

    def _exchange(self) -> Exchange:
        return Exchange(self._client.connection_pool)

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
        await self._ask([("XTRIM", self._key(shard, "outbox"), "MINID", _name(upto._replace(ordinal=upto.ordinal + 1)))])

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

    # beside it

    def lane(self, name: str) -> RedisStore:
        """See ``Store``. Its keys have the hash tag of the shard's own."""
        return RedisStore(self._client, namespace=self._namespace, lane=name)

    async def lanes(self, shard: int) -> list[str]:
        """See ``Store``."""
        return sorted(name.decode() for name in await self._call("SMEMBERS", self._lanes_key(shard)))

    async def drop(self, shard: int) -> None:
        """See ``Store``. The server frees the memory behind the reply."""
        await self._call("UNLINK", self._key(shard, "checkpoint"), *self._all_but_the_checkpoint(shard))
        if self._lane:
            await self._call("SREM", self._lanes_key(shard), self._lane)

    # operation

    async def health(self) -> Health:
        """See ``Store``."""
        info = await self._call("INFO")
        return read_health(info if isinstance(info, dict) else _parse_info(info))

    async def memory_bytes(self, shards: int) -> int:
        """Bytes that customers and wake-ups take, as the server reckons them."""
        total = 0
        for shard in range(shards):
            keys = [self._key(shard, "wakes"), *(self._bucket_key(shard, bucket) for bucket in ALL_BUCKETS)]
            sizes = await self._ask([("MEMORY", "USAGE", key, "SAMPLES", 0) for key in keys])
            total += sum(size or 0 for size in sizes)
        return total

    async def close(self) -> None:
        """See ``Store``."""
        await self._rounds.finished()
        await self._commits.finished()
        if self._lane:
            return  # the connections are those of the store beside which it is
        await self._client.aclose()
        pool = self._client.connection_pool
        await pool.disconnect()  # given to the client, so the client leaves it open
        if isinstance(pool, SentinelConnectionPool):
            await pool.sentinel_manager.aclose()


class _Asked(NamedTuple):
    """A shard, what to commit to it, and its customers by bucket."""

    shard: int
    commit: Commit
    buckets: dict[int, list[str]]


_Result = TypeVar("_Result")


def _entries(asked: _Asked) -> int:
    return len(asked.commit.states) + len(asked.commit.wakes)


def _cut(name: str, key: str, arguments: Sequence[Any]) -> list[RedisCommand]:
    """A command with any number of arguments, as so many as one may have; none without arguments."""
    return [(name, key, *arguments[start : start + ARGUMENTS_MAX]) for start in range(0, len(arguments), ARGUMENTS_MAX)]


def _in_order(customers: Sequence[str], buckets: Mapping[int, Sequence[str]], replies: Sequence[Any]) -> list[bytes | None]:
    """Values of the customers, from replies by bucket."""
    states: dict[str, bytes | None] = {}
    for names, values in zip(buckets.values(), replies, strict=True):
        states.update(zip(names, values, strict=True))
    return [states[customer] for customer in customers]


def _outcome(work: Callable[[], _Result]) -> _Result | Exception:
    """What ``work`` returns, or the error that concerns its own shard alone."""
    try:
        return work()
    except (StoreError, HaltError) as error:
        return error


class _Found(NamedTuple):
    """What there is of a shard: its checkpoint, the numbers of its entries (``sizes`` by bucket, of those that were looked at), whether
    there is an outbox, and anything but a checkpoint."""

    raw: bytes | None
    sizes: dict[int, int]
    wakes: int
    documents: int
    has_outbox: bool
    has_keys: bool


def _whole(shard: int, found: _Found) -> _Kept:
    """The checkpoint; KeysLostError unless there is everything that it says, as far as it was looked at."""
    kept = _kept(found.raw)
    holds = None if kept.holds is None else _holdings(kept.holds, found)
    if found.raw is None and found.has_keys:
        what = "its checkpoint is gone and its other keys are not"
    elif kept.holds is not None and holds is not None and kept.holds != holds:
        what = lost(kept.holds, holds)
    elif kept.has_said and not found.has_outbox:
        what = "its outbox is gone"
    else:
        return kept
    raise KeysLostError(f"shard {shard}: {what}; keys were evicted or deleted")


def _holdings(said: Holdings, found: _Found) -> Holdings:
    """What was found, and what the checkpoint says of the buckets that were not looked at."""
    sizes = tuple([found.sizes.get(bucket, size) for bucket, size in enumerate(said.customers)])
    return Holdings(sizes, found.wakes, found.documents)


async def _harmless(exchange: Exchange, commands: Sequence[RedisCommand]) -> bool:
    """Execute what may be done twice: a lost reply is nothing but a store to ask again."""
    try:
        replies = await exchange.execute(commands)
    except CommitUnknownError as error:
        raise StoreUnavailableError(str(error)) from None
    if replies is not None:
        written(replies)
    return replies is not None


def _kept(raw: bytes | None) -> _Kept:
    return _decode_kept(raw) if raw else _Kept()


def _checkpoint(kept: _Kept) -> Checkpoint:
    return Checkpoint(kept.epoch, kept.at, kept.output_digest, kept.body, kept.owner, kept.holds)


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
