"""Which ids the logs say were joined into whom, and what came under each: what it takes to tell two customers apart again.

Each id's own events lie in the log as their producers wrote them, whoever they count for by now. So what the shards have sent each other is
read only for what joined whom.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from streamer.customers.tombstone import Tombstone
from streamer.errors import RefusedError
from streamer.events.codec import decode
from streamer.events.event import Event
from streamer.events.placeholders import settle_customer
from streamer.wire import LogRecord, decode_control

from .forwards import forward_of
from .identity_records import Adopt, Link, Restore, decode_identity
from .own_past import ArrivedEvent, OwnPast
from .replay import Arrival

ESCAPED: Final = frozenset('"\\/')  # in an id: JSON may write these in more than one way


class Erased(NamedTuple):
    """An erasure: log time of the shard in which it lies, and all ids of whoever was erased."""

    at_ms: int
    ids: frozenset[str]


class _Turn(NamedTuple):
    """Something that tied ids together or parted them; ``to`` is empty where it parted."""

    at_ms: int
    id_: str
    to: str = ""
    is_erasure: bool = False


class _Adopted(NamedTuple):
    """A past that came to ``to``, in ``shard`` at ``offset``, and from where it was sent."""

    to: str
    shard: int
    offset: int
    sent_from: tuple[int, int]
    drained_ms: int


class Ties:
    """What joined whom, from the records of all shards. They are taken shard by shard, each in its order."""

    def __init__(self) -> None:
        self._turns: list[_Turn] = []
        self._adopts: dict[str, list[_Adopted]] = {}
        self._drained: dict[str, tuple[int, int]] = {}  # where the newest drain of an id lies
        self._linked: dict[str, tuple[int, int]] = {}  # where its newest link does

    def take(self, shard: int, record: LogRecord, at_ms: int) -> None:
        """A control record that counts, or one by which a shard ties ids together, at log time ``at_ms``."""
        if record.control:
            control = decode_control(record.value)
            if control.control == "erase":
                self._turns.append(_Turn(at_ms, control.customer, is_erasure=True))
            return
        forward = forward_of(record)
        if forward is None or forward.kind not in ("link", "adopt", "restore"):
            return
        content = decode_identity(forward, record)
        if isinstance(content, Link):
            self._linked[content.from_] = shard, record.offset
        elif isinstance(content, Restore):
            self._turns.append(_Turn(at_ms, content.customer))
        elif isinstance(content, Adopt) and content.is_last:
            sent_from = forward.shard, forward.offset
            self._adopts.setdefault(content.from_, []).append(_Adopted(content.to, shard, record.offset, sent_from, content.drained_ms))
            if not content.walk:  # it comes from where it was drained
                self._turns.append(_Turn(content.drained_ms, content.from_, content.to))
                self._drained[content.from_] = max(sent_from, self._drained.get(content.from_, sent_from))

    def under_way(self, ids: Iterable[str], survivor: str, upto: int, said: Mapping[int, int]) -> bool:
        """Whether the past of one of these old ids has not come to ``survivor`` yet, whose shard has applied all below ``upto``.

        ``said``: by shard, below which of its records all is in the logs that they brought about.
        """
        return any(self._is_under_way(id_, survivor, upto, said) for id_ in ids if id_ != survivor)

    def _is_under_way(self, id_: str, survivor: str, upto: int, said: Mapping[int, int]) -> bool:
        linked, adopts = self._linked.get(id_), self._adopts.get(id_, [])
        if linked is None or linked[1] >= said[linked[0]]:
            return True  # it may not be drained yet
        newest_ms = max((one.drained_ms for one in adopts), default=0)
        passed_on = {one.sent_from for one in adopts}
        for one in adopts:
            if one.drained_ms != newest_ms or (one.shard, one.offset) in passed_on:
                continue
            if one.to == survivor and one.offset >= upto:
                return True
            drained = self._drained.get(one.to)
            if one.to != survivor and drained is not None and drained < (one.shard, one.offset):
                return True  # it is to be sent on
        return False

    def told(self) -> tuple[Mapping[str, str], Sequence[Erased]]:
        """Into whom each id was joined, by the end of the logs, and who was erased."""
        into, erased = dict[str, str](), list[Erased]()
        for turn in sorted(self._turns, key=lambda turn: turn.at_ms):
            if turn.is_erasure:
                root = _root(into, turn.id_)
                everybody = under(into, root, root)
                erased.append(Erased(turn.at_ms, frozenset(everybody)))
                into = {id_: to for id_, to in into.items() if id_ not in everybody}
            elif turn.to:
                into[turn.id_] = turn.to
            else:
                into.pop(turn.id_, None)
        return into, erased


def _root(into: Mapping[str, str], id_: str) -> str:
    passed = {id_}
    while (to := into.get(id_)) is not None and to not in passed:
        passed.add(to)
        id_ = to
    return id_


def under(into: Mapping[str, str], top: str, survivor: str) -> set[str]:
    """``top`` and all ids that were joined into it, in however many steps; ``survivor``, by whom they all go, is joined into nobody."""
    found, new = {top}, {top}
    while new:
        new = {id_ for id_, to in into.items() if to in new and id_ != survivor} - found
        found |= new
    return found


class TwoPasts:
    """Gathers the events of two customers who were joined, from all logs in the order of arrival.

    ``ids`` are those of each, by which they go first. ``tombstones``: what is left under each old id; where several people use it, only
    what is for ``survivor`` is theirs.
    """

    def __init__(
        self, ids: Sequence[Sequence[str]], survivor: str, tombstones: Mapping[str, Tombstone], placeholders: Container[str], skew_ms: int
    ) -> None:
        self._whose = {id_: number for number, of_one in enumerate(ids) for id_ in of_one}
        self._ids = ids
        self._survivor = survivor
        self._tombstones = tombstones
        self._placeholders = placeholders
        self._skew_ms = skew_ms
        self._marks = [id_.encode() for id_ in self._whose if id_.isascii() and not ESCAPED & {*id_}]  # decoding all would take longer
        self._looks_at_all = len(self._marks) < len(self._whose)
        self._events: list[list[tuple[int, Event, bytes]]] = [[] for _ in ids]

    @property
    def count(self) -> int:
        """Events so far."""
        return sum(len(events) for events in self._events)

    def take(self, arrivals: Iterable[Arrival]) -> None:
        """Records that producers wrote; what is of others, and control records, is passed over."""
        for arrival in arrivals:
            if arrival.control or not (self._looks_at_all or any(mark in arrival.value for mark in self._marks)):
                continue
            try:
                event = settle_customer(decode(arrival.value), self._placeholders)
            except RefusedError:
                continue
            number = self._whose.get(event.customer)
            if number is not None and self._is_theirs(event):
                self._events[number].append((arrival.arrival_ms, event, arrival.value))

    def _is_theirs(self, event: Event) -> bool:
        tombstone = self._tombstones.get(event.customer)
        return tombstone is None or not tombstone.earlier or tombstone.target(event.timestamp_ms, self._skew_ms) == self._survivor

    def pasts(self, erased: Sequence[Erased]) -> Iterator[OwnPast]:
        """What is known of each, but for what was erased."""
        for ids, events in zip(self._ids, self._events, strict=True):
            left = [ArrivedEvent(at_ms, msgspec.Raw(raw)) for at_ms, event, raw in events if not _is_gone(at_ms, event, erased)]
            yield OwnPast([*ids], left)


def _is_gone(at_ms: int, event: Event, erased: Sequence[Erased]) -> bool:
    return any(event.customer in one.ids and (at_ms < one.at_ms or event.timestamp_ms <= one.at_ms) for one in erased)
