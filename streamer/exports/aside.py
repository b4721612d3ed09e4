"""Exports in a process of its own, in pieces: a shard's topics take seconds to read, and a server has others to answer meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from multiprocessing.connection import Connection
from time import monotonic
from typing import Final

from streamer.aside import Aside, told_aside
from streamer.errors import HaltError, StoreError, StoreUnavailableError, StreamerError
from streamer.settings import Settings

from .making import exported

READ_SECONDS: Final = 60.0  # of topics; what was not read by then is said to be missing
TAKE_SECONDS: Final = 180.0  # for all of it, however slowly it is taken
PIECE_BYTES: Final = 64_000
MORE, WHOLE, AWAY, BROKEN = b"+", b".", b"?", b"!"  # how a piece begins


class ExportsAside(Aside):
    """Exports of a deployment, one at a time: each reads shards whole."""

    async def pieces(self, customer: str) -> AsyncGenerator[bytes]:
        """The bytes of an export, as they are made. StoreUnavailableError where the store does not answer; HaltError, TimeoutError where it
        could not be made to its end: then what came is no export."""
        async with self.turn, asyncio.timeout(TAKE_SECONDS), aclosing(told_aside(work, self.settings, customer.encode())) as pieces:
            async for piece in pieces:
                begin, rest = piece[:1], piece[1:]
                if begin in (AWAY, BROKEN):
                    raise (StoreUnavailableError if begin == AWAY else HaltError)(rest.decode())
                yield rest
                if begin == WHOLE:
                    return
        raise HaltError("the process of the export ended before its end")


def work(connection: Connection, settings: Settings, raw: bytes) -> None:
    """What the process does."""
    asyncio.run(_send(connection, settings, raw.decode()))
    connection.close()


async def _send(connection: Connection, settings: Settings, customer: str) -> None:
    until, held = monotonic() + READ_SECONDS, bytearray()
    try:
        async with aclosing(exported(settings, customer, lambda: monotonic() > until)) as lines:
            async for line in lines:
                held += line + b"\n"
                if len(held) >= PIECE_BYTES:
                    connection.send_bytes(MORE + held)
                    held.clear()
    except StreamerError as error:
        connection.send_bytes((AWAY if isinstance(error, StoreError) else BROKEN) + type(error).__name__.encode())
    else:
        connection.send_bytes(WHOLE + held)


__all__ = ["ExportsAside"]
