"""What the demo has seen so far: what the shop sent, what came back, how late, and who moved while nothing happened.

Plain bookkeeping. It reads no clock and draws nothing: moments (UTC milliseconds) are arguments.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from streamer.demo.pace import Pace
from streamer.demo.seen_messages import SeenMessages
from streamer.segments.change import ENTERED, Change
from streamer.values import parse_time_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streamer.events.event import Event

PREFIX: Final = "demo_"
CART_LEFT: Final = "demo_cart_left"
NAMES_MAX: Final = 20_000  # of events, by id, for the words of a change: a minute and more at the usual rate
LATENCIES_MAX: Final = 50_000
WAITING_MAX: Final = 2_000
SHOWN_MAX: Final = 60
PICK_MS: Final = 500  # one change at a time, and slowly enough to read it
RATE_MS: Final = 3_000
SLOW_MS: Final = 3_000  # from an event to its change; milliseconds are usual
FOLLOW_MS: Final = 7_000  # a story that is over stays so long on the screen


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the worker says about itself on ``/metrics``."""

    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    lag: int = 0
    owned: int = 0
    members: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def read(self) -> int:
        """How many events the worker has dealt with."""
        return self.accepted + self.duplicates + self.refused


@dataclass(slots=True)
class Silence:
    """A customer who left a cart, and what became of that while they did nothing.

    ``left`` is missing while they are inside. ``broken``: an event of theirs came first, so it proves nothing.
    """

    customer: str
    product: str
    added_ms: int
    entered: Change
    left: Change | None = None
    broken: bool = False
    over_ms: int = 0


@dataclass(frozen=True, slots=True)
class Shown:
    """A change that was picked for the screen, and the name of the event behind it; None where there was none."""

    change: Change
    event: str | None


@dataclass(slots=True)
class _LastSent:
    """What the shop last sent of a customer."""

    at_ms: int = 0
    product: str = ""
    added_ms: int = 0


