"""From the first signal on a process has a limit, whatever it is doing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from time import monotonic

import pytest

from streamer.stopping import Stopping, at_most

STUCK = """
import asyncio
from streamer.stopping import Stopping

async def work(stopping):
    stopping.left = lambda: {left}
    print("stuck", flush=True)
    {hang}

with Stopping(limit_seconds=0.3) as stopping:
    asyncio.run(work(stopping))
"""


@pytest.mark.parametrize("hang", ["while True: pass", "await asyncio.Event().wait()"], ids=["a long computation", "a wait for ever"])
@pytest.mark.parametrize(("left", "code"), [("[]", 0), ('["shard 3"]', 1)])
def test_a_process_that_hangs_is_left_at_the_limit(hang: str, left: str, code: int) -> None:
    """Neither the event loop nor whoever it waits for may be needed for the end. The exit code tells whether something of ours was cut."""
    program = STUCK.format(left=left, hang=hang)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == code
    assert ("shard 3" in said) == bool(code)


async def test_who_waits_for_the_end_hears_of_it() -> None:
    """The orderly way: the event loop begins to stop its services."""
    left = list[int]()
    with Stopping(limit_seconds=60, leave=left.append) as stopping:
        waiting = asyncio.create_task(stopping.asked())
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(waiting, 10)
        await asyncio.wait_for(stopping.asked(), 10)  # a signal before anybody waited counts as well
    assert left == []


async def test_the_signals_are_given_back() -> None:
    """Whoever runs a worker inside another program keeps its own handlers."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with Stopping():
        assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] != before
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_second_signal_gives_no_more_time() -> None:
    """Impatience must not move the limit."""
    left, gone = list[int](), threading.Event()

    def leave(code: int) -> None:
        left.append(code)
        gone.set()

    with Stopping(limit_seconds=0, leave=leave) as stopping:
        stopping.begin()
        stopping.begin()
        assert gone.wait(10)
    assert left == [0]


async def test_work_that_does_not_obey_its_cancellation_is_left_behind() -> None:
    """A client whose server is away swallows it; ``wait_for`` would wait for ever."""
    obeyed = asyncio.Event()

    async def stubborn() -> None:
        while not obeyed.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await obeyed.wait()

    began = monotonic()
    await at_most(0.01, stubborn())
    assert monotonic() - began < 5
    obeyed.set()


async def test_what_the_work_raises_is_nobodys_any_more() -> None:
    """A client that cannot say goodbye must not hide why the process ends."""

    async def breaks() -> None:
        raise ConnectionError("away")

    await at_most(1, breaks())
