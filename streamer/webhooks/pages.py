"""What an operator's programs ask a deliverer: whether it lives, whether it delivers, and its figures."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from streamer.telemetry.webhook_metrics import WebhookMetrics

from .deliverer import Deliverer

TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class WebhookPages:
    """``/livez``, ``/readyz`` and ``/metrics``. An endpoint that fails is no problem of the process: it stands in the figures."""

    def __init__(self, deliverer: Deliverer, metrics: WebhookMetrics) -> None:
        self._deliverer = deliverer
        self._metrics = metrics

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The page of a path."""
        match request.path:
            case "/livez":
                return web.json_response({"status": "alive"})
            case "/readyz":
                problems = self._deliverer.problems()
                found = {"status": "not ready" if problems else "ready", "problems": problems}
                return web.json_response(found, status=503 if problems else 200)
            case "/metrics":
                return web.Response(body=self._metrics.text(), headers={"Content-Type": TEXT_TYPE})
            case _:
                return web.json_response({"status": "not found", "problems": ["/livez, /readyz or /metrics"]}, status=404)
