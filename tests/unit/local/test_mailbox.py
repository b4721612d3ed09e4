"""The mailbox of the demo is a real SMTP server: what a client hands over is what arrives."""

from __future__ import annotations

from email.message import EmailMessage

import aiosmtplib

from streamer.local.children import free_port
from streamer.local.mailbox import open_mailbox


async def test_a_mail_arrives_as_it_was_sent() -> None:
    """With its subject decoded, whatever language it is in, and its text whole."""
    mails: list[EmailMessage] = []
    sent = EmailMessage()
    sent["From"], sent["To"], sent["Subject"] = "news@shop.example", "olena@customers.example", "Ще у вашому кошику: 2 товари"
    sent["Message-ID"] = "<abc@shop.example>"
    sent.set_content("Вітаємо!\n.\nA line with a dot alone is text.\n")
    port = free_port()
    async with open_mailbox(port, mails.append):
        await aiosmtplib.send(sent, hostname="127.0.0.1", port=port, start_tls=False)
    [arrived] = mails
    assert (arrived["Subject"], arrived["To"], arrived["Message-ID"]) == (sent["Subject"], sent["To"], sent["Message-ID"])
    assert arrived.get_content().splitlines() == sent.get_content().splitlines()
