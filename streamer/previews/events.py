"""A preview over events that can be read as often as one likes: files, or a list in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final, NamedTuple

from streamer.errors import RefusedError
from streamer.events.codec import decode
from streamer.events.event import Event
from streamer.events.placeholders import settle_customer
from streamer.flow.catalog import compile_plan, read_definitions
from streamer.flow.replay import Arrival
from streamer.flow.rules import Rules
from streamer.language.definitions import Definitions
from streamer.wire import decode_control

from .bounds import Bounds
from .conclusion import Wishes, conclude
from .findings import Findings, findings_of, united
from .fold import Fold, customer_told
from .processes import WORTH_IT_EVENTS, Caller, others
from .result import Preview
from .share import Persons, Portion, Share
from .survey import members_of

CHUNK: Final = 1_000  # events between two looks at the bounds
ReadEvents = Callable[[], Iterable[Arrival]]  # the same events at each call


class Apart(NamedTuple):
    """How many processes divide the customers among them, and how another one reads the same events: a function that can be pickled."""

    processes: int
    read: ReadEvents


async def preview_events(
    read: ReadEvents,
    definitions: Definitions,
    rules: Rules,
    wishes: Wishes,
    bounds: Bounds,
    *,
    against: Definitions | None = None,
    until_ms: Callable[[int], int] = int,
    apart: Apart | None = None,
) -> Preview:
    """What ``definitions`` do with these events. ``against``: what holds now, of which the difference is told.

    ``until_ms`` is asked, with the arrival of the last event, up to when time passes behind it. Models learn on the way, on the share
    alone. The events are read once for each share but all, once for each of the definitions. Raises TooMuchError.

    ``apart``, with which ``until_ms`` can be pickled too, changes no answer. Where models learn, and of few events, all is done here.
    """
    apart = Apart(1, read) if apart is None or _is_one_piece(definitions, against, bounds) else apart
    persons, events = Persons(), 0
    if wishes.share < 1 or apart.processes > 1:
        persons, events = persons_in(read(), rules.placeholder_ids, bounds)
    count = apart.processes if events >= WORTH_IT_EVENTS else 1
    work = _Counting(definitions.content(), None if against is None else against.content(), rules, wishes, bounds, until_ms)
    async with others(_count_part, _EventsTask(work, apart.read, persons), count) as theirs:
        mine = await _counted(work, read, Share(wishes.share, persons, Portion(0, count)))
        found = united([mine, *await theirs.findings()], wishes.samples)
    return conclude(found, compile_plan(definitions, rules), wishes)


def _is_one_piece(definitions: Definitions, against: Definitions | None, bounds: Bounds) -> bool:
    """Whether customers cannot be divided: models learn from all of them, and so many events are a bound on all of them."""
    return bounds.counts_events or bool(definitions.models) or (against is not None and bool(against.models))


class _Counting(NamedTuple):
    """What each process is to do. ``definitions`` and ``against`` are canonical JSON."""

    definitions: bytes
    against: bytes | None
    rules: Rules
    wishes: Wishes
    bounds: Bounds
    until_ms: Callable[[int], int]


class _EventsTask(NamedTuple):
    work: _Counting
    read: ReadEvents
    persons: Persons


async def _count_part(_caller: Caller, task: object, part: Portion) -> Findings:
    """What another process does for its part of the customers."""
    assert isinstance(task, _EventsTask)
    return await _counted(task.work, task.read, Share(task.work.wishes.share, task.persons, part))


async def _counted(work: _Counting, read: ReadEvents, share: Share) -> Findings:
    in_force = None
    if work.against is not None:
        in_force = await members_of(await _told(work, work.against, read, share), share)
    fold = await _told(work, work.definitions, read, share)
    return await findings_of(fold, in_force, days=work.wishes.days, samples=work.wishes.samples)


async def _told(work: _Counting, content: bytes, read: ReadEvents, share: Share) -> Fold:
    fold = await Fold.begin(read_definitions(content), work.rules, work.bounds, learns=True)
    arrivals, chosen = iter(read()), Chosen(share, fold.placeholder_ids)
    while chunk := list(islice(arrivals, CHUNK)):
        await fold.take(chosen.of(chunk))
    fold.begins_ms = chosen.begins_ms
    await fold.until(chosen.now_ms)
    await fold.until(work.until_ms(fold.now_ms))
    return fold


def persons_in(arrivals: Iterable[Arrival], placeholder_ids: Iterable[str], bounds: Bounds) -> tuple[Persons, int]:
    """Which ids belong together by all events, and how many these are. Raises TooMuchError."""
    persons, placeholders, count = Persons(), frozenset(placeholder_ids), 0
    for count, arrival in enumerate(arrivals, 1):
        if count % CHUNK == 0:
            bounds.check()
        tie(persons, arrival, placeholders)
    return persons, count


def tie(persons: Persons, arrival: Arrival, placeholders: frozenset[str]) -> None:
    """Note which ids a record says are of one person, or were so before it."""
    if arrival.control:
        control = decode_control(arrival.value)
        if control.old:
            persons.unite(control.customer, control.old)
    elif names_two(arrival) and (event := event_of(arrival, placeholders)) is not None:
        persons.add(event, placeholders)


def names_two(arrival: Arrival) -> bool:
    """Whether an event may name two ids of its customer: told by its bytes, since decoding all of them would cost more than the rest."""
    value = arrival.value
    return (b"userId" in value and b"anonymousId" in value) or b"previousId" in value


def event_of(arrival: Arrival, placeholders: frozenset[str]) -> Event | None:
    """The event in a record; None for what is none."""
    try:
        return None if arrival.control else settle_customer(decode(arrival.value), placeholders)
    except RefusedError:
        return None


class Chosen:
    """Takes the records of a share out of a log. Time passes for them with everybody's records, so each arrives when it did."""

    def __init__(self, share: Share, placeholder_ids: Iterable[str]) -> None:
        self.now_ms = 0  # log time behind what was seen
        self.begins_ms: int | None = None  # when the first record of all arrived
        self._share = share
        self._placeholders = frozenset(placeholder_ids)

    def of(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """Those of customers in the share, and control records that concern all."""
        taken: list[Arrival] = []
        if self.begins_ms is None and arrivals:
            self.begins_ms = arrivals[0].arrival_ms
        for arrival in arrivals:
            self.now_ms = max(self.now_ms, arrival.arrival_ms)
            if self._takes(arrival):
                taken.append(arrival if arrival.arrival_ms == self.now_ms else arrival._replace(arrival_ms=self.now_ms))
        return taken

    def _takes(self, arrival: Arrival) -> bool:
        if self._share.is_all:
            return True
        if arrival.control:
            customer = customer_told(arrival)
            return not customer or self._share.takes(customer)
        event = event_of(arrival, self._placeholders)
        return self._share.takes_nobodys if event is None else self._share.takes(event.customer)


__all__ = ["CHUNK", "Apart", "Chosen", "ReadEvents", "preview_events", "tie"]
