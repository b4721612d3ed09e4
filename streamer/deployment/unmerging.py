"""Tells two customers apart who were joined, by what the logs have of each; and has a deployment part them.

The logs of all shards are read twice: first what joined whom, then the events of the two. What is found is one record in the log of the
survivor's shard, which counts only where nothing has come to them meanwhile (``flow.unmerging``): else it is done once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer

from streamer.customers.tombstone import Tombstone, decode_tombstone, is_tombstone
from streamer.errors import RefusedError, SettingsError
from streamer.flow.catalog import Plans
from streamer.flow.committed import CommittedCustomer, CommittedCustomers, ShardView, history_in_force
from streamer.flow.own_past import EVENTS_MAX, OwnPast, encode_past
from streamer.flow.rules import Rules
from streamer.flow.ties import Ties, TwoPasts, under
from streamer.flow.whole_log import ShardStory, whole_log
from streamer.settings import Settings
from streamer.stores.base import Store
from streamer.transports.kafka.control import send_control
from streamer.transports.kafka.definitions_topic import read_published
from streamer.transports.kafka.log_ends import read_log_ends
from streamer.transports.kafka.shard_logs import PastWanted, open_logs
from streamer.wire import decode_outputs, shard_of, unmerge_control

OpenLogs = Callable[[], Awaitable[Sequence[ShardStory]]]
Stored = Callable[[str], Awaitable[bytes | None]]

ANSWER_SECONDS: Final = 15.0
TRIES: Final = 10  # of somebody who does something all the time: each takes as long as it takes to read the logs
LOOK_SECONDS: Final = 0.1
JOINED_SECONDS: Final = 30.0  # for what is on its way between shards
APPLIED_SECONDS: Final = 60.0  # for the owner of the shard to have come so far


class Parting(NamedTuple):
    """Two customers who are one by now, told apart: what was said of ``survivor`` and what of ``old``, and who they are as of a commit.

    ``history``: by shard, the offset below which imported history is among it.
    """

    survivor: str
    old: str
    own: OwnPast
    past: OwnPast
    found: CommittedCustomer
    history: Sequence[int] = ()


class UnderWayError(SettingsError):
    """Their ids are being joined at this moment."""


async def tell_apart(settings: Settings, store: Store, old: str, survivor: str | None = None) -> Parting:
    """Read all of it. Raises SettingsError where they cannot be told apart, what reading store and log may besides.

    ``survivor``: who ``old`` is expected to go by. While ids of theirs are being joined it is looked again.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + JOINED_SECONDS
    while True:
        try:
            return await _tell_apart(settings, store, old, survivor)
        except UnderWayError:
            if loop.time() > until:
                raise
        await asyncio.sleep(LOOK_SECONDS)


async def _tell_apart(settings: Settings, store: Store, old: str, survivor: str | None) -> Parting:
    customers = CommittedCustomers(store, settings.rules, Plans(store, settings.rules))
    found = await customers.look_up(old)
    _check_joined(found, old, survivor)
    views, newest = await customers.views(), (await read_published(settings)).newest
    refuse_unsettled(views, () if newest is None else newest.history)
    history = history_in_force(views)
    said = {shard: await _said(store, customers, shard) for shard in range(settings.shards)}
    async with asyncio.timeout(ANSWER_SECONDS):
        ends = await read_log_ends(settings, range(settings.shards))
    for shard, between in ends.items():
        if between.begin:
            raise SettingsError(
                f"the log of shard {shard} begins at offset {between.begin:,} by now: what was said of each before that is not known "
                "any more, so they cannot be told apart"
            )

    async def stored(id_: str) -> bytes | None:
        return (await store.fetch(shard_of(id_, settings.shards), [id_], until_ms=0, limit=0)).states[0]

    past = PastWanted(history, 0, max(view.log_time_ms for view in views))
    ends_of_history = [history.get(shard, 0) for shard in range(settings.shards)] if history else ()
    return await Telling(settings.rules, partial(open_logs, settings, ends, past), stored, ends_of_history).tell(found, old, said)


def refuse_unsettled(views: Sequence[ShardView], published: Sequence[int]) -> None:
    """SettingsError while imported history is being brought in: what is ``published`` of it, by shard, does not count everywhere yet, so
    nobody could be told with all of it."""
    history = history_in_force(views)
    for view in views:
        wanted = published[view.shard] if view.shard < len(published) else 0
        is_under_way = view.body is not None and view.body.switch is not None and (bool(history) or any(published))
        if history.get(view.shard, 0) < wanted or is_under_way:
            raise SettingsError(f"imported history is being brought into shard {view.shard}: ask again once it is a part of the past")


async def _said(store: Store, customers: CommittedCustomers, shard: int) -> int:
    """Below which of its records all is published that a shard had to say."""
    position = (await customers.view(shard)).position.offset
    waiting = await store.outbox(shard, after=None, limit=1)
    return min(position, decode_outputs(waiting[0][1])[0].offset) if waiting else position


def _check_joined(found: CommittedCustomer, old: str, survivor: str | None) -> None:
    if found.customer == old and found.state is not None:
        raise SettingsError(f"{old!r} is a customer of their own: there is nothing to be parted")
    if found.is_being_joined:
        raise UnderWayError(f"the ids of {old!r} are being joined at this moment; ask again")
    if found.state is None:
        raise SettingsError(f"nothing is known of the customer {found.customer!r}")
    if survivor is not None and found.customer != survivor:
        raise SettingsError(f"{old!r} goes by {found.customer!r}, not by {survivor!r}")


