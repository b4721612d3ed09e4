"""What has been decided of messages lately, and what became of it: the newest of the ledger, with what senders wrote down."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from streamer.errors import RefusedError
from streamer.flow.reader import Deduplicator
from streamer.messages.decision import DecisionOutcome, DecisionReason, MessageDecision, decode_decision
from streamer.sender.ledger import SendEntry, SendState, read_entry
from streamer.settings import Settings
from streamer.transports.kafka.topic_tail import TailRecord, TopicTail
from streamer.wire import LEDGER, SENDS

from .reading import ReadingState, reading_of

KEPT: Final = 20_000


class SeenDecision(NamedTuple):
    """A decision, and the newest that a sender wrote down of it; None where none has."""

    decision: MessageDecision
    became: SendEntry | None

    @property
    def reasons(self) -> frozenset[str]:
        """By what it is found: the reason of the decision, the state and the reason of the sender."""
        of_sender = () if self.became is None else (self.became.state, self.became.reason)
        return frozenset(filter(None, (self.decision.data.reason, *of_sender)))


class MessageCounts(NamedTuple):
    """Of one message, among the newest decisions: what was decided, why not, and what became of what was to be sent."""

    decided: Counter[DecisionOutcome]
    reasons: Counter[DecisionReason]
    became: Counter[SendState]


class DecisionHistory:
    """The newest decisions of all shards."""

    def __init__(self, settings: Settings) -> None:
        self._tail = TopicTail(settings, {LEDGER: settings.shards, SENDS: settings.shards}, 2 * KEPT)
        self._seen = Deduplicator()
        self._decisions = deque[MessageDecision]()
        self._by_customer: dict[str, deque[MessageDecision]] = {}
        self._entries: dict[str, SendEntry] = {}

    @property
    def reading(self) -> ReadingState:
        """Whether it was read."""
        return reading_of(is_ready=self._tail.is_ready, is_failing=self._tail.is_failing)

    async def run(self) -> None:
        """Until cancelled."""
        await self._tail.run(self.take)

    def take(self, record: TailRecord) -> None:
        """One record of either topic; what is neither a decision nor an entry is passed over."""
        try:
            if record.topic == SENDS:
                self.add_entry(read_entry(record.value))
            else:
                self.add(decode_decision(record.value))
        except (RefusedError, msgspec.DecodeError, UnicodeDecodeError):
            return

    def add(self, decision: MessageDecision) -> None:
        """A decision; one that was published again is dropped."""
        place = decision.data.position
        if not self._seen.is_new(place.shard, place.generation, place.offset, place.ordinal):
            return
        self._decisions.append(decision)
        self._by_customer.setdefault(decision.subject, deque()).append(decision)
        if len(self._decisions) > KEPT:
            oldest = self._decisions.popleft()
            of_theirs = self._by_customer[oldest.subject]
            of_theirs.popleft()
            if not of_theirs:
                del self._by_customer[oldest.subject]

    def add_entry(self, entry: SendEntry) -> None:
        """What a sender wrote down."""
        if not entry.key:
            return
        self._entries.pop(entry.key, None)
        self._entries[entry.key] = entry
        if len(self._entries) > KEPT:
            del self._entries[next(iter(self._entries))]

    def of_customer(self, customer: str) -> list[SeenDecision]:
        """Those of one id, the newest first."""
        return list(self._with_entries(reversed(self._by_customer.get(customer, ()))))

    def newest(self) -> Iterator[SeenDecision]:
        """All, the newest first by log time."""
        return self._with_entries(sorted(self._decisions, key=lambda one: one.data.at, reverse=True))

    def latest(self, most: int) -> list[SeenDecision]:
        """Those that came last, the newest first by log time."""
        last = islice(reversed(self._decisions), most)
        return list(self._with_entries(sorted(last, key=lambda one: one.data.at, reverse=True)))

    def counts(self) -> dict[str, MessageCounts]:
        """By message."""
        found: dict[str, MessageCounts] = {}
        for decision, became in self._with_entries(self._decisions):
            counts = found.setdefault(decision.data.message, MessageCounts(Counter(), Counter(), Counter()))
            counts.decided[decision.outcome] += 1
            if decision.data.reason is not None:
                counts.reasons[decision.data.reason] += 1
            if became is not None:
                counts.became[became.state] += 1
        return found

    def _with_entries(self, decisions: Iterable[MessageDecision]) -> Iterator[SeenDecision]:
        for one in decisions:
            yield SeenDecision(one, self._entries.get(one.data.key) if one.outcome == "send" else None)
