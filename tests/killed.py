"""``kill -9`` between any two waits of a process, in a loop whose time passes at once: nothing is slept, each run is like the last."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final

WAIT_S: Final = 0.0005  # of the loop's time
LIMIT_S: Final = 60.0  # of it too


class KilledError(BaseException):
    """The process is gone. No clause of ours may catch it."""


class Reaper:
    """Kills one process at its ``at``-th wait for something outside; 0: never. A dead process reaches nothing outside any more.

    ``meanwhile`` is done at each wait: the world goes on.
    """

    def __init__(self, at: int, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.is_dead = False
        self.waits = 0
        self._at = at
        self._meanwhile = meanwhile

    async def wait(self) -> None:
        """One wait for something outside. Call it before and behind what the wait brings about: it may have come about, or not."""
        await asyncio.sleep(WAIT_S)
        if not self.is_dead:
            self._meanwhile()
            self.waits += 1
            self.is_dead = self.waits == self._at
        if self.is_dead:
            raise KilledError


async def run_until(done: Callable[[], bool], *work: Coroutine[Any, Any, None], reaper: Reaper) -> None:
    """Let a process work until it is killed or all is done; then nothing of it runs any more. What ends with an error is no kill."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        async with asyncio.timeout(LIMIT_S):
            while not reaper.is_dead and not done():
                await asyncio.wait(tasks, timeout=2 * WAIT_S, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done() and not reaper.is_dead:
                        task.result()
                        await asyncio.sleep(WAIT_S)
        reaper.is_dead = True  # what its clauses still want to do at the end is not done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing: the clock goes to the moment for which it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "everybody waits, and nothing will ever come"
        self.now += max(timeout, 0.0)
        return super().select(0)


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_at_once(work: Coroutine[Any, Any, None]) -> None:
    """Run it in a loop of its own, whose sleeps take no time."""
    with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
        runner.get_loop().set_exception_handler(_tell)
        runner.run(work)


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """As usual, but for tasks of a process that was killed: nobody is left who would look at them."""
    if not isinstance(context.get("exception"), KilledError):
        loop.default_exception_handler(context)
