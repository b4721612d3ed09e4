"""The body of a request, read and unpacked within bounds. What its headers say of its type is not believed: SDKs say what they like.

It is unpacked here and not by aiohttp, which answers a broken gzip with an error of its own that every SDK takes for something to repeat.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Final

from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from .answers import RequestError
from .limits import CollectorLimits

GZIP_MAGIC: Final = b"\x1f\x8b"  # begins no JSON, so it says more than a header that is missing
AUTO_WINDOW: Final = zlib.MAX_WBITS | 32  # gzip or zlib, whichever it is
PIECES_MAX: Final = 64  # each costs a copy of what lies behind it
PLAIN: Final = frozenset({"", "identity"})
PACKED: Final = frozenset({"gzip", "x-gzip", "deflate"})


async def read_body(request: web.BaseRequest, limits: CollectorLimits, take: Callable[[int], None]) -> bytes:
    """The unpacked body. ``take`` is told of each piece that is held from now on, and raises where there is no room for it.

    RequestError where it is too large, too slow, broken, or packed in a way we do not know.
    """
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in PLAIN and encoding not in PACKED:
        raise RequestError("bad_encoding", "Content-Encoding: expected gzip, deflate or none")
    if (request.content_length or 0) > limits.request_bytes:
        raise _too_large(limits)
    raw = await _read(request, limits, take)
    if encoding in PACKED or raw[:2] == GZIP_MAGIC:
        unpacked = _unpack(raw, limits)
        take(len(unpacked))
        return unpacked
    return raw


async def _read(request: web.BaseRequest, limits: CollectorLimits, take: Callable[[int], None]) -> bytes:
    if request.content.is_eof() and request.content.exception() is None:  # it came with its headers, as most do: nothing to wait for
        whole = request.content.read_nowait()
        if len(whole) > limits.request_bytes:
            raise _too_large(limits)
        take(len(whole))
        return whole
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            while part := await request.content.readany():
                size += len(part)
                if size > limits.request_bytes:
                    raise _too_large(limits)
                take(len(part))
                parts.append(part)
    except TimeoutError:
        raise RequestError("slow_body", f"the body did not come within {limits.body_seconds:g} s") from None
    except RequestPayloadError:
        raise RequestError("bad_encoding", "the body ends before its end, or its chunks are broken") from None
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _unpack(raw: bytes, limits: CollectorLimits) -> bytes:
    """Unpacked, and never more than is allowed: a small body may unpack to all of memory. Gzip may be several pieces."""
    try:
        unpacked, left = _unpack_first(raw, limits.request_bytes + 1)
        pieces = 1
        while left and len(unpacked) <= limits.request_bytes:
            pieces += 1
            if pieces > PIECES_MAX:
                raise RequestError("bad_gzip", f"the packed body is more than {PIECES_MAX} pieces")
            more, left = _unpack_piece(left, AUTO_WINDOW, limits.request_bytes + 1 - len(unpacked))
            unpacked += more
    except zlib.error:
        raise RequestError("bad_gzip", "the body is not what its Content-Encoding says") from None
    if len(unpacked) > limits.request_bytes:
        raise _too_large(limits)
    return unpacked


def _unpack_first(raw: bytes, most: int) -> tuple[bytes, bytes]:
    try:
        return _unpack_piece(raw, AUTO_WINDOW, most)
    except zlib.error:
        return _unpack_piece(raw, -zlib.MAX_WBITS, most)  # some call the bare stream deflate


def _unpack_piece(raw: bytes, window: int, most: int) -> tuple[bytes, bytes]:
    """At most so many bytes of one stream, and what lies behind it: passed over, it would be events that nobody has."""
    unpacker = zlib.decompressobj(window)
    unpacked = unpacker.decompress(raw, most)
    if not unpacker.eof and len(unpacked) < most:
        raise RequestError("bad_gzip", "the packed body ends before its end")
    return unpacked, unpacker.unused_data.lstrip(b"\0")  # some fill a block up


def _too_large(limits: CollectorLimits) -> RequestError:
    return RequestError("too_large", f"the unpacked body is larger than {limits.request_bytes} bytes")
