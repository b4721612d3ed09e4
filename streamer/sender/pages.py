"""What an operator's programs ask a sender: whether it lives, whether messages leave, and its figures."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from streamer.telemetry.sender_metrics import SenderMetrics
from streamer.web.process_pages import process_page

from .gate import StoreGate
from .loop import SendLoop


class SenderPages:
    """``/livez``, ``/readyz`` and ``/metrics``."""

    def __init__(self, loop: SendLoop, gate: StoreGate, metrics: SenderMetrics, now_ms: Callable[[], int]) -> None:
        self._loop = loop
        self._gate = gate
        self._metrics = metrics
        self._now_ms = now_ms

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The page of a path."""
        return process_page(request.path, self.problems, self._figures)

    def problems(self) -> list[str]:
        """Why messages do not leave at the moment."""
        found: list[str] = []
        if not self._loop.is_dealt:
            found.append("the group has not dealt the shards yet")
        if self._loop.problem:
            found.append(f"decisions cannot be read: {self._loop.problem}")
        if self._gate.problem:
            found.append(f"nobody can look whether messages are still right: {self._gate.problem}")
        return found

    def _figures(self) -> bytes:
        self._loop.show(self._now_ms())
        self._metrics.looking_fails.set(1 if self._gate.problem else 0)
        return self._metrics.text()
