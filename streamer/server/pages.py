"""What an operator's programs ask a server for readers: whether it lives, whether it can answer, and its figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from streamer.errors import StoreError
from streamer.stores.base import Store
from streamer.transports.kafka.end_watch import EndWatch
from streamer.web.process_pages import process_page

from .feed import Feed
from .server import ReaderServer

SILENT_SECONDS: Final = 10.0  # of Kafka, before it is a problem


class ServerPages:
    """``/livez``, ``/readyz`` and ``/metrics``, on a port of their own: figures are nobody's business who reads customers."""

    def __init__(self, server: ReaderServer, store: Store, ends: EndWatch, feed: Feed, connections: Callable[[], int]) -> None:
        self.is_listening = False
        self._server = server
        self._store = store
        self._ends = ends
        self._feed = feed
        self._connections = connections

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The page of a path."""
        found = await self.problems() if request.path == "/readyz" else []
        return process_page(request.path, lambda: found, self._figures)

    async def problems(self) -> list[str]:
        """Why readers cannot be answered as they should be at the moment."""
        found: list[str] = []
        if not self.is_listening:
            found.append("it does not listen yet, or no more")
        try:
            await self._store.checkpoint(0)
        except StoreError:
            found.append("the store does not answer")
        if (silent := self._ends.silent_seconds) > SILENT_SECONDS:
            found.append(f"Kafka has not said for {silent:.0f} s where the log ends: answers have no lag, and streams stand still")
        if self._feed.problem:
            found.append(self._feed.problem)
        return found

    def _figures(self) -> bytes:
        metrics = self._server.metrics
        metrics.connections.set(self._connections())
        metrics.kafka_silent.set(self._ends.silent_seconds)
        return metrics.text()
