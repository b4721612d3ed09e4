"""Mails through Exim as Debian installs it: what arrives, and what its refusals become."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from email.headerregistry import Address
from pathlib import Path

import pytest

from streamer.collector.reports import MessageReport, read_report
from streamer.message_links import LinkKeys
from streamer.sender.channels import Accepted, Outgoing
from streamer.sender.channels.smtp import SmtpChannel, SmtpServer
from streamer.sender.content import MessageContent
from streamer.sender.templates.rendering import report_token
from tests.unit.sender.decisions import NOON_MS, a_decision
from tests.unit.sender.world import World

from .exim import Exim, exim

SENDER = Address("قهوه‌خانه", addr_spec="news@shop.example")
UNSUBSCRIBE = "https://shop.example/c/messages/unsubscribe?t=".ljust(900, "x")
TEXT = "آنا، سلام!\n.\n..\n" + "دانهٔ تازه " * 200 + "\n\u2068Dark roast\u2069 ۱۲٫۵۰ €\n"
HTML = "<p>آنا، سلام!</p><p>" + "دانهٔ تازه " * 200 + "</p>"
SUBJECT = "سبد شما هنوز اینجاست: " + "قهوهٔ تیره، " * 12 + "Midnight ☕"


@pytest.fixture(scope="module")
def server() -> Iterator[Exim]:
    """One for all tests here; each looks at its own mails."""
    with exim() as found:
        yield found


@pytest.fixture
async def channel(server: Exim) -> AsyncIterator[SmtpChannel]:
    made = SmtpChannel(SmtpServer("127.0.0.1", server.port, "none", SENDER), lambda: NOON_MS, timeout_seconds=10.0)
    yield made
    await made.close()


async def test_a_mail_in_persian_arrives_whole(server: Exim, channel: SmtpChannel) -> None:
    """Its subject, both parts, their direction and the link to unsubscribe, as they were sent: a real server folds, stuffs dots and adds
    headers of its own."""
    content = MessageContent(SUBJECT, TEXT, HTML, "fa", "rtl")
    attempt = await channel.send(Outgoing(a_decision(7), "anna@shop.example", content, UNSUBSCRIBE))
    assert isinstance(attempt, Accepted)
    mail = server.mail(f"{7:032x}")
    assert "Received" in mail, "it came through a server"
    assert mail["Subject"] == SUBJECT
    assert mail["From"].addresses[0].display_name == "قهوه‌خانه"
    assert mail["List-Unsubscribe"] == f"<{UNSUBSCRIBE}>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["Content-Language"] == "fa"
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().splitlines() == TEXT.splitlines()
    assert HTML in html.get_content()
    assert '<html lang="fa" dir="rtl">' in html.get_content()


async def test_a_mail_that_it_sends_back_is_known_by_its_token(server: Exim, channel: SmtpChannel) -> None:
    """It took the mail, and its report comes to the sender's mailbox later, with the headers of the original."""
    decision, keys = a_decision(9), LinkKeys({"k1": b"s" * 32}, "https://shop.example")
    outgoing = Outgoing(
        decision, "gone@shop.example", MessageContent(SUBJECT, TEXT, HTML, "fa", "rtl"), "", "", report_token(decision, keys)
    )
    assert isinstance(await channel.send(outgoing), Accepted)
    report = server.first(lambda raw: read_report(raw, lambda token: keys.read(token) is not None))
    assert isinstance(report, MessageReport)
    assert (report.kind, report.permanent, report.detail) == ("bounced", True, "5.0.0")
    link = keys.read(report.token)
    assert link is not None
    assert (link.purpose, link.customer, link.key) == ("report", decision.customer, decision.data.key)


async def test_its_refusals_become_the_right_outcomes(server: Exim, channel: SmtpChannel, tmp_path: Path) -> None:
    """For ever or for now, because of the mailbox or of the mail: only an address that is none bounces, and what is refused for now is
    tried again, until it is given up."""
    world = World(tmp_path, channels={"email": channel})
    mailboxes = ("anna", "nobody", "blocked", "greylist", "spam", "full")
    for number, name in enumerate(mailboxes, 1):
        world.decide(number, address=f"{name}@shop.example")
    await world.run()
    told = {
        name: [
            (event.event, (event.properties or {}).get("reason"), (event.properties or {}).get("detail"))
            for event in world.events
            if event.user_id == f"c-{number}"
        ]
        for number, name in enumerate(mailboxes, 1)
    }
    assert told == {
        "anna": [("Message Sent", None, None)],
        "nobody": [("Message Failed", "refused", "550 5.1.1"), ("Message Bounced", None, None)],
        "blocked": [("Message Failed", "refused", "550 5.7.1")],
        "greylist": [("Message Failed", "gave_up", "451 4.7.1")],
        "spam": [("Message Failed", "refused", "554 5.7.1")],
        "full": [("Message Failed", "gave_up", "452 4.2.2")],
    }
    deferred = [entry for entry in world.entries if entry.state == "deferred"]
    assert len(deferred) == 2 * 11, "each was tried twelve times"
    assert server.mail(f"{1:032x}")["To"] == "anna@shop.example"
