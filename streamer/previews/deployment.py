"""A preview over the log of a deployment, against what holds there now. Nothing is written, and no worker need run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from time import time
from typing import Final

from aiokafka.errors import KafkaError

from streamer.errors import SettingsError
from streamer.flow.catalog import Plans
from streamer.flow.committed import CommittedCustomers, history_in_force
from streamer.flow.replay import Arrival
from streamer.flow.whole_log import ShardRecords, whole_log
from streamer.language.definitions import Definitions
from streamer.settings import Settings
from streamer.stores.base import Store
from streamer.transports.kafka.log_ends import LogEnds, read_log_ends
from streamer.transports.kafka.shard_logs import NO_PAST, PastWanted, open_logs
from streamer.wire import decode_control

from .bounds import Bounds
from .conclusion import Wishes, conclude
from .events import Chosen, event_of, names_two
from .fold import Fold
from .in_force import read_in_force
from .result import Preview
from .share import Persons, Share
from .survey import MembersInForce

ANSWER_SECONDS: Final = 15.0
Progress = Callable[[int, int], None]  # records read so far, and how many there are to read


def _no_progress(_read: int, _all: int) -> None:
    """Nobody looks."""


async def fitting_share(settings: Settings, events_max: int) -> float:
    """The largest share of the customers that at most ``events_max`` records of the log are of, about: 1.0 where it has no more in all.

    Records that concern nobody count as well, and so does history. Raises SettingsError, and what reading the store may.
    """
    store = settings.open_store()
    try:
        history = await _history(settings, store)
    finally:
        await store.close()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            ends = await read_log_ends(settings, range(settings.shards))
    except (KafkaError, TimeoutError) as error:
        raise SettingsError(f"STREAMER_KAFKA: cannot read the log at {settings.kafka} ({type(error).__name__})") from None
    records = sum(between.end - between.begin for between in ends.values()) + sum(history.values())
    return 1.0 if records <= events_max else events_max / records


async def preview_deployment(
    settings: Settings,
    definitions: Definitions,
    wishes: Wishes,
    bounds: Bounds,
    *,
    since_ms: int | None = None,
    progress: Progress = _no_progress,
) -> Preview:
    """What ``definitions`` would do if they were published now. History is part of the past as far as it is in each shard.

    ``since_ms`` (UTC): only what arrived then or later is read, so clauses that look further back are warming. Of a share of the customers
    the log is read twice: first to find out which ids belong together. Models answer by the scorers that the log has. Raises SettingsError
    where Kafka or the store does not answer, HaltError where the log cannot be read by these settings, TooMuchError.
    """
    try:
        return await _Previewer(settings, definitions, wishes, bounds, progress).run(since_ms)
    except (KafkaError, TimeoutError) as error:
        raise SettingsError(f"STREAMER_KAFKA: cannot read the log at {settings.kafka} ({type(error).__name__})") from None


async def _history(settings: Settings, store: Store) -> dict[int, int]:
    return history_in_force(await CommittedCustomers(store, settings.rules, Plans(store, settings.rules)).views())


class _Previewer:
    def __init__(self, settings: Settings, definitions: Definitions, wishes: Wishes, bounds: Bounds, progress: Progress) -> None:
        self._settings = settings
        self._definitions = definitions
        self._wishes = wishes
        self._bounds = bounds
        self._progress = progress
        self._read = self._all = 0
        self._models = {spec.name for spec in definitions.models}
        self._past = NO_PAST

    async def run(self, since_ms: int | None) -> Preview:
        store = self._settings.open_store()
        try:
            history = await _history(self._settings, store)
            self._past = PastWanted(history, since_ms or 0, int(time() * 1_000))
            return await self._preview(store, since_ms)
        finally:
            await store.close()

    async def _preview(self, store: Store, since_ms: int | None) -> Preview:
        async with asyncio.timeout(ANSWER_SECONDS):
            ends = await read_log_ends(self._settings, range(self._settings.shards), since_ms)
        is_share = self._wishes.share < 1
        records = sum(between.end - between.begin for between in ends.values()) + sum(self._past.ends.values())
        self._all = records * (2 if is_share else 1)
        share = Share(self._wishes.share, await self._persons(ends) if is_share else Persons())
        is_cut = since_ms is not None or any(between.begin for between in ends.values())
        fold = await self._told(ends, share, is_cut=is_cut)
        in_force = await self._in_force(store, share, fold)
        return await conclude(fold, self._wishes, in_force, is_cut=is_cut)

    async def _persons(self, ends: Mapping[int, LogEnds]) -> Persons:
        """Which ids belong together."""
        persons, placeholders = Persons(), frozenset(self._settings.rules.placeholder_ids)
        async for stretch, _ in self._stretches(ends):
            self._bounds.check()
            for arrival in filter(names_two, stretch):
                if (event := event_of(arrival, placeholders)) is not None:
                    persons.add(event, placeholders)
        return persons

    async def _told(self, ends: Mapping[int, LogEnds], share: Share, *, is_cut: bool) -> Fold:
        fold = await Fold.begin(self._definitions, self._settings.rules, self._bounds)
        chosen, is_first = Chosen(share, fold.placeholder_ids), True
        async for stretch, records in self._stretches(ends):
            if is_first and is_cut:  # every shard has been looked into by now
                fold.lack_before(max(one.first_ms for one in records if one.first_ms is not None))
            is_first = False
            wanted = [arrival for arrival in stretch if not arrival.control or self._is_wanted(arrival)]
            await fold.take(chosen.of(wanted))
            await asyncio.sleep(0)
        fold.begins_ms = chosen.begins_ms
        await fold.until(chosen.now_ms)
        return fold

    def _is_wanted(self, record: Arrival) -> bool:
        """Whether a control record means something under these definitions."""
        control = decode_control(record.value)
        return control.control not in ("model", "withdraw") or control.model in self._models

    async def _stretches(self, ends: Mapping[int, LogEnds]) -> AsyncIterator[tuple[list[Arrival], list[ShardRecords]]]:
        logs = await open_logs(self._settings, ends, self._past)
        records = [one.records for one in logs]
        done = self._read
        async with aclosing(whole_log(logs)) as stretches:
            async for stretch in stretches:
                self._progress(done + sum(one.read for one in records), self._all)
                yield stretch, records
        self._read = done + sum(one.read for one in records)

    async def _in_force(self, store: Store, share: Share, fold: Fold) -> MembersInForce:
        """Who is where now. Time passes in the fold up to now: so late would definitions arrive that were published at this moment."""
        rules, shards = self._settings.rules, self._settings.shards
        customers = CommittedCustomers(store, rules, Plans(store, rules))
        times = [(await customers.view(shard)).log_time_ms for shard in range(shards)]
        await fold.until(max(int(time() * 1_000), *times))
        return await read_in_force(store, customers, shards, share)


__all__ = ["fitting_share", "preview_deployment"]
