"""A tiny scheduler: it decides what happens between any two awaits. No real time, no event loop; a seed decides everything.

The code under test awaits its store, its sink and its pauses. In the simulation each of these ends in a ``Halt``, at which the task may
be left standing while others run, for a moment or for ever.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from random import Random
from typing import Any, TypeVar

Result = TypeVar("Result")


class Halt:
    """Where a task stands still. ``seconds`` is simulated."""

    def __init__(self, place: str, seconds: float = 0.0) -> None:
        self.place = place
        self.seconds = seconds

    def __await__(self) -> Generator[Halt, None, None]:
        yield self


def now(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


class Task:
    """A coroutine of one worker, somewhere between two awaits."""

    def __init__(self, worker: int, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        self.worker = worker
        self.name = name
        self.place = "begin"
        self.wake_ms = 0
        self.is_done = False
        self._coroutine = coroutine

    def step(self, now_ms: int) -> None:
        """Run to the next await."""
        try:
            halt = self._coroutine.send(None)
        except StopIteration:
            self.is_done = True
            return
        halt = Halt("yielding") if halt is None else halt  # asyncio.sleep(0)
        assert isinstance(halt, Halt), f"{self.name} waits for {halt!r}, which the simulation does not know"
        self.place, self.wake_ms = halt.place, now_ms + round(halt.seconds * 1_000)

    def crash(self) -> None:
        """End it where it stands, as ``kill -9`` would: what it awaits never comes."""
        self.is_done = True
        self._coroutine.close()  # also when it was never begun


class Loop:
    """Tasks, and a clock in UTC milliseconds."""

    def __init__(self, random: Random, now_ms: int) -> None:
        self.random = random
        self.now_ms = now_ms
        self.tasks: list[Task] = []

    def start(self, worker: int, name: str, coroutine: Coroutine[Any, Any, None]) -> Task:
        """Add a task."""
        task = Task(worker, name, coroutine)
        self.tasks.append(task)
        return task

    def turn(self, frozen: frozenset[int]) -> Task | None:
        """Run one task of a worker that is not frozen to its next await; let time pass if all of them sleep."""
        self.tasks = [task for task in self.tasks if not task.is_done]
        awake = [task for task in self.tasks if task.worker not in frozen]
        if not awake:
            self.now_ms += 50
            return None
        ready = [task for task in awake if task.wake_ms <= self.now_ms]
        if not ready:
            self.now_ms = min(task.wake_ms for task in awake)
            return None
        task = self.random.choice(ready)
        task.step(self.now_ms)
        self.now_ms += self.random.choice((0, 0, 1, 3))
        return task
