"""What an operator's programs ask a deliverer: whether it lives, whether it delivers, and its figures."""

from __future__ import annotations

from aiohttp import web

from streamer.telemetry.webhook_metrics import WebhookMetrics
from streamer.web.process_pages import process_page

from .deliverer import Deliverer


class WebhookPages:
    """``/livez``, ``/readyz`` and ``/metrics``. An endpoint that fails is no problem of the process: it stands in the figures."""

    def __init__(self, deliverer: Deliverer, metrics: WebhookMetrics) -> None:
        self._deliverer = deliverer
        self._metrics = metrics

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The page of a path."""
        return process_page(request.path, self._deliverer.problems, self._metrics.text)
