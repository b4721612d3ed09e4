"""Mails through a real SMTP server: what arrives, and what is known when something goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from email.headerregistry import Address

import pytest

from streamer.sender.channels import Accepted, Attempt, Declined, Outgoing, TryLater, Unsure
from streamer.sender.channels.mail import mail_address, mail_of
from streamer.sender.channels.smtp import MAILS_A_CONNECTION, SmtpChannel, SmtpServer
from streamer.sender.content import MessageContent
from streamer.values import Json
from tests.unit.sender.decisions import NOON_MS, a_decision
from tests.unit.sender.mailbox import Mailboxes, mailboxes

SENDER = Address("Shop", addr_spec="news@shop.example")
UNSUBSCRIBE = "https://shop.example/c/messages/unsubscribe?t=" + "x" * 200
CONTENT = MessageContent("Привіт", "Ваш кошик\n.\nend", "<p>Ваш кошик</p>", "uk", "ltr")


def outgoing(address: str, number: int = 1, content: MessageContent = CONTENT, **data: Json) -> Outgoing:
    return Outgoing(a_decision(number, **data), address, content, UNSUBSCRIBE)


@pytest.fixture
async def server() -> AsyncIterator[Mailboxes]:
    async with mailboxes() as found:
        yield found


@pytest.fixture
async def channel(server: Mailboxes) -> AsyncIterator[SmtpChannel]:
    made = SmtpChannel(SmtpServer("127.0.0.1", server.port, "none", SENDER), lambda: NOON_MS, timeout_seconds=2.0)
    yield made
    await made.close()


async def test_a_mail_arrives_as_it_was_meant(server: Mailboxes, channel: SmtpChannel) -> None:
    """In its language, as text and HTML, with the headers by which mailboxes offer to unsubscribe with one click (RFC 8058)."""
    assert isinstance(await channel.send(outgoing("anna@shop.example", 7)), Accepted)
    (mail,) = server.mails
    assert mail["Subject"] == "Привіт"
    assert mail["To"] == "anna@shop.example"
    assert mail["From"] == "Shop <news@shop.example>"
    assert mail["Message-ID"] == f"<{7:032x}@shop.example>"
    assert mail["List-Unsubscribe"] == f"<{UNSUBSCRIBE}>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["Content-Language"] == "uk"
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().splitlines() == ["Ваш кошик", ".", "end"]
    assert '<html lang="uk" dir="ltr">' in html.get_content()
    assert all(ord(one) < 128 for one in mail.as_string()), "seven bits: not every server takes more"


@pytest.mark.parametrize(
    "subject",
    [
        "سبد شما هنوز اینجاست: " + "قهوهٔ تیره، " * 12 + "Midnight ☕",
        "Ваш кошик чекає, Анно " * 20 + "!",
        "a plain one " * 30 + "end",
        "=?utf-8?q?no?= encoded word of ours",
        "=?utf-8?q?a=0D=0ABcc:_all@shop.example?=",
        "☕" * 150,
    ],
)
async def test_a_long_subject_loses_no_blank(server: Mailboxes, channel: SmtpChannel, subject: str) -> None:
    """Python's own folding drops one where an encoded word ends and the next begins; Exim showed it."""
    content = MessageContent(subject, "Hi", "", "fa", "rtl")
    assert isinstance(await channel.send(outgoing("anna@shop.example", 7, content)), Accepted)
    (mail,) = server.mails
    assert mail["Subject"] == subject


async def test_a_link_to_unsubscribe_that_fits_into_no_line_is_an_outcome(server: Mailboxes, channel: SmtpChannel) -> None:
    """No mailbox follows one that was folded (RFC 8058), and a mail without a way to unsubscribe is worse than none."""
    room = 998 - len("List-Unsubscribe: <>")
    fits, not_any_more = ("https://shop.example/".ljust(length, "x") for length in (room, room + 1))
    assert isinstance(await channel.send(replace(outgoing("anna@shop.example", 7), unsubscribe_url=fits)), Accepted)
    (mail,) = server.mails
    assert mail["List-Unsubscribe"] == f"<{fits}>"
    attempt = await channel.send(replace(outgoing("anna@shop.example", 8), unsubscribe_url=not_any_more))
    assert attempt == Declined("no mail can be made of it: List-Unsubscribe would have 999 characters, more than the 998 of a line")
    assert len(server.mails) == 1


async def test_what_is_read_from_the_right_says_so(server: Mailboxes, channel: SmtpChannel) -> None:
    """Or a client lays out Arabic and Persian from the left."""
    await channel.send(outgoing("anna@shop.example", content=MessageContent("سلام", "سلام", "<p>سلام</p>", "fa", "rtl")))
    html = server.mails[0].get_body(("html",))
    assert html is not None
    assert '<html lang="fa" dir="rtl">' in html.get_content()
    assert "text-align:start" in html.get_content()


