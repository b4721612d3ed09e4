"""What the demo keeps of messages: counts that add up, and one line at a time to show."""

from __future__ import annotations

from collections import Counter

from demo_changes import FACTS, OPENED_MS, decision, mail, seen_after_twelve_seconds

from streamer.demo import words
from streamer.demo.seen import Numbers, Seen
from streamer.demo.seen_messages import Mail, SeenMessages
from streamer.demo.summary import summary
from streamer.messages.decision import REASONS
from streamer.sender.ledger import GoOn, SendEntry, SendState
from streamer.values import time_text


def _entry(state: SendState, reason: str = "") -> SendEntry:
    return SendEntry(state, time_text(OPENED_MS), GoOn(), key="0" * 32, reason=reason)


def test_a_mail_is_measured_against_the_decision_with_its_key() -> None:
    """From the decision to the mailbox, and no other mail's."""
    messages = SeenMessages()
    messages.note_decision(decision("mila", "send", at=1_000, key="a" * 32))
    messages.note_decision(decision("ada", "send", at=2_000, key="b" * 32))
    messages.note_mail(mail("mila", "Hello", key="a" * 32), OPENED_MS + 1_300)
    messages.note_mail(mail("nobody", "Hello", key="c" * 32, language="en"), OPENED_MS + 1_400)
    assert messages.is_sending, "the sender has not said what became of them"
    assert list(messages.latencies_ms) == [300]
    assert messages.languages == Counter(de=1, en=1)
    assert messages.decided["send"] == messages.mails == 2


def test_only_what_is_done_with_counts_as_an_event_of_the_sender() -> None:
    """An attempt writes nothing into the log of events; the demo would wait for it at the end."""
    messages = SeenMessages()
    for entry in (_entry("attempting"), _entry("deferred"), _entry("read"), _entry("sent"), _entry("failed", "gate"), _entry("unknown")):
        messages.note_entry(entry)
    assert messages.told == 3
    assert not messages.is_sending
    assert messages.failed == Counter({"not right any more at the last look": 1})
    seen = Seen(OPENED_MS)
    seen.messages = messages
    seen.note_numbers(Numbers(accepted=2))
    assert seen.unread == 1


def test_what_was_not_shown_lately_is_shown_and_one_at_a_time() -> None:
    """Twenty skips for one reason must not hide the mail."""
    messages = SeenMessages()
    for number in range(20):
        messages.note_decision(decision(f"c-{number}", "skip", "stay", at=number))
        messages.pick(OPENED_MS + 1_000 * number)
    messages.note_mail(mail("mila", "Hello"), OPENED_MS + 20_000)
    for number in range(20):
        messages.note_decision(decision(f"c-{number}", "skip", "stay", at=20_000 + number))
    assert isinstance(messages.pick(OPENED_MS + 20_500), Mail)
    messages.note_decision(decision("ada", "skip", "cap", at=20_600))
    assert messages.pick(OPENED_MS + 20_700) is None, "slowly enough to read it"
    assert messages.pick(OPENED_MS + 21_500) is not None


def test_every_reason_has_words() -> None:
    """A newcomer does not know the codes."""
    assert words.REASONS.keys() == set(REASONS)
    line = words.message(decision("ada", "skip", "cap", "message 1 per 60s", at=0))
    assert line == "skipped demo_cart_reminder to ada: enough messages (message 1 per 60s)"


def test_the_summary_says_what_was_decided_and_what_became_of_it() -> None:
    """Decided, sent, held, skipped by reason; and that this broker has no transactions."""
    seen = seen_after_twelve_seconds()
    seen.messages.note_entry(_entry("sent"))
    text = "\n".join(summary(seen, FACTS))
    for must in (
        "messages   3 decisions: 1 to send, 1 held, 1 skipped",
        "skipped    no_consent 1",
        "sender     1 sent, 0 not sent after all, 0 unknown, 0 not begun at the end",
        "mails      1 arrived: de 1; p50 300 ms, p99 300 ms from a decision to its mail",
        words.NO_TRANSACTIONS,
    ):
        assert must in text
