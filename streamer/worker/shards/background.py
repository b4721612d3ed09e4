"""Tasks that run beside the loops of a service."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


class Background:
    """Tasks of one service: each is kept until it ends, or ``cancel`` ends it."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run beside the loops."""
        task = asyncio.create_task(work)
        self.tasks.add(task)  # or it could be collected before it has run
        task.add_done_callback(self.tasks.discard)
        return task

    def cancel(self) -> None:
        """Cancel what has not ended, and do not wait for it."""
        for task in self.tasks:
            task.cancel()


__all__ = ["Background"]
