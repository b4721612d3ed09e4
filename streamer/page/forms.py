"""What a form sends, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from streamer.server.errors import AnswerError

BODY_BYTES_MAX: Final = 256_000
BODY_SECONDS: Final = 10.0
FIELDS_MAX: Final = 100
FORM_TYPE: Final = "application/x-www-form-urlencoded"


async def form_fields(request: web.BaseRequest) -> Mapping[str, str]:
    """The fields by name, the first of each; AnswerError for what is no form, too long or too slow."""
    if request.content_type != FORM_TYPE:
        raise AnswerError("bad_request", f"expected {FORM_TYPE}", "header.Content-Type")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > BODY_BYTES_MAX:
                    raise AnswerError("too_large", f"expected at most {BODY_BYTES_MAX:,} bytes", "$")
    except TimeoutError:
        raise AnswerError("slow_body", f"the form did not come within {BODY_SECONDS:g} s", "$") from None
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict")
    except (ValueError, UnicodeDecodeError):
        raise AnswerError("bad_request", f"expected at most {FIELDS_MAX} fields in UTF-8", "$") from None
    found: dict[str, str] = {}
    for name, text in pairs:
        found.setdefault(name, text)
    return found


def local_path(text: str) -> str:
    """A path of ours to go on at; the first page for anything that may lead elsewhere.

    >>> [local_path(text) for text in ("/segments?q=a", "//evil.example", "https://evil.example", "/\\\\evil.example", "")]
    ['/segments?q=a', '/', '/', '/', '/']
    """
    is_ours = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if is_ours else "/"
