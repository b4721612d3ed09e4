"""The end of a process: what a signal begins, and the moment at which it is over whatever hangs.

Clients of Kafka and of a store may wait for ever for a server that is away; asyncio, and Python at its exit, wait for them. So a thread
counts from the first signal on. It needs neither the event loop nor the servers, and works too while one long computation holds the loop.
"""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import structlog
from structlog.typing import FilteringBoundLogger

if TYPE_CHECKING:
    from types import FrameType

log: FilteringBoundLogger = structlog.get_logger("streamer.stopping")

LIMIT_SECONDS: Final = 9.0  # ten are promised; a second for a machine that is slow to run the thread
LAST_WORDS_SECONDS: Final = 0.5  # for the last log line: whoever should read it may have stopped to
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """Begun by SIGTERM or SIGINT (or ``begin``), and over ``limit_seconds`` later at the latest: then the process is left.

    ``left`` is asked at the limit, in another thread, for what of ours has not ended: nothing means exit code 0, else 1. Used as a context
    manager in the main thread. Leaving the context gives the signals back; the limit holds on, as the interpreter's own end may hang.
    """

    def __init__(self, *, limit_seconds: float = LIMIT_SECONDS, leave: Callable[[int], Any] = os._exit) -> None:
        self.left: Callable[[], Sequence[str]] = list
        self.is_begun = False
        self._limit_seconds = limit_seconds
        self._leave = leave
        self._tell: Callable[[], Any] = _nobody
        self._before: dict[signal.Signals, Any] = {}
        self._begun = queue.SimpleQueue[None]()  # may be put into from a signal handler, whatever that has interrupted

    def __enter__(self) -> Stopping:
        threading.Thread(target=self._count, name="stopping", daemon=True).start()
        self._before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.begin()

    def _count(self) -> None:
        self._begun.get()
        time.sleep(self._limit_seconds)
        self.leave()

    def begin(self) -> None:
        """Start the clock and wake up whoever awaits ``asked``; a second call does nothing."""
        if self.is_begun:
            return
        self.is_begun = True
        self._begun.put(None)
        with suppress(RuntimeError):  # the loop is closed: there is nobody left to tell
            self._tell()

    async def asked(self) -> None:
        """Return when the end has begun."""
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        self._tell = lambda: loop.call_soon_threadsafe(heard.set)
        if not self.is_begun:
            await heard.wait()

    def leave(self) -> None:
        """End the process now: no cleaning up, no waiting."""
        left = self.left()
        words = threading.Thread(target=_say, args=(left,), daemon=True)
        words.start()
        words.join(LAST_WORDS_SECONDS)
        self._leave(1 if left else 0)


async def run_until_asked(work: Awaitable[None], stopping: Stopping) -> None:
    """Do the work of a process until it ends or raises, or ``stopping`` begins: then it is cancelled, and awaited as it ends in order."""
    task, asked = asyncio.ensure_future(work), asyncio.create_task(stopping.asked())
    await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    task.cancel()  # does nothing when it has ended by itself
    with suppress(asyncio.CancelledError):
        await task


async def at_most(seconds: float, work: Coroutine[Any, Any, Any]) -> None:
    """Do some work of stopping; what it does not finish in time is cancelled and not waited for, and what it raises is nobody's any more.

    ``asyncio.wait_for`` would wait until the work has obeyed its cancellation, and clients of Kafka do not.
    """
    task = asyncio.create_task(work)
    _, late = await asyncio.wait({task}, timeout=seconds)
    for one in late:
        one.cancel()
    task.add_done_callback(_ignore)


def _ignore(task: asyncio.Task[Any]) -> None:
    """Look at the result, or asyncio complains of an error that nobody has seen."""
    if not task.cancelled():
        task.exception()


def _nobody() -> None:
    """Nobody waits yet: whoever asks later sees that it has begun."""


def _say(left: Sequence[str]) -> None:
    log.warning("left without waiting", action="stop", unfinished=list(left))
    sys.stdout.flush()


__all__ = ["Stopping", "at_most", "run_until_asked"]
