"""A preview over events that can be read as often as one likes: files, or a list in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final

from streamer.errors import RefusedError
from streamer.events.codec import decode
from streamer.events.event import Event
from streamer.events.placeholders import settle_customer
from streamer.flow.replay import Arrival
from streamer.flow.rules import Rules
from streamer.language.definitions import Definitions

from .bounds import Bounds
from .conclusion import Wishes, conclude
from .fold import Fold
from .result import Preview
from .share import Persons, Share
from .survey import members_of

CHUNK: Final = 1_000  # events between two looks at the bounds
ReadEvents = Callable[[], Iterable[Arrival]]  # the same events at each call


async def preview_events(
    read: ReadEvents,
    definitions: Definitions,
    rules: Rules,
    wishes: Wishes,
    bounds: Bounds,
    *,
    against: Definitions | None = None,
    until_ms: Callable[[int], int] = int,
) -> Preview:
    """What ``definitions`` do with these events. ``against``: what holds now, of which the difference is told.

    ``until_ms`` is asked, with the arrival of the last event, up to when time passes behind it. Models learn on the way, on the share
    alone. The events are read once for each share but all, once for each of the definitions. Raises TooMuchError.
    """
    share = Share(wishes.share, persons_in(read(), rules.placeholder_ids, bounds) if wishes.share < 1 else Persons())
    in_force = None
    if against is not None:
        before = await _told(read, share, await Fold.begin(against, rules, bounds, learns=True), until_ms)
        in_force = await members_of(before, share)
    fold = await _told(read, share, await Fold.begin(definitions, rules, bounds, learns=True), until_ms)
    return await conclude(fold, wishes, in_force)


async def _told(read: ReadEvents, share: Share, fold: Fold, until_ms: Callable[[int], int]) -> Fold:
    arrivals, chosen = iter(read()), Chosen(share, fold.placeholder_ids)
    while chunk := list(islice(arrivals, CHUNK)):
        await fold.take(chosen.of(chunk))
    fold.begins_ms = chosen.begins_ms
    await fold.until(chosen.now_ms)
    await fold.until(until_ms(fold.now_ms))
    return fold


def persons_in(arrivals: Iterable[Arrival], placeholder_ids: Iterable[str], bounds: Bounds) -> Persons:
    """Which ids belong together by all events. Raises TooMuchError."""
    persons, placeholders = Persons(), frozenset(placeholder_ids)
    for count, arrival in enumerate(arrivals, 1):
        if count % CHUNK == 0:
            bounds.check()
        if names_two(arrival) and (event := event_of(arrival, placeholders)) is not None:
            persons.add(event, placeholders)
    return persons


def names_two(arrival: Arrival) -> bool:
    """Whether an event may name two ids of its customer: told by its bytes, since decoding all of them would cost more than the rest."""
    value = arrival.value
    return not arrival.control and ((b"userId" in value and b"anonymousId" in value) or b"previousId" in value)


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
        """Those of customers in the share, and control records, which concern all. What is no event is nobody's, and left out."""
        taken: list[Arrival] = []
        if self.begins_ms is None and arrivals:
            self.begins_ms = arrivals[0].arrival_ms
        for arrival in arrivals:
            self.now_ms = max(self.now_ms, arrival.arrival_ms)
            if self._takes(arrival):
                taken.append(arrival if arrival.arrival_ms == self.now_ms else arrival._replace(arrival_ms=self.now_ms))
        return taken

    def _takes(self, arrival: Arrival) -> bool:
        if self._share.is_all or arrival.control:
            return True
        event = event_of(arrival, self._placeholders)
        return event is not None and self._share.takes(event.customer)


__all__ = ["CHUNK", "Chosen", "ReadEvents", "event_of", "names_two", "preview_events"]
