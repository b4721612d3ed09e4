"""One person under several ids, over the logs of all shards: who has whose past from where on.

Each shard tells its own log. What one of them sends to another is read from the log for its kind, its customer and its place only: what it
says is what the oracle itself would have sent from there, so nothing that the product remembered is believed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.oracle.story import FOREVER_AGO, IDS_MAX, Cause, Customer, Definitions, Forward, Record, Story

LINKS_MAX = 50
LINKS_SPAN_MS = 30 * 86_400_000
HOPS_MAX = 8
Draft = dict[str, Any]


@dataclass(frozen=True)
class Message:
    """What a shard sends on. ``about`` is the customer whose shard gets it; what else counts depends on the kind."""

    kind: str  # event, link, adopt, point, erase
    about: str
    old: str = ""
    into: str = ""
    passed: tuple[str, ...] = ()  # ids that it came by
    walk: tuple[str, ...] = ()  # of an adopt: old ids, each of which led to the next, the last to ``about``
    is_alias: bool = False
    linked_ms: int = FOREVER_AGO
    cause: str = ""  # the message id of the event that said so
    links: tuple[tuple[str, int], ...] = ()  # of the past
    past: Customer | None = None
    memories: frozenset[str] = frozenset()  # of the shard that drained it
    version: int = 0  # of an adopt: the definitions under which it was drained; of a side: those for which it was folded
    passed_under: int = 0  # of an adopt: the highest version of the definitions under which it was sent on
    kept: object = None  # of the past, by a story that keeps more of a customer than what happened
    hops: int = 0
    may_link: bool = True
    person: frozenset[str] = frozenset()  # of an erasure that comes from the survivor: all ids of whoever is erased


@dataclass
class Post:
    """What was sent from where, by all shards.

    ``stories`` are those of the shards, ``news`` the definitions that came, by version. ``as_if`` has, by version and shard, the same logs
    told under these from their beginning, as far as somebody had to know.
    """

    stories: dict[int, PersonStory] = field(default_factory=dict[int, "PersonStory"])
    news: dict[int, Definitions] = field(default_factory=dict[int, Definitions])
    as_if: dict[tuple[int, int], PersonStory] = field(default_factory=dict[tuple[int, int], "PersonStory"])
    sent: defaultdict[tuple[int, int], list[Message]] = field(default_factory=lambda: defaultdict(list))
    told: dict[int, int] = field(default_factory=dict[int, int])  # the newest offset of each shard that was told
    arrived: set[tuple[int, int, str, str]] = field(default_factory=set[tuple[int, int, str, str]])

    @property
    def messages(self) -> list[Message]:
        """All that was sent."""
        return [message for messages in self.sent.values() for message in messages]

    def take(self, record: Record, kind: str) -> Message:
        """What a record of this kind says. AssertionError when nothing of the kind should have been sent from where it comes from."""
        shard, offset, about = _sender(record)
        found = self._found(shard, offset, kind, about)
        assert found is not None, f"shard {shard} should have sent no {kind} to {about} at offset {offset}, but {self.sent[shard, offset]}"
        self.arrived.add((shard, offset, kind, about))
        return found

    def _found(self, shard: int, offset: int, kind: str, about: str) -> Message | None:
        return next((message for message in self.sent[shard, offset] if (message.kind, message.about) == (kind, about)), None)

    def side_sent_on(self, record: Record) -> Message | None:
        """What a ``side`` record says that came by an old id; None where it comes from where somebody was drained."""
        shard, offset, about = _sender(record)
        return self.take(record, "side") if self._found(shard, offset, "side", about) is not None else None

    def drained_under(self, record: Record, new: Definitions) -> Message:
        """The past of whoever was drained where a record comes from, as if these definitions had always held."""
        shard, offset, about = _sender(record)
        story = self.under(new, shard)
        story.catch_up(offset)
        found = story.post._found(shard, offset, "adopt", about)
        assert found is not None, f"shard {shard} drained nobody for {about} at offset {offset}"
        return found

    def under(self, new: Definitions, shard: int) -> PersonStory:
        """A shard's log, told as if these definitions had always held, as far as it was."""
        if (new.version, shard) not in self.as_if:
            self.as_if[new.version, shard] = self.stories[shard].begun_under(new)
        return self.as_if[new.version, shard]

    def undelivered(self) -> list[tuple[int, int, str, str]]:
        """What never arrived, but for what need not be said."""
        everything = {(*place, each.kind, each.about) for place, messages in self.sent.items() for each in messages if each.kind != "point"}
        return sorted(everything - self.arrived)

    def is_ready(self, record: Record) -> bool:
        """Whether the shard that sent the record was told as far as there."""
        return record.forward is None or self.told.get(record.forward.shard, FOREVER_AGO) >= record.forward.place[1]


