"""What is left of somebody who was erased, place by place: what must be nothing, and what is kept and why.

An erasure is a record of the log. What lies before it was forgotten, and is only looked for where it was published or kept; what lies
behind it is of somebody new who goes by the same id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from typing import Final, Literal

import msgspec

from streamer.customers.offsets import history_places, places
from streamer.customers.tombstone import decode_tombstone, is_tombstone
from streamer.errors import RefusedError, SettingsError
from streamer.events.alias import previous_id
from streamer.events.codec import decode
from streamer.flow.forwards import forward_of
from streamer.flow.identity_records import Link, decode_identity
from streamer.flow.states import read_state
from streamer.settings import Settings
from streamer.stores.base import Store
from streamer.wire import (
    COMMANDS,
    CONTROL_HEADER,
    EVENTS,
    EXAMPLES,
    HISTORY,
    LogRecord,
    decode_control,
    decode_outputs,
    read_arrived,
    shard_of,
)

from .topics import KEYED, StoredRecord, TopicReader

PlaceVerdict = Literal["none", "kept", "new", "left"]
OUTBOX_AT_ONCE: Final = 1_000
KEPT: Final = {  # why something is kept that is of before the erasure
    "events": "until retention of the log ends it: a log must be whole for as long as an empty store is to be filled from it",
    "imported events": "as events",
    "history": "as events, in a topic of its own; it comes before the erasure, so it brings nobody back by this id",
    "records of shards": "as events: what ids were joined, with what was remembered of them then",
    "changes": "until retention ends it; your readers' copies are yours",
    "decisions": "that something was sent, without address; for ever",
    "messages": "with id and address, for 37 days",
    "dead_letters": "raw bytes of what was refused, until retention ends it",
    "commands": "that somebody asked for the erasure, for two weeks",
}


class PlaceFinding(msgspec.Struct, frozen=True):
    """What was found in one place. ``none``: nothing. ``kept``: of before the erasure, and ``why``. ``new``: of after it. ``left``: what
    must not be there."""

    place: str
    verdict: PlaceVerdict
    found: int
    why: str = ""


class ErasureProof(msgspec.Struct, frozen=True):
    """``erased_at``: shard and offset of the newest erasure; None where the log has none, which proves nothing."""

    customer: str
    erased_at: tuple[int, int] | None
    findings: list[PlaceFinding]

    @property
    def holds(self) -> bool:
        """Whether they were erased, and nothing is left that must not be."""
        return self.erased_at is not None and all(one.verdict != "left" for one in self.findings)


async def prove(settings: Settings, store: Store, reader: TopicReader, customer: str) -> ErasureProof:
    """Read every place. The logs of all shards are read whole. Raises what reading store and topics may."""
    return await _Proof(settings, store, reader, customer).run()


class _Proof:
    def __init__(self, settings: Settings, store: Store, reader: TopicReader, customer: str) -> None:
        self._settings = settings
        self._store = store
        self._reader = reader
        self._customer = customer
        self._key = customer.encode()
        self._text = msgspec.json.encode(customer)
        self._home = shard_of(customer, settings.shards)
        self._before, self._after = Counter[str](), Counter[str]()
        self._erased = -1  # offset of the newest erasure
        self._erased_ms = -1  # when that arrived
        self._own: list[tuple[int, str]] = []  # offset and kind of what the log of their shard has of them
        self._linked: int = -1  # offset of the newest link from the id
        self._came: int = -1  # of the newest record that brings somebody by it
        self._named: frozenset[str] = frozenset()  # by the event in hand
        self._tied = set[str]()  # other ids that history of before the erasure ties to it

    async def run(self) -> ErasureProof:
        for shard in range(self._settings.shards):
            await self._each(EVENTS, shard, self._note_home if shard == self._home else self._note_elsewhere)
        for offset, kind in self._own:
            (self._before if offset <= self._erased else self._after)[kind] += 1
        for shard in range(self._settings.shards):
            await self._each(HISTORY, shard, self._note_history)
        findings = [self._counted(place) for place in ("events", "imported events", "history", "records of shards")]
        findings += [*await self._stored(), await self._other_ids(), await self._outbox()]
        for name, topic in KEYED:
            await self._each(topic, self._home, self._noting(name))
            findings.append(self._counted(name))
        findings.append(await self._examples())
        await self._each(COMMANDS, 0, self._note_command)
        findings.append(self._counted("commands"))
        return ErasureProof(self._customer, (self._home, self._erased) if self._erased >= 0 else None, findings)

    async def _each(self, topic: str, shard: int, note: Callable[[StoredRecord], None]) -> None:
        try:
            await self._reader.begin(topic, shard)
        except SettingsError:
            return  # there is no such topic
        async with aclosing(self._reader.read(topic, shard)) as batches:
            async for records in batches:
                for record in records:
                    note(record)

    # the log

    def _note_home(self, record: StoredRecord) -> None:
        kind = self._kind(record)
        if kind == "erasure":
            self._erased, self._erased_ms = record.offset, max(self._erased_ms, record.timestamp)
        elif kind:
            self._own.append((record.offset, kind))

    def _note_elsewhere(self, record: StoredRecord) -> None:
        """A shard that is not theirs: a producer chose another partitioner, or ids of others were joined to theirs."""
        came = self._came, self._linked
        kind = self._kind(record)
        self._came, self._linked = came  # offsets of another log
        if kind and kind != "erasure":
            self._before[kind] += 1

    def _note_history(self, record: StoredRecord) -> None:
        """What was imported once the log had begun: only what happened behind the erasure brings somebody new."""
        came = self._came, self._linked
        self._came, self._named = -1, frozenset()
        is_theirs = bool(self._kind(record))
        is_under_the_id = self._came >= 0
        self._came, self._linked = came  # offsets of another log
        if not is_theirs:
            return
        arrived = read_arrived(tuple(record.headers))
        if arrived is None or arrived[0] <= self._erased_ms:
            self._before["history"] += 1
            self._tied |= self._named - {self._customer}
            return
        self._after["history"] += 1
        if is_under_the_id:
            self._came = max(self._came, self._erased + 1)

    def _kind(self, record: StoredRecord) -> str:
        """What a record of the log says of them: ``erasure``, or where it is counted; empty where it says nothing."""
        value = record.value or b""
        if record.key != self._key and self._text not in value and b"\\" not in value:
            return ""  # without a backslash JSON has one way alone to write an id
        told = LogRecord(record.offset, record.timestamp, value, key=record.key or b"", headers=tuple(record.headers))
        try:
            if any(name == CONTROL_HEADER for name, _ in record.headers):
                control = decode_control(value)
                if self._customer not in (control.customer, control.old):
                    return ""
                return "erasure" if control.control == "erase" else "records of shards"
            return self._forwarded(told) or self._event(told)
        except RefusedError:
            return ""

    def _forwarded(self, record: LogRecord) -> str:
        forward = forward_of(record)
        if forward is None:
            return ""
        if forward.kind == "erase":
            if record.key == self._key:
                return "erasure"
            self._before["records of shards"] += self._text in record.value  # who was the same person is told of it
            return ""
        if forward.kind in ("event", "adopt", "restore") and record.key == self._key:
            self._came = record.offset
        elif self._text not in record.value:
            return ""
        if forward.kind == "link":
            link = decode_identity(forward, record)
            if isinstance(link, Link) and link.from_ == self._customer:
                self._linked = record.offset
        return "records of shards"

    def _event(self, record: LogRecord) -> str:
        event = decode(record.value)
        if self._customer not in (event.customer, event.anonymous_id, event.user_id):
            return ""
        self._named = frozenset(id_ for id_ in (event.anonymous_id, event.user_id, previous_id(event)) if id_)
        if self._customer == event.customer:
            self._came = max(self._came, record.offset)
        return "events" if read_arrived(record.headers) is None else "imported events"

    # the store

    async def _stored(self) -> list[PlaceFinding]:
        _, [blob] = await self._store.committed(self._home, [self._customer])
        findings = [self._entry("state", blob)]
        for name in await self._store.lanes(self._home):
            checkpoint, [beside] = await self._store.lane(name).committed(self._home, [self._customer])
            found = self._entry("side lane", beside)
            if beside is not None and checkpoint.position.offset <= self._erased:
                found = PlaceFinding("side lane", "left", 1, "it has not come to the erasure yet: ask again")
            findings.append(found)
        return findings

    def _entry(self, place: str, blob: bytes | None) -> PlaceFinding:
        if blob is None:
            return PlaceFinding(place, "none", 0)
        if is_tombstone(blob):
            kept = decode_tombstone(blob).offsets
            is_new = places(kept)[0].offset > self._erased if kept.is_kept else self._linked > self._erased
            return PlaceFinding(
                place, "new" if is_new else "left", 1, "it was joined to another id since" if is_new else "an old id leads on"
            )
        offsets = read_state(self._home, self._customer, blob).offsets
        if offsets.is_kept:
            is_new = places(offsets)[0].offset > self._erased
            return PlaceFinding(place, "new" if is_new else "left", 1, "made of records behind the erasure" if is_new else "of before it")
        is_new = self._came_back
        return PlaceFinding(place, "new" if is_new else "left", 1, "events came behind the erasure" if is_new else "nothing came behind it")

    async def _other_ids(self) -> PlaceFinding:
        """An erasure is of all ids that the log ties together by then. What is remembered of history under one that only history ties to
        theirs came in behind it."""
        left = [one for one in sorted(self._tied) if await self._remembers_history(one)]
        why = f"history that was brought in since is remembered under {', '.join(left)}: erase each" if left else ""
        return PlaceFinding("other ids", "left" if left else "none", len(left), why)

    async def _remembers_history(self, customer: str) -> bool:
        home = shard_of(customer, self._settings.shards)
        _, [blob] = await self._store.committed(home, [customer])
        if blob is None or is_tombstone(blob):
            return False
        kept = read_state(home, customer, blob).offsets
        return not kept.is_kept or bool(history_places(kept))

    async def _outbox(self) -> PlaceFinding:
        found, after = 0, None
        while entries := await self._store.outbox(self._home, after=after, limit=OUTBOX_AT_ONCE):
            after = entries[-1][0]
            found += sum(output.key == self._key for _, packed in entries for output in decode_outputs(packed))
        return PlaceFinding("outbox", "left" if found else "none", found, "not published yet: ask again" if found else "")

    # the topics

    def _noting(self, name: str) -> Callable[[StoredRecord], None]:
        def note(record: StoredRecord) -> None:
            if record.key == self._key:
                (self._before if _offset_of(record) <= self._erased else self._after)[name] += 1

        return note

    def _note_command(self, record: StoredRecord) -> None:
        self._before["commands"] += self._text in (record.value or b"")

    async def _examples(self) -> PlaceFinding:
        found = 0

        def note(record: StoredRecord) -> None:
            nonlocal found
            found += record.key == self._key or self._text in (record.value or b"")

        for shard in range(self._settings.shards):
            await self._each(EXAMPLES, shard, note)
        return PlaceFinding("examples", "left" if found else "none", found, "what models learn from has no ids" if found else "")

    def _counted(self, place: str) -> PlaceFinding:
        before, after = self._before[place], self._after[place]
        if after and not self._came_back:
            return PlaceFinding(place, "left", after, "of after the erasure, and nobody came by this id")
        if before:
            more = f"; and {after:,} of after the erasure" if after else ""
            return PlaceFinding(place, "kept", before, KEPT[place] + more)
        return PlaceFinding(place, "new" if after else "none", after, "of after the erasure" if after else "")

    @property
    def _came_back(self) -> bool:
        """Whether something came by this id behind the erasure; an event that is late brings nobody back, and is a dead letter."""
        return self._came > self._erased


class _SaidAt(msgspec.Struct):
    offset: int


class _SaidWhere(msgspec.Struct):
    position: _SaidAt | None = None


class _SaidRecord(msgspec.Struct):
    data: _SaidWhere | None = None
    origin: _SaidAt | None = None


_decode: Final = msgspec.json.Decoder(_SaidRecord).decode


def _offset_of(record: StoredRecord) -> int:
    """Of which record of their shard's log something was said; -1 where it does not say."""
    try:
        said = _decode(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return -1
    at = said.origin or (said.data.position if said.data is not None else None)
    return -1 if at is None else at.offset


__all__ = ["ErasureProof", "PlaceFinding", "prove"]
