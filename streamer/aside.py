"""Work in a process of its own: it computes for seconds, and a server has others to answer meanwhile."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from streamer import zones

if TYPE_CHECKING:
    from streamer.settings import Settings

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


__all__ = ["Aside", "done_aside", "received", "told_aside"]
