"""When the lanes of one process may fold: a slice at a time, with a pause every few milliseconds, and not while live traffic waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final

SLICE_RECORDS: Final = 2_000  # of one commit: each has its price, whatever is in it
BREATH_MS: Final = 5.0  # of work between two looks of the event loop at what else there is
YIELD_ABOVE_MS: Final = 200.0  # of live lag
RESUME_BELOW_MS: Final = 50.0
LOOK_SECONDS: Final = 0.02  # between two looks at the lag while lanes yield
LIVE_LOOK_SECONDS: Final = 0.001  # between two looks at whether live traffic is at work
LIVE_SECONDS: Final = 0.05  # for which a lane waits for that at most, or a busy shop's would never end
TRICKLE_SECONDS: Final = 1.0  # after so long a slice is folded all the same, or a lane would never end where lag never does
RECORDS_MIN: Final = 20
RECORDS_MAX: Final = 1_000
RECORDS_FIRST: Final = 100


class LanePace:
    """The pace of all lanes of one process: a ``flow.lane.lane_driver.Breather`` for whichever has a turn.

    ``lag_ms`` says how far live traffic is behind; ``is_yielding``: lanes wait for it. ``is_live_at_work`` says whether a live shard of the
    same process has a batch in hand, which goes first: it has many steps, and a lane would come between any two of them. ``at_once`` lanes
    may be in the midst of a slice.
    """

    def __init__(self, lag_ms: Callable[[], float], is_live_at_work: Callable[[], bool], *, at_once: int = 1) -> None:
        self.is_yielding = False
        self._lag_ms = lag_ms
        self._is_live_at_work = is_live_at_work
        self._turn = asyncio.Semaphore(at_once)
        self._records = RECORDS_FIRST
        self._began = 0.0

    @asynccontextmanager
    async def slice(self, left: int) -> AsyncGenerator[int]:
        """One slice: how many records it may have, of those that are ``left``."""
        async with self._turn:
            await self._until_live_has_room()
            yield min(left, SLICE_RECORDS)

    def begin(self) -> int:
        """See ``Breather``."""
        self._began = monotonic()
        return self._records

    async def pause(self, done: int) -> None:
        """See ``Breather``. How much is done at once follows from how long the last full piece took."""
        if done == self._records:  # the end of a slice is over sooner, and says nothing
            taken_ms = max(0.1, (monotonic() - self._began) * 1_000)
            self._records = max(RECORDS_MIN, min(RECORDS_MAX, int(done * BREATH_MS / taken_ms), 2 * done))
        await asyncio.sleep(0)  # whatever is ready goes first
        until = monotonic() + LIVE_SECONDS
        while self._is_live_at_work() and monotonic() < until:  # noqa: ASYNC110 - a batch has no event for its end
            await asyncio.sleep(LIVE_LOOK_SECONDS)

    async def _until_live_has_room(self) -> None:
        until = monotonic() + TRICKLE_SECONDS
        while self._is_to_yield() and monotonic() < until:  # noqa: ASYNC110 - lag is no event
            await asyncio.sleep(LOOK_SECONDS)

    def _is_to_yield(self) -> bool:
        """With hysteresis, so that lanes do not begin and stop with each batch."""
        lag_ms = self._lag_ms()
        self.is_yielding = lag_ms > (RESUME_BELOW_MS if self.is_yielding else YIELD_ABOVE_MS)
        return self.is_yielding


__all__ = ["LanePace"]
