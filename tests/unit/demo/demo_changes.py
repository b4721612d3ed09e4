"""Changes, events, decisions and mails for the tests of what the demo shows."""

from __future__ import annotations

from email.message import EmailMessage

from streamer.demo.screen import Facts
from streamer.demo.seen import CART_LEFT, Numbers, Seen
from streamer.events.event import Event
from streamer.messages.decision import (
    TYPES,
    DecisionOutcome,
    DecisionReason,
    MessageDecision,
    MessageDecisionData,
    MessageDecisionTrigger,
)
from streamer.segments.change import ENTERED, EXITED, Cause, Change, ChangeData, ChangePosition, Clause
from streamer.values import time_text

OPENED_MS = 1_700_000_000_000
NAMES = ("demo_cart_left", "demo_checkout_left", "demo_cart_on_phone", "demo_just_looking", "demo_bargain_hunter", "demo_big_basket")
FACTS = Facts(
    customers=600,
    seed=7,
    page="http://127.0.0.1:14000/",
    web="http://127.0.0.1:15000",
    segments=[(name, f"What {name} is for, in one line that is longer than its place.") for name in NAMES],
    library=["active", "german", "loyal", "mobile", "new", "repeat", "shoes"],
)


def change(
    customer: str, *, at: int, segment: str = CART_LEFT, entered: bool = True, event: str | None = None, clause: str = 'idle("*") >= "3s"'
) -> Change:
    """A change at so many milliseconds after the opening; by a timer unless an event's id is given."""
    moment = time_text(OPENED_MS + at)
    cause = Cause("event", id=event) if event else Cause("timer", due=moment)
    data = ChangeData(segment, 1, moment, 1 if entered else 2, cause, [Clause(clause, holds=True, value="3s")], ChangePosition(1, 0, at, 0))
    return Change(f"1-0-{at}-0", "/streamer", ENTERED if entered else EXITED, customer, moment, data, "1.0")


def event(customer: str, name: str, *, at: int, message_id: str = "", product: str = "") -> Event:
    """What a customer did so many milliseconds after the opening."""
    properties = {"name": product} if product else None
    return Event(
        event=name, message_id=message_id or f"{customer}-{at}", user_id=customer, timestamp_ms=OPENED_MS + at, properties=properties
    )


def decision(
    customer: str,
    outcome: DecisionOutcome,
    reason: DecisionReason | None = None,
    detail: str | None = None,
    *,
    at: int,
    key: str = "0" * 32,
) -> MessageDecision:
    """A decision at so many milliseconds after the opening."""
    moment = time_text(OPENED_MS + at)
    data = MessageDecisionData(
        message="demo_cart_reminder",
        key=key,
        definitions=1,
        at=moment,
        kind="marketing",
        channel="email",
        topic="reminders",
        trigger=MessageDecisionTrigger("entered demo_cart_left", 1, moment),
        due=moment,
        valid_until=moment,
        reason=reason,
        detail=detail,
        until=moment if outcome == "hold" else None,
        arm="treated",
        variant=None,
        template="demo_cart_reminder",
        language=None,
        zone="Europe/Berlin",
        goal=None,
        position=ChangePosition(1, 0, at, 0),
    )
    return MessageDecision(f"1-0-{at}-0", "/streamer", TYPES[outcome], customer, moment, data, "1.0")


def mail(customer: str, subject: str, *, key: str = "0" * 32, language: str = "de") -> EmailMessage:
    """What arrives in the mailbox."""
    found = EmailMessage()
    found["To"] = f"{customer}@mail.example"
    found["Subject"] = subject
    found["Message-ID"] = f"<{key}@shop.example>"
    found["Content-Language"] = language
    return found


def seen_after_twelve_seconds() -> Seen:
    """Somebody entered and left with no event in between; three changes were shown, a mail, a skip and a hold."""
    seen = Seen(OPENED_MS)
    for second in range(13):
        sent = [event(f"c-{number}", "Product Viewed", at=1_000 * second) for number in range(200)]
        seen.note_sent(sent, OPENED_MS + 1_000 * second)
    seen.note_sent([event("mila-017", "Product Added", at=100, product="Norrvik trail shoe")], OPENED_MS + 12_000)
    members = {"demo_cart_left": 41, "demo_checkout_left": 7, "demo_just_looking": 82, "active": 1_204, "mobile": 402, "german": 3}
    seen.note_numbers(Numbers(accepted=2_590, duplicates=11, lag=4, owned=6, members=members))
    for at, one in ((3_160, change("mila-017", at=3_100)), (8_150, change("mila-017", at=8_100, entered=False))):
        seen.note_change(one, OPENED_MS + at)
        seen.pick(OPENED_MS + at)
    long_clause = (
        'count("Product Viewed", within="12s") >= 5 and never("Product Added", within="12s") and something("longer") than a line is'
    )
    looked = change("ada-001", at=12_000, segment="demo_just_looking", event="c-3-12000", clause=long_clause)
    seen.note_change(looked, OPENED_MS + 12_020)
    seen.pick(OPENED_MS + 12_030)
    seen.messages.note_decision(decision("mila-017", "send", at=4_100))
    seen.messages.note_mail(mail("mila-017", "Noch in deinem Korb: 1 Artikel"), OPENED_MS + 4_400)
    seen.messages.pick(OPENED_MS + 4_500)
    seen.messages.note_decision(decision("ada-001", "skip", "no_consent", "reminders", at=5_000))
    seen.messages.pick(OPENED_MS + 5_500)
    seen.messages.note_decision(decision("hugo-003", "hold", "quiet", "21:00-06:00", at=6_000))
    seen.messages.pick(OPENED_MS + 6_500)
    return seen
