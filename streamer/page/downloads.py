"""Files that a visitor keeps, sent while they are made: never one that looks whole and is not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import Final

from aiohttp import web

from streamer.errors import StreamerError

from .view import ViewFile

WRITE_SECONDS: Final = 30.0  # whoever takes nothing for so long is cut


async def send_file(request: web.BaseRequest, file: ViewFile, headers: Mapping[str, str]) -> web.StreamResponse:
    """Send it. An error before the first piece is raised as it is; after one the connection is cut, which a browser shows as a failure."""
    async with aclosing(file.pieces) as pieces:
        first = await anext(pieces, b"")
        response = web.StreamResponse(headers={**headers, **_file_headers(file)})
        await response.prepare(request)
        try:
            await _write(response, first)
            async for piece in pieces:
                await _write(response, piece)
        except (StreamerError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError from None
        await response.write_eof()
    return response


def _file_headers(file: ViewFile) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "Content-Disposition": f'attachment; filename="{file.name}"',
        "X-Content-Type-Options": "nosniff",
    }


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(WRITE_SECONDS):
        await response.write(data)


__all__ = ["send_file"]