def test_a_long_link_to_unsubscribe_stands_in_its_header_as_it_is() -> None:
    """A real one has a signature and is longer than a line. Encoded as a word of RFC 2047, as Python does it, no mailbox would find it."""
    link = "https://shop.example/messages/unsubscribe?t=links." + "aB3-_" * 60
    made = mail_of(replace(outgoing("anna@shop.example", 7), unsubscribe_url=link), SENDER, NOON_MS)
    lines = made.as_bytes().split(b"\r\n")
    assert b"List-Unsubscribe: <%s>" % link.encode() in lines
    assert b"Message-ID: <%032x@shop.example>" % 7 in lines
    assert all(len(line) <= 998 for line in lines)


async def test_a_transactional_mail_offers_no_unsubscription(server: Mailboxes, channel: SmtpChannel) -> None:
    """Nobody can unsubscribe from the confirmation of an order, and mailboxes would take a click for a complaint."""
    await channel.send(outgoing("anna@shop.example", kind="transactional"))
    assert server.mails[0]["List-Unsubscribe"] is None


@pytest.mark.parametrize("subject", ["Hi\r\nBcc: all@shop.example", "Hi\nX"])
async def test_nothing_breaks_out_of_a_header(server: Mailboxes, channel: SmtpChannel, subject: str) -> None:
    """Rendering refuses it too; this is the last line."""
    assert isinstance(await channel.send(outgoing("anna@shop.example", content=MessageContent(subject, "Hi", "", "en", "ltr"))), Declined)
    assert server.mails == []


@pytest.mark.parametrize(
    ("name", "expected", "arrived"),
    [
        ("nobody", Declined("550 5.1.1", bounced=True), 0),
        ("plain550", Declined("550", bounced=True), 0),
        ("blocked", Declined("550 5.7.1"), 0),
        ("greylist", TryLater("451 4.7.1"), 0),
        ("spam", Declined("554 5.7.1"), 0),
        ("full", TryLater("452 4.2.2"), 0),
        ("odd", Unsure("an answer that means neither yes nor no: 999"), 0),
        ("middle", Unsure("while the mail was sent: SMTPServerDisconnected"), 0),
        ("cut", Unsure("while the mail was sent: SMTPServerDisconnected"), 1),
        ("silent", Unsure("while the mail was sent: SMTPReadTimeoutError"), 1),
    ],
)
async def test_each_fault_says_whether_the_server_may_have_it(
    server: Mailboxes, channel: SmtpChannel, name: str, expected: Attempt, arrived: int
) -> None:
    """Only what it surely has not may be sent again; and after any of them the next mail arrives."""
    assert await channel.send(outgoing(f"{name}@shop.example", 1)) == expected
    assert server.ids[f"{1:032x}"] == arrived
    assert isinstance(await channel.send(outgoing("good@shop.example", 2)), Accepted)
    assert server.ids[f"{2:032x}"] == 1


async def test_a_server_that_is_not_there_surely_does_not_have_it() -> None:
    """So it is tried again."""
    async with mailboxes() as gone:
        port = gone.port
    channel = SmtpChannel(SmtpServer("127.0.0.1", port, "none", SENDER), lambda: NOON_MS)
    assert isinstance(await channel.send(outgoing("anna@shop.example")), TryLater)


async def test_without_tls_where_it_is_asked_for_nothing_is_sent(server: Mailboxes) -> None:
    """A server, or somebody in between, that offers no STARTTLS must not get the mail and the password in the clear."""
    channel = SmtpChannel(SmtpServer("127.0.0.1", server.port, "starttls", SENDER, "user", "word"), lambda: NOON_MS)
    assert isinstance(await channel.send(outgoing("anna@shop.example")), TryLater)
    assert server.mails == []


async def test_many_mails_go_over_few_connections(server: Mailboxes, channel: SmtpChannel) -> None:
    """A connection costs more than a mail; and servers end one that is used for too many."""
    for number in range(MAILS_A_CONNECTION + 1):
        assert isinstance(await channel.send(outgoing("anna@shop.example", number)), Accepted)
    assert len(server.mails) == MAILS_A_CONNECTION + 1
    assert server.connections == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Anna@Shop.Example ", "Anna@shop.example"),
        ("anna+news@bücher.example", "anna+news@xn--bcher-kva.example"),
        ("anna", None),
        ("anna@localhost", None),
        ("anna@shop..example", None),
        ("@shop.example", None),
        ("a@b@shop.example", None),
        ("anna@shop.example, eve@shop.example", None),
        ("anna@shop.example\r\nRCPT TO:<eve@shop.example>", None),
        ("<anna@shop.example>", None),
        ("a" * 65 + "@shop.example", None),
        ("", None),
    ],
)
def test_an_address_that_is_none_is_known_before(text: str, expected: str | None) -> None:
    """It is a text that customers write themselves, and must never become a second recipient."""
    assert mail_address(text) == expected


async def test_an_opening_is_counted_only_where_the_operator_wants_it(server: Mailboxes, channel: SmtpChannel) -> None:
    """A picture that reports home is not put into mails unasked."""
    seen = replace(outgoing("anna@shop.example"), open_url="https://shop.example/messages/open.gif?t=x")
    for one in (outgoing("anna@shop.example"), seen):
        await channel.send(one)
    pages = [mail.get_body(("html",)) for mail in server.mails]
    assert [page is not None and "open.gif" in page.get_content() for page in pages] == [False, True]
