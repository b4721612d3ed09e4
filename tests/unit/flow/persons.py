"""A shop over some shards in memory, whose customers have more than one id: for tests of what becomes of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from streamer.customers.state import State
from streamer.customers.tombstone import Tombstone, decode_tombstone, is_tombstone
from streamer.events.dead_letter import read_dead_letter
from streamer.flow.catalog import Plans
from streamer.flow.machine import Limits
from streamer.flow.relay import Relay
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import Definitions, parse_definitions
from streamer.segments.change import Change
from streamer.segments.merge import Merge
from streamer.segments.unmerge import Unmerge
from streamer.stores.memory import MemoryStore
from streamer.transports.memory import MemoryLog, MemoryRecord, MemorySink
from streamer.wire import DEAD_LETTERS, EVENTS, FORWARD_HEADER, Control, Headers, definitions_control, encode_control, shard_of

START_MS: Final = 1_767_225_600_000
SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS


def named(begin: str, shard: int, shards: int) -> str:
    """An id that begins so and lives in this shard."""
    return next(name for number in range(999) if shard_of(name := f"{begin}-{number}", shards) == shard)


def segments(**when: str) -> Definitions:
    """Definitions of these segments."""
    return parse_definitions({"segments": {name: {"for": "x", "when": text} for name, text in when.items()}})


def segments_beside_turns(**when: str) -> Definitions:
    """The same, with messages that begin when a condition turns: readers know nothing of those."""
    conditions = {"told": 'did("A", within="1h")', "silent": 'since(last("A")) >= "20m"'}
    turned = {
        name: {"for": "x", "on": on, "kind": "transactional", "channel": "console", "delay": "400d"} for name, on in conditions.items()
    }
    return parse_definitions({"segments": {name: {"for": "x", "when": text} for name, text in when.items()}, "messages": turned})


class Persons:
    """Its clock is moved by hand. Each catch-up is by a new owner of the shard, who knows nothing but store and log."""

    def __init__(self, definitions: Definitions, shards: int = 2, limits: Limits | None = None, *, keeps_offsets: bool = False) -> None:
        self.rules = Rules(shards=shards)
        self.now_ms = START_MS
        self.log = MemoryLog(shards, lambda: self.now_ms)
        self.stores = [MemoryStore() for _ in range(shards)]
        self._limits = limits or Limits()
        self._keeps_offsets = keeps_offsets
        self._message = 0
        self.define(definitions, 1)

    def define(self, definitions: Definitions, version: int, shards: list[int] | None = None) -> None:
        """From here on other definitions hold."""
        self.log.send_control(definitions_control(definitions.content(), definitions.digest, version), shards)

    def write(self, event: str, *, headers: Headers = (), shard: int | None = None, **fields: Any) -> str:
        """An event of now, keyed as producers do; returns its message id."""
        self._message += 1
        body: dict[str, Any] = {"event": event, "messageId": f"m{self._message}", "timestamp": self.now_ms, **fields}
        customer = body.get("userId") or body["anonymousId"]
        place = shard_of(customer, self.rules.shards) if shard is None else shard
        self.log.append(EVENTS, place, json.dumps(body).encode(), key=customer.encode(), headers=headers)
        return body["messageId"]

    def alias(self, before: str, after: str, **fields: Any) -> str:
        """Say outright that two ids are one person's."""
        return self.write("", type="alias", userId=after, properties={"previousId": before}, **fields)

    def erase(self, customer: str) -> None:
        """Ask for an erasure."""
        self.log.send_control(encode_control(Control("erase", customer=customer)), [shard_of(customer, self.rules.shards)])

    def wait(self, ms: int) -> None:
        """Let time pass, with a tick in each shard at the end."""
        self.now_ms += ms
        for shard in range(self.rules.shards):
            self.log.send_tick(shard)

    async def catch_up(self, number: int) -> Shard:
        """Process what a shard has, and publish it."""
        shard, relay = await self._owner(number)
        while records := self.log.fetch(number, shard.position.offset, 3):
            relay.add(await shard.process(records))
        while await relay.turn():
            pass
        return shard

    async def advance(self, *numbers: int) -> None:
        """Process one record of each of these shards, in this order, and publish what it sends before the next."""
        for number in numbers:
            shard, relay = await self._owner(number)
            relay.add(await shard.process(self.log.fetch(number, shard.position.offset, 1)))
            while await relay.turn():
                pass

    async def _owner(self, number: int) -> tuple[Shard, Relay]:
        store = self.stores[number]
        options: dict[str, Any] = {"limits": self._limits, "keeps_offsets": self._keeps_offsets, "pause": _never}
        shard = await Shard.acquire(number, store, Plans(store, self.rules), self.rules, **options)
        relay = Relay(number, store, MemorySink(self.log))
        await relay.start()
        return shard, relay

    async def settle(self) -> None:
        """Until no shard has anything left to do: what one sends another is read there too."""
        before = -1
        while before != (before := sum(self.log.end(EVENTS, shard) for shard in range(self.rules.shards))):
            for shard in range(self.rules.shards):
                await self.catch_up(shard)

    async def counts(self) -> Counter[str]:
        """What became of records and of linked ids, in all shards."""
        total = Counter[str]()
        for number in range(self.rules.shards):
            body = (await self._owner(number))[0].body
            for name, times in (*body.counts.items(), *body.identity.items()):
                total[name] += times
        return total

    async def entry(self, customer: str) -> State | Tombstone | None:
        """What the store has under an id; of a tombstone, to whom it points."""
        number = shard_of(customer, self.rules.shards)
        shard, _ = await self._owner(number)
        blob = (await self.stores[number].fetch(number, [customer], until_ms=0, limit=0)).states[0]
        if blob is None:
            return None
        if not is_tombstone(blob):
            return shard.state(blob)
        left = decode_tombstone(blob)
        return Tombstone(left.to, left.since_ms, left.earlier)

    async def inside(self, customer: str) -> set[str]:
        """The segments in which a customer is by the store."""
        entry = await self.entry(customer)
        shard, _ = await self._owner(shard_of(customer, self.rules.shards))
        return {shard.plan.names[number] for number in entry.members if entry.is_inside(number)} if isinstance(entry, State) else set()

    async def sizes(self) -> Mapping[str, int]:
        """Members by segment, of all shards; only those that are not empty."""
        total: dict[str, int] = {}
        for number in range(self.rules.shards):
            for name, size in (await self._owner(number))[0].sizes.items():
                total[name] = total.get(name, 0) + size
        return {name: size for name, size in total.items() if size}

    def changes(self) -> list[Change]:
        """All that was said, each change once."""
        return list(self.log.read_changes())

    def merges(self) -> list[Merge]:
        """Whose past came to whom, each once, by shard."""
        return list(self.log.read_merges())

    def unmerges(self) -> list[Unmerge]:
        """Which ids became customers again, each once, by shard."""
        return list(self.log.read_unmerges())

    def said(self) -> list[tuple[str, str, str, str]]:
        """(customer, segment, entered or exited, kind of cause), by shard."""
        return [
            (change.subject, change.data.segment, change.type.removeprefix("segment."), change.data.cause.kind) for change in self.changes()
        ]

    def reasons(self) -> list[str]:
        """Why records were refused."""
        letters = [record for shard in range(self.rules.shards) for record in self.log.records(DEAD_LETTERS, shard)]
        return [read_dead_letter(record.value).reason for record in letters]

    def sent(self, kind: str) -> list[MemoryRecord]:
        """The records of a kind that shards have written into the log."""
        records = [record for shard in range(self.rules.shards) for record in self.log.records(EVENTS, shard)]
        return [record for record in records if dict(record.headers).get(FORWARD_HEADER, b"").split(b"-")[5:6] == [kind.encode()]]


async def _never(_seconds: float) -> None:
    raise AssertionError("a store in memory does not come and go")
