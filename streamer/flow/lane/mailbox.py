"""What the lanes of other shards have sent to one lane, read ahead of where it stands in its log.

It holds no more than ``HELD_BYTES_MAX``. What had no room is heard again once it is awaited; what was taken is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Final, NamedTuple

import msgspec

from streamer.customers.memories import Data
from streamer.errors import RefusedError
from streamer.flow.forwards import Forward, check_forward, forward_of
from streamer.flow.identity_records import Adopt, Side, decode_identity
from streamer.flow.rules import Rules
from streamer.signing import CONTROL, FORWARD, Keyring, SignedPlace, Trust, check_control, check_signed
from streamer.wire import EVENTS, LogRecord, decode_control

HELD_BYTES_MAX: Final = 64_000_000
SentFrom = tuple[int, int]  # a shard, and the offset in its log at which its lane sent something


class SentPast(NamedTuple):
    """What the lane of another shard remembers of an old id. ``origin_ms`` is the begin of the clock by which the memories go: with history
    it is before that of the shard. ``links`` and ``aliases``: see ``Side``."""

    origin_ms: int
    memories: dict[str, Data]
    links: dict[str, int]
    aliases: Sequence[str]

    def instead_of(self, adopt: Adopt, version: int) -> Adopt:
        """The same past, as the lane has it."""
        links = {**self.links, **adopt.links}
        return msgspec.structs.replace(adopt, origin_ms=self.origin_ms, memories=self.memories, version=version, links=links)


class Heard(NamedTuple):
    """From which offset on a log is heard, and the keys that held there."""

    offset: int
    trust: Trust


class _HeldPart(NamedTuple):
    """A part of what was sent from one place: where it lies in the log, and how large it is."""

    side: Side
    offset: int
    size_bytes: int


class Mailbox:
    """What was sent towards definitions of ``version`` by lanes that lead there from those whose digest is ``before``, by the place of its
    sending. Records are to be heard in their order, from ``heard_upto`` on; others are passed over."""

    def __init__(self, shard: int, rules: Rules, keyring: Keyring, version: int, before: str, held_bytes_max: int) -> None:
        self.held_bytes = 0
        self.heard_upto = 0  # the offset of the next record to hear
        self._shard = shard
        self._rules = rules
        self._keyring = keyring
        self._version = version
        self._before = before
        self._held_bytes_max = held_bytes_max
        self._trusts = [Heard(0, Trust())]  # the changes of keys, ascending
        self._parts: dict[SentFrom, dict[int, _HeldPart]] = {}
        self._oldest: list[tuple[int, SentFrom]] = []  # a heap of where those lie that are held, or were
        self._newest: dict[int, int] = {}  # the highest offset by shard from which something has come
        self._missing = set[SentFrom]()
        self._taken = set[SentFrom]()
        self._done: dict[int, int] = {}  # by shard, the place up to which all was taken that is not of history
        self._in_doubt: dict[int, int] = {}  # by shard, a place from which all was taken, or something of history
        self._done_of_history = set[SentFrom]()
        self._awaited: SentFrom | None = None
        self._left_out: int | None = None  # the lowest offset of what had no room
        self._again_for: SentFrom | None = None  # for whom all is heard again from there on
        self._whole_at = 0  # once so much is heard, all is that ever was

    def begin(self, heard: Heard, taken_upto: dict[int, tuple[int, int, int]]) -> None:
        """Hear from there on, for whoever has taken what was sent from below these places, by shard, but for what is of history."""
        self.heard_upto, self._trusts = heard.offset, [heard]
        self._in_doubt = {shard: place[1] for shard, place in taken_upto.items()}
        self._done = {shard: offset - 1 for shard, offset in self._in_doubt.items()}

    @property
    def needed_from(self) -> Heard:
        """From where on the log is to be heard by whoever goes on from here: below it lies nothing that is held, or had no room."""
        while self._oldest and not self._is_held(*self._oldest[0]):
            heappop(self._oldest)
        held = self._oldest[0][0] if self._oldest else self.heard_upto
        return Heard(offset := min(held, self.heard_upto if self._left_out is None else self._left_out), self._trust_at(offset))

    def _is_held(self, offset: int, place: SentFrom) -> bool:
        return any(part.offset == offset for part in self._parts.get(place, {}).values())

    def _trust_at(self, offset: int) -> Trust:
        return next(heard.trust for heard in reversed(self._trusts) if heard.offset <= offset)

    def hear(self, records: Iterable[LogRecord]) -> None:
        """Keep what in these records is for this lane. What may not say so is dropped: the shard itself refuses it when it comes there."""
        for record in records:
            if record.offset < self.heard_upto:
                continue
            self.heard_upto = record.offset + 1
            if record.control:
                self._hear_keys(record)
            elif record.headers:
                try:
                    self._hear(record)
                except RefusedError:
                    continue

    def _hear_keys(self, record: LogRecord) -> None:
        if b'"keys"' not in record.value:
            return
        try:
            control = decode_control(record.value)
            if control.control == "keys" and record.offset >= self._trusts[-1].offset:
                place = SignedPlace(CONTROL, EVENTS, self._shard)
                self._trusts.append(Heard(record.offset + 1, check_control(self._trusts[-1].trust, self._keyring, control, record, place)))
        except RefusedError:
            return

    def _hear(self, record: LogRecord) -> None:
        forward = forward_of(record)
        if forward is None or forward.kind != "side" or forward.hops:
            return
        side = self._read(forward, record)
        if (side.version, side.before) != (self._version, self._before):
            return
        place = forward.shard, forward.offset
        self._newest[forward.shard] = max(forward.offset, self._newest.get(forward.shard, -1))
        if self._was_taken(place, side):
            return
        size_bytes = len(record.value)
        is_held = side.part in self._parts.get(place, {})  # it is heard again, and has its room
        if not is_held and self.held_bytes + size_bytes > self._held_bytes_max and place != self._awaited:
            self._left_out = record.offset if self._left_out is None else min(self._left_out, record.offset)
            return
        self._keep(place, _HeldPart(side, record.offset, size_bytes))

    def _was_taken(self, place: SentFrom, side: Side) -> bool:
        if side.is_of_history:
            return place in self._done_of_history
        return place[1] <= self._done.get(place[0], -1)

    def _keep(self, place: SentFrom, held: _HeldPart) -> None:
        parts = self._parts.setdefault(place, {})
        former = parts.get(held.side.part)
        self.held_bytes += held.size_bytes - (former.size_bytes if former is not None else 0)
        parts[held.side.part] = held
        heappush(self._oldest, (held.offset, place))

    def _read(self, forward: Forward, record: LogRecord) -> Side:
        rules = self._rules
        check_forward(forward, shard=self._shard, shards=rules.shards, generation=rules.log_generation)
        side = decode_identity(forward, record)
        place = SignedPlace(FORWARD, EVENTS, self._shard)
        check_signed(self._trust_at(record.offset), self._keyring, record.headers, place, forward.text, record.key, record.value)
        assert isinstance(side, Side), "its header says so"
        return side

    def has(self, place: SentFrom) -> bool:
        """Whether all that was sent from there has come, or it is known that nothing will: a lane sends in the order of its log."""
        parts = self._parts.get(place)
        if parts is not None and len(parts) == next(iter(parts.values())).side.parts:
            return True
        if place in self._missing:
            return True
        is_whole = self.heard_upto >= self._whole_at and (self._left_out is None or self._again_for == place)
        return is_whole and self._newest.get(place[0], -1) > place[1]

    def listen_for(self, place: SentFrom) -> None:
        """Whoever hears is to hear from ``heard_upto`` on until this has come: from where it may have had no room."""
        self._awaited = place
        if self._left_out is not None and self._again_for != place and not self.has(place):
            self._again_for, self._whole_at = place, max(self._whole_at, self.heard_upto)
            self.heard_upto, self._left_out = self._left_out, None

    def give_up(self, place: SentFrom) -> None:
        """Nothing will come from there: its log does not reach back so far any more."""
        self._missing.add(place)

    def take(self, place: SentFrom) -> SentPast | None:
        """What was sent from there, in one; None where nothing was. It is kept until ``forget``."""
        self._taken.add(place)
        parts = [held.side for _, held in sorted(self._parts.get(place, {}).items())]
        if not parts:
            return None
        memories = {key: data for side in parts for key, data in side.memories.items()}
        return SentPast(parts[0].origin_ms, memories, parts[-1].links, parts[-1].aliases)

    def forget(self) -> None:
        """What was taken is committed, and not asked for again."""
        for shard, offset in self._taken:
            is_of_history = self._drop((shard, offset))
            if is_of_history:
                self._done_of_history.add((shard, offset))
                continue
            self._done[shard] = max(offset, self._done.get(shard, -1))
            if (in_doubt := self._in_doubt.pop(shard, offset)) != offset:
                self._drop((shard, in_doubt))
        self._taken.clear()

    def _drop(self, place: SentFrom) -> bool:
        """Hold what was sent from there no longer; whether that was of history."""
        parts = self._parts.pop(place, {}).values()
        self._missing.discard(place)
        self.held_bytes -= sum(held.size_bytes for held in parts)
        return any(held.side.is_of_history for held in parts)