class Seen:
    """Fed by the shop, the reader and the metrics; read by the screen and the summary."""

    def __init__(self, opened_ms: int, *, rate: float = 200.0) -> None:
        self.opened_ms = opened_ms
        self.pace = Pace(rate, opened_ms)
        self.is_cut_short = False  # the worker was still reading when there was no more time to wait for it
        self.sent = 0
        self.messages = SeenMessages()
        self.numbers = Numbers()
        self.causes: Counter[str] = Counter()
        self.shown: deque[Shown] = deque(maxlen=SHOWN_MAX)
        self.event_latencies_ms: deque[int] = deque(maxlen=LATENCIES_MAX)
        self.timer_delays_ms: deque[int] = deque(maxlen=LATENCIES_MAX)
        self.first_silence: Silence | None = None
        self.silences = 0
        self.followed: Silence | None = None
        self._sent_at: deque[tuple[int, int]] = deque()
        self._last: dict[str, _LastSent] = {}
        self._names: dict[str, str] = {}
        self._waiting: deque[Change] = deque(maxlen=WAITING_MAX)
        self._inside: dict[str, Silence] = {}
        self._picked_ms = 0
        self._sold_ms = opened_ms

    # what comes in

    def note_sent(self, events: Iterable[Event], now_ms: int) -> None:
        """The shop said these events, now."""
        for event in events:
            self.sent += 1
            last = self._last.setdefault(event.customer, _LastSent())
            last.at_ms = event.timestamp_ms
            if event.name == "Product Added" and event.properties is not None:
                last.product, last.added_ms = str(event.properties.get("name", "")), event.timestamp_ms
            self._names[event.message_id] = event.name
        while len(self._names) > NAMES_MAX:
            del self._names[next(iter(self._names))]
        self._sold_ms = now_ms
        self._sent_at.append((now_ms, self.sent))
        while self._sent_at[0][0] < now_ms - RATE_MS:
            self._sent_at.popleft()

    def note_change(self, change: Change, now_ms: int) -> None:
        """A change came back from the topic, now."""
        cause = change.data.cause.kind
        self.causes[cause] += 1
        delay_ms = max(0, now_ms - moment_ms(change))
        if cause == "event":
            self.event_latencies_ms.append(delay_ms)
        elif cause == "timer":
            self.timer_delays_ms.append(delay_ms)
        self._waiting.append(change)
        if change.data.segment == CART_LEFT:
            self._follow_cart(change, now_ms)

    def note_numbers(self, numbers: Numbers, now_ms: int | None = None) -> None:
        """The worker said this about itself; ``now_ms``: while the shop is open, so that it may send less."""
        self.numbers = numbers
        if now_ms is not None:
            self.pace.note(self.unread, now_ms)

    def pick(self, now_ms: int) -> Shown | None:
        """Choose the next change to show, at most one every ``PICK_MS``; the others are counted and not shown."""
        if not self._waiting or now_ms - self._picked_ms < PICK_MS:
            return None
        recent = Counter(shown.change.data.segment for shown in list(self.shown)[-8:])
        change = max(self._waiting, key=lambda one: (_interest(one, recent), one.data.at))
        self._waiting.clear()
        self._picked_ms = now_ms
        shown = Shown(change, self.event_name(change))
        self.shown.append(shown)
        return shown

    # what can be asked

    @property
    def changes(self) -> int:
        """How many changes came back."""
        return self.causes.total()

    @property
    def unread(self) -> int:
        """How many events were sent and not read yet, those of the sender among them."""
        return self.in_the_log - self.numbers.read

    @property
    def in_the_log(self) -> int:
        """How many events there are: the shop's, and the sender's about messages."""
        return self.sent + self.messages.told

    @property
    def is_slow(self) -> bool:
        """Whether this machine did not keep up."""
        late_ms = quantile_ms(self.event_latencies_ms, 0.5)
        return self.pace.is_slowed or self.is_cut_short or (late_ms is not None and late_ms > SLOW_MS)

    @property
    def seconds(self) -> float:
        """How long the shop has been open, until it last said something."""
        return (self._sold_ms - self.opened_ms) / 1_000

    @property
    def rate(self) -> float:
        """Events a second, over the last three seconds."""
        if len(self._sent_at) < 2:
            return 0.0
        (first_ms, first), (last_ms, last) = self._sent_at[0], self._sent_at[-1]
        return (last - first) / max(0.001, (last_ms - first_ms) / 1_000)

    def event_name(self, change: Change) -> str | None:
        """The name of the event behind a change, its id where the name is forgotten; None where there was no event."""
        cause = change.data.cause
        return self._names.get(cause.id or "", cause.id) if cause.kind == "event" else None

    # who moved while nothing happened

    def _follow_cart(self, change: Change, now_ms: int) -> None:
        customer, by_time = change.subject, change.data.cause.kind == "timer"
        if change.type == ENTERED:
            if by_time:
                last = self._last.get(customer, _LastSent())
                self._inside[customer] = silence = Silence(customer, last.product, last.added_ms, change)
                self._perhaps_follow(silence, now_ms)
            return
        silence = self._inside.pop(customer, None)
        if silence is None:
            return
        silence.left, silence.over_ms = change, now_ms
        silence.broken = not by_time or self._last.get(customer, _LastSent()).at_ms > moment_ms(silence.entered)
        if not silence.broken:
            self.silences += 1
            self.first_silence = self.first_silence or silence

    def _perhaps_follow(self, silence: Silence, now_ms: int) -> None:
        followed = self.followed
        if followed is None or (followed.left is not None and now_ms - followed.over_ms >= FOLLOW_MS):
            self.followed = silence


def moment_ms(change: Change) -> int:
    """When a change became true."""
    return parse_time_ms(change.data.at) or 0


def quantile_ms(values: Iterable[int], ratio: float) -> int | None:
    """The value that so many of all do not exceed; None of none.

    >>> quantile_ms([5, 1, 3], 0.5), quantile_ms([], 0.99)
    (3, None)
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(ratio * len(ordered)))] if ordered else None


def _interest(change: Change, recent: Mapping[str, int]) -> float:
    """What was not shown lately comes first, then the rules in seconds, then what no event caused."""
    name = change.data.segment
    return -2 * recent.get(name, 0) + 3 * name.startswith(PREFIX) + 2 * (change.data.cause.kind == "timer")
