"""What costs too much to make for whoever looks: made in the background, and again when somebody asks after it has grown old."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, Generic, TypeVar

PATIENCE_SECONDS: Final = 0.15  # that a page waits for the first one

Made = TypeVar("Made")


class MadeAnew(Generic[Made]):
    """The newest of what ``make`` makes, one at a time. It is made again ``old_seconds`` after it was made, or ``again_seconds`` after it
    could not be: ``make`` gives None or raises."""

    def __init__(self, make: Callable[[], Awaitable[Made | None]], *, old_seconds: float, again_seconds: float) -> None:
        self._make = make
        self._old_seconds = old_seconds
        self._again_seconds = again_seconds
        self._newest: Made | None = None
        self._next_at = float("-inf")
        self._making: asyncio.Task[None] | None = None

    async def get(self) -> Made | None:
        """The newest, also while another is made or where that failed; None while there is none. Returns soon."""
        if monotonic() > self._next_at and (self._making is None or self._making.done()):
            self._making = asyncio.create_task(self._make_one())
        if self._newest is None and self._making is not None:
            await asyncio.wait({self._making}, timeout=PATIENCE_SECONDS)
        return self._newest

    def close(self) -> None:
        """Make none any more."""
        if self._making is not None:
            self._making.cancel()

    async def _make_one(self) -> None:
        made: Made | None = None
        try:
            made = await self._make()
        finally:
            self._newest = made or self._newest
            self._next_at = monotonic() + (self._again_seconds if made is None else self._old_seconds)
