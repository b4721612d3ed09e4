"""Whether the store is still set up so that it may be trusted with state: looked at beside the loop."""

from __future__ import annotations

from contextlib import suppress

from streamer.errors import StoreError

from .edges import Edges


class StoreWatch:
    """Looks at how the store is set up. ``problems`` is what makes this worker unready, as last seen."""

    def __init__(self, edges: Edges) -> None:
        self.problems: list[str] = []
        self._store = edges.store
        self._alerts = edges.alerts

    async def look(self) -> None:
        """What was right at the start may be changed under a running worker: an eviction policy above all."""
        with suppress(StoreError, OSError):  # that it is away is noticed elsewhere
            health = await self._store.health()
            self.problems = [f"store: {danger.in_words()}" for danger in health.dangers]
            for finding in health.alerts:
                self._alerts.say("store", finding.in_words())


__all__ = ["StoreWatch"]
