"""Work in a process of its own: it computes for seconds, and a server has others to answer meanwhile."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import msgspec

from streamer import zones
from streamer.errors import HaltError, StreamerError

if TYPE_CHECKING:
    from streamer.settings import Settings

Found = TypeVar("Found")
AsideWork = Callable[[Connection, "Settings", bytes], None]


class Aside:
    """Something that is done in processes of its own, one at a time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.turn = asyncio.Lock()

    @property
    def is_busy(self) -> bool:
        """Whether another one would have to wait."""
        return self.turn.locked()


class _AsideOutcome(msgspec.Struct, frozen=True):
    """What a process found, as msgpack, or the class and the text of the error."""

    found: bytes = b""
    error: str = ""
    text: str = ""


_encode: Final = msgspec.msgpack.Encoder().encode
_outcomes: Final = msgspec.msgpack.Decoder(_AsideOutcome)


class Outcomes(Generic[Found]):
    """How a process says what it found, a ``kind`` that msgspec knows, or which error it met."""

    def __init__(self, kind: type[Found], *errors: type[StreamerError]) -> None:
        """``errors`` are raised again as they were; any other is a HaltError with its text."""
        self._kind = kind
        self._errors = {error.__name__: error for error in errors}

    async def of(self, work: Awaitable[Found]) -> bytes:
        """What the process is to say of its work."""
        try:
            return _encode(_AsideOutcome(_encode(await work)))
        except StreamerError as error:
            return _encode(_AsideOutcome(error=type(error).__name__, text=str(error)))

    def read(self, raw: bytes, *, without: str) -> Found:
        """What it found. Raises what it met; HaltError with the text ``without`` where it has said nothing."""
        if not raw:
            raise HaltError(without)
        outcome = _outcomes.decode(raw)
        if outcome.error:
            raise self._errors.get(outcome.error, HaltError)(outcome.text)
        return msgspec.msgpack.decode(outcome.found, type=self._kind)


async def done_aside(work: AsideWork, settings: Settings, task: bytes, *, seconds_max: float) -> bytes:
    """What ``work``, a function of a module, sends in a new process; empty where that ends without an answer.

    The process ends with the answer, with TimeoutError after ``seconds_max``, or when whoever asked no longer waits.
    """
    async with asyncio.timeout(seconds_max), aclosing(told_aside(work, settings, task)) as pieces:
        return await anext(pieces, b"")


async def told_aside(work: AsideWork, settings: Settings, task: bytes) -> AsyncGenerator[bytes]:
    """All pieces that ``work`` sends in a new process, as they come: it waits where nobody takes them.

    The process ends when this is closed, or by itself. Whether it said all that it had to say is for the pieces to tell.
    """
    context = multiprocessing.get_context("spawn")  # a fork would have the sockets of the server
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_do, args=(work, theirs, settings, task), daemon=True)
    process.start()
    theirs.close()
    try:
        while piece := await received(ours):
            yield piece
    finally:
        ours.close()
        process.kill()
        process.join()


def _do(work: AsideWork, theirs: Connection, settings: Settings, task: bytes) -> None:
    """What the process does."""
    zones.know(settings.zones_dir)
    work(theirs, settings, task)


async def received(connection: Connection) -> bytes:
    """What the process at the other end sends next; empty when it ends without."""
    loop, found = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection.fileno(), found.set)
    try:
        await found.wait()
    finally:
        loop.remove_reader(connection.fileno())
    try:
        return await asyncio.to_thread(connection.recv_bytes)
    except (EOFError, ConnectionResetError):  # it was killed, with what it had not read yet
        return b""


__all__ = ["Aside", "Outcomes", "done_aside", "received", "told_aside"]