class Telling:
    """Tells two customers apart by logs. ``open_logs`` gives those of all shards from their beginnings, each time anew; ``stored`` what the
    store has under an id. ``history``: by shard, below which offset of its history the logs have that too; empty where there is none.
    """

    def __init__(self, rules: Rules, open_logs: OpenLogs, stored: Stored, history: Sequence[int] = ()) -> None:
        self._rules = rules
        self._open_logs = open_logs
        self._stored = stored
        self._history = history

    async def tell(self, found: CommittedCustomer, old: str, said: Mapping[int, int]) -> Parting:
        """Part ``old`` from the customer by whose name they go. ``said``: by shard, below which of its records all is published that it had
        to say. UnderWayError while ids of theirs are being joined, SettingsError where they cannot be told apart."""
        ties, survivor = await self._ties(), found.customer
        assert found.state is not None, "who is not known was refused"
        into, erased = ties.told()
        gone = under(into, old, survivor)
        own = ({survivor, *found.state.links} | under(into, survivor, survivor)) - gone
        if ties.under_way(own | gone, survivor, found.view.position.offset, said):
            raise UnderWayError(f"ids of {survivor!r} are being joined at this moment; ask again")
        tombstones = await self._tombstones(own | gone)
        if old not in tombstones or tombstones[old].earlier:
            raise SettingsError(f"{old!r} is a device of several people: what it did is told apart by time already, and stays so")
        ids = [survivor, *sorted(own - {survivor})], [old, *sorted(gone - {old})]
        pasts = TwoPasts(ids, survivor, tombstones, frozenset(self._rules.placeholder_ids), self._rules.skew_ms)
        await self._gather(pasts)
        mine, theirs = pasts.pasts(erased)
        return Parting(survivor, old, mine, theirs, found, self._history)

    async def _ties(self) -> Ties:
        ties = Ties()
        for story in await self._open_logs():
            records = story.records
            async with aclosing(story.batches) as reading:
                async for batch in reading:
                    for record in batch:
                        if (records.take(record) is not None and record.control) or records.is_of_a_shard(record):
                            ties.take(records.shard, record, records.reached_ms)
                    await asyncio.sleep(0)
        return ties

    async def _gather(self, pasts: TwoPasts) -> None:
        async with aclosing(whole_log(await self._open_logs())) as stretches:
            async for arrivals in stretches:
                pasts.take(arrivals)
                if pasts.count > EVENTS_MAX:
                    raise SettingsError(f"the two have more than {EVENTS_MAX:,} events, which is too many to be told anew in one record")
                await asyncio.sleep(0)

    async def _tombstones(self, ids: set[str]) -> dict[str, Tombstone]:
        found: dict[str, Tombstone] = {}
        for id_ in sorted(ids):
            blob = await self._stored(id_)
            if blob is not None and is_tombstone(blob):
                found[id_] = decode_tombstone(blob)
        return found


async def part(settings: Settings, store: Store, producer: AIOKafkaProducer, old: str, survivor: str) -> None:
    """Have the deployment part them; nothing where it has. Raises as ``tell_apart``, and SettingsError where something came to them at each
    try, or the shard does not go on."""
    shard = shard_of(survivor, settings.shards)
    for _ in range(TRIES):
        if await _is_parted(settings, store, old, survivor, 0):
            return
        parting = await tell_apart(settings, store, old, survivor)
        await send_control(producer, settings, control_of(parting), [shard])
        async with asyncio.timeout(ANSWER_SECONDS):
            ends = await read_log_ends(settings, [shard])
        if await _is_parted(settings, store, old, survivor, ends[shard].end):
            return
    raise SettingsError(f"{survivor!r} did something at each of {TRIES} tries while the logs were read: nothing was done; try again")


def control_of(parting: Parting) -> bytes:
    """The record that parts them. SettingsError where it is too large."""
    try:
        own, past = encode_past(parting.own), encode_past(parting.past)
        return unmerge_control(parting.survivor, own, parting.old, past, history=parting.history)
    except RefusedError as error:
        raise SettingsError(f"what was said of the two does not fit into one record ({error.detail}): they cannot be parted") from None


async def _is_parted(settings: Settings, store: Store, old: str, survivor: str, upto: int) -> bool:
    """Once the shard of the survivor has applied all below ``upto``: whether ``old`` is none of their ids any more."""
    customers = CommittedCustomers(store, settings.rules, Plans(store, settings.rules))
    shard, loop = shard_of(survivor, settings.shards), asyncio.get_running_loop()
    until = loop.time() + APPLIED_SECONDS
    while loop.time() < until:
        [found] = await customers.in_shard(shard, [survivor])
        if found.view.position.offset >= upto:
            return found.state is not None and old in (found.state.parted or {}) and old not in found.state.links
        await asyncio.sleep(LOOK_SECONDS)
    raise SettingsError(f"shard {shard} has not come to the record within {APPLIED_SECONDS:g} s; what it says counts once it does")


__all__ = ["Parting", "UnderWayError", "control_of", "part", "tell_apart"]
