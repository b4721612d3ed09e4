"""E-mail by SMTP: a few connections, each with many mails, and an answer to the one question that matters: does the server have it?

Commands are sent one by one, so it is known which of them failed. Until the mail's last line is sent the server has nothing; a 4xx or 5xx
says that it does not have it; a connection that ends between the last line and the answer leaves it open (``Unsure``).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.headerregistry import Address
from typing import Final

import aiosmtplib

from . import Accepted, Attempt, Declined, Outgoing, TryLater, Unsure
from .mail import UnfitMailError, mail_address, mail_of

MAILS_A_CONNECTION: Final = 100  # then a new one: servers ask for it, and what one of them keeps of a session stays small
TIMEOUT_SECONDS: Final = 30.0  # for one answer
BAD_MAILBOX: Final = re.compile(r"\b5\.1\.[0-9]{1,3}\b")  # RFC 3463: something about the address of the recipient
NO_MAILBOX_CODES: Final = (550, 551, 553)  # where no such code says more


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mails go. ``tls``: from the first byte (``implicit``), after STARTTLS, which then must be there, or not at all (``none``)."""

    host: str
    port: int
    tls: str
    sender: Address
    username: str = ""
    password: str = ""
    connections: int = 4


class SmtpChannel:
    """Sends mails over at most as many connections as ``server`` says. ``now_ms`` gives UTC milliseconds."""

    drops_repeats = False

    def __init__(self, server: SmtpServer, now_ms: Callable[[], int], *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._server = server
        self._now_ms = now_ms
        self._timeout_seconds = timeout_seconds
        self._room = asyncio.Semaphore(server.connections)
        self._idle: list[_SmtpSession] = []

    def address(self, text: str) -> str | None:
        """An e-mail address."""
        return mail_address(text)

    def domain(self, address: str) -> str:
        """That of the mailbox."""
        return address.rpartition("@")[2]

    async def send(self, outgoing: Outgoing) -> Attempt:
        """Hand a mail to the server."""
        try:
            raw = mail_of(outgoing, self._server.sender, self._now_ms()).as_bytes()
        except UnfitMailError as error:
            return Declined(f"no mail can be made of it: {error}")
        except ValueError as error:
            return Declined(f"no mail can be made of it: {type(error).__name__}")
        async with self._room:
            return await self._send(outgoing.address, raw)

    async def close(self) -> None:
        """Say goodbye to the server."""
        while self._idle:
            await self._idle.pop().end()

    async def _send(self, address: str, raw: bytes) -> Attempt:
        try:
            connection = self._idle.pop() if self._idle else await self._connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            return TryLater(f"no connection: {_words(error)}")
        is_usable = False
        try:
            attempt = await self._hand_over(connection, address, raw)
            is_usable = not isinstance(attempt, Unsure) and connection.mails < MAILS_A_CONNECTION and connection.client.is_connected
            return attempt
        finally:
            if is_usable:
                self._idle.append(connection)
            else:
                await connection.end()

    async def _connect(self) -> _SmtpSession:
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username or None,
            password=server.password or None,
            use_tls=server.tls == "implicit",
            start_tls=server.tls == "starttls",
            timeout=self._timeout_seconds,
        )
        try:
            await client.connect()
        except BaseException:
            client.close()
            raise
        return _SmtpSession(client)

    async def _hand_over(self, connection: _SmtpSession, address: str, raw: bytes) -> Attempt:
        client = connection.client
        connection.mails += 1
        try:
            await client.mail(str(self._server.sender.addr_spec))
            await client.rcpt(address)
        except aiosmtplib.SMTPResponseException as error:
            await _begin_anew(client)
            return _refused(error, of_address=isinstance(error, aiosmtplib.SMTPRecipientRefused))
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            return TryLater(f"before the mail was sent: {_words(error)}")
        try:
            answer = await client.data(raw)
        except aiosmtplib.SMTPResponseException as error:
            await _begin_anew(client)
            if 400 <= error.code < 600:
                return _refused(error, of_address=False)
            return Unsure(f"an answer that means neither yes nor no: {error.code}")
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            return Unsure(f"while the mail was sent: {_words(error)}")
        return Accepted(f"{answer.code}")


class _SmtpSession:
    """A session with the server, and how many mails went over it."""

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self.client = client
        self.mails = 0

    async def end(self) -> None:
        if self.client.is_connected:
            with suppress(aiosmtplib.SMTPException, OSError):
                await self.client.quit(timeout=1)
        self.client.close()


async def _begin_anew(client: aiosmtplib.SMTP) -> None:
    """Take back the sender and recipient of a mail that was refused; a server that cannot do that loses the connection."""
    try:
        await client.rset()
    except (aiosmtplib.SMTPException, OSError):
        client.close()


def _refused(error: aiosmtplib.SMTPResponseException, *, of_address: bool) -> Attempt:
    """What a 4xx or 5xx means. The server's words are not kept: they often repeat the address."""
    enhanced = re.search(r"\b[245]\.[0-9]{1,3}\.[0-9]{1,3}\b", error.message)
    detail = f"{error.code} {enhanced[0]}" if enhanced else str(error.code)
    if not 500 <= error.code < 600:
        return TryLater(detail)
    says_more = enhanced is not None
    bounced = of_address and (BAD_MAILBOX.search(error.message) is not None or (not says_more and error.code in NO_MAILBOX_CODES))
    return Declined(detail, bounced=bounced)


def _words(error: BaseException) -> str:
    return type(error).__name__


__all__ = ["SmtpChannel", "SmtpServer"]
