"""A ledger, a log and providers in memory that outlive the sender, which can be killed at any of its waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streamer.errors import FencedError
from streamer.events.event import Event
from streamer.message_links import LinkKeys
from streamer.sender.channels import Accepted, Attempt, Outgoing, SendingChannel
from streamer.sender.decision import SendDecision
from streamer.sender.ledger import Book, SendEntry
from streamer.sender.rates import SendRates
from streamer.sender.shard_sender import Means, SendLog, ShardSender
from streamer.sender.templates.folder import Templates

from .decisions import NOON_MS, decision_bytes


class Killed(BaseException):
    """The process ended here. Nothing of ours catches it."""


@dataclass
class World:
    """What Kafka and the providers have. ``kill_at`` counts the waits down to the one at which the sender ends."""

    folder: Path
    messages: list[bytes] = field(default_factory=list[bytes])
    entries: list[SendEntry] = field(default_factory=list[SendEntry])
    events: list[Event] = field(default_factory=list[Event])
    delivered: Counter[str] = field(default_factory=Counter[str])
    answers: Callable[[Outgoing, int], Attempt] = lambda outgoing, attempt: Accepted()
    verdicts: Callable[[SendDecision], str | None] = lambda decision: ""
    now_ms: int = NOON_MS
    kill_at: int = -1
    waits: int = 0
    owner: int = 0
    rates: SendRates = field(default_factory=lambda: SendRates(1e9, 1e9))
    attempts: Counter[str] = field(default_factory=Counter[str])
    ages: list[float] = field(default_factory=list[float])
    drops_repeats: bool = False
    channels: dict[str, SendingChannel] | None = None  # instead of providers in memory

    def __post_init__(self) -> None:
        place = self.folder / "cart_reminder" / "en"
        place.mkdir(parents=True, exist_ok=True)
        (place / "subject.liquid").write_text("Hello")
        (place / "text.liquid").write_text("Hi {{ first_name }}")
        self.templates = Templates(self.folder)

    def wait(self) -> None:
        """One of the sender's waits, at which it may be killed."""
        self.waits += 1
        if self.waits == self.kill_at:
            raise Killed

    def sender(self) -> ShardSender:
        """The next process: it takes the shard, and reads the ledger as a real one does."""
        self.owner += 1
        book = Book()
        if self.entries:
            for entry in self.entries[self.entries[-1].go_on.ledger :]:
                book.take(entry)
        return self.sender_on(_Log(self, self.owner), book)

    def sender_on(self, send_log: SendLog, book: Book) -> ShardSender:
        """A sender that has read its ledger, and taken all decisions from there on."""
        ways: dict[str, SendingChannel] = self.channels or {name: _Way(self) for name in ("email", "webhook")}
        links, clock = LinkKeys({}, ""), lambda: self.now_ms
        means = Means(ways, self.templates, links, _Gate(self), self.rates, clock, lambda: 0.5, tell_age=self.ages.append)
        made = ShardSender(0, book, send_log, means)
        for offset in range(made.next_offset, len(self.messages)):
            made.take(offset, self.messages[offset])
        return made

    async def run(self, turns: int = 100) -> ShardSender:
        """One process until nothing is left, with time passing as it asks for."""
        return await self.work(self.sender(), turns)

    async def work(self, made: ShardSender, turns: int = 100) -> ShardSender:
        """The turns of a process until nothing is left."""
        for _ in range(turns):
            seconds = await made.turn()
            if not made.waiting:
                return made
            self.now_ms += int(seconds * 1_000) + 1
        raise AssertionError(f"{made.waiting} messages are left after {turns} turns")

    def decide(self, number: int, **data: object) -> None:
        """One more decision."""
        self.messages.append(decision_bytes(number, **data))  # pyright: ignore[reportArgumentType]

    def told(self) -> Counter[str]:
        """How often each event was said, by its id and without repetitions of it."""
        return Counter({event.message_id.removeprefix("out:") for event in self.events})


class _Log:
    def __init__(self, world: World, owner: int) -> None:
        self._world = world
        self._owner = owner

    @property
    def end(self) -> int:
        return len(self._world.entries)

    async def begin(self, entries: Sequence[SendEntry]) -> None:
        self._world.wait()
        self._check()
        self._world.entries += entries
        self._world.wait()

    async def settle(self, entries: Sequence[SendEntry], events: Sequence[Event]) -> None:
        self._world.wait()
        self._check()
        self._world.entries += entries
        self._world.events += events
        self._world.wait()

    def _check(self) -> None:
        if self._owner != self._world.owner:
            raise FencedError("another sender has it now")


class _Gate:
    def __init__(self, world: World) -> None:
        self._world = world

    async def look(self, shard: int, decisions: Sequence[SendDecision]) -> list[str | None]:
        assert shard == 0
        self._world.wait()
        return [self._world.verdicts(decision) for decision in decisions]


class _Way:
    """A provider that has a message once its wait is over, whether or not the sender still lives to hear so."""

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def drops_repeats(self) -> bool:
        return self._world.drops_repeats

    def address(self, text: str) -> str | None:
        return text if "@" in text else None

    def domain(self, address: str) -> str:
        return address.rpartition("@")[2]

    async def send(self, outgoing: Outgoing) -> Attempt:
        self._world.wait()
        self._world.attempts[outgoing.id] += 1
        answer = self._world.answers(outgoing, self._world.attempts[outgoing.id])
        if isinstance(answer, Accepted):
            self._world.delivered[outgoing.id] += 1
        self._world.wait()
        return answer

    async def close(self) -> None:
        return
