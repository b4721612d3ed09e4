"""Calls that come up at the same time, done together: shards that share a worker share round trips."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Together(Generic[Asked, Answer]):
    """What is asked within one turn of the event loop, handed to ``work`` as a whole.

    ``work`` returns for each its answer or its error, in order; an error that it raises is everybody's. A group whose sizes by ``size``
    come to more than ``size_max`` is divided, and its parts do not wait for one another.
    """

    def __init__(
        self, work: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer | Exception]]], size: Callable[[Asked], int], size_max: int
    ) -> None:
        self._work = work
        self._size = size
        self._size_max = size_max
        self._waiting: list[tuple[Asked, asyncio.Future[Answer]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, asked: Asked) -> Answer:
        """The answer. Who is cancelled before the group began is left out; later the work goes on without them."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._begin)  # behind all who are ready to run in this turn
        self._waiting.append((asked, answer))
        return await answer

    async def finished(self) -> None:
        """Return when nothing is under way."""
        await asyncio.gather(*self._tasks)

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        group: list[tuple[Asked, asyncio.Future[Answer]]] = []
        size = 0
        for asked, answer in waiting:
            if answer.done():
                continue
            if group and size + self._size(asked) > self._size_max:
                self._spawn(group)
                group, size = [], 0
            group.append((asked, answer))
            size += self._size(asked)
        if group:
            self._spawn(group)

    def _spawn(self, group: Sequence[tuple[Asked, asyncio.Future[Answer]]]) -> None:
        task = asyncio.get_running_loop().create_task(self._run(group))  # no caller's own: one who is cancelled takes nobody along
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, group: Sequence[tuple[Asked, asyncio.Future[Answer]]]) -> None:
        found: Sequence[Answer | Exception]
        try:
            found = await self._work([asked for asked, _ in group])
        except asyncio.CancelledError:
            for _, answer in group:
                answer.cancel()
            raise
        except Exception as error:  # whose meaning the callers know
            found = [error] * len(group)
        for (_, answer), one in zip(group, found, strict=True):
            if answer.done():
                continue
            if isinstance(one, Exception):
                answer.set_exception(one)
            else:
                answer.set_result(one)


__all__ = ["Together"]
