"""When lanes may fold: in short slices, one at a time, and not while live traffic waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final

SLICE_MS: Final = 20.0  # between two looks of the event loop at what else there is
YIELD_ABOVE_MS: Final = 200.0  # of live lag
RESUME_BELOW_MS: Final = 50.0
LOOK_SECONDS: Final = 0.02  # between two looks at the lag while lanes yield
TRICKLE_SECONDS: Final = 1.0  # after so long a slice is folded all the same, or a lane would never end where lag never does
RECORDS_MIN: Final = 50
RECORDS_MAX: Final = 2_000
RECORDS_FIRST: Final = 200


class LanePace:
    """The pace of all lanes of one worker. ``lag_ms`` says how far live traffic is behind; ``is_yielding``: lanes wait for it."""

    def __init__(self, lag_ms: Callable[[], float]) -> None:
        self.is_yielding = False
        self._lag_ms = lag_ms
        self._turn = asyncio.Lock()
        self._records = RECORDS_FIRST

    @asynccontextmanager
    async def slice(self, left: int) -> AsyncGenerator[int]:
        """One slice: how many records it may have, of those that are ``left``. The size follows from how long the last full one took."""
        async with self._turn:
            await self._until_live_has_room()
            began, records = monotonic(), min(left, self._records)
            yield records
            if records == self._records:  # the end of a batch is over sooner, and says nothing
                taken_ms = max(0.1, (monotonic() - began) * 1_000)
                self._records = max(RECORDS_MIN, min(RECORDS_MAX, int(records * SLICE_MS / taken_ms), 2 * records))
            await asyncio.sleep(0)  # whatever is ready goes first

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