class PostAsIf(Post):
    """The same, for logs that are told as if some definitions had always held: what was drained before them is what was drained there."""

    def __init__(self, real: Post, new: Definitions) -> None:
        super().__init__()
        self._real, self._new = real, new

    def take(self, record: Record, kind: str) -> Message:
        shard, offset, about = _sender(record)
        found = self._real._found(shard, offset, kind, about)
        assert found is not None, "the shard itself has taken it"
        if kind != "adopt" or max(found.version, found.passed_under) >= self._new.version:
            return found
        return self._real.drained_under(record, self._new)

    def side_sent_on(self, record: Record) -> Message | None:
        shard, offset, about = _sender(record)
        return self._real._found(shard, offset, "side", about)


class PersonStory(Story):
    """The story of one shard. ``home`` says in which shard a customer is at home."""

    def __init__(self, number: int, home: Callable[[str], int], post: Post, definitions: dict[str, Any], **options: Any) -> None:
        super().__init__(definitions, **options)
        self.number, self.home, self.post = number, home, post
        post.stories.setdefault(number, self)
        self.links: dict[str, dict[str, int]] = {}  # of a customer: old ids, and when each was linked
        self.tombstones: dict[str, list[tuple[int, str]]] = {}  # of an old id: since when, and to whom
        self.lifted: set[str] = set()  # customers who were old ids once: the links that they had noted went on with their past
        self.met: Counter[str] = Counter()  # what happened, for whoever must know that it did
        self.numbers: dict[str, int] = {}  # of an old id: no change that was said of it has a higher number
        self.offset = FOREVER_AGO
        self.digest: str | None = None  # by which the definitions in force are known, where records say it
        self.came_from: dict[int, str] = {}  # by version, the digest of the definitions before
        self.log: list[Record] = []  # of a story that was ``begun_under`` other definitions: what is to be told
        self.joined: set[tuple[int, int, str]] = set()  # of each adopt that came: shard, offset, customer
        self.sides: set[tuple[int, int, int, str]] = set()  # of which a side was taken: version, shard, offset, customer

    def begun_under(self, new: Definitions) -> PersonStory:
        """A story of the same log, of which nothing is told yet, as if these definitions had always held."""
        options = {"version": new.version, "lateness_ms": self.lateness_ms, "skew_ms": self.skew_ms}
        found = type(self)(self.number, self.home, PostAsIf(self.post, new), new.source, **options)
        found.is_as_if, found.placeholders, found.log = True, self.placeholders, self.told
        return found

    def catch_up(self, offset: int) -> None:
        """Tell what the log has up to there, of a story that was ``begun_under`` other definitions."""
        while len(self.told) < len(self.log) and self.log[len(self.told)].offset <= offset:
            self.tell(self.log[len(self.told)])

    def _as_if(self, new: Definitions) -> Story:
        self.post.news[new.version] = new
        found = self.post.under(new, self.number)
        found.catch_up(self.offset)
        self.sides |= {(new.version, *place) for place in found.joined}
        return found

    def tell(self, record: Record) -> None:
        self.offset = record.offset
        super().tell(record)
        self.post.told[self.number] = record.offset

    def _is_sent_again(self, record: Record, forward: Forward) -> bool:
        """What comes of an old id that was drained has numbers of its own."""
        if record.body.get("control") == "side" and self.post.side_sent_on(record) is None:
            return False
        return super()._is_sent_again(record, forward)

    def _send(self, message: Message) -> None:
        self.post.sent[self.number, self.offset].append(message)

    def _apply(self, record: Record) -> list[Draft]:
        kind = record.body.get("control", "event")
        if record.forward is None or kind == "event":
            before = self.digest, self.definitions.version
            drafts = super()._apply(record)
            if kind == "definitions":
                self._note_digest(record.body, *before)
            return drafts
        if kind == "side":
            return self._apply_side(record, record.body["version"])
        message = self.post.take(record, kind)
        assert record.body.get("from", message.old) == message.old, (record, message)
        assert record.body.get("to", message.into) == message.into, (record, message)
        match kind:
            case "link":
                return self._drain(message)
            case "adopt":
                self.joined.add(_sender(record))
                return self._adopt(message)
            case "point":
                return self._point(message)
            case "erase":
                return self._erase_old(message.about, message.person) if message.person else self._erase(message.about)
            case _:
                raise AssertionError(kind)

    def _note_digest(self, body: dict[str, Any], digest: str | None, version: int) -> None:
        if body["version"] == self.definitions.version:
            self.digest = body.get("digest")
        if digest is not None and self.definitions.version > version:
            self.came_from[self.definitions.version] = digest

    # Events

    def _admit(self, event: dict[str, Any], record: Record) -> list[Draft]:
        customer, may_link, hops = self._customer(event), record.may_link, 0
        if record.forward is not None:
            message = self.post.take(record, "event")
            customer, may_link, hops = message.about, message.may_link, message.hops
        if customer is None:
            return super()._admit(event, record)
        if event["type"] == "alias" and not self._is_good_alias(event):
            self.counts["bad_alias"] += 1
            return []
        goal = self._goal(customer, event["timestamp"])
        if goal is not None:
            if refused := self._refused(customer, event["timestamp"], record):
                self.counts[refused] += 1
                return []
            self._send_on(Message("event", goal, hops=hops + 1, may_link=may_link))
            return []
        before = self.counts["accepted"]
        drafts = self._admit_as(customer, event, record)
        if self.counts["accepted"] > before and may_link:
            self._link(customer, event)
        return drafts

    def _refused(self, customer: str, timestamp: int, record: Record) -> str:
        """Why an event is not sent on: too early, or of somebody who was erased and had the old id before. Late it may be there."""
        arrived = record.forward.arrival_ms if record.forward is not None else self.now
        if timestamp > arrived + self.skew_ms:
            return "future"
        return "of_erased" if customer in self.tombstones and self._is_of_erased(customer, timestamp) else ""

    def _goal(self, customer: str, timestamp: int) -> str | None:
        """To whom an event is sent on; None where it belongs here."""
        if customer in self.tombstones:
            return self._target(customer, timestamp)
        return customer if customer not in self.customers and self.home(customer) != self.number else None

    def _target(self, old: str, timestamp: int) -> str:
        """Whoever had the old id when something of this time can have been sent first."""
        (_, first), *later = self.tombstones[old]
        return next((to for since, to in reversed(later) if timestamp > since + self.skew_ms), first)

    def _send_on(self, message: Message) -> None:
        if message.hops > HOPS_MAX:
            self.counts["too_many_hops"] += 1
        else:
            self._send(message)

    def _is_good_alias(self, event: dict[str, Any]) -> bool:
        old, into = _previous(event), event.get("userId")
        return self._names_somebody(old) and self._names_somebody(into) and old != into

    def _link(self, customer: str, event: dict[str, Any]) -> None:
        """An event that was accepted names another id of its customer: note it and say so, within bounds."""
        is_alias = event["type"] == "alias"
        old = _previous(event) if is_alias else event.get("anonymousId")
        links = self.links.setdefault(customer, {})
        if not self._names_somebody(old) or not self._names_somebody(event.get("userId")) or old == customer or old in links:
            return
        if len(links) >= LINKS_MAX and min(links.values()) > self.now - LINKS_SPAN_MS:
            self.counts["links_refused"] += 1
            return
        assert old is not None
        self.links[customer] = _newest({**links, old: self.now}, but=customer)
        self._send(Message("link", old, old=old, into=customer, is_alias=is_alias, linked_ms=self.now, cause=event["messageId"]))

    # Old ids

    def _drain(self, link: Message) -> list[Draft]:
        """The old id's past goes to the survivor, and it is in nothing any more."""
        old, into = link.old, link.into
        if old in self.tombstones:
            return self._drain_again(link, self.tombstones[old][-1][1])
        self.tombstones[old] = [(self.now, into)]
        one = self.customers.pop(old, None)
        if one is None:
            return []
        links = tuple(self.links.pop(old, {}).items())
        self.lifted.discard(old)
        memories, version, kept = frozenset(self.born), self.definitions.version, self._kept(old)
        self._send(replace(link, kind="adopt", about=into, links=links, past=one, memories=memories, version=version, kept=kept))
        drafts = self._leave_all(old, one, Cause("merge", id=link.cause, into=into))
        self.numbers[old] = self._highest(old, one)
        return drafts

    def _kept(self, old: str) -> object:
        """What else goes along with the past of an old id."""
        return None

    def _highest(self, old: str, one: Customer) -> int:
        """No change of a customer has a higher number."""
        return max([one.counts_from, *(standing.sequence for standing in one.standings.values())])

    def _drain_again(self, link: Message, target: str) -> list[Draft]:
        """The old id has somebody already: an alias joins the two; else a device is shared, and later events are the newest's."""
        if target == link.into:
            self.counts["links_repeated"] += 1
        elif link.is_alias:
            self._send(replace(link, about=target, old=target, passed=(*link.passed, link.old)))
        else:
            self.tombstones[link.old].append((self.now, link.into))
        return []

    def _point(self, point: Message) -> list[Draft]:
        """What led to somebody who was merged leads to the survivor."""
        old, into = point.about, point.into
        if old in self.customers:
            return self._meet(point) if self.links.get(old, {}).keys() & {*point.passed, into} else []
        if old in self.tombstones:
            self.tombstones[old] = [(since, into if to in point.passed else to) for since, to in self.tombstones[old]]
        return []

    def _meet(self, point: Message) -> list[Draft]:
        """Two survived, each a circle that other points had shortened meanwhile: the smaller stays."""
        one, other = point.about, point.into
        self.met["two survivors met"] += 1
        link = Message("link", one, old=one, into=other, is_alias=True, linked_ms=self.now, cause=point.cause)
        if other < one:
            return self._drain(replace(link, linked_ms=point.linked_ms))
        self.links[one] = _newest(_united(self.links[one], {other: self.now}), but=one)
        self._send(replace(link, about=other, old=other, into=one))
        return []

    # Survivors

    def _adopt(self, adopt: Message) -> list[Draft]:
        goal = adopt.about
        if goal in self.customers:
            if self._is_noted(adopt):
                return self._take(adopt)
        elif goal in self.tombstones:
            return self._adopt_elsewhere(adopt)
        self.counts["adopt_of_erased"] += 1
        return []

    def _adopt_elsewhere(self, adopt: Message) -> list[Draft]:
        """Its goal is an old id by now: on to the survivor, or where ids lead in a circle, to the smallest of them."""
        goal, target = adopt.about, self.tombstones[adopt.about][0][1]
        walk = (*adopt.walk, goal)
        if target in walk:
            circle = walk[walk.index(target) :]
            target, at = min(circle), circle.index(min(circle))
            walk = (*circle[at + 1 :], *circle[:at])  # it closes there
        if target != goal:
            passed = tuple(dict.fromkeys((*adopt.passed, goal)))
            under = max(adopt.passed_under, self.definitions.version)
            self._send(replace(adopt, about=target, into=target, passed=passed, walk=walk, passed_under=under))
            return []
        del self.tombstones[goal]
        self.customers[goal] = Customer(self.now, counts_from=self.numbers.pop(goal, 0))
        self.links[goal] = dict.fromkeys(walk, 0)
        self.lifted.add(goal)
        self.met["lifted"] += 1
        if self._is_of_erased(goal, adopt.linked_ms):  # somebody is to be where ids lead, though nothing is left to take
            self.counts["adopt_of_erased"] += 1
            return []
        return self._take(adopt)

    def _is_noted(self, adopt: Message) -> bool:
        """Whether the customer made the link by which this comes: they may have been erased since, and begun anew."""
        goal, links = adopt.about, self.links.get(adopt.about, {})
        if goal in self.lifted:
            return not self._is_of_erased(goal, adopt.linked_ms)
        if adopt.passed:
            return any(id_ in links for id_ in (adopt.old, *adopt.passed))
        return adopt.old in links and links[adopt.old] <= adopt.linked_ms

    def _take(self, adopt: Message) -> list[Draft]:
        """All that the old id had is remembered now, in its old order, behind all that is there."""
        goal, past = adopt.about, adopt.past
        assert past is not None
        if adopt.version != self.definitions.version:
            self.met["lifted across a switch" if goal in self.lifted else "adopted across a switch"] += 1
        one = self.customers[goal]
        self._remember(one, past, {memory for memory, since in self.born.items() if since <= adopt.version and memory in adopt.memories})
        one.forgotten_ms = max(one.forgotten_ms, past.forgotten_ms)
        one.ids = one.ids + past.ids
        while len(one.ids) > IDS_MAX:
            one.forgotten_ms = max(one.forgotten_ms, _forget_a_minute(one))
        self._note_old_ids(adopt)
        return self._judge(goal, self.now, Cause("merge", id=adopt.cause, old=adopt.old))

    def _remember(self, one: Customer, past: Customer, memories: set[str]) -> None:
        """These memories get the events of a past, in their old order, behind all that they have."""
        everything = memories == self.born.keys()
        for rank, each in enumerate(sorted(past.history, key=lambda each: each.place), 1):  # also those that count as now
            known = frozenset(memories if each.known_to is None else memories & each.known_to)
            known_to = None if everything and each.known_to is None else known
            if known_to is None or known_to:
                one.history.append(replace(each, offset=self.offset, t=min(each.t, self.now), rank=rank, known_to=known_to))

    # What is new in definitions, of an old id that was drained before they held

    def _apply_side(self, record: Record, version: int) -> list[Draft]:
        side = self.post.side_sent_on(record)
        if side is None:
            place = (version, *_sender(record))
            if self.is_as_if or version > self.definitions.version or place in self.sides:
                return []  # it counts where the definitions come, or has counted there
            if self.came_from.get(version, record.body["before"]) != record.body["before"]:
                return []  # of who came to these definitions from others than held here, and went by these after all
            self.sides.add(place)
            side = self.post.drained_under(record, self.post.news[version])
        return self._take_side(replace(side, kind="side"))

    def _take_side(self, side: Message) -> list[Draft]:
        goal, past = side.about, side.past
        assert past is not None
        if goal in self.tombstones:
            target = self.tombstones[goal][0][1]
            self._send(replace(side, about=target, into=target, passed=tuple(dict.fromkeys((*side.passed, goal)))))
        elif goal in self.customers and self._is_noted(side) and side.version <= self.definitions.version:
            self.met["side taken"] += 1
            self._remember(self.customers[goal], past, {memory for memory, since in self.born.items() if since == side.version})
            return self._judge(goal, self.now, Cause("merge", id=side.cause, old=side.old))
        return []

    def _note_old_ids(self, adopt: Message) -> None:
        """The old ids of an old id are the survivor's, and lead here from now on."""
        goal, came, links = adopt.about, dict(adopt.links), self.links.get(adopt.about, {})
        new = {id_: self.now for id_ in (adopt.old, *adopt.passed) if id_ not in links}
        self.links[goal] = _newest(_united(links, {**came, **new}), but=goal)
        point = Message("point", goal, into=goal, passed=(adopt.old, *adopt.passed, *came), linked_ms=self.now, cause=adopt.cause)
        for id_ in dict.fromkeys((adopt.old, *came, *adopt.passed)):  # those that lead here already need not be told
            if id_ != goal:
                self._send(replace(point, about=id_))

    # Erasures

    def _erase(self, customer: str) -> list[Draft]:
        """Of whatever id it is, the whole person goes."""
        if customer in self.tombstones:
            self.erased_ms[customer] = self.now
            self.numbers.pop(customer, None)
            for survivor in dict.fromkeys(to for _, to in self.tombstones.pop(customer)):
                self._send(Message("erase", survivor))
            return []
        links = self.links.pop(customer, {})
        self.lifted.discard(customer)
        for old in links:
            self._send(Message("erase", old, person=frozenset((customer, *links))))
        return super()._erase(customer)

    def _erase_old(self, old: str, person: frozenset[str]) -> list[Draft]:
        """The survivor was erased. Whoever shares the id with them keeps it, from here on."""
        entries = self.tombstones.get(old, [])
        left = [(since, to) for since, to in entries if to not in person]
        if left:
            self.tombstones[old] = left
        elif entries:
            del self.tombstones[old]
            self.numbers.pop(old, None)
            self.erased_ms[old] = self.now
        return []


