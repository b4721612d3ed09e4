"""Which messages are sent, held or skipped, when and why: told record by record (LANGUAGE.md, section 7).

As in the rest of the oracle everything is kept for ever and asked anew each time; nothing is shared with what it judges.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from tests.oracle.expressions import Asked, Standing, parse
from tests.oracle.messages import Message, MessageDefinitions, Trigger
from tests.oracle.reading import (
    address_of,
    facts_of,
    lacks_consent,
    language_of,
    minute_of_day,
    quiet_end_ms,
    suppressed_by,
    wall,
)
from tests.oracle.story import Cause, Record, Story, joined_standing, segments_in
from tests.oracle.values import duration_ms, equal

Draft = dict[str, Any]
BY_ITSELF = ("event", "timer")  # causes of changes that start messages unasked


@dataclass(frozen=True)
class Intent:
    """A message that may be sent. ``next`` is when it is decided, or decided again."""

    message: str
    trigger: Trigger
    sequence: int
    triggered_ms: int
    due: int
    next: int


@dataclass(frozen=True)
class Decision:
    """What was decided, as it is said. What depends on a definition that is gone is None."""

    customer: str
    message: str
    outcome: str  # send, hold, skip
    reason: str | None
    detail: str | None
    at_ms: int
    sequence: int
    triggered_ms: int
    on: str | None
    key: str
    due: int
    valid_until: int
    until: int | None
    arm: str | None
    variant: str | None
    kind: str | None
    channel: str | None
    topic: str | None
    template: str | None
    address: str | None
    language: str | None
    zone: str
    facts: dict[str, Any]
    goal: dict[str, Any] | None
    definitions: int
    offset: int
    ordinal: int


@dataclass(frozen=True)
class Place:
    """A send that takes room under caps."""

    key: str
    at_ms: int
    message: str
    channel: str
    is_marketing: bool


@dataclass
class Book:
    """What is kept of one customer for messages."""

    intents: list[Intent] = field(default_factory=list[Intent])
    turns: dict[str, Standing] = field(default_factory=dict[str, Standing])
    sent_ms: dict[str, int] = field(default_factory=dict[str, int])
    places: list[Place] = field(default_factory=list[Place])


class MessageStory(Story):
    """A story with messages; ``decisions`` says what was decided."""

    reads = MessageDefinitions
    definitions: MessageDefinitions

    def __init__(self, definitions: dict[str, Any], **options: Any) -> None:
        super().__init__(definitions, **options)
        self.decisions: list[Decision] = []
        self.books: dict[str, Book] = {}
        self.paused: set[str] = set()
        self.before = self.definitions
        self.turned_by_past: dict[str, int] = {}  # of the customer in hand, while definitions change

    # What records do

    def _apply(self, record: Record) -> list[Draft]:
        match record.body:
            case {"control": "pause", "message": name}:
                self.paused.add(name)
                return []
            case {"control": "resume", "message": name}:
                self.paused.discard(name)
                return []
            case _:
                self.before = self.definitions
                return super()._apply(record)

    def _write(self, draft: Draft, offset: int, ordinal: int) -> None:
        if "outcome" in draft:
            self.decisions.append(Decision(**draft, offset=offset, ordinal=ordinal))
        else:
            super()._write(draft, offset, ordinal)

    def _erase(self, customer: str) -> list[Draft]:
        zone = self.zone(customer) if customer in self.customers else self.definitions.zone
        drafts = super()._erase(customer)
        book = self.books.pop(customer, Book())
        return drafts + [self._ended(customer, intent, "erased", self.now, zone) for intent in sorted(book.intents, key=self._order)]

    # When

    def _moments(self, customer: str) -> list[int]:
        after = self.customers[customer].judged_ms
        due = {intent.next for intent in self._book(customer).intents if after < intent.next <= self.now}
        return sorted({*super()._moments(customer), *due})

    def _pass_time(self, customer: str) -> list[Draft]:
        one, drafts = self.customers[customer], list[Draft]()
        waiting = self._moments(customer)
        while waiting:
            moment, *waiting = waiting
            before = list(self._book(customer).intents)
            found = self._judge(customer, moment, Cause("timer", due=moment))
            drafts += found
            if found or self._book(customer).intents != before:
                waiting = self._moments(customer)
        one.judged_ms = self.now
        return drafts

    # Judging

    def _come_under(self, customer: str, past: Story, changed: set[str]) -> list[Draft]:
        """Conditions are as segments that nobody sees."""
        assert isinstance(past, MessageStory)
        book, theirs = self._book(customer), past.books.get(customer, Book())
        for name in self._changed_conditions(changed):
            ours = book.turns.get(name, Standing(sequence=self.customers[customer].counts_from))
            book.turns[name] = joined = joined_standing(ours, theirs.turns.get(name, Standing()))
            if joined.inside and not ours.inside:
                self.turned_by_past[name] = joined.sequence
        drafts = super()._come_under(customer, past, changed)
        self.turned_by_past = {}
        return drafts

    def _changed_conditions(self, changed: set[str]) -> list[str]:
        """Messages whose condition is new, or means something else."""
        found: list[str] = []
        for name, message in self.definitions.messages.items():
            before = self.before.messages.get(name)
            is_same = before is not None and _text(before.trigger) == _text(message.trigger) and self.before.zone == self.definitions.zone
            if message.trigger.kind == "turns" and not (is_same and changed.isdisjoint(segments_in(parse(message.trigger.what)))):
                found.append(name)
        return found

    def _judge(self, customer: str, now: int, cause: Cause, joined: Sequence[Draft] = ()) -> list[Draft]:
        book = self._book(customer)
        if cause.kind == "event":
            _give_back(book, self.customers[customer].history[-1].event)
        ended = self._end_changed(customer, book, now) if cause.kind == "definitions" else []
        changes = super()._judge(customer, now, cause, joined)
        asked = self._asked(customer, now)
        turned = self.turned_by_past | self._turn_conditions(book, asked, self.customers[customer].counts_from)
        if self.is_as_if:  # nothing was decided under definitions that did not hold
            return changes
        self._make_intents(
            book, [(f"{_way(each['sequence'])} {each['segment']}", each["sequence"]) for each in changes], turned, now, cause
        )
        return ended + changes + self._decide_due(customer, book, asked)

    def _asked(self, customer: str, now: int) -> Asked:
        one = self.customers[customer]
        return Asked(now, self.zone(customer), one.history, one.standings)

    def _book(self, customer: str) -> Book:
        return self.books.setdefault(customer, Book())

    def _turn_conditions(self, book: Book, asked: Asked, counts_from: int) -> dict[str, int]:
        """The conditions that turned true now, with the numbers of the turns; one that is none any more has turned false."""
        conditions = {name: parse(each.trigger.what) for name, each in self.definitions.messages.items() if each.trigger.kind == "turns"}
        turned: dict[str, int] = {}
        for name in {*conditions, *book.turns}:
            standing = book.turns.setdefault(name, Standing(sequence=counts_from))
            if (name in conditions and asked.holds(conditions[name])) != standing.inside:
                standing.inside = not standing.inside
                standing.sequence += 1
                if standing.inside:
                    turned[name] = standing.sequence
        return turned

    def _make_intents(self, book: Book, changes: list[tuple[str, int]], turned: dict[str, int], now: int, cause: Cause) -> None:
        for message in self.definitions.messages.values():
            if cause.kind not in {*BY_ITSELF, *message.also}:
                continue
            numbers = [number for on, number in changes if on == message.trigger.on]
            if message.trigger.kind == "turns":
                numbers = [turned[message.name]] if message.name in turned else []
            due = now + message.delay_ms
            book.intents += [Intent(message.name, message.trigger, number, now, due, due) for number in numbers]

    def _end_changed(self, customer: str, book: Book, now: int) -> list[Draft]:
        """Intents of messages that have another trigger now."""
        before, after = self.before.messages, self.definitions.messages
        changed = {name for name in before.keys() & after.keys() if _text(before[name].trigger) != _text(after[name].trigger)}
        ended = sorted((intent for intent in book.intents if intent.message in changed), key=self._order)
        book.intents = [intent for intent in book.intents if intent.message not in changed]
        return [self._ended(customer, intent, "withdrawn", now, self.zone(customer)) for intent in ended]

    def _order(self, intent: Intent) -> tuple[bool, int, str, int]:
        message = self.definitions.messages.get(intent.message)
        return message is None, 0 if message is None else -message.priority, intent.message, intent.sequence

    # Deciding

    def _decide_due(self, customer: str, book: Book, asked: Asked) -> list[Draft]:
        drafts: list[Draft] = []
        for intent in sorted((each for each in book.intents if each.next <= asked.now), key=self._order):
            draft = self._decide(customer, book, intent, asked)
            drafts.append(draft)
            book.intents.remove(intent)
            if draft["outcome"] == "hold":
                book.intents.append(replace(intent, next=draft["until"]))
        return drafts

    def _decide(self, customer: str, book: Book, intent: Intent, asked: Asked) -> Draft:
        message = self.definitions.messages.get(intent.message)
        if message is None:
            reason = "paused" if self.paused & {"*", intent.message} else "withdrawn"
            return self._said(customer, intent, None, asked.now, asked.zone, "skip", reason)
        failed = self._failed(customer, book, intent, message, asked)
        if failed is None or failed[0] == "holdout":
            self._count(customer, book, intent, message, asked.now)
        if failed is None:
            more = {
                "address": address_of(message, customer, asked),
                "language": language_of(message, asked),
                "facts": facts_of(message, asked),
            }
            return {**self._said(customer, intent, message, asked.now, asked.zone, "send", None), **more}
        reason, detail = failed
        if reason == "quiet":
            assert message.quiet is not None
            until = quiet_end_ms(message.quiet, asked.now, asked.zone)
            if until < intent.due + message.expiry_ms:
                return {**self._said(customer, intent, message, asked.now, asked.zone, "hold", reason, detail), "until": until}
            reason, detail = "expired", "quiet"
        return self._said(customer, intent, message, asked.now, asked.zone, "skip", reason, detail)

    def _failed(self, customer: str, book: Book, intent: Intent, message: Message, asked: Asked) -> tuple[str, str | None] | None:
        """The first test that fails, with its detail."""
        now = asked.now
        if self.paused & {"*", message.name}:
            return "paused", None
        if now >= intent.due + message.expiry_ms:
            return "expired", None
        if message.stay and self._newest(book, message, asked) != intent.sequence:
            return "stay", None
        if message.require is not None and not asked.holds(message.require):
            return "require", None
        if _is_again(book, message, now):
            return "again", None
        if address_of(message, customer, asked) is None:
            return "no_address", None
        if (what := suppressed_by(message.channel, asked)) is not None:
            return "suppressed", what
        if message.topic is not None and lacks_consent(message, self.definitions.topics[message.topic], asked):
            return "no_consent", message.topic
        if (full := self._full(book, message, now)) is not None:
            return "cap", full
        if message.quiet is not None and message.quiet.has(minute_of_day(wall(now, asked.zone))):
            return "quiet", message.quiet.text
        holdout = self._holdout(customer, message)
        return None if holdout is None else ("holdout", holdout)

    def _newest(self, book: Book, message: Message, asked: Asked) -> int:
        """The number of the newest change of what the message waits for."""
        if message.trigger.kind == "turns":
            return book.turns[message.name].sequence
        return asked.standings.get(message.trigger.what, Standing()).sequence

    def _full(self, book: Book, message: Message, now: int) -> str | None:
        own = [place for place in book.places if place.message == message.name]
        marketing = [place for place in book.places if place.is_marketing]
        kinds = [("message", message.caps, own)]
        if message.is_marketing:
            channel = [place for place in marketing if place.channel == message.channel]
            kinds.append(("channel", self.definitions.channel_caps(message.channel), channel))
            kinds.append(("global", self.definitions.global_caps, marketing))
        for name, caps, places in kinds:
            for cap in caps:
                if sum(now - cap.window_ms < place.at_ms <= now for place in places) >= cap.most:
                    return f"{name} {cap.text}"
        return None

    def _count(self, customer: str, book: Book, intent: Intent, message: Message, now: int) -> None:
        """A send, or what would have been one: for ``again`` and for caps."""
        if message.again != "always":
            book.sent_ms[message.name] = now
        place = Place(_key(customer, intent), now, message.name, message.channel, message.is_marketing)
        if self._windows(place):
            book.places = [each for each in [*book.places, place] if any(each.at_ms > now - window for window in self._windows(each))]

    def _windows(self, place: Place) -> list[int]:
        """Of the caps in force that count it."""
        message = self.definitions.messages.get(place.message)
        caps = [] if message is None else list(message.caps)
        if place.is_marketing:
            caps += [*self.definitions.channel_caps(place.channel), *self.definitions.global_caps]
        return [cap.window_ms for cap in caps]

    def _holdout(self, customer: str, message: Message) -> str | None:
        if message.is_marketing and _drawn("holdout", "*", customer) % 10_000 < self.definitions.global_holdout_bp:
            return "global"
        return "message" if _drawn("holdout", message.name, customer) % 10_000 < message.holdout_bp else None

    # Saying

    def _ended(self, customer: str, intent: Intent, reason: str, now: int, zone: str) -> Draft:
        return self._said(customer, intent, self.definitions.messages.get(intent.message), now, zone, "skip", reason)

    def _said(
        self,
        customer: str,
        intent: Intent,
        message: Message | None,
        now: int,
        zone: str,
        outcome: str,
        reason: str | None,
        detail: str | None = None,
    ) -> Draft:
        said: Draft = {
            "customer": customer,
            "message": intent.message,
            "outcome": outcome,
            "reason": reason,
            "detail": detail,
            "at_ms": now,
            "sequence": intent.sequence,
            "triggered_ms": intent.triggered_ms,
            "key": _key(customer, intent),
            "due": intent.due,
            "until": None,
            "address": None,
            "language": None,
            "zone": zone,
            "facts": {},
            "definitions": self.definitions.version,
        }
        if message is None:
            gone = ("on", "arm", "variant", "kind", "channel", "topic", "template", "goal")
            return {**said, **dict.fromkeys(gone), "valid_until": intent.due}
        return {
            **said,
            "on": message.trigger.on,
            "valid_until": intent.due + message.expiry_ms,
            "arm": "treated" if self._holdout(customer, message) is None else "held_out",
            "variant": _variant(customer, message),
            "kind": message.kind,
            "channel": message.channel,
            "topic": message.topic,
            "template": message.template,
            "goal": message.goal,
        }


def _way(sequence: int) -> str:
    return "entered" if sequence % 2 else "left"


def _text(trigger: Trigger) -> tuple[str, str]:
    return trigger.kind, ast.unparse(parse(trigger.what)) if trigger.kind == "turns" else trigger.what


def _is_again(book: Book, message: Message, now: int) -> bool:
    sent = book.sent_ms.get(message.name)
    if sent is None or message.again == "always":
        return False
    return message.again == "once" or now - (duration_ms(message.again) or 0) < sent <= now


def _give_back(book: Book, event: dict[str, Any]) -> None:
    """What permanently failed takes no room under caps."""
    properties = event.get("properties") or {}
    failed = event["type"] == "track" and event["event"] in ("Message Failed", "Message Bounced")
    if failed and equal(properties.get("permanent"), True):
        book.places = [place for place in book.places if not equal(properties.get("key"), place.key)]


def _key(customer: str, intent: Intent) -> str:
    return blake2b(f"{intent.message}\0{customer}\0{intent.sequence}".encode(), digest_size=16).hexdigest()


def _drawn(what: str, of: str, customer: str) -> int:
    return int.from_bytes(blake2b(f"{what}\0{of}\0{customer}".encode(), digest_size=8).digest(), "big")


def _variant(customer: str, message: Message) -> str | None:
    """The first whose weight, added to those before it, is above the draw."""
    if not message.variants:
        return None
    left = _drawn("variant", message.name, customer) % sum(message.variants.values())
    for name, weight in message.variants.items():
        if left < weight:
            return name
        left -= weight
    raise AssertionError(message.variants)
