"""The export of a customer, line by line: one JSON object in all, of which no more than a batch of records is in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from streamer.errors import SettingsError, UnansweredError
from streamer.flow.committed import CommittedCustomer
from streamer.messages.decision import decode_decision
from streamer.server.errors import AnswerError
from streamer.server.server import Answers
from streamer.settings import Settings
from streamer.values import time_text
from streamer.wire import EVENTS, HISTORY, LEDGER, SENDS, shard_of

from .remembered import remembered
from .topics import KEYED, EventsOfIds, StoredRecord, TopicReader, attempt_entry, event_entry, record_entry

FORMAT: Final = "streamer.customer-export/1"
SEND_KEYS_MAX: Final = 100_000  # decisions whose attempts are looked for
ELSEWHERE: Final = (  # what is not looked at, and where it lies
    ("commands", "what people asked of the workers, such as an erasure, is kept with the id for two weeks"),
    ("examples", "what models learned from has figures and no id"),
    ("webhooks", "attempts to deliver changes, and changes that were given up, are kept by subscription, not by customer"),
    ("readers", "what was read out of the topics is in the hands of those who read it"),
)

_encode: Final = msgspec.json.Encoder().encode


class NotLookedAt(msgspec.Struct):
    """A part that is missing from an export, or may be, and why."""

    what: str
    why: str


class CustomerExport:
    """One export. ``ids`` are all by which the customer is known; ``is_late`` says when no more of topics is to be read."""

    def __init__(
        self,
        settings: Settings,
        answers: Answers,
        reader: TopicReader,
        now_ms: Callable[[], int],
        is_late: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings = settings
        self._answers = answers
        self._reader = reader
        self._now_ms = now_ms
        self._is_late = is_late
        self._missing = [NotLookedAt(what, why) for what, why in ELSEWHERE]
        self._send_keys = set[str]()

    async def lines(self, asked: str) -> AsyncGenerator[bytes]:
        """The object, a line for each record of a topic. Raises what reading the store may before the first line; what goes wrong later is
        said in it, under ``not_looked_at``."""
        found = await self._answers.committed.look_up(asked)
        ids = list(dict.fromkeys([found.customer, asked, *found.passed, *(() if found.state is None else found.state.links)]))
        head = {"format": FORMAT, "asked": asked, "ids": ids, "made_at": time_text(self._now_ms())}
        known = await self._remembered(found)
        yield _encode(head)[:-1] + b',"remembered":' + _encode(known)
        async with aclosing(self._topics(ids)) as lines:
            async for line in lines:
                yield line
        yield b',"not_looked_at":' + _encode(self._missing) + b"}"

    async def _remembered(self, found: CommittedCustomer) -> object:
        if found.state is None:
            why = "the ids are being joined at this moment; ask again" if found.is_being_joined else "nothing is committed of this id"
            self._missing.insert(0, NotLookedAt("remembered", why))
            return None
        try:
            return await remembered(self._answers, self._settings, found, self._now_ms())
        except AnswerError as error:  # they were joined or forgotten at this moment
            self._missing.insert(0, NotLookedAt("remembered", error.body.message))
            return None

    async def _topics(self, ids: Sequence[str]) -> AsyncGenerator[bytes]:
        shards = sorted({shard_of(one, self._settings.shards) for one in ids})
        events, keys = EventsOfIds(ids), frozenset(one.encode() for one in ids)

        def of_event(shard: int, record: StoredRecord) -> object:
            event = events.event(record)
            return None if event is None else event_entry(shard, record, event)

        def of_key(shard: int, record: StoredRecord) -> object:
            return record_entry(shard, record) if record.key in keys else None

        def of_decision(shard: int, record: StoredRecord) -> object:
            entry = of_key(shard, record)
            if entry is not None:
                self._note_send(record)
            return entry

        def of_attempt(_shard: int, record: StoredRecord) -> object:
            return attempt_entry(record, self._send_keys)

        sections = [("events", EVENTS, of_event), ("history", HISTORY, of_event)]
        sections += [(name, topic, of_decision if topic == LEDGER else of_key) for name, topic in KEYED]
        for name, topic, entry in [*sections, ("attempts", SENDS, of_attempt)]:
            yield b',"%b":[' % name.encode()
            comma = b""
            async with aclosing(self._entries(name, topic, shards, entry)) as entries:
                async for one in entries:
                    yield comma + one
                    comma = b","
            yield b"]"

    async def _entries(
        self, name: str, topic: str, shards: Sequence[int], entry: Callable[[int, StoredRecord], object]
    ) -> AsyncGenerator[bytes]:
        for shard in shards:
            if self._is_late():
                self._missing.append(NotLookedAt(name, f"shard {shard} was not read in the time that there was"))
                return
            try:
                begin = await self._reader.begin(topic, shard)
                if begin:
                    self._missing.append(NotLookedAt(name, f"shard {shard} keeps nothing of before its offset {begin:,} any more"))
                async with aclosing(self._reader.read(topic, shard)) as batches:
                    async for records in batches:
                        for record in records:
                            if (found := entry(shard, record)) is not None:
                                yield _encode(found)
                        if self._is_late():
                            self._missing.append(NotLookedAt(name, f"shard {shard} was not read to its end in the time that there was"))
                            return
            except SettingsError:
                self._missing.append(NotLookedAt(name, "there is no such topic"))
                return
            except UnansweredError as error:
                self._missing.append(NotLookedAt(name, f"shard {shard} was not read to its end: {error}"))

    def _note_send(self, record: StoredRecord) -> None:
        """A decision whose attempts are to be looked for."""
        try:
            decision = decode_decision(record.value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if decision.outcome != "send":
            return
        if len(self._send_keys) < SEND_KEYS_MAX:
            self._send_keys.add(decision.data.key)
        elif not any(one.what == "attempts" for one in self._missing):
            self._missing.append(NotLookedAt("attempts", f"attempts were looked for of the first {SEND_KEYS_MAX:,} decisions alone"))


__all__ = ["CustomerExport", "NotLookedAt"]