def _sender(record: Record) -> tuple[int, int, str]:
    """From where a record was sent, and about whom: a shard, the offset of the record that it had in hand, and a customer."""
    assert record.forward is not None
    assert record.forward.key is not None
    return record.forward.shard, record.forward.place[1], record.forward.key


def _previous(event: dict[str, Any]) -> str | None:
    return event.get("previousId") or (event.get("properties") or {}).get("previousId")


def _united(links: dict[str, int], others: dict[str, int]) -> dict[str, int]:
    """Both, each with when it was linked first; 0 is not known."""
    return {id_: min(filter(None, (links.get(id_), others.get(id_))), default=0) for id_ in (*links, *others)}


def _newest(links: dict[str, int], *, but: str) -> dict[str, int]:
    found = sorted((since, id_) for id_, since in links.items() if id_ != but)[-LINKS_MAX:]
    return {id_: since for since, id_ in found}


def _forget_a_minute(one: Customer) -> int:
    """Drop the ids of the oldest minute; its last millisecond."""
    forgotten = min(ts // 60_000 for _, ts in one.ids)
    one.ids = [(id_, ts) for id_, ts in one.ids if ts // 60_000 > forgotten]
    return forgotten * 60_000 + 59_999


def tell_all(stories: Sequence[PersonStory], logs: Mapping[int, Sequence[Record]]) -> None:
    """Tell the logs of all shards, each record after the one by which it was sent on."""
    post, waiting = stories[0].post, {shard: list(reversed(records)) for shard, records in logs.items()}
    while any(waiting.values()):
        before = sum(map(len, waiting.values()))
        for story in stories:
            rest = waiting[story.number]
            while rest and post.is_ready(rest[-1]):
                story.tell(rest.pop())
        assert sum(map(len, waiting.values())) < before, "records wait for each other"
