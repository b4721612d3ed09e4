"""What providers report of messages comes into the log as events of the customer whose message it was, and of nobody else."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from email import message_from_bytes
from email.message import Message

import pytest
from structlog.testing import capture_logs

from streamer.message_links import REPORT_HEADER, REPORT_PATH, LinkKeys, LinkOf

from .desk import opened

SECRET = f"k1:{base64.b64encode(b's' * 32).decode()}"
TOKEN = LinkKeys({"k1": b"s" * 32}, "").token(LinkOf("report", "c-1", "cart_reminder", "00ff", "email", "offers", "a"))
ABOUT = {"message": "cart_reminder", "key": "00ff", "channel": "email", "topic": "offers", "variant": "a"}


def bounce_mail(status: str = "5.1.1", action: str = "failed", token: str = TOKEN) -> bytes:
    """As in RFC 3464, with the headers of the original alone."""
    return f"""From: Mail Delivery Subsystem <MAILER-DAEMON@cs.utk.edu>
To: <news@shop.example>
MIME-Version: 1.0
Subject: Returned mail: Cannot send message for 5 days
Content-Type: multipart/report; report-type=delivery-status; boundary="RAA14128.773615765/CS.UTK.EDU"

--RAA14128.773615765/CS.UTK.EDU

The original message was received at Sat, 2 Jul 1994 17:10:28 -0400

--RAA14128.773615765/CS.UTK.EDU
Content-Type: message/delivery-status

Reporting-MTA: dns; cs.utk.edu

Original-Recipient: rfc822;anna@mail.example
Final-Recipient: rfc822;anna@mail.example
Action: {action}
Status: {status}
Diagnostic-Code: smtp; 550 user unknown

--RAA14128.773615765/CS.UTK.EDU
Content-Type: text/rfc822-headers

From: Shop <news@shop.example>
Message-ID: <00ff@shop.example>
{REPORT_HEADER}: {token[:60]}
 {token[60:]}

--RAA14128.773615765/CS.UTK.EDU--
""".encode()


def complaint_mail() -> bytes:
    """As in RFC 5965, with the whole original."""
    return f"""From: <abusedesk@example.com>
To: <news@shop.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="part1"

--part1
Content-Type: text/plain

This is an email abuse report.

--part1
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: SomeGenerator/1.0
Version: 1

--part1
Content-Type: message/rfc822

From: <news@shop.example>
{REPORT_HEADER}: {TOKEN}
Subject: Your basket

Hello
--part1--
""".replace("\n", "\r\n").encode()


def ses_notice(kind: str, more: Mapping[str, object], *, name: str = "notificationType", token: str = TOKEN) -> dict[str, object]:
    """As Amazon's documents show it, shortened."""
    headers = [{"name": "From", "value": "news@shop.example"}, {"name": REPORT_HEADER, "value": token}]
    return {name: kind, "mail": {"timestamp": "2026-01-27T14:59:38.237Z", "headersTruncated": False, "headers": headers}, **more}


def ses_bounce(type_: str = "Permanent") -> dict[str, object]:
    recipients = [{"status": "5.1.1", "action": "failed", "diagnosticCode": "smtp; 550 5.1.1", "emailAddress": "anna@mail.example"}]
    return {"bounce": {"bounceType": type_, "bounceSubType": "General", "bouncedRecipients": recipients, "feedbackId": "0-0"}}


def in_sns(notice: Mapping[str, object]) -> bytes:
    return json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": json.dumps(notice)}).encode()


@pytest.mark.parametrize(
    ("body", "name", "more"),
    [
        (bounce_mail(), "Message Bounced", {"permanent": True, "detail": "5.1.1"}),
        (bounce_mail("4.2.2"), "Message Bounced", {"permanent": False, "detail": "4.2.2"}),
        (complaint_mail(), "Message Complained", {}),
        (json.dumps(ses_notice("Bounce", ses_bounce())).encode(), "Message Bounced", {"permanent": True, "detail": "5.1.1"}),
        (in_sns(ses_notice("Bounce", ses_bounce("Transient"))), "Message Bounced", {"permanent": False, "detail": "5.1.1"}),
        (in_sns(ses_notice("Complaint", {"complaint": {}}, name="eventType")), "Message Complained", {}),
    ],
)
async def test_a_report_becomes_an_event_of_the_customer(body: bytes, name: str, more: dict[str, object]) -> None:
    """Without a key: the original's own header is signed. It says no address and none of a provider's words."""
    async with opened(link_keys=SECRET) as desk:
        for _ in range(2):
            answer = await desk.client.post(REPORT_PATH, data=body)
            assert (answer.status, await answer.json()) == (200, {"success": True, "accepted": 1})
        one, again = desk.sink.events
        assert (one.event, one.user_id, one.properties) == (name, "c-1", {**ABOUT, **more})
        assert one.message_id == again.message_id, "a report that comes twice counts once"
        desk.sink.fails = True
        assert (await desk.client.post(REPORT_PATH, data=body)).status == 429, "and comes again where it is not in the log"


