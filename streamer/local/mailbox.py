"""A mailbox for everybody: an SMTP server on loopback, in this process, that takes each mail and hands it on.

It knows no users, no TLS and no refusals. It is for trying out, and must never listen anywhere else.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Final

from aiosmtpd.smtp import SMTP, Envelope, Session

from streamer.local.children import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from email.message import EmailMessage

MAIL_BYTES_MAX: Final = 1 << 20


@asynccontextmanager
async def open_mailbox(port: int, take: Callable[[EmailMessage], None]) -> AsyncGenerator[None]:
    """Listen on a port of this machine; ``take`` gets each mail before the server answers that it has it. OSError if it is taken."""
    loop = asyncio.get_running_loop()
    receiver = _Receiver(take)

    def connected() -> SMTP:
        return SMTP(receiver, hostname="mailbox.localhost", data_size_limit=MAIL_BYTES_MAX, loop=loop)

    server = await loop.create_server(connected, LOOPBACK, port)
    try:
        yield
    finally:
        server.close()


class _Receiver:
    """What aiosmtpd calls; names of methods are its own."""

    def __init__(self, take: Callable[[EmailMessage], None]) -> None:
        self._take = take

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        del server, session
        content = envelope.content
        raw = content.encode() if isinstance(content, str) else content or b""
        self._take(message_from_bytes(raw, policy=policy.SMTP))
        return "250 2.0.0 OK"
