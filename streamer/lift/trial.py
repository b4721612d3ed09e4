"""Decisions on messages and what customers did afterwards, brought together.

Of each person the first decision on a message counts, with what came of it. Arms are drawn by customer, so a second decision is no second
draw, and to count it would promise more than was measured. Only decisions whose whole window is over are counted: those still open would
favour the arm that acts at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from streamer.errors import RefusedError
from streamer.events.event import Event
from streamer.events.placeholders import PLACEHOLDER_IDS, settle_customer
from streamer.values import Json, lookup, scaled

from .assignment import Assignment


class Followed(NamedTuple):
    """A person's first decision on a message with what came of it so far. ``worth`` is the sum of what its goal's events were worth, in
    ten-thousandths; ``is_over`` whether nothing can be added any more."""

    assignment: Assignment
    is_over: bool
    reached: bool
    worth: int


class _Happened(NamedTuple):
    """An event that is some message's goal."""

    at_ms: int
    message_id: str
    properties: dict[str, Json]


class Trial:
    """Tell it all decisions, then all events in the order of the log; ``followed`` says what came of the decisions.

    Whose an anonymous id is, it learns as the log does: from the first event that has a user's id beside it, and from aliases. Memory grows
    with decisions and with events that are goals.
    """

    def __init__(self) -> None:
        self.now_ms = 0
        self.decisions: dict[str, set[str]] = {}  # keys by message: a record may lie in the ledger twice
        self._first: dict[tuple[str, str], Assignment] = {}
        self._decided = set[str]()
        self._users: dict[str, str] = {}
        self._goals = set[str]()
        self._happened: dict[tuple[str, str], list[_Happened]] = {}

    def decide(self, assignment: Assignment) -> None:
        """One decision. The same one may come again."""
        self.decisions.setdefault(assignment.message, set()).add(assignment.key)
        self._keep_first(assignment.customer, assignment)
        self._decided.add(assignment.customer)
        self._goals.add(assignment.goal)

    def happen(self, event: Event, arrival_ms: int) -> None:
        """One event of the log and when it arrived."""
        self.now_ms = max(self.now_ms, arrival_ms)
        try:
            event = settle_customer(event, PLACEHOLDER_IDS)
        except RefusedError:
            return
        self._learn_user(event)
        if event.name in self._goals:
            found = _Happened(min(event.timestamp_ms, arrival_ms), event.message_id, event.properties or {})
            self._happened.setdefault((event.customer, event.name), []).append(found)

    def pass_time(self, arrival_ms: int) -> None:
        """A record that is no event."""
        self.now_ms = max(self.now_ms, arrival_ms)

    def followed(self) -> Iterator[Followed]:
        """What came of each person's first decision on each message, in the order of the decisions."""
        first, self._first = self._first, {}
        for assignment in first.values():
            self._keep_first(self._person(assignment.customer), assignment)
        happened = self._by_person()
        for (_, person), assignment in sorted(self._first.items(), key=lambda found: _order(found[1])):
            yield _follow(assignment, happened.get((person, assignment.goal), []), self.now_ms)

    def _keep_first(self, person: str, assignment: Assignment) -> None:
        place = assignment.message, person
        if place not in self._first or _order(assignment) < _order(self._first[place]):
            self._first[place] = assignment

    def _learn_user(self, event: Event) -> None:
        """Of ids without a decision nothing need be known: their decisions are nobody's."""
        other = event.anonymous_id
        if event.type == "alias":
            previous = (event.properties or {}).get("previousId")
            other = previous if type(previous) is str else None
        if other in self._decided and event.user_id and other != event.user_id:
            self._users.setdefault(other, event.user_id)

    def _person(self, customer: str) -> str:
        """The last id that this one leads to. Ids may lead to each other in a circle; then the smallest of it."""
        seen = [customer]
        while (user := self._users.get(seen[-1])) is not None:
            if user in seen:
                return min(seen[seen.index(user) :])
            seen.append(user)
        return seen[-1]

    def _by_person(self) -> dict[tuple[str, str], list[_Happened]]:
        found: dict[tuple[str, str], list[_Happened]] = {}
        for (customer, name), happened in self._happened.items():
            found.setdefault((self._person(customer), name), []).extend(happened)
        return found


def _order(assignment: Assignment) -> tuple[int, str]:
    return assignment.at_ms, assignment.key


def _follow(assignment: Assignment, happened: list[_Happened], now_ms: int) -> Followed:
    """Each event once: it may lie in the log twice."""
    end_ms = assignment.at_ms + assignment.within_ms
    within = {one.message_id: one for one in happened if assignment.at_ms < one.at_ms <= end_ms}
    worth = 0
    if assignment.worth:
        find = lookup(assignment.worth)
        worth = sum(scaled(find(one.properties)) or 0 for one in within.values())
    return Followed(assignment, end_ms < now_ms, bool(within), worth)
