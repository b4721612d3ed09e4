"""The parts of a preview in processes of their own, one a core: each is told the whole log and counts its part of the customers.

One part is counted by the process that asks. The others end with it, however it ends.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from threading import Thread
from typing import Final

from streamer import zones
from streamer.aside import Outcomes, received
from streamer.errors import SettingsError, StoreError, TooMuchError

from .findings import Findings
from .share import Portion

PROCESSES_MAX: Final = 8  # unless more are asked for: each holds its own copy of who belongs with whom
WORTH_IT_EVENTS: Final = 50_000  # with fewer, one process has done before another has begun
TOLD: Final = b"told"
SILENT: Final = "a process of the preview ended without an answer; is there memory for what is remembered of all customers?"
_outcomes: Final = Outcomes(Findings, SettingsError, StoreError, TooMuchError)


def usable_cores() -> int:
    """How many processes can compute at the same time here, ``PROCESSES_MAX`` at most."""
    return min(PROCESSES_MAX, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


class Caller:
    """Whoever started this process, as it sees them."""

    def __init__(self, line: Connection) -> None:
        self._line = line

    def heard(self) -> object:
        """What they say next."""
        return self._line.recv()

    def say_told(self) -> None:
        """That the log is told, as ``Others.until_told`` awaits it."""
        self._line.send_bytes(TOLD)


PortionWork = Callable[[Caller, object, Portion], Awaitable[Findings]]  # a function of a module, which another process can find


class Others:
    """The processes of the other parts, as whoever started them sees them."""

    def __init__(self, lines: list[Connection]) -> None:
        self._lines = lines

    async def say(self, what: object) -> None:
        """Say the same to each: something that can be pickled."""
        for line in self._lines:
            with suppress(ConnectionError):  # what it has to say about its end is read later
                await asyncio.to_thread(line.send, what)

    async def until_told(self) -> None:
        """Return when each has said that the log is told. Raises as ``findings`` does."""
        for line in self._lines:
            if (raw := await received(line)) != TOLD:
                _outcomes.read(raw, without=SILENT)
                raise AssertionError("findings come behind the word that the log is told")

    async def findings(self) -> list[Findings]:
        """What each has found. Raises what it has raised, and HaltError where it has ended without an answer."""
        return [_outcomes.read(await received(line), without=SILENT) for line in self._lines]


@asynccontextmanager
async def others(work: PortionWork, task: object, count: int) -> AsyncGenerator[Others]:
    """Start processes in which ``work`` does ``task``, which can be pickled, for the parts behind the first of ``count``; end them."""
    context = get_context("spawn")  # a fork would have the connections of this process
    lines, started = list[Connection](), list[SpawnProcess]()
    try:
        for number in range(1, count):
            ours, theirs = context.Pipe()
            lines.append(ours)
            process = context.Process(target=_run, args=(theirs, work, task, Portion(number, count), zones.known_folder()), daemon=True)
            process.start()
            started.append(process)
            theirs.close()
        yield Others(lines)
    finally:
        for process in started:
            process.kill()
            process.join()
        for line in lines:
            line.close()


def _run(line: Connection, work: PortionWork, task: object, part: Portion, zones_dir: Path | None) -> None:
    """What a process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a person's Ctrl-C is for whoever started it
    Thread(target=_end_with_parent, daemon=True).start()
    line.send_bytes(asyncio.run(_outcomes.of(_found(work, Caller(line), task, part, zones_dir))))
    line.close()


async def _found(work: PortionWork, caller: Caller, task: object, part: Portion, zones_dir: Path | None) -> Findings:
    zones.know(zones_dir)
    return await work(caller, task, part)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
