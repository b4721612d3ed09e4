"""What the lanes of other shards have sent to one lane, read ahead of where it stands in its log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from streamer.customers.memories import Data
from streamer.errors import RefusedError
from streamer.flow.forwards import Forward, check_forward, forward_of
from streamer.flow.identity_records import Adopt, Side, decode_identity
from streamer.flow.rules import Rules
from streamer.signing import CONTROL, FORWARD, Keyring, SignedPlace, Trust, check_control, check_signed
from streamer.wire import EVENTS, LogRecord, decode_control

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


class Mailbox:
    """What was sent towards definitions of ``version`` by lanes that lead there from those whose digest is ``before``, by the place of its
    sending. Records are to be heard in their order; some may come twice. ``trust`` says which keys held before the first of them."""

    def __init__(self, shard: int, rules: Rules, keyring: Keyring, version: int, before: str, trust: Trust) -> None:
        self._shard = shard
        self._rules = rules
        self._keyring = keyring
        self._version = version
        self._before = before
        self._trust = trust
        self._parts: dict[SentFrom, dict[int, Side]] = {}
        self._newest: dict[int, int] = {}  # the highest offset by shard from which something has come
        self._missing = set[SentFrom]()
        self._taken = set[SentFrom]()

    def hear(self, records: Iterable[LogRecord]) -> None:
        """Keep what in these records is for this lane. What may not say so is dropped: the shard itself refuses it when it comes there."""
        for record in records:
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
            if control.control == "keys":
                self._trust = check_control(self._trust, self._keyring, control, record, SignedPlace(CONTROL, EVENTS, self._shard))
        except RefusedError:
            return

    def _hear(self, record: LogRecord) -> None:
        forward = forward_of(record)
        if forward is None or forward.kind != "side" or forward.hops:
            return
        side = self._read(forward, record)
        if (side.version, side.before) == (self._version, self._before):
            place = forward.shard, forward.offset
            self._parts.setdefault(place, {})[side.part] = side
            self._newest[forward.shard] = max(forward.offset, self._newest.get(forward.shard, -1))

    def _read(self, forward: Forward, record: LogRecord) -> Side:
        rules = self._rules
        check_forward(forward, shard=self._shard, shards=rules.shards, generation=rules.log_generation)
        side = decode_identity(forward, record)
        place = SignedPlace(FORWARD, EVENTS, self._shard)
        check_signed(self._trust, self._keyring, record.headers, place, forward.text, record.key, record.value)
        assert isinstance(side, Side), "its header says so"
        return side

    def has(self, place: SentFrom) -> bool:
        """Whether all that was sent from there has come, or it is known that nothing will: a lane sends in the order of its log."""
        parts = self._parts.get(place)
        if parts is not None and len(parts) == next(iter(parts.values())).parts:
            return True
        return place in self._missing or self._newest.get(place[0], -1) > place[1]

    def give_up(self, place: SentFrom) -> None:
        """Nothing will come from there: its log does not reach back so far any more."""
        self._missing.add(place)

    def take(self, place: SentFrom) -> SentPast | None:
        """What was sent from there, in one; None where nothing was. It is kept until ``forget``."""
        self._taken.add(place)
        parts = [side for _, side in sorted(self._parts.get(place, {}).items())]
        if not parts:
            return None
        memories = {key: data for side in parts for key, data in side.memories.items()}
        return SentPast(parts[0].origin_ms, memories, parts[-1].links, parts[-1].aliases)

    def forget(self) -> None:
        """What was taken is committed, and not asked for again."""
        for place in self._taken:
            self._parts.pop(place, None)
        self._taken.clear()