@pytest.mark.parametrize(
    "body",
    [
        bounce_mail(token=TOKEN[:-5] + ("A" if TOKEN[-5] != "A" else "B") + TOKEN[-4:]),
        bounce_mail(token=LinkKeys({"k1": b"s" * 32}, "").token(LinkOf("unsubscribe", "c-1", "cart_reminder", "00ff", "email"))),
        bounce_mail(token=""),
        b"",
        b"\xff\xfe",
        b"From: a@b.example\r\n\r\nHello",
        f"{REPORT_HEADER}: {TOKEN}\r\nSubject: Re: Your basket\r\n\r\nThanks".encode(),
        bounce_mail(action="delayed"),
        bounce_mail(action="delivered", status="2.0.0"),
        in_sns(ses_notice("Delivery", {})),
        in_sns(ses_notice("Bounce", ses_bounce(), token="no token")),  # noqa: S106 - it is none
    ],
)
async def test_what_is_no_bounce_of_a_message_of_ours_is_taken_and_says_nothing(body: bytes) -> None:
    """The mailbox for bounces gets all kinds of mail; and a forged one must silence nobody."""
    async with opened(link_keys=SECRET) as desk:
        answer = await desk.client.post(REPORT_PATH, data=body)
        assert (answer.status, await answer.json()) == (200, {"success": True, "accepted": 0})
        assert desk.sink.events == []


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"{" * 5_000,
        json.dumps({"Type": "Notification", "Message": "{"}).encode(),
        json.dumps({"Type": "SubscriptionConfirmation", "SubscribeURL": "https://evil.example/?sns.us-east-1.amazonaws.com"}).encode(),
        b"%b: %b\r\n" % (REPORT_HEADER.encode(), TOKEN.encode())
        + b"".join(b"Content-Type: multipart/report; boundary=a%d\r\n\r\n--a%d\r\n" % (level, level) for level in range(3_000)),
    ],
)
async def test_what_is_no_report_is_refused(body: bytes) -> None:
    """It comes from the open internet."""
    async with opened(link_keys=SECRET) as desk:
        answer = await desk.client.post(REPORT_PATH, data=body)
        assert (answer.status, (await answer.json())["code"]) == (400, "bad_report")
        assert desk.sink.events == []


async def test_a_report_is_posted_and_has_a_size() -> None:
    """A reader's browser posts none, and no report is as large as a film; one that repeats a long mail is read as far as it must."""
    async with opened(link_keys=SECRET) as desk:
        assert (await desk.client.get(REPORT_PATH)).status == 405
        assert (await desk.client.post(REPORT_PATH, data=b"x" * 600_000)).status == 413
        long = await desk.client.post(REPORT_PATH, data=bounce_mail() + b"x" * 400_000)
        assert (await long.json())["accepted"] == 1


async def test_a_mail_without_a_token_of_ours_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail of ten thousand parts takes a tenth of a second, and anybody can post one."""
    parsed: list[bytes] = []

    def parse(raw: bytes) -> Message:
        parsed.append(raw)
        return message_from_bytes(raw)

    monkeypatch.setattr("streamer.collector.reports.message_from_bytes", parse)
    async with opened(link_keys=SECRET) as desk:
        for body, times in ((bounce_mail(token="k1.AAAA.AAAA"), 0), (bounce_mail(), 1)):  # noqa: S106 - it is none
            assert (await desk.client.post(REPORT_PATH, data=body)).status == 200
            assert len(parsed) == times


async def test_who_confirms_a_subscription_is_a_person() -> None:
    """SNS asks first; the collector opens no address that somebody sends it, and says it to its operator."""
    url = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:eu-central-1:1:b&Token=2336412f37"
    async with opened(link_keys=SECRET) as desk:
        with capture_logs() as said:
            answer = await desk.client.post(REPORT_PATH, data=json.dumps({"Type": "SubscriptionConfirmation", "SubscribeURL": url}))
        assert answer.status == 200
        assert [one["url"] for one in said if one.get("url")] == [url]
