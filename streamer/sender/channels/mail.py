"""A message as an e-mail: RFC 5322 and MIME, with one-click unsubscription (RFC 8058), in seven bits for every server."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email import policy
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape
from typing import Final

from streamer.message_links import REPORT_HEADER
from streamer.sender.content import MessageContent

from . import Outgoing

LINE_CHARS_MAX: Final = 998  # of RFC 5322, without the line break
ADDRESS: Final = re.compile(  # what nearly every server takes; quoted local parts and literals of IP addresses are not in it
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@"
    r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}"
)
ADDRESS_CHARS_MAX: Final = 254
LOCAL_CHARS_MAX: Final = 64


class UnfitMailError(ValueError):
    """No mail can be made of a message. The text quotes nothing of it."""


class WirePolicy(policy.EmailPolicy):
    """Headers as mailboxes read them.

    Python's own folding writes a word that is longer than a line as an encoded word (RFC 2047), and no mailbox decodes one in a
    ``List-Unsubscribe`` or a ``Message-ID``: these headers stay as they are, each on one line. And it loses a blank of a subject where one
    encoded word ends and the next begins; the older way of the same library does not.
    """

    def header_store_parse(self, name: str, value: object) -> tuple[str, str]:
        """A header as it is kept. ValueError for line breaks. What looks like an encoded word in a subject is a text of the customer's, and
        is not read as one."""
        kept = super().header_store_parse(name, value)
        return (name, str(value)) if name.lower() == "subject" else kept

    def fold(self, name: str, value: str) -> str:
        """The header as text."""
        if name.lower() in WHOLE and _fits(name, value):
            return f"{name}: {value}{self.linesep}"
        if name.lower() == "subject":
            return f"{name}: {_encoded(name, value)}".replace("\n", self.linesep) + self.linesep
        return super().fold(name, value)

    def fold_binary(self, name: str, value: str) -> bytes:
        """The header as it goes out."""
        return self.fold(name, value).encode("ascii", "surrogateescape")


WHOLE: Final = frozenset({"list-unsubscribe", "message-id", REPORT_HEADER.lower()})
WIRE: Final = WirePolicy(linesep="\r\n", cte_type="7bit")


def mail_address(text: str) -> str | None:
    """The address in a text, its domain in lower case and in ASCII; None where there is none.

    >>> mail_address("Anna@Shop.Example"), mail_address("a@b"), mail_address("a@x.example\\nBcc: b@x.example")
    ('Anna@shop.example', None, None)
    """
    local, at, domain = text.strip().rpartition("@")
    try:
        domain = domain.encode("idna").decode("ascii").lower() if domain else ""
    except UnicodeError:
        return None
    found = f"{local}{at}{domain}"
    fits = len(found) <= ADDRESS_CHARS_MAX and len(local) <= LOCAL_CHARS_MAX
    return found if fits and ADDRESS.fullmatch(found) is not None else None


def mail_of(outgoing: Outgoing, sender: Address, now_ms: int) -> EmailMessage:
    """The mail. Its Message-ID is the same whenever it is made.

    ValueError where something would break out of a header; UnfitMailError where a header that must stay whole is too long for a line.
    """
    content = outgoing.content
    mail = EmailMessage(policy=WIRE)
    mail["From"] = sender
    mail["To"] = Address(addr_spec=outgoing.address)
    mail["Subject"] = content.subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(now_ms / 1_000, UTC))
    mail["Message-ID"] = f"<{outgoing.id}@{sender.domain}>"
    if outgoing.decision.data.kind == "marketing" and outgoing.unsubscribe_url:
        mail["List-Unsubscribe"] = _whole("List-Unsubscribe", f"<{outgoing.unsubscribe_url}>")
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        mail["Precedence"] = "bulk"
    if outgoing.report_token and _fits(REPORT_HEADER, outgoing.report_token):  # a mail is one without it, too
        mail[REPORT_HEADER] = outgoing.report_token
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(content.text)
    if content.html:
        mail.add_alternative(html_page(content, outgoing.open_url), subtype="html")
    mail["Content-Language"] = content.language  # last: what sets a body takes away headers of this kind
    return mail


def _encoded(name: str, text: str) -> str:
    """A text for a header: as it is, or as encoded words where it must, or where a mailbox would take it for some."""
    charset = None if text.isascii() and "=?" not in text else "utf-8"
    return Header(text, charset, header_name=name).encode()


def _whole(name: str, value: str) -> str:
    """A value that fits into one line: no mailbox follows a link to unsubscribe that was folded (RFC 8058)."""
    if not _fits(name, value):
        raise UnfitMailError(f"{name} would have {len(f'{name}: {value}'):,} characters, more than the {LINE_CHARS_MAX} of a line")
    return value


def _fits(name: str, value: str) -> bool:
    return value.isascii() and len(f"{name}: {value}") <= LINE_CHARS_MAX


def html_page(content: MessageContent, open_url: str = "") -> str:
    """The HTML with its language and direction said. A template that is a whole page says them itself.

    ``text-align:start`` and ``dir`` are what makes a client lay out Arabic and Hebrew from the right.
    """
    picture = f'<img src="{escape(open_url)}" width="1" height="1" alt="">' if open_url else ""
    if re.match(r"\s*(<!doctype|<html)", content.html, re.IGNORECASE):
        body, end, rest = content.html.rpartition("</body>")
        return f"{body}{picture}{end}{rest}" if end else content.html + picture
    return (
        f'<!doctype html><html lang="{escape(content.language)}" dir="{content.direction}"><head><meta charset="utf-8">'
        f"<title>{escape(content.subject)}</title></head>"
        f'<body dir="{content.direction}" style="text-align:start">{content.html}{picture}</body></html>'
    )


__all__ = ["UnfitMailError", "html_page", "mail_address", "mail_of"]
