"""A shard in memory on which another segmenter's test is acted out: events, time that passes, definitions that change.

Who is in what is known here only from the segment changes that were put out, as it is to anybody else.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import msgspec
import yaml

from streamer.errors import StoreUnavailableError
from streamer.flow.catalog import Plans
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import parse_definitions
from streamer.segments.change import ENTERED, decode_change
from streamer.stores.memory import MemoryStore
from streamer.values import time_text
from streamer.wire import CHANGES, TICK, LogRecord, definitions_control


class CannotBeSaidError(Exception):
    """The language has no sentence for what the peer's definition says."""


class Story:
    """One shard. ``now_ms`` is log time; whatever is sent arrives then."""

    def __init__(self, shard: Shard, now_ms: int) -> None:
        self.now_ms = now_ms
        self.entered: Counter[str] = Counter()  # segment -> how many entries were put out so far
        self._shard = shard
        self._inside: defaultdict[str, set[str]] = defaultdict(set)
        self._version = 0

    @classmethod
    async def begin(cls, *, now_ms: int, lateness_ms: int = 86_400_000) -> Story:
        """A shard with nothing in it."""
        store, rules = MemoryStore(), Rules(shards=1, lateness_ms=lateness_ms)
        return cls(await Shard.acquire(0, store, Plans(store, rules), rules, pause=_never), now_ms)

    async def define(self, segments: dict[str, str]) -> None:
        """Replace all definitions: ``segments`` are expressions by name. ``DefinitionError`` if they are wrong."""
        text = yaml.safe_dump({"segments": {name: {"for": "A peer's test.", "when": when} for name, when in segments.items()}})
        definitions = parse_definitions(text)
        self._version += 1
        await self._append(definitions_control(definitions.content(), definitions.digest, self._version), control=True)

    async def send(self, *events: dict[str, Any]) -> None:
        """Events of our own form, but that ids of messages and times that are missing are given: a new one, and now."""
        for event in events:
            given = {"messageId": f"m-{self._shard.position.offset}", "timestamp": self.now_ms}
            await self._append(msgspec.json.encode({**given, **event}))

    async def advance(self, ms: int) -> None:
        """Time passes, and nothing else."""
        self.now_ms += ms
        await self._append(TICK, control=True)

    def inside(self, customer: str) -> set[str]:
        """The segments that the customer is in."""
        return self._inside[customer]

    @property
    def refused(self) -> dict[str, int]:
        """How many records were not accepted, by why."""
        return {reason: number for reason, number in self._shard.body.counts.items() if reason != "accepted"}

    async def _append(self, value: bytes, *, control: bool = False) -> None:
        record = LogRecord(self._shard.position.offset, self.now_ms, value, control=control)
        for _, outputs in await self._shard.process([record]):
            for output in outputs:
                if output.topic == CHANGES:
                    self._take(output.value)

    def _take(self, raw: bytes) -> None:
        change = decode_change(raw)
        name, members = change.data.segment, self._inside[change.subject]
        assert (change.type == ENTERED) == (name not in members), f"{change.subject} cannot be {change.type} at {time_text(self.now_ms)}"
        members ^= {name}
        self.entered[name] += change.type == ENTERED


async def _never(_seconds: float) -> None:
    raise StoreUnavailableError("a store in memory does not come and go")
