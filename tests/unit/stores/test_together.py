"""Calls that come up in one turn of the event loop are done together, and each is answered by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from streamer.errors import StoreUnavailableError
from streamer.stores.together import Together


class Worker:
    """Answers a number with its double; refuses odd ones. ``groups`` is what it was given."""

    def __init__(self, *, size_max: int = 1_000) -> None:
        self.groups: list[list[int]] = []
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.together = Together(self.work, lambda number: number, size_max)

    async def work(self, asked: Sequence[int]) -> list[int | Exception]:
        self.groups.append(list(asked))
        self.began.set()
        await self.go_on.wait()
        if 99 in asked:
            raise StoreUnavailableError("away")
        return [StoreUnavailableError("odd") if number % 2 else 2 * number for number in asked]

    async def ask_all(self, numbers: Sequence[int]) -> list[int | BaseException]:
        return await asyncio.gather(*(self.together.ask(number) for number in numbers), return_exceptions=True)


async def test_who_asks_at_the_same_time_shares_one_piece_of_work() -> None:
    """And an error of one is nothing to the others."""
    worker = Worker()
    found = await worker.ask_all([2, 3, 4])
    assert worker.groups == [[2, 3, 4]]
    assert (found[0], type(found[1]), found[2]) == (4, StoreUnavailableError, 8)


async def test_an_error_of_the_work_is_everybodys() -> None:
    """A connection that is lost was lost to all."""
    assert [type(one) for one in await Worker().ask_all([2, 99])] == [StoreUnavailableError] * 2


async def test_too_much_at_once_is_divided_and_something_large_goes_alone() -> None:
    """A server does nothing else while it works off one transaction."""
    worker = Worker(size_max=10)
    assert await worker.ask_all([4, 6, 2, 40, 8]) == [8, 12, 4, 80, 16]
    assert worker.groups == [[4, 6], [2], [40], [8]]


async def test_who_is_cancelled_takes_nobody_along() -> None:
    """A rebalance gives up on one shard in the middle of a round trip that others share."""
    worker = Worker()
    worker.go_on.clear()
    one, two = (asyncio.ensure_future(worker.together.ask(number)) for number in (2, 4))
    await worker.began.wait()
    one.cancel()
    worker.go_on.set()
    assert await two == 8
    with pytest.raises(asyncio.CancelledError):
        await one


async def test_who_is_cancelled_before_it_begins_is_left_out() -> None:
    """What nobody waits for is not done."""
    worker = Worker()
    one, two = (asyncio.ensure_future(worker.together.ask(number)) for number in (2, 4))
    await asyncio.sleep(0)  # both have asked
    one.cancel()
    assert await two == 8
    assert worker.groups == [[4]]


async def test_what_is_under_way_can_be_waited_for() -> None:
    """Before its connections are closed."""
    worker = Worker()
    asked = asyncio.ensure_future(worker.together.ask(2))
    await worker.began.wait()
    await worker.together.finished()
    assert asked.done() or await asked == 4
