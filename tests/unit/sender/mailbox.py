"""A real SMTP server on this machine, with mailboxes that behave badly by their names."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Final

from aiosmtpd.smtp import SMTP, Envelope, Session, syntax

RCPT_ANSWERS: Final = {
    "nobody": "550 5.1.1 no such mailbox",
    "plain550": "550 no",
    "blocked": "550 5.7.1 policy",
    "greylist": "451 4.7.1 later",
}
DATA_ANSWERS: Final = {"spam": "554 5.7.1 looks like spam", "full": "452 4.2.2 mailbox full", "odd": "999 what"}


class Mailboxes:
    """What arrived, and how often each mailbox was tried. Names of mailboxes with ``once`` before them misbehave the first time only."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.tries: Counter[str] = Counter()
        self.connections = 0
        self.port = 0
        self.delay_seconds = 0.0  # between a mail and the answer to it

    @property
    def ids(self) -> Counter[str]:
        """How often each message arrived, by its id."""
        return Counter(str(mail["Message-ID"]).partition("@")[0].lstrip("<") for mail in self.mails)

    def behaviour(self, address: str) -> str:
        """How the mailbox behaves now: the part of its name before ``+``."""
        name = address.partition("@")[0].partition("+")[0]
        if name.startswith("once"):
            return name.removeprefix("once") if self.tries[address] <= 1 else "good"
        return name

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802 - aiosmtpd's
        del server, session, options
        self.tries[address] += 1
        if (answer := RCPT_ANSWERS.get(self.behaviour(address))) is not None:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        del session
        behaviour = self.behaviour(envelope.rcpt_tos[0])
        if (answer := DATA_ANSWERS.get(behaviour)) is not None:
            return answer
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.SMTP)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        await asyncio.sleep(self.delay_seconds)
        if behaviour == "cut":  # it has the mail, and nobody hears so
            _cut(server)
        elif behaviour == "silent":
            await asyncio.sleep(3_600)
        return "250 2.0.0 OK"


class _Server(SMTP):
    """aiosmtpd's, with one more fault: a connection that ends in the middle of a mail."""

    @syntax("DATA")
    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        mailboxes = self.event_handler
        assert isinstance(mailboxes, Mailboxes)
        if self.envelope is not None and any(mailboxes.behaviour(to) == "middle" for to in self.envelope.rcpt_tos):
            await self.push("354 go on")
            _cut(self)
            return
        await super().smtp_DATA(arg)


def _cut(server: SMTP) -> None:
    assert isinstance(server.transport, asyncio.WriteTransport)
    server.transport.abort()


@asynccontextmanager
async def mailboxes() -> AsyncGenerator[Mailboxes]:
    """A server on a port of its own."""
    found = Mailboxes()

    def connected() -> SMTP:
        found.connections += 1
        return _Server(found, hostname="mail.test", enable_SMTPUTF8=False, loop=asyncio.get_running_loop())

    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
