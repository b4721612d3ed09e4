"""What aiohttp itself costs: an application with one handler, which reads the JSON of a request and answers with nothing to say.

The port is the first argument.
"""

from __future__ import annotations

import sys

import orjson
from aiohttp import web


async def answer(request: web.Request) -> web.Response:
    """200 for whatever is JSON."""
    orjson.loads(await request.read())
    return web.json_response({"success": True})


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/v1/track", answer)
    app.router.add_post("/v1/batch", answer)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
