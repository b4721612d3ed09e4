"""Who was in a segment at a moment of the past: by who is in it now, and by what was said since.

A customer's changes alternate between entry and exit. So the first change behind the moment says where they were before it, and whoever had
none since is where they were. Nothing is read but the states of now and the changes since.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Set
from contextlib import aclosing
from typing import Final, NamedTuple

import msgspec

from streamer.customers.state import is_entry
from streamer.errors import SettingsError, UnansweredError
from streamer.flow.catalog import Plans
from streamer.flow.committed import CommittedCustomers, ShardView
from streamer.settings import Settings
from streamer.stores.base import Store
from streamer.transports.kafka.answering import answering
from streamer.transports.kafka.log_ends import read_log_ends
from streamer.transports.kafka.partition import read_partition
from streamer.units import HOUR_MS
from streamer.values import parse_time_ms, time_text
from streamer.wire import CHANGES, decode_outputs

from .in_force import read_in_force
from .share import Persons, Share

ANSWER_SECONDS: Final = 15.0
PUBLISHED_SECONDS: Final = 30.0  # for what is committed to be in the topic
LOOK_SECONDS: Final = 0.1
CLOCKS_MS: Final = HOUR_MS  # by so much the clocks of brokers may differ: a change is looked for so long before the moment


class _SaidPosition(msgspec.Struct):
    generation: int
    offset: int
    ordinal: int


class _SaidBody(msgspec.Struct):
    at: str
    sequence: int
    position: _SaidPosition
    segment: str


class _SaidChange(msgspec.Struct):
    subject: str
    data: _SaidBody


class _SaidKind(msgspec.Struct):
    type: str


_kind: Final = msgspec.json.Decoder(_SaidKind).decode
_change: Final = msgspec.json.Decoder(_SaidChange).decode


class NoSuchSegmentError(SettingsError):
    """No segment of that name is defined, nor was."""


class PastMembers(NamedTuple):
    """``members``, ascending, at ``at_ms``; ``read``: by shard, below which record of its log all was read that was said."""

    segment: str
    at_ms: int
    members: list[str]
    read: Mapping[int, int]


class SaidSince:
    """What was said of one segment behind a moment. ``generation`` is that of the log."""

    def __init__(self, segment: str, at_ms: int, generation: int) -> None:
        self._segment = segment
        self._at_ms = at_ms
        self._generation = generation
        self._first: dict[str, tuple[int, int, int]] = {}  # by customer: offset and ordinal of the first change, and its number

    def take(self, values: Iterable[bytes]) -> None:
        """Some of the changes, in any order. SettingsError for those of a log before this one."""
        for value in values:
            if not _kind(value).type.startswith("segment."):
                continue
            change = _change(value)
            data = change.data
            if data.segment != self._segment or (parse_time_ms(data.at) or 0) <= self._at_ms:
                continue
            position = data.position
            if position.generation != self._generation:
                raise SettingsError(f"the log began anew after that moment (generation {self._generation}): what was before is not known")
            found = position.offset, position.ordinal, data.sequence
            self._first[change.subject] = min(found, self._first.get(change.subject, found))

    @property
    def is_known(self) -> bool:
        """Whether anything was said of the segment."""
        return bool(self._first)

    def members(self, now: Set[str]) -> list[str]:
        """Who was in it at the moment, ascending, by who is in it ``now``."""
        were = {customer for customer, (_, _, sequence) in self._first.items() if not is_entry(sequence)}
        return sorted(were | {customer for customer in now if customer not in self._first})


async def members_now(settings: Settings, store: Store, segment: str) -> PastMembers:
    """Who is in a segment, as each shard has committed it; ``at_ms`` is the log time that all of them have come to. SettingsError where
    there is no such segment, or no checkpoint; raises what reading the store may besides."""
    customers = CommittedCustomers(store, settings.rules, Plans(store, settings.rules))
    views = [view for view in await _views(settings, customers) if view.body is not None]
    if not views:
        raise SettingsError(f"no shard has a checkpoint at {settings.shown()['store']}; has a worker run?")
    now = await _inside(settings, store, customers, segment)
    if now is None:
        raise NoSuchSegmentError(f"there is no segment {segment!r}")
    return PastMembers(segment, min(view.log_time_ms for view in views), sorted(now), {view.shard: view.position.offset for view in views})


async def _inside(settings: Settings, store: Store, customers: CommittedCustomers, segment: str) -> set[str] | None:
    """Who is in a segment now; None where it is not defined."""
    found = await read_in_force(store, customers, settings.shards, Share(1.0, Persons()))
    if segment not in found.names:
        return None
    bit = found.names.index(segment)
    return {customer for customer, bits in found.members.items() if bits >> bit & 1}


async def members_at(settings: Settings, store: Store, segment: str, at_ms: int) -> PastMembers:
    """Who was in a segment. All states are read, and the changes since. SettingsError where that cannot be told, UnansweredError where a
    server did not do its part; raises what reading the store may besides."""
    customers = CommittedCustomers(store, settings.rules, Plans(store, settings.rules))
    for view in await _views(settings, customers):
        if view.body is not None and at_ms > view.log_time_ms:
            raise SettingsError(f"the log of shard {view.shard} has come to {time_text(view.log_time_ms)}; expected no later moment")
    now = await _inside(settings, store, customers, segment)
    read = {view.shard: view.position.offset for view in await _views(settings, customers)}
    since = SaidSince(segment, at_ms, settings.log_generation)
    for shard, upto in read.items():
        await _until_published(store, shard, upto)
        async for values in _changes_since(settings, shard, at_ms):
            since.take(values)
    if now is None and not since.is_known:
        raise NoSuchSegmentError(f"there is no segment {segment!r}, and nothing was said of one since then")
    return PastMembers(segment, at_ms, since.members(now or set()), read)


async def _views(settings: Settings, customers: CommittedCustomers) -> list[ShardView]:
    return [await customers.view(shard) for shard in range(settings.shards)]


async def _until_published(store: Store, shard: int, upto: int) -> None:
    """Until all is in the topic that a shard had to say of the records below ``upto``."""
    loop = asyncio.get_running_loop()
    until = loop.time() + PUBLISHED_SECONDS
    while waiting := await store.outbox(shard, after=None, limit=1):
        if decode_outputs(waiting[0][1])[0].offset >= upto:
            return
        if loop.time() > until:
            raise UnansweredError(f"what shard {shard} has to say is not published within {PUBLISHED_SECONDS:g} s; does its worker run?")
        await asyncio.sleep(LOOK_SECONDS)


async def _changes_since(settings: Settings, shard: int, at_ms: int) -> AsyncGenerator[list[bytes]]:
    with answering():
        async with asyncio.timeout(ANSWER_SECONDS):
            kept = (await read_log_ends(settings, [shard], topic=CHANGES))[shard]
            since = (await read_log_ends(settings, [shard], max(0, at_ms - CLOCKS_MS), topic=CHANGES))[shard]
        if kept.begin and since.begin <= kept.begin:
            raise SettingsError(f"shard {shard} does not keep what was said since {time_text(at_ms)}: its oldest change is younger")
        if since.begin >= since.end:
            return
        async with aclosing(read_partition(settings, CHANGES, shard, begin=since.begin)) as batches:
            async for records in batches:
                yield [record.value or b"" for record in records]


__all__ = ["NoSuchSegmentError", "PastMembers", "SaidSince", "members_at", "members_now"]
