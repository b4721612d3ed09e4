"""The messages of one shard: taken in order, tried some at a time, and written down before and after.

Whatever ends it between any two waits, the next one reads the ledger and knows which messages may have left. Nothing here raises for a
message: what cannot be rendered, addressed or delivered is an outcome.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from structlog.typing import FilteringBoundLogger

from streamer.errors import RefusedError, place_of
from streamer.events.event import Event
from streamer.message_links import LinkKeys
from streamer.values import parse_time_ms, time_text

from .channels import Accepted, Attempt, Declined, Outgoing, SendingChannel, TryLater, Unsure
from .decision import SendDecision, read_decision
from .gate import LastLook
from .ledger import ENDED, Book, GoOn, Order, SendEntry, SendState
from .outcomes import Failed, FailReason, SendOutcome, Sent, Unknown, outcome_events
from .rates import SendRates
from .templates.folder import TemplateError, Templates
from .templates.rendering import open_url, render, report_token, unsubscribe_url

AT_ONCE: Final = 16  # messages of a shard that are looked at and tried beside each other: so many may be unknown after a crash
ITEMS_MAX: Final = 500  # taken and not settled; no more are taken then
READ_MAX: Final = 1_000  # decisions that are passed over before the ledger says so
ATTEMPTS_MAX: Final = 12
BACKOFF_SECONDS: Final = 2.0  # after the first attempt, doubled by each, half to one and a half times as long by chance
BACKOFF_SECONDS_MAX: Final = 900.0
UNSURE: Final = "unsure"  # the reason of an entry after which the message may have left
GATE_SECONDS: Final = 1.0  # until a gate is asked again that cannot tell

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.sender")


class SendLog(Protocol):
    """The ledger of one shard and the log of events, written by nobody else: ``kafka_ledger.KafkaSendLog``.

    Each method raises FencedError where another sender has the shard by now, and NotWrittenError where Kafka did not take it; what it was
    given may lie there all the same.
    """

    @property
    def end(self) -> int:
        """The offset behind the newest entry."""
        ...

    async def begin(self, entries: Sequence[SendEntry]) -> None:
        """Return when each entry is acknowledged."""
        ...

    async def settle(self, entries: Sequence[SendEntry], events: Sequence[Event]) -> None:
        """Write entries and events, and where the shard goes on: all of it or nothing, where the broker has transactions."""
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """What the senders of all shards of a process share. ``now_ms`` gives UTC milliseconds, ``chance`` a number from 0 to 1."""

    channels: Mapping[str, SendingChannel]
    templates: Templates
    links: LinkKeys
    gate: LastLook
    rates: SendRates
    now_ms: Callable[[], int]
    chance: Callable[[], float] = random.random
    room: asyncio.Semaphore | None = None  # attempts of all shards at once
    counts_opens: bool = False
    tell_age: Callable[[float], object] = lambda seconds: None  # of the last look's question, when a message is given to its channel


@dataclass(slots=True)
class _Unsettled:
    """A decision that is not settled."""

    decision: SendDecision
    offset: int
    ledger: int  # where the ledger ended when it was taken
    highest_before: Order
    attempt: int = 0  # that were begun
    not_before_ms: int = 0
    was_open: bool = False  # an attempt was begun by a sender that did not say how it ended
    may_have_left: bool = False  # by an attempt before


@dataclass(frozen=True, slots=True)
class _Again:
    """It is to be tried again. ``may_have_left``: nobody can tell how this attempt ended."""

    detail: str
    after_seconds: float = 0.0
    may_have_left: bool = False


Ending = SendOutcome | _Again


class ShardSender:
    """Sends for one shard, from where ``book`` says on."""

    def __init__(self, shard: int, book: Book, send_log: SendLog, means: Means) -> None:
        self.shard = shard
        self.counts: dict[str, int] = {}  # what became of messages, by state and reason; whoever shows it takes it away
        self._book = book
        self._book_end = max((entry.offset for entry in book.newest.values()), default=-1)
        self._log = send_log
        self._means = means
        self._items: dict[int, _Unsettled] = {}  # by offset, ascending
        self._next = book.go_on.decision
        self._said = self._next
        self._highest = book.go_on.highest

    @property
    def next_offset(self) -> int:
        """The first decision that was not taken."""
        return self._next

    @property
    def has_room(self) -> bool:
        """Whether more may be taken."""
        return len(self._items) < ITEMS_MAX

    @property
    def waiting(self) -> int:
        """Messages that are taken and not settled."""
        return len(self._items)

    @property
    def oldest_ms(self) -> int | None:
        """When the oldest of them was decided."""
        first = next(iter(self._items.values()), None)
        return None if first is None else first.decision.at_ms

    def take(self, offset: int, raw: bytes) -> None:
        """One more record of the shard's decisions, in order."""
        self._next = offset + 1
        try:
            decision = read_decision(raw)
        except RefusedError:
            self._count("unreadable")
            log.error("no decision", action="send", shard=self.shard, offset=offset)
            return
        if decision is None:
            return
        order = decision.order
        if order <= self._highest:  # told again, by a shard that was told anew
            self._count("repeated")
            return
        before, self._highest = self._highest, order
        entry = self._book.find(decision.data.key)
        if entry is not None and entry.state in ENDED:
            return
        # The next sender must find what the book has of decisions behind this one, too.
        ledger = self._book.go_on.ledger if offset <= self._book_end else self._log.end
        item = self._items[offset] = _Unsettled(decision, offset, ledger, before)
        if entry is not None:
            item.attempt = entry.attempt
            item.was_open = entry.state == "attempting"
            item.may_have_left = item.was_open or entry.reason == UNSURE
            item.not_before_ms = _until_ms(entry)

    async def turn(self) -> float:
        """Do what can be done now, at most ``AT_ONCE`` messages; how many seconds until there may be more, 0 for at once."""
        now_ms = self._means.now_ms()
        due = [item for item in self._items.values() if item.not_before_ms <= now_ms][:AT_ONCE]
        ended, ready = self._sort(due, now_ms)
        asked_ms = self._means.now_ms()
        ended += await self._pass_gate(ready)
        if ready:
            await self._log.begin([self._entry("attempting", one.item, one.item.attempt) for one in ready])
            endings = await asyncio.gather(*(self._attempt(one, asked_ms) for one in ready))
            ended += zip((one.item for one in ready), endings, strict=True)
        if ended or self._next - self._said >= READ_MAX:
            await self._settle(ended)
        return self._seconds_left()

    # before the attempt

    def _sort(self, due: Sequence[_Unsettled], now_ms: int) -> tuple[list[tuple[_Unsettled, Ending]], list[_Ready]]:
        """What ends without an attempt, and what is ready for one; neither for what has to wait for its turn."""
        ended: list[tuple[_Unsettled, Ending]] = []
        ready: list[_Ready] = []
        for item in due:
            found = self._prepare(item, now_ms)
            if isinstance(found, _Ready):
                wait = self._means.rates.take(item.decision.data.channel, found.channel.domain(found.outgoing.address), now_ms / 1_000)
                if wait:
                    item.not_before_ms = now_ms + max(1, int(wait * 1_000))
                else:
                    ready.append(found)
            else:
                ended.append((item, found))
        return ended, ready

    def _prepare(self, item: _Unsettled, now_ms: int) -> _Ready | SendOutcome:
        """A message that is ready to be tried, or why it will never be."""
        decision, means = item.decision, self._means
        data = decision.data
        channel = means.channels.get(data.channel)
        if item.was_open and data.kind == "marketing" and (channel is None or not channel.drops_repeats):
            return Unknown("its sender ended while it was being sent")
        if decision.valid_until_ms <= now_ms:
            return _failed(item, "late")
        if channel is None:
            return _failed(item, "no_channel", data.channel)
        address = channel.address(data.address or "")
        if address is None:
            return _failed(item, "bad_address")
        try:
            content = render(decision, means.templates, means.links)
        except TemplateError as error:
            return _failed(item, "template", str(error))
        opened = open_url(decision, means.links) if means.counts_opens else ""
        unsubscribe, report = unsubscribe_url(decision, means.links), report_token(decision, means.links)
        return _Ready(item, channel, Outgoing(decision, address, content, unsubscribe, opened, report))

    async def _pass_gate(self, ready: list[_Ready]) -> list[tuple[_Unsettled, Ending]]:
        """Take out of ``ready`` what the last look does not let through now; what it never will is returned with its reason."""
        if not ready:
            return []
        verdicts = await self._means.gate.look(self.shard, [one.item.decision for one in ready])
        asked, ended = [*ready], list[tuple[_Unsettled, Ending]]()
        ready.clear()
        for one, verdict in zip(asked, verdicts, strict=True):
            if verdict is None:
                one.item.not_before_ms = self._means.now_ms() + int(GATE_SECONDS * 1_000)
                self._count("gate_waits")
            elif verdict:
                ended.append((one.item, _failed(one.item, "gate", verdict)))
            else:
                one.item.attempt += 1
                ready.append(one)
        return ended

    # the attempt

    async def _attempt(self, one: _Ready, asked_ms: int) -> Ending:
        async with self._means.room or nullcontext():
            self._means.tell_age((self._means.now_ms() - asked_ms) / 1_000)
            attempt = await _send(one)
        repeats = one.item.decision.data.kind == "transactional" or one.channel.drops_repeats
        is_last = one.item.attempt >= ATTEMPTS_MAX
        match attempt:
            case Accepted(detail):
                return Sent(detail)
            case Declined(detail, bounced):
                return _failed(one.item, "refused", detail, bounced=bounced)
            case TryLater(detail, after_seconds):
                return _failed(one.item, "gave_up", detail) if is_last else _Again(detail, after_seconds)
            case Unsure(detail):
                return Unknown(detail) if is_last or not repeats else _Again(detail, may_have_left=True)

    # after the attempt

    async def _settle(self, ended: Sequence[tuple[_Unsettled, Ending]]) -> None:
        """Write down what became of these; only then are they forgotten here."""
        now_ms = self._means.now_ms()
        events: list[Event] = []
        waits: list[tuple[_Unsettled, int]] = []
        told: list[tuple[SendState, _Unsettled, Ending, int]] = []
        for item, ending in ended:
            if isinstance(ending, _Again):
                item.may_have_left |= ending.may_have_left
                until_ms = now_ms + self._backoff_ms(item.attempt, ending.after_seconds)
                waits.append((item, until_ms))
                told.append(("deferred", item, ending, until_ms))
            else:
                events += outcome_events(item.decision, ending, now_ms)
                told.append((_state(ending), item, ending, 0))
        left = {offset: item for offset, item in self._items.items() if not _is_among(item, ended)}
        go_on = self._go_on(left)
        entries = [self._entry(state, item, item.attempt, ending, until_ms, go_on) for state, item, ending, until_ms in told]
        await self._log.settle(entries or [SendEntry("read", time_text(now_ms), go_on)], events)
        for item, until_ms in waits:
            item.not_before_ms, item.was_open = until_ms, False
        self._items, self._said = left, go_on.decision
        self._book.forget(go_on.decision)
        for state, _, ending, _ in told:
            self._count(f"{state} {ending.reason}" if isinstance(ending, Failed) else state)

    def _go_on(self, left: Mapping[int, _Unsettled]) -> GoOn:
        if not left:
            return GoOn(self._next, self._log.end, self._highest)
        first = next(iter(left.values()))
        return GoOn(first.offset, min(item.ledger for item in left.values()), first.highest_before)

    def _entry(
        self, state: SendState, item: _Unsettled, attempt: int, ending: Ending | None = None, until_ms: int = 0, go_on: GoOn | None = None
    ) -> SendEntry:
        data = item.decision.data
        return SendEntry(
            state,
            time_text(self._means.now_ms()),
            self._go_on(self._items) if go_on is None else go_on,
            data.key,
            data.message,
            data.channel,
            item.offset,
            attempt,
            ending.reason if isinstance(ending, Failed) else UNSURE if item.may_have_left else "",
            "" if ending is None else ending.detail,
            time_text(until_ms) if until_ms else "",
        )

    def _backoff_ms(self, attempt: int, after_seconds: float) -> int:
        wait = min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS * 2.0 ** (attempt - 1)) * (0.5 + self._means.chance())
        return int(max(wait, after_seconds) * 1_000)

    def _seconds_left(self) -> float:
        now_ms = self._means.now_ms()
        return max(0.0, min((item.not_before_ms - now_ms for item in self._items.values()), default=60_000) / 1_000)

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


