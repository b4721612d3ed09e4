"""What providers report of messages later: that one came back, or that its reader called it unwanted.

Two forms are read: mails of the standards, as any mail server makes them (RFC 3464; RFC 5965 for complaints), and the notices of Amazon
SES, as they are or inside those of SNS. Whose message it was says the token in a header of the original, which both repeat: it is
signed, so nobody need be believed, and who sends a report needs no key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import Message
from typing import Final, Literal, NamedTuple, cast

import msgspec

from streamer.message_links import REPORT_HEADER

MAIL_BYTES_READ: Final = 65_536  # of a mail: the headers of the original stand before its body, which may be long
TOKEN: Final = re.compile(rb"^%b:((?:[A-Za-z0-9_. \t-]|\r?\n[ \t])+)" % REPORT_HEADER.encode(), re.IGNORECASE | re.MULTILINE)
DETAIL: Final = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}|[A-Za-z-]{1,40}")
SUBSCRIBE_URL: Final = re.compile(r"https://sns\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/\?[A-Za-z0-9=&%_.:+-]{1,1000}")


class MessageReport(NamedTuple):
    """``permanent``: nothing should be sent to the address again. ``detail`` is a code. ``token`` says whose message it was."""

    kind: Literal["bounced", "complained"]
    permanent: bool
    detail: str
    token: str


class SnsQuestion(NamedTuple):
    """SNS asks whether it may send its notices here: whoever opens ``url`` says yes."""

    url: str


def read_report(body: bytes, is_ours: Callable[[str], bool]) -> MessageReport | SnsQuestion | None:
    """The report in a request; None where it says nothing of a message of ours, or nothing that counts, as that a mail is late.

    ``is_ours`` says whether a token is one. A mail without such a token is not parsed: that takes time, which strangers do not get.
    ValueError for what is neither a mail that can be parsed nor a notice.
    """
    if body.lstrip()[:1] == b"{":
        found = _of_ses(body)
        return None if isinstance(found, MessageReport) and not is_ours(found.token) else found
    head = body[:MAIL_BYTES_READ]
    token = "" if (said := TOKEN.search(head)) is None else _plain(said[1].decode("ascii"))
    return _of_mail(head, token) if is_ours(token) else None


def _of_mail(raw: bytes, token: str) -> MessageReport | None:
    mail = message_from_bytes(raw)
    parts, kind = _parts(mail), str(mail.get_param("report-type", "")).lower()
    if mail.get_content_type() != "multipart/report" or len(parts) < 2:
        return None
    if kind == "feedback-report":
        return MessageReport("complained", permanent=True, detail="", token=token)
    return next(_failures(parts[1], token), None) if kind == "delivery-status" else None


def _parts(mail: Message) -> list[Message]:
    found: object = mail.get_payload()
    return [part for part in cast("list[object]", found) if isinstance(part, Message)] if isinstance(found, list) else []


def _failures(part: Message, token: str) -> Iterator[MessageReport]:
    """Of each address for which delivery failed; its fields stand in a block of their own."""
    for block in _parts(part):
        if str(block.get("Action", "")).strip().lower() == "failed":
            status = str(block.get("Status", "")).strip()[:11]
            yield MessageReport("bounced", status.startswith("5"), _detail(status), token)


def _plain(token: str) -> str:
    """A token without the blanks at which a header may be folded."""
    return re.sub(r"\s", "", token)


def _detail(text: str) -> str:
    return text if DETAIL.fullmatch(text) else ""


class _SesHeader(msgspec.Struct):
    name: str
    value: str


class _SesMail(msgspec.Struct):
    headers: list[_SesHeader] = []


class _SesRecipient(msgspec.Struct):
    status: str = ""


class _SesBounce(msgspec.Struct, rename="camel"):
    bounce_type: str
    bounce_sub_type: str = ""
    bounced_recipients: list[_SesRecipient] = []


class _SesNotice(msgspec.Struct, rename="camel"):
    """Of SES itself: ``notificationType`` of an identity's notices, ``eventType`` of a configuration set's."""

    mail: _SesMail
    notification_type: str = ""
    event_type: str = ""
    bounce: _SesBounce | None = None


class _SnsEnvelope(msgspec.Struct, rename="pascal"):
    type: str = ""
    message: str = ""
    subscribe_url: str = msgspec.field(default="", name="SubscribeURL")


_sns_decoder: Final = msgspec.json.Decoder(_SnsEnvelope)
_ses_decoder: Final = msgspec.json.Decoder(_SesNotice)


def _of_ses(body: bytes) -> MessageReport | SnsQuestion | None:
    envelope = _sns_decoder.decode(body)
    if envelope.type == "SubscriptionConfirmation":
        if SUBSCRIBE_URL.fullmatch(envelope.subscribe_url) is None:
            raise ValueError("expected an address of SNS")
        return SnsQuestion(envelope.subscribe_url)
    notice = _ses_decoder.decode(envelope.message.encode() if envelope.type == "Notification" else body)
    token = next((_plain(one.value) for one in notice.mail.headers if one.name.lower() == REPORT_HEADER.lower()), "")
    kind = notice.notification_type or notice.event_type
    if kind == "Complaint":
        return MessageReport("complained", permanent=True, detail="", token=token)
    if kind != "Bounce" or notice.bounce is None:
        return None
    bounce = notice.bounce
    status = next((one.status for one in bounce.bounced_recipients if one.status), bounce.bounce_sub_type)
    return MessageReport("bounced", bounce.bounce_type == "Permanent", _detail(status), token)


__all__ = ["MessageReport", "SnsQuestion", "read_report"]
