"""What an operator's programs ask any process of ours: whether it lives, whether it does its work, and its figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def process_page(path: str, problems: Callable[[], list[str]], figures: Callable[[], bytes]) -> web.Response:
    """The answer for ``/livez``, ``/readyz`` (503 with ``problems``) or ``/metrics`` (``figures``, the exposition format)."""
    match path:
        case "/livez":
            return web.json_response({"status": "alive"})
        case "/readyz":
            found = problems()
            return web.json_response({"status": "not ready" if found else "ready", "problems": found}, status=503 if found else 200)
        case "/metrics":
            return web.Response(body=figures(), headers={"Content-Type": TEXT_TYPE})
        case _:
            return web.json_response({"status": "not found", "problems": ["/livez, /readyz or /metrics"]}, status=404)
