"""What browser SDKs ask for before they send anything: where to send, and in what way."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web

from .answers import encode_json, json_response

BATCHING: Final = {
    "strategy": "batching",
    "config": {"size": 10, "timeout": 1_000, "keepalive": True},
}  # one preflight and one request for ten
CACHE: Final = "public, max-age=300"
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")


def own_url(configured: str, scheme: str, host: str) -> tuple[str, str]:
    """Scheme and host under which a browser reaches us: as configured, else as in its request."""
    if configured:
        scheme, _, host = configured.partition("://")
    return scheme, host if _HOST.fullmatch(host) is not None else "localhost"


def segment_settings(key: str, scheme: str, host: str, prefix: str) -> web.Response:
    """For analytics.js. ``apiHost`` has no scheme; the SDK appends the first letter of a type to it. Its own metrics are switched off."""
    destination = {"apiKey": key, "apiHost": f"{host}{prefix}/v1", "protocol": scheme, "deliveryStrategy": BATCHING}
    body: dict[str, object] = {
        "integrations": {"Segment.io": destination},
        "plan": {"track": {"__default": {"enabled": True, "integrations": {}}}},
        "metrics": {"sampleRate": 0},
        "edgeFunction": {},
        "remotePlugins": [],
        "enabledMiddleware": {},
    }
    return _cached(body)


def rudderstack_settings(key: str, name: str) -> web.Response:
    """For RudderStack's: a source that is switched on, without destinations in the browser, that measures nothing of itself."""
    statistics = {"statsCollection": {"errors": {"enabled": False}, "metrics": {"enabled": False}}}
    source: dict[str, object] = {
        "id": name,
        "name": name,
        "writeKey": key,
        "enabled": True,
        "config": statistics,
        "destinations": [],
        "workspaceId": "streamer",
        "connections": [],
        "dataplanes": {},
    }
    return _cached({"source": source, "updatedAt": "2026-01-01T00:00:00.000Z"})


def _cached(body: object) -> web.Response:
    response = json_response(encode_json(body))
    response.headers["Cache-Control"] = CACHE
    return response
