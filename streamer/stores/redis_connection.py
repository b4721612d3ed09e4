"""One connection to Redis held over several round trips, and what its errors mean.

redis-py would retry by itself and time each reply; here it does neither, and each exchange as a whole has ``SOCKET_SECONDS``. Commands are
packed by hiredis: redis-py's own packing is Python wherever the client is asynchronous, and takes eight times as long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from hiredis import pack_command
from redis.asyncio import Connection
from redis.exceptions import RedisError, ResponseError

from streamer.errors import CommitUnknownError, HaltError, StoreUnavailableError

SOCKET_SECONDS: Final = 5.0  # a commit of 2,000 states takes milliseconds; a fork of a large Redis may take a second

RedisCommand = tuple[Any, ...]


class Exchange:
    """One connection, for as long as the context lasts; after anything but success it is closed, so that nothing half-done is reused."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._connection: Connection | None = None
        self._clean = False

    async def __aenter__(self) -> Exchange:
        try:
            async with asyncio.timeout(SOCKET_SECONDS):
                self._connection = await self._pool.get_connection()
        except (RedisError, OSError) as error:
            refuse(error)
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

    async def together(self, commands: Sequence[RedisCommand]) -> list[Any]:
        """Replies to commands in one round trip, with which the work ends. A reply may be a ResponseError."""
        replies = await self._replies(commands)
        self._clean = True
        return replies

    async def watch(self, keys: Sequence[str], questions: Sequence[RedisCommand]) -> list[Any]:
        """Begin: watch keys; the replies to ``questions``, in the same round trip. A reply may be a ResponseError."""
        watching, *replies = await self._replies([("WATCH", *keys), *questions])
        if isinstance(watching, ResponseError):
            refuse(watching)
        return replies

    async def execute(self, commands: Sequence[RedisCommand]) -> list[Any] | None:
        """Run all of the commands or none; their replies, or None when a watched key has changed meanwhile.

        A reply may be a ResponseError: of a key of another type, and the other commands were run all the same.
        """
        packed = _packed([("MULTI",), *commands, ("EXEC",)])
        refused: ResponseError | None = None
        try:
            async with asyncio.timeout(SOCKET_SECONDS):
                await self._open.send_packed_command(packed, check_health=False)
                for _ in range(len(commands) + 1):  # MULTI and what it queues
                    reply = await self._reply()
                    refused = refused or (reply if isinstance(reply, ResponseError) else None)
                result = await self._open.read_response()
        except ResponseError as error:  # EXECABORT: something could not be queued, so nothing was written
            refuse(refused or error)
        except (RedisError, OSError) as error:
            raise CommitUnknownError(f"the connection was lost, or the reply to a commit was ({type(error).__name__})") from None
        self._clean = True
        return result

    async def _replies(self, commands: Sequence[RedisCommand]) -> list[Any]:
        try:
            async with asyncio.timeout(SOCKET_SECONDS):
                await self._open.send_packed_command(_packed(commands), check_health=False)
                return [await self._reply() for _ in commands]
        except (RedisError, OSError) as error:
            refuse(error)

    async def _reply(self) -> Any:
        try:
            return await self._open.read_response()
        except ResponseError as error:
            return error


def _packed(commands: Sequence[RedisCommand]) -> list[bytes]:
    """Commands as they go over the wire; of arguments that are texts, numbers or bytes."""
    return [pack_command(command) for command in commands]


def answered(replies: list[Any]) -> list[Any]:
    """The replies, none of which is an error."""
    for reply in replies:
        if isinstance(reply, ResponseError):
            refuse(reply)
    return replies


def written(replies: Sequence[Any]) -> None:
    """HaltError where a command of a transaction failed."""
    failed = [reply for reply in replies if isinstance(reply, Exception)]
    if failed:
        raise HaltError(f"a key has another type than ours; part of a commit was written: {failed[0]}")


def refuse(error: Exception) -> NoReturn:
    """StoreUnavailableError: everything but a wrong type can pass (out of memory, loading, failing over, not reachable)."""
    text = str(error)
    if isinstance(error, ResponseError) and text.startswith("WRONGTYPE"):
        raise HaltError("a key of ours holds another type: something else writes under this namespace") from None
    raise StoreUnavailableError(f"{type(error).__name__}: {text[:120]}") from None


__all__ = ["Exchange", "RedisCommand", "answered", "refuse", "written"]
