"""What the demo has seen of messages: what was decided, what became of it, and which mails arrived.

Plain bookkeeping. It reads no clock and draws nothing: moments (UTC milliseconds) are arguments.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from streamer.messages.decision import MessageDecision
from streamer.sender.ledger import ENDED, SendEntry
from streamer.values import parse_time_ms

if TYPE_CHECKING:
    from email.message import EmailMessage

PICK_MS: Final = 700  # one message at a time, and slowly enough to read it
WAITING_MAX: Final = 500
SHOWN_MAX: Final = 60
DECISIONS_MAX: Final = 5_000  # of those that are sent, by key, until their mail is there
LATENCIES_MAX: Final = 20_000
FAILED: Final = {"gate": "not right any more at the last look", "late": "too late"}  # the sender's reasons that a calm run has


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail in the mailbox. ``decision`` is the one that it was sent for; None where that is not known yet."""

    at_ms: int
    to: str
    subject: str
    language: str
    decision: MessageDecision | None


ShownMessage = MessageDecision | Mail


class SeenMessages:
    """Fed by the reader of decisions and by the mailbox; read by the screen and the summary."""

    def __init__(self) -> None:
        self.decided: Counter[str] = Counter()  # send, hold, skip
        self.skipped: Counter[str] = Counter()  # by reason
        self.outcomes: Counter[str] = Counter()  # sent, failed, unknown: what the sender says
        self.failed: Counter[str] = Counter()  # by the sender's reason
        self.languages: Counter[str] = Counter()  # of the mails
        self.latencies_ms: deque[int] = deque(maxlen=LATENCIES_MAX)  # from a decision to its mail
        self.shown: deque[ShownMessage] = deque(maxlen=SHOWN_MAX)
        self._waiting: deque[ShownMessage] = deque(maxlen=WAITING_MAX)
        self._to_send: dict[str, MessageDecision] = {}
        self._picked_ms = 0

    # what comes in

    def note_decision(self, decision: MessageDecision) -> None:
        """It was decided to send, hold or skip a message."""
        self.decided[decision.outcome] += 1
        if decision.outcome == "send":
            self._to_send[decision.data.key] = decision
            while len(self._to_send) > DECISIONS_MAX:
                del self._to_send[next(iter(self._to_send))]
            return  # its mail is shown
        if decision.outcome == "skip":
            self.skipped[decision.data.reason or ""] += 1
        self._waiting.append(decision)

    def note_entry(self, entry: SendEntry) -> None:
        """The sender wrote this down of a message."""
        if entry.state not in ENDED:
            return
        self.outcomes[entry.state] += 1
        if entry.state == "failed":
            self.failed[FAILED.get(entry.reason, entry.reason)] += 1

    def note_mail(self, mail: EmailMessage, now_ms: int) -> None:
        """A mail arrived, now."""
        decision = self._to_send.pop(str(mail["Message-ID"]).strip("<>").partition("@")[0], None)
        arrived = Mail(now_ms, str(mail["To"]), str(mail["Subject"]), str(mail["Content-Language"] or ""), decision)
        self.languages[arrived.language] += 1
        if decision is not None:
            self.latencies_ms.append(max(0, now_ms - (parse_time_ms(decision.data.at) or now_ms)))
        self._waiting.append(arrived)

    def pick(self, now_ms: int) -> ShownMessage | None:
        """Choose the next one to show, at most one every ``PICK_MS``; the others are counted and not shown."""
        if not self._waiting or now_ms - self._picked_ms < PICK_MS:
            return None
        recent = Counter(kind_of(one) for one in list(self.shown)[-6:])
        chosen = min(reversed(self._waiting), key=lambda one: recent[kind_of(one)])
        self._waiting.clear()
        self._picked_ms = now_ms
        self.shown.append(chosen)
        return chosen

    # what can be asked

    @property
    def mails(self) -> int:
        """How many arrived."""
        return self.languages.total()

    @property
    def is_sending(self) -> bool:
        """Whether the sender is not done with all that is to be sent."""
        return self.told < self.decided["send"]

    @property
    def told(self) -> int:
        """How many events the sender wrote into the log: one of each message that it is done with."""
        return self.outcomes.total()


def kind_of(one: ShownMessage) -> str:
    """``mail``, ``hold`` or the reason of a skip: what differs on the screen."""
    if isinstance(one, Mail):
        return "mail"
    return one.data.reason or one.outcome