@dataclass(frozen=True, slots=True)
class _Ready:
    item: _Unsettled
    channel: SendingChannel
    outgoing: Outgoing


async def _send(one: _Ready) -> Attempt:
    """One attempt; a channel that raises does not know itself how far it came."""
    try:
        return await one.channel.send(one.outgoing)
    except Exception as error:
        log.error("the channel failed", action="send", channel=one.outgoing.decision.data.channel, where=place_of(error))
        return Unsure(type(error).__name__)


def _failed(item: _Unsettled, reason: FailReason, detail: str = "", *, bounced: bool = False) -> SendOutcome:
    """It will not leave any more; whether it never did is known only where no attempt before may have been one."""
    return Unknown(reason) if item.may_have_left else Failed(reason, detail, bounced)


def _state(outcome: SendOutcome) -> SendState:
    match outcome:
        case Sent():
            return "sent"
        case Failed():
            return "failed"
        case Unknown():
            return "unknown"


def _is_among(item: _Unsettled, ended: Sequence[tuple[_Unsettled, Ending]]) -> bool:
    return any(one is item and not isinstance(ending, _Again) for one, ending in ended)


def _until_ms(entry: SendEntry) -> int:
    return parse_time_ms(entry.until) or 0 if entry.until else 0


__all__ = ["ATTEMPTS_MAX", "AT_ONCE", "Means", "SendLog", "ShardSender"]
