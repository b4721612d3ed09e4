"""A file that an operator changes under a running process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

LOOK_SECONDS: Final = 2.0


class FileWatch:
    """Calls ``read`` when the file changes, looked at every ``LOOK_SECONDS``, and at once when ``look_now`` is called."""

    def __init__(self, file: Path | None, read: Callable[[], None]) -> None:
        self._file = file
        self._read = read
        self._seen = self._mark()
        self._asked = asyncio.Event()

    def look_now(self) -> None:
        """Have the file read again, changed or not."""
        self._asked.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._asked.wait()
            except TimeoutError:
                if self._mark() == self._seen:
                    continue
            self._asked.clear()
            self._seen = self._mark()
            self._read()

    def _mark(self) -> tuple[int, int, int] | None:
        """What differs when the file does."""
        try:
            found = self._file.stat() if self._file is not None else None
        except OSError:
            return None
        return None if found is None else (found.st_mtime_ns, found.st_size, found.st_ino)
